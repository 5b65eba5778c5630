-- What the backend and a new user may ask for: hand over a guest's jobs, clean up old jobs and guests.
-- Bodies are SECURITY DEFINER and stand in `private`, which the API does not expose; the functions that
-- the API sees are invoker wrappers. EXECUTE is taken from everybody by name, then given to the roles meant.
-- What stands between the marks `repeatable` and `end` is rendered once more, as a new version, where a variable
-- changes.

-- So `create or replace` stands there; the first time it must replace nobody's function.
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
        hint = 'Rename it, or drop it if nothing uses it, and apply again.';
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
  -- inside a definer function current_user is the owner; this is the role that the request acts as
  caller pg_catalog.name := coalesce(nullif(current_setting('role'), 'none'), session_user);
begin
  -- auth.uid() names types without their schema and has no search_path of its own: give it one in which
  -- pg_temp comes last. It ends with this function.
  perform set_config('search_path', 'pg_catalog, pg_temp', true);

  if p_guest_id is null or p_user_id is null then
    raise exception 'migrate_guest_jobs: guest id and user id must not be null'
      using errcode = 'null_value_not_allowed';
  end if;

  -- The owner and whoever may act as the service may hand over any guest's jobs; so may the owner's own
  -- definer functions, where no API role stands behind them (a trigger on auth.users). Everybody else, that
  -- is each request through the API, proves that it holds both identities: the user by its JWT, the guest
  -- by its header.
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
        hint = 'Send the JWT of the user and the header of the guest whose jobs it takes over.';
  end if;

  if not exists (select 1 from auth.users u where u.id = p_user_id) then
    raise exception 'migrate_guest_jobs: user does not exist'
      using errcode = 'foreign_key_violation';
  end if;

  -- Waits for jobs that are being inserted for this guest right now (a foreign key locks the guest's
  -- row), so that the update below, which sees what has been committed by then, takes them along.
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
'Hands all jobs of a guest to a user, marks the guest, and returns how many jobs moved. Once more is harmless. '
'The service may call it for anyone, a user for itself with the guest''s header. '
'42501: not allowed; 23503: no such user; 22004: a null. An unknown guest has 0 jobs.';


-- The cleanup's rule ----------------------------------------------------------------------------

-- Older than p_days means at least a microsecond older, the resolution of a timestamp. 0 days means everything finished,
-- also what this very transaction has finished; and no timestamp reaches back further than some two million days.
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
'The newest time that is older than p_days days; infinity for 0 days.';


-- cleanup_old_jobs -----------------------------------------------------------------------------

-- The body takes a place to begin at and returns the one to go on from, null at the end: a caller that deletes in many
-- batches (004) so walks over no index entry twice. Without it each batch passes the entries of all that were deleted
-- before it, as long as some old transaction keeps them from being marked as dead.
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
    -- created_at as well, for tables that were partitioned by it: there an id alone may be in two partitions
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

  -- from the last row on, for others of its time may be left; past its time where the whole batch had been there
  -- before and stayed
  next_from := case
    when found_count = p_limit and (deleted_count > 0 or reached > p_from) then reached
    when found_count = p_limit and isfinite(reached) then reached + '1 microsecond'
  end;
  return next;
end
$$;

comment on function private.cleanup_old_jobs(integer, integer, timestamptz) is
'Body of public.cleanup_old_jobs, from p_from on; next_from is where the next batch begins, null where there is none.';

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
'Deletes completed, failed and cancelled jobs not updated for p_days days, oldest first, at most p_limit of '
'them, passing over locked rows; returns how many. 22023: p_days null or negative, or p_limit below 1.';


-- What cleanup_old_jobs would delete, for a dry run and the total of a progress bar.
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
'How many jobs public.cleanup_old_jobs(p_days) would delete if no row were locked.';


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

  -- Three statements, because each sees what has been committed when it starts. Once a guest's row is locked
  -- nobody can add a job for it, once a job's row is locked nobody can change it, and only then does "has no
  -- active or newer job" stay true. Whoever holds a lock keeps its guest.
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
          -- looked up in a hash table; `<> all(held)` would go through the whole array for each job
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
'Body of public.cleanup_inactive_guests, from p_from on; next_from as in private.cleanup_old_jobs.';

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
'Deletes guests not seen for p_days days, with their finished jobs, longest unseen first, at most p_limit of them; '
'never one with a queued or processing job, or a job updated more recently. Returns how many guests. '
'22023: p_days null or negative, or p_limit below 1.';


-- What cleanup_inactive_guests would delete once cleanup_old_jobs has run: a job that this deletes keeps no guest.
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
'How many guests public.cleanup_inactive_guests(p_days) would delete after public.cleanup_old_jobs(p_job_days).';


-- Who may call what ----------------------------------------------------------------------------

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
