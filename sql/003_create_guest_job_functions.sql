-- Functions for the backend and for new users: move the jobs of a guest to a user, delete old jobs and inactive
-- guests. The bodies are SECURITY DEFINER in schema `private`, which the API does not expose. The API exposes invoker
-- wrappers. EXECUTE is revoked from every role by name, then granted to the intended roles. If a variable changes,
-- `render` writes the sections between the marks `repeatable` and `end` again, as a new version.

-- Those sections use `create or replace`. The first run must not replace a user function.
do $$
declare
  taken pg_catalog.regprocedure := coalesce(
    to_regprocedure('public.cleanup_old_jobs(integer, integer)'),
    to_regprocedure('public.cleanup_inactive_guests(integer, integer)')
  );
begin
  if taken is not null then
    raise exception 'function % already exists', taken
      using errcode = 'duplicate_function',
        hint = 'Rename it, or drop it if nothing uses it. Then apply again.';
  end if;
end
$$;


-- migrate_guest_jobs ---------------------------------------------------------------------------

create function private.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid)
returns table (migrated_count integer)
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  -- the role of the request; current_user is the owner inside a definer function
  caller pg_catalog.name := coalesce(nullif(current_setting('role'), 'none'), session_user);
begin
  -- auth.uid() uses unqualified types and has no search_path of its own. This one puts pg_temp last; it ends with
  -- this function.
  perform set_config('search_path', 'pg_catalog, pg_temp', true);

  if p_guest_id is null or p_user_id is null then
    raise exception 'migrate_guest_jobs: guest id and user id must not be null'
      using errcode = 'null_value_not_allowed';
  end if;

  -- The owner and members of service_role may move the jobs of any guest. So may definer functions of the owner that
  -- no API role has called (a trigger on auth.users). Every other caller, that is each request through the API, must
  -- prove both identities: the user by its JWT, the guest by its header.
  if caller <> current_user
    and not pg_has_role(caller, 'service_role', 'usage')
    and (pg_has_role(caller, 'authenticated', 'member') or pg_has_role(caller, 'anon', 'member'))
    and (
      p_user_id is distinct from auth.uid()
      or p_guest_id is distinct from private.request_guest_id()
    )
  then
    raise exception 'migrate_guest_jobs: not allowed for this guest and user'
      using errcode = 'insufficient_privilege',
        hint = 'Send the JWT of the user and the header of the guest.';
  end if;

  if not exists (select 1 from auth.users u where u.id = p_user_id) then
    raise exception 'migrate_guest_jobs: user does not exist'
      using errcode = 'foreign_key_violation';
  end if;

  -- Wait for concurrent inserts of this guest's jobs: their foreign key locks the guest's row. The update below then
  -- sees and moves these jobs too.
  perform 1 from public.guest_users g where g.guest_id = p_guest_id for update;
  if not found then
    migrated_count := 0;
    return next;
    return;
  end if;

  update public.async_jobs j
  set guest_id = null, user_id = p_user_id
  where j.guest_id = p_guest_id;
  get diagnostics migrated_count = row_count;

  update public.guest_users g
  set migrated_to_user_id = p_user_id, migrated_at = now()
  where g.guest_id = p_guest_id
    and g.migrated_to_user_id is distinct from p_user_id;

  return next;
end
$$;

comment on function private.migrate_guest_jobs(uuid, uuid) is
'Body of public.migrate_guest_jobs.';

create function public.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid)
returns table (migrated_count integer)
language sql
volatile
security invoker
set search_path = ''
as $$
  select m.migrated_count from private.migrate_guest_jobs(p_guest_id, p_user_id) as m;
$$;

comment on function public.migrate_guest_jobs(uuid, uuid) is
'Moves all jobs of a guest to a user, marks the guest, and returns the number of jobs. Repeated calls are harmless. '
'The service may call it for any user, a user only for itself with the header of the guest. '
'42501: not allowed; 23503: unknown user; 22004: null argument. Returns 0 for an unknown guest.';


-- Expiry ----------------------------------------------------------------------------------------

-- Older than p_days means at least one microsecond older, the resolution of a timestamp. 0 days includes every finished
-- job, even one that this transaction has finished. The limit of a million days keeps the result in range.
create function private.cleanup_cutoff(p_days integer) returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$
  select case p_days
    when 0 then 'infinity'::pg_catalog.timestamptz
    else now() - make_interval(days => least(p_days, 1000000), secs => 0.000001)
  end;
$$;

comment on function private.cleanup_cutoff(integer) is
'The newest time that is older than p_days days. Infinity for 0 days.';


