-- supabase-jobs: 005_create_worker_functions sha256:aeb5772d78c1057707a2f873d2f743047eb3d6ece45a24ffef4420ee270cb14a
-- What workers call, with the service's key: take jobs from the queue, report progress, finish, fail, and put back
-- the jobs of workers that went silent. service_role holds every right on the table that these need, so they run
-- with its rights and not as their owner, and stand in `public` as they are.
--
-- Who holds a job stands in its metadata, which the job's owner may write as well. An owner who forges it can spoil
-- its own job, as it could by its status, and no other: whatever stands in metadata, nothing here raises over it,
-- and no row keeps a claim or a requeue from the rows of others.


-- Reading what may be anything -----------------------------------------------------------------

-- plpgsql, not sql, for the exception block: on PostgreSQL 15 there is no other way to ask whether a text is a time.
create function private.metadata_time(p_metadata jsonb, p_key text) returns timestamptz
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  found pg_catalog.timestamptz;
begin
  found := (p_metadata ->> p_key)::pg_catalog.timestamptz; -- null where metadata is no object
  return case when isfinite(found) then found end;
exception
  when data_exception then -- not a time
    return null;
end
$$;

comment on function private.metadata_time(jsonb, text) is
'A time from a job''s metadata, or null where there is none or something else stands there.';

-- Retries so far; anything but a small whole number counts as none.
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
'How often a job has been put back into the queue, by its metadata; 0 where that holds something else.';

-- Whether a worker holds a job by a claim. The worker's name alone would not do: the job may have gone to another
-- and come back to it, and what is left over of its first try must not finish the second.
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
'Whether a job is being processed by this worker, under this very claim.';

-- The metadata of a job that has come to its end: with the time that it took, without the claim.
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
'A job''s metadata as it is kept when the job ends: processing_time_ms is new, the claim is gone.';


-- claim_jobs -----------------------------------------------------------------------------------

-- Which jobs are oldest is read from idx_async_jobs_active, in its order, whatever the statistics say. Otherwise the
-- planner, where it thinks that there are many queued jobs, goes through all jobs in order of age until it meets
-- them, at the very end; and where it knows of few, it reads and sorts all that wait, anew for each claim. So the
-- order is by both columns of that index, which no other has; the status is compared with an array, because a
-- column that equals a constant is left out of an order; and nothing is sorted.
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
    for update skip locked -- what another worker is taking
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
      and j.created_at = taken.created_at -- where the table was partitioned by it, an id may be in two partitions
    returning j.*;
  end loop;
end
$$;

comment on function public.claim_jobs(text, integer) is
'Hands up to p_limit queued jobs to a worker, oldest first, passing over those that others are taking, and returns '
'them as processing. Each goes to one worker. metadata.claim_id is what the worker shows when it reports on a job. '
'22023: no worker named, or p_limit null or below 1.';


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
    raise exception 'heartbeat_job: p_progress must be 0 to 100, or null to leave it, not %', p_progress
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
'Says that the worker is alive, and how far the job is. Returns whether the job is still its own: false when it was '
'cancelled, deleted, or put back into the queue; then the worker drops it. 22023: p_progress not 0 to 100.';


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
'Finishes a job with its result. Returns false, and changes nothing, where the job is no longer the worker''s own: '
'cancelled, deleted, put back into the queue, or finished already.';


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
    raise exception 'fail_job: p_error must say why'
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
'Ends a job with an error. Returns false, and changes nothing, where the job is no longer the worker''s own. '
'22023: no error given.';


-- requeue_stale_jobs ---------------------------------------------------------------------------

-- in the order of idx_async_jobs_active, as claim_jobs
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

  -- The last sign of life is last_check, and never later than the row's last change: every heartbeat sets both, so a
  -- later time, or none that can be read, was put there by somebody else. A row that is locked is being worked on.
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
      and j.created_at = s.created_at -- as in claim_jobs
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
'Puts jobs back into the queue whose worker has not been heard of for p_timeout, at most p_limit of them; after '
'p_max_retries times such a job fails instead. Returns how many of each. Call it every minute, with a p_timeout of '
'several heartbeats. 22023: p_timeout null or negative, p_max_retries null or negative, or p_limit below 1.';


-- Who may call what ----------------------------------------------------------------------------

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
