-- supabase-jobs: 005_create_worker_functions sha256:bc34b548410cd7bbf0aa5bf22b6fd1c9797b079dcf5f1d6ab00e104b647da15f
-- Functions for workers, which use the service key: claim jobs, report progress, complete or fail a job, and requeue
-- the jobs of silent workers. service_role has all privileges that they need on the table, so they are SECURITY
-- INVOKER functions in `public`.
--
-- The metadata of a job contains its claim, and the job's owner can write the metadata too. An owner who forges it
-- can only damage its own job, as it could with the status. No content of metadata makes these functions raise an
-- error, and no row prevents a claim or a requeue of other rows.


-- Reading metadata -----------------------------------------------------------------------------

-- plpgsql has an exception block: PostgreSQL 15 has no other test for a valid timestamp.
create function private.metadata_time(p_metadata jsonb, p_key text) returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  found pg_catalog.timestamptz;
begin
  found := (p_metadata ->> p_key)::pg_catalog.timestamptz; -- null if metadata is not an object
  return case when isfinite(found) then found end;
exception
  when data_exception then -- not a timestamp
    return null;
end
$$;

comment on function private.metadata_time(jsonb, text) is
'The timestamp at a key of a job''s metadata. Null if the key is missing or its value is not a timestamp.';

-- Anything but a small whole number counts as 0 retries.
create function private.metadata_retry_count(p_metadata jsonb) returns integer
language sql
immutable
security invoker
set search_path = ''
as $$
  select case
    when p_metadata ->> 'retry_count' ~ '^[0-9]{1,6}$' then (p_metadata ->> 'retry_count')::pg_catalog.int4
    else 0
  end;
$$;

comment on function private.metadata_retry_count(jsonb) is
'The number of requeues in a job''s metadata. 0 if the value is not a small whole number.';

-- The name of the worker is not enough: the same worker may claim a job again after a requeue, and a late report of
-- the first run must not complete the second.
create function private.is_claimed_by(p_job public.async_jobs, p_worker text, p_claim_id uuid) returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(
    (p_job).status = 'processing'
    and (p_job).metadata ->> 'server_id' = p_worker
    and (p_job).metadata ->> 'claim_id' = p_claim_id::pg_catalog.text,
    false
  );
$$;

comment on function private.is_claimed_by(public.async_jobs, text, uuid) is
'Whether this worker is processing the job under this claim.';

create function private.metadata_of_finished(p_metadata jsonb) returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select (p_metadata - 'claim_id' - 'claimed_at') || case
    when private.metadata_time(p_metadata, 'claimed_at') <= now() then jsonb_build_object(
      'processing_time_ms',
      round(extract(epoch from now() - private.metadata_time(p_metadata, 'claimed_at')) * 1000)::pg_catalog.int8
    )
    else '{}'
  end;
$$;

comment on function private.metadata_of_finished(jsonb) is
'The metadata of a finished job: adds processing_time_ms and removes the claim.';


-- claim_jobs -----------------------------------------------------------------------------------

-- The query must read the oldest jobs from idx_async_jobs_active in index order, independent of the statistics.
-- Otherwise the planner reads all jobs in order of age if it expects many queued jobs, and reads and sorts all queued
-- jobs for each claim if it expects few. Therefore the query orders by both columns of that index; it compares the
-- status with an array, because the planner drops a column that equals a constant from the order; and sorting is
-- disabled.
create function public.claim_jobs(p_worker text, p_limit integer default 1)
returns setof public.async_jobs
language plpgsql
volatile
security invoker
set search_path = ''
set enable_sort = off
set enable_incremental_sort = off
as $$
declare
  taken record;
