-- supabase-jobs: 002_create_async_jobs_table sha256:8d47c15b0c43857a54872f6bc75c6cc2d1ccb3b02c39c37ef6f88f3ef5579922
-- Long-running jobs. Each job is owned by either a guest or a user.

-- Validity of JSON and errors ------------------------------------------------------------------

-- `create or replace` below serves changed variables. The first run must not replace a user function.
do $$
begin
  if to_regprocedure('private.max_job_bytes(text)') is not null then
    raise exception 'function private.max_job_bytes(text) already exists'
      using errcode = 'duplicate_function',
        hint = 'Rename it, or drop it if nothing uses it. Then apply again.';
  end if;
end
$$;

--! repeatable
create or replace function private.max_job_bytes(p_column text) returns integer
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case p_column
    when 'metadata' then 65536
    when 'result' then 8388608
    when 'error' then 16384
  end;
end
$$;
--! end

comment on function private.max_job_bytes(text) is
'The most bytes that the text of this column of a job may have.';

-- Workers must be able to parse the JSON of owners. A number beyond double precision or deep nesting makes the parsers of
-- several languages fail, and with it the whole response.
--
-- The order of the tests limits what they cost. 1e130000 has 12 bytes as jsonb and 130,001 as text, so the text comes
-- last. An element has at least 3 bytes as text and at most 12 as jsonb, so a value of more than four times the bytes is
-- too large in any case. A stored value may be compressed; joined with an empty value of its own kind it is not, and
-- PostgreSQL copies no element. Strict mode does not compare the elements of an array twice. Each test is a statement of
-- its own, because PostgreSQL keeps the memory of its comparisons until the statement ends.
create function private.is_valid_json(p_value jsonb, p_max_bytes integer) returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
declare
  max_size constant pg_catalog.int8 := 4::pg_catalog.int8 * p_max_bytes + 1024;
  empty constant pg_catalog.jsonb := case jsonb_typeof(p_value)
    when 'object' then '{}'::pg_catalog.jsonb
    else '[]'::pg_catalog.jsonb
  end;
begin
  if pg_column_size(p_value) > max_size then
    return false;
  end if;
  if pg_column_size(p_value || empty) > max_size then
    return false;
  end if;
  if jsonb_path_exists(p_value, 'strict $.**{100} ? (@.type() == "object" || @.type() == "array")') then
    return false;
  end if;
  if jsonb_path_exists(p_value, 'strict $.** ? (@ > 1.7976931348623158e308)') then
    return false;
  end if;
  if jsonb_path_exists(p_value, 'strict $.** ? (@ < -1.7976931348623158e308)') then
    return false;
  end if;
  if jsonb_path_exists(p_value, 'strict $.** ? (@ < 2.5e-324 && @ > -2.5e-324 && @ != 0)') then
    return false;
  end if;
  return octet_length(p_value::pg_catalog.text) <= p_max_bytes;
end
$$;

comment on function private.is_valid_json(jsonb, integer) is
'Whether the value has at most p_max_bytes as text, and every parser of JSON reads it: no number beyond double '
'precision, at most 100 levels.';

-- The keys that the functions for workers write do not count, up to 2048 bytes, so that they always fit. is_valid_json is
-- called once, because a heartbeat, claim or requeue of a job waits for it.
create function private.is_valid_metadata(p_metadata jsonb) returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
declare
  allowed constant pg_catalog.int4 := private.max_job_bytes('metadata');
begin
  if not private.is_valid_json(p_metadata, allowed + 2048) then
    return false;
  end if;
  return octet_length(p_metadata::pg_catalog.text) <= allowed
    or (
      jsonb_typeof(p_metadata) = 'object'
      and octet_length(
        (p_metadata - '{server_id,last_check,retry_count,processing_time_ms}'::pg_catalog.text[])::pg_catalog.text
      ) <= allowed
    );
end
$$;

comment on function private.is_valid_metadata(jsonb) is
'Whether a job may have this metadata: small enough and readable for workers.';

