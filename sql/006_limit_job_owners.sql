-- Optional limits for the owners of jobs: active jobs, new jobs of a guest in an hour, and what an UPDATE may change. Each
-- is off by default and has a variable; 0 and false switch it off. Without a limit there are no triggers.
--
-- The limits apply to guests and users. The service and its members, as the owner is, have none, and neither has a
-- definer function of the owner: migrate_guest_jobs never fails because of a limit.

-- `create or replace` below serves changed variables. The first run must not replace a user function.
do $$
declare
  taken pg_catalog.regprocedure := coalesce(
    to_regprocedure('private.max_owner_jobs(text)'),
    to_regprocedure('private.owners_may_only_cancel()')
  );
begin
  if taken is not null then
    raise exception 'function % already exists', taken
      using errcode = 'duplicate_function',
        hint = 'Rename it, or drop it if nothing uses it. Then apply again.';
  end if;
end
$$;

--! repeatable
create or replace function private.max_owner_jobs(p_limit text) returns integer
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case p_limit
    when 'active jobs of a guest' then {{ max_active_jobs_per_guest }}
    when 'active jobs of a user' then {{ max_active_jobs_per_user }}
    when 'new jobs of a guest per hour' then {{ max_new_jobs_per_guest_per_hour }}
  end;
end
$$;

create or replace function private.owners_may_only_cancel() returns boolean
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return {{ owners_may_only_cancel }};
end
$$;
--! end

comment on function private.max_owner_jobs(text) is
'The most jobs that an owner may have by this limit. 0: no limit.';
comment on function private.owners_may_only_cancel() is
'Whether a guest or user may only cancel its jobs.';

-- Compares all columns, also those that the project has added. It sees what the caller sent, because the triggers that
-- set columns have later names; generated columns have no value yet. The times belong to the database, whatever was sent.
-- A text shows what equal JSON values can hide, such as 1 and 1.0.
create function private.allow_only_cancellation() returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  ignored pg_catalog.text[];
begin
  select '{status,created_at,updated_at}'::pg_catalog.text[] || array_agg(a.attname::pg_catalog.text)
  into ignored
  from pg_catalog.pg_attribute a
  where a.attrelid = tg_relid and a.attgenerated <> '';

  if old.status not in ('queued', 'processing')
    or new.status <> 'cancelled'
    or (to_jsonb(new) - ignored)::pg_catalog.text <> (to_jsonb(old) - ignored)::pg_catalog.text
  then
    raise exception 'a guest or user may only cancel a job that is queued or processing'
      using errcode = 'PT403', -- PostgREST returns the HTTP status 403
        hint = 'Update nothing but the status, and filter by the status queued or processing.';
  end if;
  return new;
end
$$;

comment on function private.allow_only_cancellation() is
'Refuses every UPDATE of a guest or user that does more than cancel an active job. PT403: refused.';


-- Counts ---------------------------------------------------------------------------------------

-- Concurrent requests of one owner wait here for each other, so that each counts the jobs of those before it. This needs
-- the newest committed rows; the snapshot of a stricter isolation level is older than the lock. The lock comes after all
-- row locks of the statement, and no function for workers or cleanup takes it.
create function private.lock_job_owner(p_owner_id uuid) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'a limit of jobs cannot be checked in the isolation level %', current_setting('transaction_isolation')
      using errcode = 'feature_not_supported',
        hint = 'Use READ COMMITTED for the API: reset default_transaction_isolation of its roles and functions.';
  end if;
  perform pg_advisory_xact_lock(hashtextextended(format('supabase_jobs.job_owner:%s', p_owner_id), 0));
end
$$;

comment on function private.lock_job_owner(uuid) is
'Waits for other transactions that add jobs of this owner. 0A000: the isolation level is stricter than READ COMMITTED.';

-- The queries read one index in its order, at most one row beyond the limit, independent of the statistics. An index of
-- created_at alone has the order of one owner's jobs too; with an array instead of the owner the planner does not know it.
create function private.check_active_jobs(p_guest_id uuid, p_user_id uuid) returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_bitmapscan = off
set enable_incremental_sort = off
set enable_seqscan = off
set enable_sort = off
as $$
declare
  allowed pg_catalog.int4;
begin
  if p_guest_id is not null then
    allowed := private.max_owner_jobs('active jobs of a guest');
    if allowed = 0 then
      return;
    end if;
    perform private.lock_job_owner(p_guest_id);
    perform 1
    from public.async_jobs j
    where j.guest_id = any(array[p_guest_id]) and j.status in ('queued', 'processing')
    order by
      j.guest_id,
      j.created_at desc
    limit 1
    offset allowed;
  else
    allowed := private.max_owner_jobs('active jobs of a user');
    if allowed = 0 then
      return;
    end if;
    perform private.lock_job_owner(p_user_id);
    perform 1
    from public.async_jobs j
    where j.user_id = any(array[p_user_id]) and j.status in ('queued', 'processing')
    order by
      j.user_id,
      j.created_at desc
    limit 1
    offset allowed;
  end if;

  if found then
    raise exception 'too many active jobs'
      using errcode = 'PT429', -- PostgREST returns the HTTP status 429
        detail = format(
          'Queued and processing jobs of a %s: at most %s.',
          case when p_guest_id is null then 'user' else 'guest' end, allowed
        ),
        hint = 'Wait until a job has ended, or cancel one.';
  end if;
end
$$;

