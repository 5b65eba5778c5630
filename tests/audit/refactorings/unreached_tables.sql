-- tables that no request reaches
create schema back_office;
create table back_office.runs (id bigint generated always as identity primary key, user_id uuid, note text);
create table public.job_runs (id bigint generated always as identity primary key, user_id uuid, note text);
alter table public.job_runs enable row level security;
revoke all on public.job_runs from anon, authenticated;
