-- supabase-jobs: 005_create_worker_functions sha256:531e1d1d7028d0ce0bba5f43877805a2f726ef806122c3a8e16df8b39086e125
-- Functions for workers, which use the service key: claim jobs, report progress, complete or fail jobs, and requeue the
-- jobs of silent workers. service_role has all privileges that they need on both tables, so they are SECURITY INVOKER
-- functions in `public`.
--
-- Claims, heartbeats and retries depend on private.worker_state alone, which owners can neither read nor write. The
-- metadata of a job has copies for its owner (server_id, last_check, retry_count, processing_time_ms); the functions write
-- them and never read them. No content of a job makes these functions raise an error, and no job prevents a claim, report
-- or requeue of other jobs.
--
-- Lock order: a job, then its state. Only a heartbeat without new progress locks the state alone.
--
-- Each lookup of a job must use its id. The planner must not choose the index of created_at, which many jobs can share,
-- or the index of status, if its statistics are old. Therefore conditions on created_at are BETWEEN, and conditions on
-- status apply after the lookup. Each lookup of a state must use its key, because the index can have many entries of
-- dead rows when the statistics know few rows. Therefore its other conditions apply after the lookup (CASE), and joins
-- with it are subqueries. The plans do not depend on the arguments, so the functions force generic plans; planning
-- every call again would take a third of its time.
--
-- They set updated_at themselves: the trigger that would do it is then not called, which saves a tenth of the time of a
-- completed job.
--
-- Columns are qualified, and a project may add columns to the table, so a name without a table is a variable
-- (#variable_conflict).


-- Worker state ---------------------------------------------------------------------------------

-- A row for each job that a worker holds or that was requeued. claim_id is null if no worker holds the job. The key
-- includes created_at because two partitions by created_at may contain the same id. There is no foreign key: a
-- partitioned table has no unique id to reference.
create table private.worker_state (
  job_id uuid not null,
  job_created_at timestamptz not null,
  worker text,
  claim_id uuid,
  claimed_at timestamptz,
  heartbeat_at timestamptz,
  retry_count integer not null default 0,
  constraint worker_state_pkey primary key (job_id, job_created_at)
)
-- a heartbeat updates no indexed column, so it needs space on the same page only
with (fillfactor = 50);

alter table private.worker_state enable row level security;

revoke all on table private.worker_state from public, anon, authenticated, service_role;
grant select, insert, update, delete on table private.worker_state to service_role;

create policy "the service has full access to worker state" on private.worker_state
for all to service_role
using (true)
with check (true);

comment on table private.worker_state is
'Which worker holds which job, and the requeues of a job. Only the functions for workers write it.';
comment on column private.worker_state.claim_id is
'Identifies one claim; the worker passes it when it reports on the job. Null if no worker holds the job.';
comment on column private.worker_state.heartbeat_at is
'The last report of the worker. requeue_stale_jobs compares it.';
comment on column private.worker_state.retry_count is
'How often the job was requeued because its worker was silent.';
comment on policy "the service has full access to worker state" on private.worker_state is
'For the functions for workers. Also covers a service_role without BYPASSRLS.';

-- runs as the owner, because a user may delete its own jobs
create function private.delete_worker_state() returns trigger
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
as $$
begin
  delete from private.worker_state s
  using deleted_jobs j
  where s.job_id = j.id and s.job_created_at = j.created_at;
  return null;
end
$$;

comment on function private.delete_worker_state() is
'Deletes the worker state of deleted jobs.';

create trigger delete_worker_state_trigger
after delete on public.async_jobs
referencing old table as deleted_jobs
for each statement execute function private.delete_worker_state();

comment on trigger delete_worker_state_trigger on public.async_jobs is
'A new job with the id of a deleted job starts without retries.';


-- Metadata -------------------------------------------------------------------------------------
-- plpgsql keeps its plans; PostgreSQL would prepare an SQL function again in each statement.

create function private.worker_metadata(p_metadata jsonb, p_added jsonb) returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  kept pg_catalog.jsonb := '{}'::pg_catalog.jsonb;
begin
  if jsonb_typeof(p_metadata) = 'object' then
    kept := p_metadata - '{server_id,last_check,retry_count,processing_time_ms}'::pg_catalog.text[];
  end if;
  -- as in the constraint
  if (pg_column_size(kept) <= 200 and octet_length(kept::pg_catalog.text) <= 200) or private.is_valid_metadata(kept) then
    return kept || p_added;
  end if;
  return null;
end
$$;

comment on function private.worker_metadata(jsonb, jsonb) is
'The metadata of a job with p_added as the only keys of the functions for workers. Null if it violates the constraints, '
'as in a row that is older than they are.';


-- Reports --------------------------------------------------------------------------------------

create function private.reported_error(p_error text) returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case
    when coalesce(p_error, '') = '' then 'The worker reported no error message.'
    when private.is_valid_error(p_error) then p_error
    else left(p_error, private.max_job_bytes('error') / 4) -- the longest character has 4 bytes
  end;
end
$$;

comment on function private.reported_error(text) is
'The error of a job that its worker reports as failed: shortened if it is too long, and replaced if there is none.';


-- claim_jobs -----------------------------------------------------------------------------------

-- The index of queued jobs keeps an entry of each claimed job until the next vacuum, and each claim would read all of them.
-- So the session remembers the oldest job of its last claim, and for a second the next claims start there. An older job,
-- which was requeued, imported or inserted by a long transaction, can be claimed after younger jobs during that second. A
-- claim that finds too few jobs there starts again with the oldest ones.
create function private.claim_start(p_worker text, p_limit integer) returns timestamptz[]
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  last_claim pg_catalog.timestamptz[];
begin
  if coalesce(p_worker, '') = '' or octet_length(p_worker) > 255 then
    raise exception 'claim_jobs: p_worker must name the worker, in at most 255 bytes'
      using errcode = 'invalid_parameter_value';
  end if;
  if p_limit is null or p_limit < 1 then
    raise exception 'claim_jobs: p_limit must be 1 or more, not %', coalesce(p_limit::pg_catalog.text, 'null')
      using errcode = 'invalid_parameter_value';
  end if;

  begin
    last_claim := nullif(current_setting('supabase_jobs.last_claim', true), '')::pg_catalog.timestamptz[];
  exception
    -- another program wrote the value, or the time zone is more than 15 hours from UTC, which PostgreSQL cannot read
    when data_exception then
      null; -- last_claim has no value yet
    when program_limit_exceeded then
      null; -- too many dimensions or elements
  end;
  if last_claim[2] is not null and clock_timestamp() between last_claim[1] and last_claim[1] + '1 second'::pg_catalog.interval
  then
    return array[last_claim[1], last_claim[2]]; -- without other elements
  end if;
  return array[clock_timestamp(), '-infinity'];
end
$$;

comment on function private.claim_start(text, integer) is
'Checks the arguments of a claim. Returns when the session last claimed the oldest jobs, and the created_at at which this '
'claim starts.';

-- The first query must read the oldest jobs from idx_async_jobs_active in index order, independent of the statistics.
-- Otherwise the planner reads all jobs in order of age if it expects many queued jobs, and reads and sorts all queued
-- jobs for each claim if it expects few. Therefore the query orders by both columns of that index; it compares the
-- status with an array, because the planner drops a column that equals a constant from the order; and sorting is
-- disabled.
--
-- The first query does nothing else. A job that another worker has claimed since the snapshot of the query is locked and
-- compared once more, and that worker then waits for this one: the time from the snapshot to the lock should be short.
--
-- The UPDATE looks up a job by `id = any(array[…])`. With `id = …` the planner would read a small table in the order of
-- its ids, and go on when it has grown; with an array and these settings it can only look up one job after another, if
-- each table that inherits from this one has the index. The jobs are sorted once more for those that have none.
--
-- A claim that finds a job whose metadata no worker could read lets it fail and starts again, a few times: a timeout
-- would undo the whole call, each time. A claim removes the result and error of an earlier run, or of the owner, so that
-- the response stays small.
create function public.claim_jobs(p_worker text, p_limit integer default 1)
returns setof public.async_jobs
language plpgsql
volatile
security invoker
set search_path = ''
set enable_hashjoin = off
set enable_incremental_sort = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_sort = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
  claim_start pg_catalog.timestamptz[] := private.claim_start(p_worker, p_limit);
  added constant pg_catalog.jsonb := jsonb_build_object(
    'server_id', p_worker, 'last_check', current_timestamp, 'retry_count', 0
  );
  states private.worker_state[]; -- without claim_id if no worker could read the metadata
  all_readable pg_catalog.bool;
  claimed record;
  job public.async_jobs;
begin
  for attempt in 1..10 loop
    select
      array_agg(
        row(j.id, j.created_at, p_worker, case when j.is_readable then gen_random_uuid() end, now(), now(), 0)
        ::private.worker_state
      ),
      bool_and(j.is_readable)
    into states, all_readable
    from (
      select
        j.id,
        j.created_at,
        -- without a call for most jobs
        (pg_column_size(j.metadata) <= 200 and octet_length(j.metadata::pg_catalog.text) <= 200)
        or private.worker_metadata(j.metadata, '{}') is not null as is_readable
      from public.async_jobs j
      where j.status = any(array['queued'])
        and j.created_at >= claim_start[2]
      order by j.status desc, j.created_at
      limit p_limit
      for update skip locked -- rows that another worker is claiming
    ) j;
    if not all_readable then
      update public.async_jobs j
      set
        status = 'failed',
        result = null,
        error = 'The metadata was too large or not readable, so no worker got the job.',
        metadata = '{}'
      from unnest(states) s
      where s.claim_id is null
        and j.id = any(array[s.job_id])
        and j.created_at between s.job_created_at and s.job_created_at;
    elsif claim_start[2] = '-infinity' or cardinality(states) = p_limit then
      exit;
    end if;
    claim_start[2] := '-infinity';
  end loop;

  for claimed in
    with held as (
      insert into private.worker_state as s (job_id, job_created_at, worker, claim_id, claimed_at, heartbeat_at)
      select n.job_id, n.job_created_at, n.worker, n.claim_id, n.claimed_at, n.heartbeat_at
      from unnest(states) n
      where n.claim_id is not null
      on conflict (job_id, job_created_at) do update
      set
        worker = excluded.worker,
        claim_id = excluded.claim_id,
        claimed_at = excluded.claimed_at,
        heartbeat_at = excluded.heartbeat_at
      returning s.job_id, s.job_created_at, s.claim_id, s.retry_count
    ),
    changed as (
      update public.async_jobs j
      set
        status = 'processing',
        result = null,
        error = null,
        updated_at = now(),
        metadata = case when jsonb_typeof(j.metadata) = 'object' then j.metadata - 'processing_time_ms' || c.added else c.added end
      from (
        select
          h.job_id,
          h.job_created_at,
          h.claim_id,
          case h.retry_count
            when 0 then added -- most jobs: the same object for all of them
            else added || jsonb_build_object('retry_count', h.retry_count)
          end as added
        from held h
        offset 0 -- each expression once
      ) c
      where j.id = any(array[c.job_id]) and j.created_at between c.job_created_at and c.job_created_at
      returning
        c.claim_id,
        j.created_at,
        j as job
    )
    select
      c.claim_id,
      c.job
    from changed c
    order by c.created_at
  loop
    job := claimed.job;
    job.metadata := job.metadata || jsonb_build_object('claim_id', claimed.claim_id);
    return next job;
  end loop;

  perform set_config(
    'supabase_jobs.last_claim',
    case
      when all_readable and cardinality(states) = p_limit
        then array[claim_start[1], states[1].job_created_at]::pg_catalog.text
      else ''
    end,
    false
  );
end
$$;

comment on function public.claim_jobs(text, integer) is
'Claims up to p_limit queued jobs for a worker, oldest first, and returns them as processing. A job that becomes the '
'oldest may be claimed after younger ones for a second. Skips jobs that another worker is claiming, so each job has one '
'worker. The worker passes metadata.claim_id, which only this result contains, when it reports on a job. A job whose '
'metadata no worker could read fails. '
'22023: p_worker null, empty or too long, or p_limit null or below 1.';


-- heartbeat_job --------------------------------------------------------------------------------

-- A heartbeat without new progress writes only the small row of the state.
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
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
  held_since pg_catalog.timestamptz; -- created_at of the job
  retries pg_catalog.int4;
begin
  if p_progress < 0 or p_progress > 100 then
    raise exception 'heartbeat_job: p_progress must be 0 to 100, or null to keep the value, not %', p_progress
      using errcode = 'invalid_parameter_value';
  end if;

  perform 1 from public.async_jobs j
  where j.id = p_job_id and j.progress <> p_progress
  for update;

  update private.worker_state s
  set heartbeat_at = now()
  where s.job_id = p_job_id
    and s.worker = p_worker
    and s.claim_id = p_claim_id
    and (
      select j.status from public.async_jobs j
      where j.id = s.job_id and j.created_at between s.job_created_at and s.job_created_at
    ) = 'processing'
  returning s.job_created_at, s.retry_count into held_since, retries;
  if not found then
    return false;
  end if;

  update public.async_jobs j
  set
    progress = p_progress,
    updated_at = now(),
    metadata = coalesce(private.worker_metadata(j.metadata, added.keys), added.keys)
  from (
    select jsonb_build_object('server_id', p_worker, 'last_check', now(), 'retry_count', retries) as keys
  ) as added
  where j.id = p_job_id
    and j.created_at between held_since and held_since
    and case j.status when 'processing' then j.progress <> p_progress end;
  return true;
end
$$;

comment on function public.heartbeat_job(uuid, text, uuid, integer) is
'Reports that the worker is alive, and the progress of the job. Returns whether the worker still holds the job: false '
'if it was cancelled, deleted or requeued; the worker then drops it. 22023: p_progress not 0 to 100.';


-- complete_job ---------------------------------------------------------------------------------
-- Locks the job first, as private.finish_jobs does.

create function public.complete_job(p_job_id uuid, p_worker text, p_claim_id uuid, p_result jsonb)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
begin
  with job as materialized (
    select
      j.id,
      j.created_at,
      j.status
    from public.async_jobs j
    where j.id = p_job_id
    for update
  ),
  ended as (
    delete from private.worker_state s
    using job
    where job.status = 'processing'
      and s.job_id = job.id
      and s.job_created_at = job.created_at
      and case s.job_id when job.id then s.worker = p_worker and s.claim_id = p_claim_id end
    returning
      s.job_id,
      s.job_created_at,
      case
        when s.claimed_at <= now() then jsonb_build_object(
          'server_id', p_worker,
          'last_check', now(),
          'retry_count', s.retry_count,
          'processing_time_ms', round(extract(epoch from now() - s.claimed_at) * 1000)::pg_catalog.int8
        )
        else jsonb_build_object('server_id', p_worker, 'last_check', now(), 'retry_count', s.retry_count)
      end as added
  )
  update public.async_jobs j
  set
    status = 'completed',
    progress = 100,
    result = p_result,
    error = null,
    updated_at = now(),
    metadata = coalesce(
      case
        when pg_column_size(j.metadata) > 200 or octet_length(j.metadata::pg_catalog.text) > 200
          then private.worker_metadata(j.metadata, e.added)
        when jsonb_typeof(j.metadata) = 'object' then j.metadata - 'processing_time_ms' || e.added
      end,
      e.added
    )
  from ended e
  where j.id = e.job_id
    and j.created_at between e.job_created_at and e.job_created_at;
  return found;
end
$$;

comment on function public.complete_job(uuid, text, uuid, jsonb) is
'Completes a job with its result. Returns false and changes nothing if the worker no longer holds the job: it was '
'cancelled, deleted, requeued, or has already ended. 23514: the result is too large or not readable.';


-- complete_jobs, fail_jobs ---------------------------------------------------------------------

-- Locks the jobs in the order of their ids; after that, their states cannot change. While it waits for a lock, the job may
-- be requeued and claimed again; the state then has another claim_id, and DELETE compares its newest version. An owner
-- that updates several of the jobs can lock them in another order. Then PostgreSQL cancels one of the two; this function
-- tries again.
--
-- What a worker reports on one job must not prevent its reports on others, so a malformed id matches no job. The ids of a
-- job and its claim are checked as one text. Hyphens and braces may stand anywhere; a regular expression for their places
-- would take ten times as long.
create function private.finish_jobs(p_worker text, p_jobs jsonb, p_status text) returns integer
language plpgsql
volatile
security invoker
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
  finished_count pg_catalog.int4;
begin
  if jsonb_typeof(p_jobs) is distinct from 'array' then
    raise exception '%_jobs: p_jobs must be an array of objects with id, claim_id and %',
      case p_status when 'completed' then 'complete' else 'fail' end,
      case p_status when 'completed' then 'result' else 'error' end
      using errcode = 'invalid_parameter_value';
  end if;

  for attempt in 1..5 loop
    begin
      with report as (
        select
          case when length(r.ids) = 64 and r.ids !~ '[^0-9a-fA-F]' then left(r.ids, 32)::pg_catalog.uuid end as id,
          right(r.ids, 32) as claim_id, -- of a uuid, if the id is one
          r.result,
          r.error
        from (
          select
            replace(replace(replace((g.job ->> 'id') || (g.job ->> 'claim_id'), '-', ''), '{', ''), '}', '') as ids,
            nullif(g.job -> 'result', 'null') as result,
            g.job ->> 'error' as error,
            g.number
          from jsonb_array_elements(p_jobs) with ordinality as g (job, number)
          offset 0 -- each expression once
        ) r
        order by
          id,
          r.number -- the first of several reports on a job
      ),
      reported as materialized (
        select
          j.id,
          j.created_at,
          j.status,
          r.claim_id,
          r.result,
          case
            when p_status = 'completed'
              then case when not private.is_valid_result(r.result) then 'The result was too large or not readable.' end
            else private.reported_error(r.error)
          end as error
        from report r
        cross join lateral (
          select
            j.id,
            j.created_at,
            j.status
          from public.async_jobs j
          where j.id = r.id
          for update
        ) j
      ),
      ended as (
        delete from private.worker_state s
        using reported r
        where r.status = 'processing'
          and s.job_id = r.id
          and s.job_created_at = r.created_at
          and case s.job_id when r.id then s.worker = p_worker and s.claim_id = r.claim_id::pg_catalog.uuid end
        returning
          s.job_id,
          s.job_created_at,
          case when r.error is null then r.result end as result,
          r.error,
          jsonb_strip_nulls(jsonb_build_object(
            'server_id', p_worker,
            'last_check', current_timestamp,
            'retry_count', s.retry_count,
            'processing_time_ms', case
              when s.claimed_at <= current_timestamp
                then (extract(epoch from current_timestamp - s.claimed_at) * 1000)::pg_catalog.int8
            end
          )) as added
      ),
      updated as (
        update public.async_jobs j
        set
          status = case when c.error is null then 'completed' else 'failed' end,
          progress = case when c.error is null then 100 else j.progress end,
          result = c.result,
          error = c.error,
          updated_at = now(),
          metadata = coalesce(
            case
              when pg_column_size(j.metadata) > 200 or octet_length(j.metadata::pg_catalog.text) > 200
                then private.worker_metadata(j.metadata, c.added)
              when jsonb_typeof(j.metadata) = 'object' then j.metadata - 'processing_time_ms' || c.added
            end,
            c.added
          )
        from ended c
        where j.id = any(array[c.job_id]) and j.created_at between c.job_created_at and c.job_created_at
        returning j.status
      )
      select count(*) filter (where u.status = p_status) into finished_count from updated u;
      exit;
    exception
      when deadlock_detected then
        if attempt = 5 then
          raise;
        end if;
    end;
  end loop;
  return finished_count;
end
$$;

comment on function private.finish_jobs(text, jsonb, text) is
'Completes or fails the jobs of an array of objects with id, claim_id, and result or error: p_status is completed or '
'failed. Returns the number of jobs that have this status now.';

create function public.complete_jobs(p_worker text, p_jobs jsonb) returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.finish_jobs(p_worker, p_jobs, 'completed');
end
$$;

comment on function public.complete_jobs(text, jsonb) is
'Completes the jobs of an array of objects with id, claim_id and result, each as complete_job does, and returns their '
'number. A job that the worker no longer holds is not counted, as for a malformed id. A job whose result is too large or '
'not readable fails and is not counted. 22023: p_jobs is not an array.';

create function public.fail_jobs(p_worker text, p_jobs jsonb) returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return private.finish_jobs(p_worker, p_jobs, 'failed');
end
$$;

comment on function public.fail_jobs(text, jsonb) is
'Fails the jobs of an array of objects with id, claim_id and error, and returns their number. A job that the worker no '
'longer holds is not counted, as for a malformed id. Shortens an error that is too long, and replaces one that is missing '
'or empty, because the worker could not report it otherwise. 22023: p_jobs is not an array.';

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
  return public.fail_jobs(
    p_worker, jsonb_build_array(jsonb_build_object('id', p_job_id, 'claim_id', p_claim_id, 'error', p_error))
  ) = 1;
end
$$;

comment on function public.fail_job(uuid, text, uuid, text) is
'Fails a job with an error, which is shortened if it is too long. Returns false and changes nothing if the worker no '
'longer holds the job. 22023: p_error null or empty.';


-- complete_and_claim ---------------------------------------------------------------------------
-- One transaction and one statement, because starting a statement on this table takes a third of the time of a call that
-- ends one job and claims another: PostgreSQL reads and prepares the constraints of the table again in each UPDATE.
--
-- The statement ends the reported jobs as private.finish_jobs does, and then claims the next ones as claim_jobs does, because
-- UNION ALL reads its parts in this order. All jobs have changed before the first is returned, so a call that starts again
-- after a deadlock has returned none. If it has waited for the lock of a reported job, its snapshot is old, and it compares
-- the jobs that others have claimed meanwhile once more. The few reports are sorted although sorting is disabled; up to
-- PostgreSQL 17 that counts as expensive, and each call would be compiled, which takes 200 ms.
--
-- A call that claims too few jobs leaves the rest to claim_jobs, which starts with the oldest ones, and lets jobs fail whose
-- metadata no worker could read.
create function public.complete_and_claim(p_reports jsonb, p_worker text, p_limit integer default 1)
returns setof public.async_jobs
language plpgsql
volatile
security invoker
set search_path = ''
set enable_hashjoin = off
set enable_incremental_sort = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_sort = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
  claim_start constant pg_catalog.timestamptz[] := private.claim_start(p_worker, p_limit);
  queue_start constant pg_catalog.timestamptz := claim_start[2];
  added constant pg_catalog.jsonb := jsonb_build_object(
    'server_id', p_worker, 'last_check', current_timestamp, 'retry_count', 0
  );
  claimed record;
  claimed_count pg_catalog.int4 := 0;
  oldest_claimed pg_catalog.timestamptz;
  last_claim pg_catalog.text;
  job public.async_jobs;
begin
  if jsonb_typeof(p_reports) is distinct from 'array' then
    raise exception 'complete_and_claim: p_reports must be an array of objects with id, claim_id and result or error'
      using errcode = 'invalid_parameter_value';
  end if;

  for attempt in 1..5 loop
    begin
      for claimed in
        with report as (
          select
            case when length(r.ids) = 64 and r.ids !~ '[^0-9a-fA-F]' then left(r.ids, 32)::pg_catalog.uuid end as id,
            right(r.ids, 32) as claim_id, -- of a uuid, if the id is one
            r.result,
            r.error
          from (
            select
              replace(replace(replace((g.job ->> 'id') || (g.job ->> 'claim_id'), '-', ''), '{', ''), '}', '') as ids,
              nullif(g.job -> 'result', 'null') as result,
              g.job ->> 'error' as error,
              g.number
            from jsonb_array_elements(p_reports) with ordinality as g (job, number)
            offset 0 -- each expression once
          ) r
          order by
            id,
            r.number -- the first of several reports on a job
        ),
        reported as materialized (
          select
            j.id,
            j.created_at,
            j.status,
            r.claim_id,
            r.result,
            case
              when r.error is null
                then case when not private.is_valid_result(r.result) then 'The result was too large or not readable.' end
              else private.reported_error(r.error)
            end as error
          from report r
          cross join lateral (
            select
              j.id,
              j.created_at,
              j.status
            from public.async_jobs j
            where j.id = r.id
            for update
          ) j
        ),
        ended as (
          delete from private.worker_state s
          using reported r
          where r.status = 'processing'
            and s.job_id = r.id
            and s.job_created_at = r.created_at
            and case s.job_id when r.id then s.worker = p_worker and s.claim_id = r.claim_id::pg_catalog.uuid end
          returning
            s.job_id,
            s.job_created_at,
            case when r.error is null then r.result end as result,
            r.error,
            jsonb_strip_nulls(jsonb_build_object(
              'server_id', p_worker,
              'last_check', current_timestamp,
              'retry_count', s.retry_count,
              'processing_time_ms', case
                when s.claimed_at <= current_timestamp
                  then (extract(epoch from current_timestamp - s.claimed_at) * 1000)::pg_catalog.int8
              end
            )) as added
        ),
        queued as materialized (
          select
            j.id,
            j.created_at,
            -- without a call for most jobs
            (pg_column_size(j.metadata) <= 200 and octet_length(j.metadata::pg_catalog.text) <= 200)
            or private.worker_metadata(j.metadata, '{}') is not null as is_readable
          from public.async_jobs j
          where j.status = any(array['queued'])
            and j.created_at >= queue_start
          order by j.status desc, j.created_at
          limit p_limit
          for update skip locked -- rows that another worker is claiming
        ),
        held as (
          insert into private.worker_state as s (job_id, job_created_at, worker, claim_id, claimed_at, heartbeat_at)
          select q.id, q.created_at, p_worker, gen_random_uuid(), current_timestamp, current_timestamp
          from queued q
          where q.is_readable
          on conflict (job_id, job_created_at) do update
          set
            worker = excluded.worker,
            claim_id = excluded.claim_id,
            claimed_at = excluded.claimed_at,
            heartbeat_at = excluded.heartbeat_at
          returning s.job_id, s.job_created_at, s.claim_id, s.retry_count
        ),
        changed as (
          update public.async_jobs j
          set
            status = case when c.claim_id is not null then 'processing' when c.error is null then 'completed' else 'failed' end,
            progress = case when c.claim_id is null and c.error is null then 100 else j.progress end,
            result = c.result,
            error = c.error,
            updated_at = current_timestamp,
            metadata = coalesce(
              case
                when pg_column_size(j.metadata) > 200 or octet_length(j.metadata::pg_catalog.text) > 200
                  then private.worker_metadata(j.metadata, c.added)
                when jsonb_typeof(j.metadata) = 'object' then j.metadata - 'processing_time_ms' || c.added
              end,
              c.added
            )
          from (
            select
              e.job_id,
              e.job_created_at,
              null::pg_catalog.uuid as claim_id,
              e.result,
              e.error,
              e.added
            from ended e
            union all
            select
              h.job_id,
              h.job_created_at,
              h.claim_id,
              null,
              null,
              case h.retry_count
                when 0 then added -- most jobs: the same object for all of them
                else added || jsonb_build_object('retry_count', h.retry_count)
              end
            from held h
            offset 0 -- each expression once
          ) c
          where j.id = any(array[c.job_id]) and j.created_at between c.job_created_at and c.job_created_at
          returning
            c.claim_id,
            j.created_at,
            case when c.claim_id is not null then j end as job
        )
        select
          c.claim_id,
          c.job
        from changed c
        where c.claim_id is not null
        order by c.created_at
      loop
        job := claimed.job;
        oldest_claimed := coalesce(oldest_claimed, job.created_at);
        claimed_count := claimed_count + 1;
        job.metadata := job.metadata || jsonb_build_object('claim_id', claimed.claim_id);
        return next job;
      end loop;
      exit;
    exception
      when deadlock_detected then
        if attempt = 5 then
          raise;
        end if;
    end;
  end loop;

  -- an assignment, because PERFORM would start a query
  last_claim := set_config(
    'supabase_jobs.last_claim',
    case when claimed_count = p_limit then array[claim_start[1], oldest_claimed]::pg_catalog.text else '' end,
    false
  );
  if last_claim = '' then
    -- not FROM: the session keeps the plan, and the columns in it, when the project adds one to the table
    foreach job in array array(select public.claim_jobs(p_worker, p_limit - claimed_count)) loop
      return next job;
    end loop;
  end if;
end
$$;

comment on function public.complete_and_claim(jsonb, text, integer) is
'Ends the jobs of an array of objects with id, claim_id, and result or error, then claims the next ones as claim_jobs '
'does, in one transaction. A job with an error fails, as by fail_jobs; any other is completed, as by complete_jobs. A job '
'that the worker no longer holds stays as it is, as for a malformed id. A job whose result is too large or not readable '
'fails. 22023: p_reports is not an array, p_worker null, empty or too long, or p_limit null or below 1.';


-- requeue_stale_jobs ---------------------------------------------------------------------------

-- Reads idx_async_jobs_active in index order, as claim_jobs does, and the state of each job. A job that a worker claimed
-- without claim_jobs has no state; its last sign of life is updated_at.
--
-- An owner can mark thousands of its jobs as processing, with the largest metadata. PostgreSQL checks that again for each
-- of them, and a timeout would undo the whole call, each time. So a call ends after half of the timeout, and the next one
-- continues.
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
set enable_hashjoin = off
set enable_incremental_sort = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_sort = off
as $$
#variable_conflict use_variable
declare
  batch_size constant pg_catalog.int4 := 50;
  -- null: no timeout
  timeout constant pg_catalog.interval := nullif(current_setting('statement_timeout')::pg_catalog.interval, '0');
  cutoff pg_catalog.timestamptz;
  next_start pg_catalog.timestamptz := '-infinity'::pg_catalog.timestamptz;
  wanted pg_catalog.int4;
  found_count pg_catalog.int4;
  batch_requeued pg_catalog.int4;
  batch_failed pg_catalog.int4;
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
  requeued_count := 0;
  failed_count := 0;

  loop
    wanted := least(p_limit - requeued_count - failed_count, batch_size);
    -- A locked job or state belongs to a worker that is alive. Locking compares the newest version of a row, so a heartbeat
    -- after the snapshot of this statement removes the row from `locked`.
    with silent as materialized (
      select
        j.id,
        j.created_at,
        s.is_there is not null as has_state
      from public.async_jobs j
      left join lateral (
        select
          true as is_there,
          s.heartbeat_at
        from private.worker_state s
        where s.job_id = j.id and s.job_created_at = j.created_at
        offset 0
      ) s on true
      where j.status = any(array['processing'])
        and j.created_at >= next_start
        and coalesce(s.heartbeat_at, j.updated_at) <= cutoff
      order by j.status desc, j.created_at
      limit wanted
      for update of j skip locked
    ),
    locked as materialized (
      select
        s.job_id,
        s.job_created_at,
        s.retry_count
      from silent j
      cross join lateral (
        select * from private.worker_state s
        where s.job_id = j.id and s.job_created_at = j.created_at and coalesce(s.heartbeat_at, '-infinity') <= cutoff
        for update skip locked
      ) s
    ),
    ready as materialized (
      select
        l.job_id,
        l.job_created_at,
        l.retry_count >= p_max_retries as given_up,
        least(l.retry_count + 1, greatest(l.retry_count, p_max_retries)) as retry_count
      from locked l
      union all
      select
        j.id,
        j.created_at,
        p_max_retries = 0,
        least(1, p_max_retries)
      from silent j
      where not j.has_state
    ),
    state as (
      insert into private.worker_state (job_id, job_created_at, retry_count)
      select
        r.job_id,
        r.job_created_at,
        r.retry_count
      from ready r
      on conflict (job_id, job_created_at) do update
      set
        worker = null,
        claim_id = null,
        claimed_at = null,
        heartbeat_at = null,
        retry_count = excluded.retry_count
    ),
    put_back as (
      update public.async_jobs j
      set
        status = case when r.given_up then 'failed' else 'queued' end,
        progress = case when r.given_up then j.progress else 0 end,
        result = null,
        error = case
          when r.given_up then format('No sign of life from the worker; given up after %s retries.', p_max_retries)
        end,
        updated_at = now(),
        metadata = coalesce(
          private.worker_metadata(j.metadata, jsonb_build_object('retry_count', r.retry_count)),
          jsonb_build_object('retry_count', r.retry_count)
        )
      from ready r
      where j.id = r.job_id
        and j.created_at between r.job_created_at and r.job_created_at
      returning r.given_up
    )
    select
      count(*) filter (where not p.given_up),
      count(*) filter (where p.given_up),
      (select count(*) from silent),
      (select max(j.created_at) from silent j)
    into batch_requeued, batch_failed, found_count, next_start
    from put_back p;
    requeued_count := requeued_count + batch_requeued;
    failed_count := failed_count + batch_failed;
    exit when found_count < wanted
      or batch_requeued + batch_failed = 0
      or requeued_count + failed_count = p_limit
      or clock_timestamp() - statement_timestamp() > timeout * 0.5;
  end loop;

  return next;
end
$$;

comment on function public.requeue_stale_jobs(interval, integer, integer) is
'Requeues jobs whose worker has sent no heartbeat for p_timeout, at most p_limit; fails a job that was requeued '
'p_max_retries times. Returns the number of each. Ends after half of the statement timeout; the next call continues. '
'Call it every minute with a p_timeout of several heartbeats. '
'22023: p_timeout null or negative, p_max_retries null or negative, or p_limit below 1.';


-- Privileges -----------------------------------------------------------------------------------

-- a trigger needs no EXECUTE
revoke all on function private.delete_worker_state() from public, anon, authenticated, service_role;

revoke all on function private.worker_metadata(jsonb, jsonb) from public, anon, authenticated, service_role;
revoke all on function private.reported_error(text) from public, anon, authenticated, service_role;
revoke all on function private.claim_start(text, integer) from public, anon, authenticated, service_role;
revoke all on function private.finish_jobs(text, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function private.worker_metadata(jsonb, jsonb) to service_role;
grant execute on function private.reported_error(text) to service_role;
grant execute on function private.claim_start(text, integer) to service_role;
grant execute on function private.finish_jobs(text, jsonb, text) to service_role;

revoke all on function public.claim_jobs(text, integer) from public, anon, authenticated, service_role;
revoke all on function public.heartbeat_job(uuid, text, uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.complete_job(uuid, text, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.complete_jobs(text, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.fail_jobs(text, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.fail_job(uuid, text, uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.complete_and_claim(jsonb, text, integer) from public, anon, authenticated, service_role;
revoke all on function public.requeue_stale_jobs(interval, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_jobs(text, integer) to service_role;
grant execute on function public.heartbeat_job(uuid, text, uuid, integer) to service_role;
grant execute on function public.complete_job(uuid, text, uuid, jsonb) to service_role;
grant execute on function public.complete_jobs(text, jsonb) to service_role;
grant execute on function public.fail_jobs(text, jsonb) to service_role;
grant execute on function public.fail_job(uuid, text, uuid, text) to service_role;
grant execute on function public.complete_and_claim(jsonb, text, integer) to service_role;
grant execute on function public.requeue_stale_jobs(interval, integer, integer) to service_role;