-- cleanup_old_jobs -----------------------------------------------------------------------------

-- The body starts at p_from and returns next_from, the start of the next batch; null after the last batch. So a
-- caller with many batches (004) reads no index entry twice. Otherwise each batch reads the entries of all rows that
-- were deleted before, as long as an old transaction keeps PostgreSQL from marking them as dead.
create function private.cleanup_old_jobs(p_days integer, p_limit integer, p_from timestamptz)
returns table (deleted_count integer, next_from timestamptz)
language plpgsql
volatile
security definer
set search_path = ''
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_sort = off
as $$
declare
  cutoff pg_catalog.timestamptz;
  found_count pg_catalog.int8;
  reached pg_catalog.timestamptz;
begin
  if p_days is null or p_days < 0 then
    raise exception 'cleanup_old_jobs: p_days must be 0 or more, not %', coalesce(p_days::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if p_limit < 1 then
    raise exception 'cleanup_old_jobs: p_limit must be 1 or more, or null for no limit, not %', p_limit
      using errcode = 'invalid_parameter_value';
  end if;

  cutoff := private.cleanup_cutoff(p_days);

  with expired as materialized (
    select
      j.id,
      j.created_at,
      j.updated_at
    from public.async_jobs j
    where j.status in ('completed', 'failed', 'cancelled')
      and j.updated_at <= cutoff
      and j.updated_at >= p_from
    order by j.updated_at
    limit p_limit
    for update skip locked
  ),
  gone as (
    -- created_at too: in a table that is partitioned by it, two partitions may contain the same id
    delete from public.async_jobs j
    using expired e
    where j.id = e.id and j.created_at = e.created_at
    returning j.id
  )
  select
    (select count(*) from gone),
    count(*),
    max(e.updated_at)
  into deleted_count, found_count, reached
  from expired e;

  -- Continue at the time of the last row, because more rows may have the same time. Continue after that time if the
  -- batch started there and deleted nothing.
  next_from := case
    when found_count = p_limit and (deleted_count > 0 or reached > p_from) then reached
    when found_count = p_limit and isfinite(reached) then reached + '1 microsecond'
  end;
  return next;
end
$$;

comment on function private.cleanup_old_jobs(integer, integer, timestamptz) is
'Body of public.cleanup_old_jobs. Starts at p_from; next_from is the start of the next batch, null after the last.';

--! repeatable
create or replace function public.cleanup_old_jobs(
  p_days integer default {{ retention_days }},
  p_limit integer default null
)
returns table (deleted_count integer)
language sql
volatile
security invoker
set search_path = ''
as $$
  select c.deleted_count from private.cleanup_old_jobs(p_days, p_limit, '-infinity') as c;
$$;
--! end

comment on function public.cleanup_old_jobs(integer, integer) is
'Deletes completed, failed and cancelled jobs that were not updated for p_days days, oldest first, at most p_limit. '
'Skips locked rows. Returns the number of jobs. 22023: p_days null or negative, or p_limit below 1.';


-- for dry runs and the total of a progress bar
create function private.count_old_jobs(p_days integer) returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select count(*)
  from public.async_jobs as j
  where j.status in ('completed', 'failed', 'cancelled')
    and j.updated_at <= (select private.cleanup_cutoff(p_days));
$$;

comment on function private.count_old_jobs(integer) is
'The number of jobs that public.cleanup_old_jobs(p_days) would delete if no row were locked.';


-- cleanup_inactive_guests ----------------------------------------------------------------------

create function private.cleanup_inactive_guests(p_days integer, p_limit integer, p_from timestamptz)
returns table (deleted_count integer, next_from timestamptz)
language plpgsql
volatile
security definer
set search_path = ''
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_sort = off
as $$
declare
  cutoff pg_catalog.timestamptz;
  candidates pg_catalog.uuid[];
  held pg_catalog.uuid[];
  reached pg_catalog.timestamptz;
begin
  if p_days is null or p_days < 0 then
    raise exception 'cleanup_inactive_guests: p_days must be 0 or more, not %', coalesce(p_days::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if p_limit < 1 then
    raise exception 'cleanup_inactive_guests: p_limit must be 1 or more, or null for no limit, not %', p_limit
      using errcode = 'invalid_parameter_value';
  end if;

  cutoff := private.cleanup_cutoff(p_days);

  -- Three statements, because each has a new snapshot. The lock on a guest blocks new jobs, the lock on a job blocks
  -- changes of it. Only then does "has no active or newer job" stay true. A guest with a locked row is kept.
  with inactive as materialized (
    select
      g.guest_id,
      g.last_seen_at
    from public.guest_users g
    where g.last_seen_at <= cutoff
      and g.last_seen_at >= p_from
      and not exists (
        select 1 from public.async_jobs j
        where j.guest_id = g.guest_id
          and (j.status in ('queued', 'processing') or j.updated_at > cutoff)
      )
    order by g.last_seen_at
    limit p_limit
    for update of g skip locked
  )
  select
    array_agg(i.guest_id),
    max(i.last_seen_at)
  into candidates, reached
  from inactive i;

  with jobs as materialized (
    select j.id from public.async_jobs j
    where j.guest_id = any(candidates)
    for update skip locked
  )
  select coalesce(array_agg(j.id), '{}') into held from jobs j;

  delete from public.guest_users g
  where g.guest_id = any(candidates)
    and not exists (
      select 1 from public.async_jobs j
      where j.guest_id = g.guest_id
        and (
          j.status in ('queued', 'processing')
          or j.updated_at > cutoff
          -- uses a hash table; `<> all(held)` would scan the whole array for each job
          or j.id not in (select h.id from unnest(held) as h (id))
        )
    );
  get diagnostics deleted_count = row_count;

  -- as in cleanup_old_jobs
  next_from := case
    when cardinality(candidates) = p_limit and (deleted_count > 0 or reached > p_from) then reached
    when cardinality(candidates) = p_limit and isfinite(reached) then reached + '1 microsecond'
  end;
  return next;
end
$$;

comment on function private.cleanup_inactive_guests(integer, integer, timestamptz) is
'Body of public.cleanup_inactive_guests. p_from and next_from work as in private.cleanup_old_jobs.';

--! repeatable
create or replace function public.cleanup_inactive_guests(
  p_days integer default {{ guest_inactive_days }},
  p_limit integer default null
)
returns table (deleted_count integer)
language sql
volatile
security invoker
set search_path = ''
as $$
  select c.deleted_count from private.cleanup_inactive_guests(p_days, p_limit, '-infinity') as c;
$$;
--! end

comment on function public.cleanup_inactive_guests(integer, integer) is
'Deletes guests that were not seen for p_days days, and their finished jobs, longest unseen first, at most p_limit. '
'Keeps guests with a queued or processing job or a more recently updated job. Returns the number of guests. '
'22023: p_days null or negative, or p_limit below 1.';


-- A job that cleanup_old_jobs deletes first does not keep its guest.
create function private.count_inactive_guests(p_days integer, p_job_days integer) returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select count(*)
  from public.guest_users as g
  where g.last_seen_at <= (select private.cleanup_cutoff(p_days))
    and not exists (
      select 1 from public.async_jobs as j
      where j.guest_id = g.guest_id
        and (
          j.status in ('queued', 'processing')
          or j.updated_at > (select greatest(private.cleanup_cutoff(p_days), private.cleanup_cutoff(p_job_days)))
        )
    );
$$;

comment on function private.count_inactive_guests(integer, integer) is
'The number of guests that public.cleanup_inactive_guests(p_days) would delete after '
'public.cleanup_old_jobs(p_job_days).';


-- Privileges -----------------------------------------------------------------------------------

revoke all on function private.migrate_guest_jobs(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.migrate_guest_jobs(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function private.migrate_guest_jobs(uuid, uuid) to authenticated, service_role;
grant execute on function public.migrate_guest_jobs(uuid, uuid) to authenticated, service_role;

revoke all on function private.cleanup_old_jobs(integer, integer, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.cleanup_old_jobs(integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.cleanup_old_jobs(integer, integer, timestamptz) to service_role;
grant execute on function public.cleanup_old_jobs(integer, integer) to service_role;

revoke all on function private.cleanup_inactive_guests(integer, integer, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.cleanup_inactive_guests(integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.cleanup_inactive_guests(integer, integer, timestamptz) to service_role;
grant execute on function public.cleanup_inactive_guests(integer, integer) to service_role;

-- cleanup_cutoff for the invoker functions that call it
revoke all on function private.cleanup_cutoff(integer) from public, anon, authenticated, service_role;
revoke all on function private.count_old_jobs(integer) from public, anon, authenticated, service_role;
revoke all on function private.count_inactive_guests(integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.cleanup_cutoff(integer) to service_role;
grant execute on function private.count_old_jobs(integer) to service_role;
grant execute on function private.count_inactive_guests(integer, integer) to service_role;
