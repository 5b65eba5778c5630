-- Stands in for the extension pg_cron, which this installation of PostgreSQL lacks.

create schema if not exists cron;
grant usage on schema cron to postgres;
create table if not exists cron.job (
  jobid bigint generated always as identity, schedule text not null, command text not null, jobname text unique,
  active boolean not null default true, database text, username text
);
grant select on cron.job to postgres;
create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql security definer
as $$
  insert into cron.job (jobname, schedule, command) values (job_name, schedule, command)
  on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
  returning jobid
$$;
create or replace function cron.unschedule(job_name text) returns boolean
language sql security definer
as $$ with gone as (delete from cron.job where jobname = job_name returning 1) select count(*) > 0 from gone $$;
