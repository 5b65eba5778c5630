-- Stands in for the extension pg_cron, which would run jobs: none runs here.

create schema if not exists cron;
grant usage on schema cron to postgres;
create table if not exists cron.job (
  jobid bigint generated always as identity, schedule text not null, command text not null, jobname text unique,
  active boolean not null default true, database text, username text
);
grant select on cron.job to postgres;
create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql security definer set search_path = ''
as $$
  insert into cron.job (jobname, schedule, command) values (job_name, schedule, command)
  on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
  returning jobid
$$;
create or replace function cron.unschedule(job_name text) returns boolean
language sql security definer set search_path = ''
as $$ with gone as (delete from cron.job where jobname = job_name returning 1) select count(*) > 0 from gone $$;
create or replace function cron.schedule(schedule text, command text) returns bigint
language sql security definer set search_path = ''
as 'insert into cron.job (schedule, command) values (schedule, command) returning jobid';
create or replace function cron.unschedule(job_id bigint) returns boolean
language sql security definer set search_path = ''
as 'with gone as (delete from cron.job where jobid = job_id returning 1) select count(*) > 0 from gone';
create or replace function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null, active boolean default true
) returns bigint
language sql security definer set search_path = ''
as 'select cron.schedule(job_name, schedule, command)';
create or replace function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void
language sql security definer set search_path = ''
as $$
  update cron.job
  set
    schedule = coalesce(alter_job.schedule, job.schedule), command = coalesce(alter_job.command, job.command),
    active = coalesce(alter_job.active, job.active)
  where jobid = job_id
$$;
create sequence if not exists cron.runid_seq;
create table if not exists cron.job_run_details (
  jobid bigint, runid bigint not null default nextval('cron.runid_seq'), job_pid integer, database text, username text,
  command text, status text, return_message text, start_time timestamptz, end_time timestamptz
);
grant all on cron.job_run_details to postgres;