create function private.is_valid_result(p_result jsonb) returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  if pg_column_size(p_result) <= 200 and octet_length(p_result::pg_catalog.text) <= 200 then -- as for metadata
    return true;
  end if;
  return private.is_valid_json(p_result, private.max_job_bytes('result'));
end
$$;

comment on function private.is_valid_result(jsonb) is
'Whether a job may have this result: small enough and readable for clients.';

create function private.is_valid_error(p_error text) returns boolean
language plpgsql
immutable
strict
security invoker
set search_path = ''
as $$
begin
  return octet_length(p_error) <= private.max_job_bytes('error');
end
$$;

comment on function private.is_valid_error(text) is
'Whether a job may have this error: short enough.';

-- Every role that may write the table needs EXECUTE on the functions of its constraints and on those that they call.
revoke all on function private.max_job_bytes(text) from public, anon, authenticated, service_role;
revoke all on function private.is_valid_json(jsonb, integer) from public, anon, authenticated, service_role;
revoke all on function private.is_valid_metadata(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.is_valid_result(jsonb) from public, anon, authenticated, service_role;
revoke all on function private.is_valid_error(text) from public, anon, authenticated, service_role;
grant execute on function private.max_job_bytes(text) to public;
grant execute on function private.is_valid_json(jsonb, integer) to public;
grant execute on function private.is_valid_metadata(jsonb) to public;
grant execute on function private.is_valid_result(jsonb) to public;
grant execute on function private.is_valid_error(text) to public;


-- The table ------------------------------------------------------------------------------------

create table public.async_jobs (
  id uuid not null default gen_random_uuid(),
  url text not null,
  status text not null default 'queued',
  progress integer not null default 0,
  result jsonb,
  error text,
  guest_id uuid,
  user_id uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  metadata jsonb not null default '{}'::jsonb,
  constraint async_jobs_pkey primary key (id),
  constraint async_jobs_guest_id_fkey
  foreign key (guest_id) references public.guest_users (guest_id) on delete cascade,
  constraint async_jobs_user_id_fkey
  foreign key (user_id) references auth.users (id) on delete cascade,
  -- exactly one owner
  constraint chk_user_or_guest check (
    (guest_id is not null and user_id is null)
    or (guest_id is null and user_id is not null)
  ),
  constraint chk_valid_status check (
    status in ('queued', 'processing', 'completed', 'failed', 'cancelled')
  ),
  constraint chk_valid_progress check (progress >= 0 and progress <= 100),
  -- a b-tree entry has at most 2704 bytes; a longer URL would raise an unclear error of idx_async_jobs_url
  constraint chk_url_length check (octet_length(url) between 1 and 2048),
  -- 200 bytes of text have room neither for a number beyond double precision nor for 101 levels, and are below every
  -- limit: most rows need no call. 200 bytes of jsonb limit the text before it exists.
  constraint chk_valid_metadata check (
    (pg_column_size(metadata) <= 200 and octet_length(metadata::text) <= 200) or private.is_valid_metadata(metadata)
  ),
  -- Every UPDATE statement reads and prepares these expressions again, and most rows have no result or error: a call is
  -- the shortest expression.
  constraint chk_valid_result check (private.is_valid_result(result)),
  constraint chk_valid_error check (private.is_valid_error(error))
);

alter table public.async_jobs enable row level security;

-- By name because of default privileges: see 001.
revoke all on table public.async_jobs from public, anon, authenticated, service_role;
grant all on table public.async_jobs to service_role;
grant select, insert, update, delete on table public.async_jobs to authenticated;
grant select, insert, update on table public.async_jobs to anon;

comment on table public.async_jobs is
'Long-running jobs, each owned by either a guest or a user. Row level security separates the owners.';
comment on column public.async_jobs.url is
'The URL to process, for example a post on X. 1 to 2048 bytes.';
comment on column public.async_jobs.status is
'queued, processing, completed, failed or cancelled.';
comment on column public.async_jobs.progress is
'Percent, 0 to 100.';
comment on column public.async_jobs.result is
'Result of a completed job: media, transcription, vision, entities, metrics, tweet.';
comment on column public.async_jobs.error is
'Error message of a failed job. At most 16 KiB; the variable max_error_bytes changes this.';
comment on column public.async_jobs.guest_id is
'The owner, if it is a guest. Otherwise null.';
comment on column public.async_jobs.user_id is
'The owner, if it is a user. Otherwise null.';
comment on column public.async_jobs.created_at is
'Time of the INSERT. Guests and users cannot choose it, because workers process the oldest job first.';
comment on column public.async_jobs.updated_at is
'Time of the last UPDATE. update_async_job_updated_at_trigger overwrites the value of the client.';
comment on column public.async_jobs.metadata is
'Data about the run: item_id, platform, retry_count, last_check, processing_time_ms, server_id.';


-- Indexes --------------------------------------------------------------------------------------

-- all jobs of a guest; policies of anon; cascade of a deleted guest
create index idx_async_jobs_guest_id on public.async_jobs (guest_id)
where guest_id is not null;

-- all jobs of a user; policies of authenticated; cascade of a deleted user
create index idx_async_jobs_user_id on public.async_jobs (user_id)
where user_id is not null;

-- counts and lists by any status
create index idx_async_jobs_status on public.async_jobs (status);

-- newest or oldest jobs
create index idx_async_jobs_created_at on public.async_jobs (created_at);

-- jobs changed since a given time, for polling and exports
create index idx_async_jobs_updated_at on public.async_jobs (updated_at);

-- latest job for a URL: where url = $1 order by created_at desc limit 1
create index idx_async_jobs_url on public.async_jobs (url, created_at desc);

-- workers: active jobs of one status in order of creation
create index idx_async_jobs_active on public.async_jobs (status, created_at desc)
where status in ('queued', 'processing');

-- active jobs of a guest, newest first
create index idx_async_jobs_guest_active on public.async_jobs (guest_id, created_at desc)
where guest_id is not null and status in ('queued', 'processing');

-- active jobs of a user, newest first
create index idx_async_jobs_user_active on public.async_jobs (user_id, created_at desc)
where user_id is not null and status in ('queued', 'processing');

-- cleanup_old_jobs: finished jobs in order of updated_at
create index idx_async_jobs_cleanup on public.async_jobs (updated_at)
where status in ('completed', 'failed', 'cancelled');


-- Triggers -------------------------------------------------------------------------------------
-- Guests and users choose no times. The service and its members, as the owner is, may set them when they insert. The WHEN
-- clauses save the call for rows with the defaults, and for updates that set updated_at to now(), as those of the
-- functions for workers do.

create function private.set_async_job_times() returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if not pg_has_role('service_role', 'member') then
    new.created_at := now();
    new.updated_at := now();
  end if;
  return new;
end
$$;

comment on function private.set_async_job_times() is
'Sets created_at and updated_at of a job that a guest or user inserts, and ignores the values of the client.';

create function private.update_async_job_updated_at() returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := now();
  if (new.created_at <> old.created_at or new.id <> old.id) and not pg_has_role('service_role', 'member') then
    new.created_at := old.created_at;
    new.id := old.id; -- the worker state belongs to it
  end if;
  return new;
end
$$;

comment on function private.update_async_job_updated_at() is
'Sets updated_at to the time of the transaction and ignores the value of the client. Guests and users cannot change '
'created_at and the id.';

-- Every UPDATE checks all constraints again, also a heartbeat, and millions of numbers take a second each time. Therefore
-- only the service writes large results.
create function private.limit_owner_result() returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if pg_has_role('service_role', 'member')
    or (tg_op = 'UPDATE' and new.result is not distinct from old.result)
    or private.is_valid_json(new.result, private.max_job_bytes('metadata')) then
    return new;
  end if;
  raise exception 'new row for relation "async_jobs" violates check constraint "chk_valid_result"'
    using
      errcode = 'check_violation',
      schema = tg_table_schema,
      table = tg_table_name,
      constraint = 'chk_valid_result',
      detail = format(
        'A guest or user writes a result of at most %s bytes that every parser of JSON reads.',
        private.max_job_bytes('metadata')
      );
end
$$;

comment on function private.limit_owner_result() is
'Refuses a result of a guest or user that is larger than metadata may be.';

-- a trigger needs no EXECUTE
revoke all on function private.limit_owner_result() from public, anon, authenticated, service_role;
revoke all on function private.set_async_job_times() from public, anon, authenticated, service_role;
revoke all on function private.update_async_job_updated_at() from public, anon, authenticated, service_role;

create trigger set_async_job_times_trigger
before insert on public.async_jobs
for each row
when (new.created_at is distinct from now() or new.updated_at is distinct from now())
execute function private.set_async_job_times();

create trigger update_async_job_updated_at_trigger
before update on public.async_jobs
for each row
when (new.updated_at is distinct from now() or new.created_at <> old.created_at or new.id <> old.id)
execute function private.update_async_job_updated_at();

-- 1024 is the smallest limit; the constraint checks smaller results
create trigger limit_owner_result_trigger
before insert or update of result on public.async_jobs
for each row
when (pg_column_size(new.result) > 1024)
execute function private.limit_owner_result();

comment on trigger limit_owner_result_trigger on public.async_jobs is
'Keeps heartbeats and other updates of a job cheap, whatever its owner writes.';
comment on trigger set_async_job_times_trigger on public.async_jobs is
'Keeps the queue in the order of arrival, because claim_jobs starts with the oldest job.';
comment on trigger update_async_job_updated_at_trigger on public.async_jobs is
'Keeps updated_at correct, because cleanup_old_jobs compares it.';


-- Policies -------------------------------------------------------------------------------------
-- Only anon is a guest. A user who also sends the header of a guest sees only its own rows as a user. A helper in a
-- sub-select runs once per query, not once per row.

create policy "guests read their own jobs" on public.async_jobs
for select to anon
using (guest_id = (select private.request_guest_id()));

create policy "guests create their own jobs" on public.async_jobs
for insert to anon
with check (guest_id = (select private.request_guest_id()));

create policy "guests update their own jobs" on public.async_jobs
for update to anon
using (guest_id = (select private.request_guest_id()))
with check (guest_id = (select private.request_guest_id()));

create policy "users read their own jobs" on public.async_jobs
for select to authenticated
using (user_id = (select auth.uid()));

create policy "users create their own jobs" on public.async_jobs
for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users update their own jobs" on public.async_jobs
for update to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));

create policy "users delete their own jobs" on public.async_jobs
for delete to authenticated
using (user_id = (select auth.uid()));

create policy "the service has full access to jobs" on public.async_jobs
for all to service_role
using (true)
with check (true);

comment on policy "guests read their own jobs" on public.async_jobs is
'A guest sees only the jobs of the id in its header.';
comment on policy "guests create their own jobs" on public.async_jobs is
'A guest creates jobs only for itself.';
comment on policy "guests update their own jobs" on public.async_jobs is
'A guest changes its own jobs. WITH CHECK keeps it from giving them to another owner.';
comment on policy "users read their own jobs" on public.async_jobs is
'A user sees only the jobs of the subject of its JWT.';
comment on policy "users create their own jobs" on public.async_jobs is
'A user creates jobs only for itself.';
comment on policy "users update their own jobs" on public.async_jobs is
'A user changes its own jobs. WITH CHECK keeps it from giving them to another owner.';
comment on policy "users delete their own jobs" on public.async_jobs is
'A user deletes its own jobs. Guests have no DELETE privilege.';
comment on policy "the service has full access to jobs" on public.async_jobs is
'For the backend. Also covers a service_role without BYPASSRLS.';