begin
  if coalesce(p_worker, '') = '' then
    raise exception 'claim_jobs: p_worker must name the worker'
      using errcode = 'invalid_parameter_value';
  end if;
  if p_limit is null or p_limit < 1 then
    raise exception 'claim_jobs: p_limit must be 1 or more, not %', coalesce(p_limit::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;

  for taken in
    select
      j.id,
      j.created_at
    from public.async_jobs j
    where j.status = any(array['queued'])
    order by j.status desc, j.created_at
    limit p_limit
    for update skip locked -- rows that another worker is claiming
  loop
    return query
    update public.async_jobs j
    set
      status = 'processing',
      metadata = case when jsonb_typeof(j.metadata) = 'object' then j.metadata else '{}' end || jsonb_build_object(
        'server_id', p_worker,
        'claim_id', gen_random_uuid(),
        'claimed_at', now(),
        'last_check', now(),
        'retry_count', private.metadata_retry_count(j.metadata)
      )
    where j.id = taken.id
      and j.created_at = taken.created_at -- two partitions by created_at may contain the same id
    returning j.*;
  end loop;
end
$$;

comment on function public.claim_jobs(text, integer) is
'Claims up to p_limit queued jobs for a worker, oldest first, and returns them as processing. Skips jobs that another '
'worker is claiming, so each job has one worker. The worker passes metadata.claim_id when it reports on a job. '
'22023: p_worker null or empty, or p_limit null or below 1.';


-- heartbeat_job --------------------------------------------------------------------------------

create function public.heartbeat_job(
  p_job_id uuid,
  p_worker text,
  p_claim_id uuid,
  p_progress integer default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if p_progress < 0 or p_progress > 100 then
    raise exception 'heartbeat_job: p_progress must be 0 to 100, or null to keep the value, not %', p_progress
      using errcode = 'invalid_parameter_value';
  end if;

  update public.async_jobs j
  set
    progress = coalesce(p_progress, j.progress),
    metadata = j.metadata || jsonb_build_object('last_check', now())
  where j.id = p_job_id
    and private.is_claimed_by(j, p_worker, p_claim_id);
  return found;
end
$$;

comment on function public.heartbeat_job(uuid, text, uuid, integer) is
'Reports that the worker is alive, and the progress of the job. Returns whether the worker still holds the job: false '
'if it was cancelled, deleted or requeued; the worker then drops it. 22023: p_progress not 0 to 100.';


-- complete_job ---------------------------------------------------------------------------------

create function public.complete_job(p_job_id uuid, p_worker text, p_claim_id uuid, p_result jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.async_jobs j
  set
    status = 'completed',
    progress = 100,
    result = p_result,
    error = null,
    metadata = private.metadata_of_finished(j.metadata)
  where j.id = p_job_id
    and private.is_claimed_by(j, p_worker, p_claim_id);
  return found;
end
$$;

comment on function public.complete_job(uuid, text, uuid, jsonb) is
'Completes a job with its result. Returns false and changes nothing if the worker no longer holds the job: it was '
'cancelled, deleted, requeued, or has already ended.';


-- fail_job -------------------------------------------------------------------------------------

create function public.fail_job(p_job_id uuid, p_worker text, p_claim_id uuid, p_error text)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if coalesce(p_error, '') = '' then
    raise exception 'fail_job: p_error must not be null or empty'
      using errcode = 'invalid_parameter_value';
  end if;

  update public.async_jobs j
  set
    status = 'failed',
    error = p_error,
    metadata = private.metadata_of_finished(j.metadata)
  where j.id = p_job_id
    and private.is_claimed_by(j, p_worker, p_claim_id);
  return found;
end
$$;

comment on function public.fail_job(uuid, text, uuid, text) is
'Fails a job with an error. Returns false and changes nothing if the worker no longer holds the job. '
'22023: p_error null or empty.';


-- requeue_stale_jobs ---------------------------------------------------------------------------

-- reads idx_async_jobs_active in index order, as claim_jobs does
create function public.requeue_stale_jobs(
  p_timeout interval default '00:05:00',
  p_max_retries integer default 3,
  p_limit integer default null
)
returns table (requeued_count integer, failed_count integer)
language plpgsql
volatile
security invoker
set search_path = ''
set enable_sort = off
set enable_incremental_sort = off
as $$
declare
  cutoff pg_catalog.timestamptz;
begin
  if p_timeout is null or p_timeout < '0 seconds' then
    raise exception 'requeue_stale_jobs: p_timeout must be 0 or longer, not %',
      coalesce(p_timeout::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if p_max_retries is null or p_max_retries < 0 then
    raise exception 'requeue_stale_jobs: p_max_retries must be 0 or more, not %',
      coalesce(p_max_retries::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if p_limit < 1 then
    raise exception 'requeue_stale_jobs: p_limit must be 1 or more, or null for no limit, not %', p_limit
      using errcode = 'invalid_parameter_value';
  end if;
  cutoff := now() - p_timeout;

  -- The last heartbeat is last_check, but never later than updated_at: every heartbeat sets both, so the job's owner
  -- wrote a later or unreadable value. A locked row belongs to a worker that is alive.
  with silent as materialized (
    select
      j.id,
      j.created_at,
      private.metadata_retry_count(j.metadata) >= p_max_retries as given_up
    from public.async_jobs j
    where j.status = any(array['processing'])
      and least(private.metadata_time(j.metadata, 'last_check'), j.updated_at) <= cutoff
    order by j.status desc, j.created_at
    limit p_limit
    for update skip locked
  ),
  put_back as (
    update public.async_jobs j
    set
      status = case when s.given_up then 'failed' else 'queued' end,
      progress = case when s.given_up then j.progress else 0 end,
      error = case
        when s.given_up then format('No sign of life from the worker; given up after %s retries.', p_max_retries)
        else j.error
      end,
      metadata = case when jsonb_typeof(j.metadata) = 'object' then j.metadata else '{}' end
        - 'server_id' - 'claim_id' - 'claimed_at'
        || jsonb_build_object(
          'retry_count', private.metadata_retry_count(j.metadata) + case when s.given_up then 0 else 1 end
        )
    from silent s
    where j.id = s.id
      and j.created_at = s.created_at -- see claim_jobs
    returning s.given_up
  )
  select
    count(*) filter (where not p.given_up),
    count(*) filter (where p.given_up)
  into requeued_count, failed_count
  from put_back p;

  return next;
end
$$;

comment on function public.requeue_stale_jobs(interval, integer, integer) is
'Requeues jobs whose worker has sent no heartbeat for p_timeout, at most p_limit; fails a job that was requeued '
'p_max_retries times. Returns the number of each. Call it every minute with a p_timeout of several heartbeats. '
'22023: p_timeout null or negative, p_max_retries null or negative, or p_limit below 1.';


-- Privileges -----------------------------------------------------------------------------------

revoke all on function private.metadata_time(jsonb, text) from public, anon, authenticated, service_role;
revoke all on function private.metadata_retry_count(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.is_claimed_by(public.async_jobs, text, uuid) from public, anon, authenticated, service_role;
revoke all on function private.metadata_of_finished(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.metadata_time(jsonb, text) to service_role;
grant execute on function private.metadata_retry_count(jsonb) to service_role;
grant execute on function private.is_claimed_by(public.async_jobs, text, uuid) to service_role;
grant execute on function private.metadata_of_finished(jsonb) to service_role;

revoke all on function public.claim_jobs(text, integer) from public, anon, authenticated, service_role;
revoke all on function public.heartbeat_job(uuid, text, uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.complete_job(uuid, text, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.fail_job(uuid, text, uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.requeue_stale_jobs(interval, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_jobs(text, integer) to service_role;
grant execute on function public.heartbeat_job(uuid, text, uuid, integer) to service_role;
grant execute on function public.complete_job(uuid, text, uuid, jsonb) to service_role;
grant execute on function public.fail_job(uuid, text, uuid, text) to service_role;
grant execute on function public.requeue_stale_jobs(interval, integer, integer) to service_role;