comment on function private.check_active_jobs(uuid, uuid) is
'Checks that the guest or user has no more queued and processing jobs than its limit, if there is one. PT429: it has.';

create function private.check_new_jobs(p_guest_id uuid) returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
as $$
declare
  allowed constant pg_catalog.int4 := private.max_owner_jobs('new jobs of a guest per hour');
begin
  if allowed = 0 then
    return;
  end if;
  perform private.lock_job_owner(p_guest_id);

  -- offset 0 keeps the planner from reading the jobs of everyone by their created_at
  perform 1
  from (
    select j.created_at from public.async_jobs j
    where j.guest_id = p_guest_id
    offset 0
  ) as own
  where own.created_at > now() - interval '1 hour'
  limit 1
  offset allowed;

  if found then
    raise exception 'too many new jobs'
      using errcode = 'PT429',
        detail = format('New jobs of a guest in one hour: at most %s.', allowed),
        hint = 'Try again later.';
  end if;
end
$$;

comment on function private.check_new_jobs(uuid) is
'Checks that the guest has created no more jobs in the last hour than its limit, if there is one. PT429: it has.';


-- Trigger functions ----------------------------------------------------------------------------
-- They run as the owner, so that a policy of the project that hides jobs from their owner does not change the count.

create function private.limit_new_jobs() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status in ('queued', 'processing') then
    perform private.check_active_jobs(new.guest_id, new.user_id);
  end if;
  if new.guest_id is not null then
    perform private.check_new_jobs(new.guest_id);
  end if;
  return null;
end
$$;

comment on function private.limit_new_jobs() is
'Refuses a new job of a guest or user who has too many. PT429: refused.';

create function private.limit_reactivated_jobs() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.check_active_jobs(new.guest_id, new.user_id);
  return null;
end
$$;

comment on function private.limit_reactivated_jobs() is
'Refuses to queue a job again for a guest or user who has too many. PT429: refused.';

-- a trigger needs no EXECUTE
revoke all on function private.max_owner_jobs(text) from public, anon, authenticated, service_role;
revoke all on function private.owners_may_only_cancel() from public, anon, authenticated, service_role;
revoke all on function private.allow_only_cancellation() from public, anon, authenticated, service_role;
revoke all on function private.lock_job_owner(uuid) from public, anon, authenticated, service_role;
revoke all on function private.check_active_jobs(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.check_new_jobs(uuid) from public, anon, authenticated, service_role;
revoke all on function private.limit_new_jobs() from public, anon, authenticated, service_role;
revoke all on function private.limit_reactivated_jobs() from public, anon, authenticated, service_role;


-- Triggers -------------------------------------------------------------------------------------
--! repeatable
-- A trigger exists only if one of its limits is on, so that a project without limits does not pay for it. Creating or
-- dropping one locks the table; another number does not.
--
-- The AFTER triggers run once the policies have accepted the row and all rows of the statement are inserted, so they also
-- count the rows of a request with many, and an upsert counts only what it has inserted. The WHEN clauses save the service
-- the calls.
do $$
declare
  guests_or_users constant pg_catalog.bool := private.max_owner_jobs('active jobs of a guest') > 0
    or private.max_owner_jobs('active jobs of a user') > 0;
  present constant pg_catalog.text[] := array(
    select t.tgname::pg_catalog.text
    from pg_catalog.pg_trigger t
    where t.tgrelid = 'public.async_jobs'::pg_catalog.regclass
  );
begin
  if private.owners_may_only_cancel() <> ('allow_only_cancellation_trigger' = any(present)) then
    if private.owners_may_only_cancel() then
      create trigger allow_only_cancellation_trigger
      before update on public.async_jobs
      for each row
      when (not pg_has_role('service_role', 'member'))
      execute function private.allow_only_cancellation();

      comment on trigger allow_only_cancellation_trigger on public.async_jobs is
      'The variable owners_may_only_cancel.';
    else
      drop trigger allow_only_cancellation_trigger on public.async_jobs;
    end if;
  end if;

  if (guests_or_users or private.max_owner_jobs('new jobs of a guest per hour') > 0)
    <> ('limit_new_jobs_trigger' = any(present))
  then
    if not 'limit_new_jobs_trigger' = any(present) then
      create trigger limit_new_jobs_trigger
      after insert on public.async_jobs
      for each row
      when (not pg_has_role('service_role', 'member'))
      execute function private.limit_new_jobs();

      comment on trigger limit_new_jobs_trigger on public.async_jobs is
      'The variables max_active_jobs_per_guest, max_active_jobs_per_user and max_new_jobs_per_guest_per_hour.';
    else
      drop trigger limit_new_jobs_trigger on public.async_jobs;
    end if;
  end if;

  if guests_or_users <> ('limit_reactivated_jobs_trigger' = any(present)) then
    if guests_or_users then
      create trigger limit_reactivated_jobs_trigger
      after update on public.async_jobs
      for each row
      when (
        new.status in ('queued', 'processing') and old.status not in ('queued', 'processing')
        and not pg_has_role('service_role', 'member')
      )
      execute function private.limit_reactivated_jobs();

      comment on trigger limit_reactivated_jobs_trigger on public.async_jobs is
      'The variables max_active_jobs_per_guest and max_active_jobs_per_user.';
    else
      drop trigger limit_reactivated_jobs_trigger on public.async_jobs;
    end if;
  end if;
end
$$;
--! end
