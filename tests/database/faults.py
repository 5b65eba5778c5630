"""Faults to plant in a database, one at a time, with the words by which an error has to name each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """SQL that breaks something, the words by which an error has to name it, and the area that has to see it."""

    name: str
    sql: str
    named: str
    areas: frozenset[str]


def fault(name: str, sql: str, named: str, *areas: str) -> Fault:
    return Fault(name, sql, named, frozenset(areas))


FAULTS = [
    fault(
        "select policy for anon made true",
        'alter policy "guests read their own jobs" on public.async_jobs using (true)',
        "guests read their own jobs",
        "structure",
        "access",
    ),
    fault(
        "row level security off",
        "alter table public.async_jobs disable row level security",
        "public.async_jobs",
        "structure",
        "access",
    ),
    fault(
        "delete granted to anon",
        "grant delete on public.async_jobs to anon",
        "public.async_jobs",
        "structure",
        "access",
    ),
    fault(
        "truncate granted to anon",
        "grant truncate on public.async_jobs to anon",
        "public.async_jobs",
        "structure",
        "access",
    ),
    fault(
        "truncate granted to public",
        "grant truncate on public.guest_users to public",
        "public.guest_users",
        "structure",
        "access",
    ),
    fault(
        "cleanup executable by anon",
        "grant execute on function public.cleanup_old_jobs(integer, integer) to anon",
        "cleanup_old_jobs",
        "structure",
    ),
    fault(
        "cleanup and its body executable by anon",
        "grant execute on function public.cleanup_old_jobs(integer, integer) to anon;"
        "grant execute on function private.cleanup_old_jobs(integer, integer) to anon",
        "cleanup_old_jobs",
        "structure",
        "access",
    ),
    fault(
        "xor constraint dropped",
        "alter table public.async_jobs drop constraint chk_user_or_guest",
        "chk_user_or_guest",
        "structure",
        "access",
    ),
    fault(
        "xor constraint weakened",
        "alter table public.async_jobs drop constraint chk_user_or_guest, add constraint chk_user_or_guest"
        " check (guest_id is not null or user_id is not null)",
        "chk_user_or_guest",
        "structure",
        "access",
    ),
    fault("index dropped", "drop index public.idx_async_jobs_url", "idx_async_jobs_url", "structure"),
    fault(
        "index with another predicate",
        "drop index public.idx_async_jobs_cleanup;"
        "create index idx_async_jobs_cleanup on public.async_jobs (updated_at) where status in ('completed', 'failed')",
        "idx_async_jobs_cleanup",
        "structure",
    ),
    fault(
        "metadata nullable",
        "alter table public.async_jobs alter column metadata drop not null",
        "metadata",
        "structure",
    ),
    fault(
        "default changed",
        "alter table public.async_jobs alter column status set default 'processing'",
        "status",
        "structure",
    ),
    fault(
        "trigger dropped",
        "drop trigger update_async_job_updated_at_trigger on public.async_jobs",
        "update_async_job_updated_at_trigger",
        "structure",
    ),
    fault(
        "trigger disabled",
        "alter table public.async_jobs disable trigger update_async_job_updated_at_trigger",
        "update_async_job_updated_at_trigger",
        "structure",
    ),
    fault(
        "guests' update policy with check true",
        'alter policy "guests update their own jobs" on public.async_jobs with check (true)',
        "guests update their own jobs",
        "structure",
        "access",
    ),
    fault(
        "users' update policy with check true",
        'alter policy "users update their own jobs" on public.async_jobs with check (true)',
        "users update their own jobs",
        "structure",
        "access",
    ),
    fault(
        "update policy using true",
        'alter policy "guests update their own jobs" on public.async_jobs using (true)',
        "guests update their own jobs",
        "structure",
        "access",
    ),
    fault(
        "delete policy using true",
        'alter policy "users delete their own jobs" on public.async_jobs using (true)',
        "users delete their own jobs",
        "structure",
        "access",
    ),
    fault(
        "one more permissive policy",
        "create policy oops on public.async_jobs for select to public using (true)",
        "oops",
        "structure",
        "access",
    ),
    fault(
        "header under another name",
        "create or replace function private.request_guest_id() returns uuid language plpgsql stable"
        " set search_path = '' as $$ begin return"
        " (nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-guest')::uuid; end $$",
        "guest, its own job",
        "structure",
        "access",
    ),
    fault(
        "header cast without a look",
        "create or replace function private.request_guest_id() returns uuid language plpgsql stable"
        " set search_path = '' as $$ begin return"
        " (nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-guest-id')::uuid; end $$",
        "garbage",
        "structure",
        "access",
    ),
    fault(
        "migrate without its ownership check",
        "create or replace function private.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid) returns table"
        " (migrated_count integer) language plpgsql security definer set search_path = '' as $$ begin"
        " update public.async_jobs set guest_id = null, user_id = p_user_id where guest_id = p_guest_id;"
        " get diagnostics migrated_count = row_count; return next; end $$",
        "migrate",
        "structure",
        "access",
    ),
    fault(
        "migrate that does nothing",
        "create or replace function private.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid) returns table"
        " (migrated_count integer) language sql security definer set search_path = '' as $$ select 1 $$",
        "migrate own guest",
        "structure",
        "access",
    ),
    fault(
        "definer made invoker",
        "alter function private.cleanup_old_jobs security invoker",
        "cleanup_old_jobs",
        "structure",
    ),
    fault(
        "wrapper made definer",
        "alter function public.migrate_guest_jobs security definer",
        "migrate_guest_jobs",
        "structure",
    ),
    fault(
        "search_path lost",
        "alter function private.migrate_guest_jobs reset search_path",
        "migrate_guest_jobs",
        "structure",
    ),
    fault(
        "select revoked from anon",
        "revoke select on public.async_jobs from anon",
        "public.async_jobs",
        "structure",
        "access",
    ),
    fault(
        "service without its rights",
        "revoke all on public.async_jobs from service_role",
        "public.async_jobs",
        "structure",
        "access",
    ),
    fault(
        "guest may write who it became",
        "grant update (migrated_to_user_id, migrated_at) on public.guest_users to anon",
        "public.guest_users",
        "structure",
        "access",
    ),
    fault("private closed to the api", "revoke usage on schema private from anon", "private", "structure", "access"),
    fault("private writable for anon", "grant create on schema private to anon", "private", "structure"),
    fault("column dropped", "alter table public.async_jobs drop column error", "error", "structure"),
    fault("table dropped", "drop table public.async_jobs cascade", "public.async_jobs", "structure", "access"),
    fault("function dropped", "drop function public.migrate_guest_jobs", "migrate_guest_jobs", "structure", "access"),
    fault(
        "xor constraint not valid",
        "alter table public.async_jobs drop constraint chk_user_or_guest, add constraint chk_user_or_guest check ("
        "(guest_id is not null and user_id is null) or (guest_id is null and user_id is not null)) not valid",
        "chk_user_or_guest",
        "structure",
    ),
    fault(
        "an overload that runs as its owner",
        "create function public.cleanup_old_jobs() returns bigint language sql security definer"
        " as 'with d as (delete from public.async_jobs returning 1) select count(*) from d'",
        "cleanup_old_jobs()",
        "structure",
    ),
    fault(
        "a rule that copies rows away",
        "create table public.copies (like public.async_jobs);"
        "create rule copy_away as on insert to public.async_jobs do also insert into public.copies values (new.*)",
        "copy_away",
        "structure",
    ),
    fault(
        "a view that runs as its owner",
        "create view public.all_jobs as select * from public.async_jobs; grant select on public.all_jobs to anon",
        "public.all_jobs",
        "structure",
    ),
    fault(
        "a view of a view, the outer one as its owner",
        "create view public.own_jobs with (security_invoker) as select * from public.async_jobs;"
        "create view public.all_jobs as select * from public.own_jobs;"
        "grant select on public.all_jobs to authenticated",
        "public.all_jobs",
        "structure",
    ),
    fault(
        "a copy of all rows",
        "create materialized view public.copy as select * from public.guest_users;"
        "grant select on public.copy to authenticated",
        "public.copy",
        "structure",
    ),
    fault(
        "a function that says nothing to a null",
        "alter function private.migrate_guest_jobs strict",
        "migrate_guest_jobs",
        "structure",
    ),
    fault(
        "private to be handed on",
        "grant usage on schema private to anon with grant option",
        "private",
        "structure",
    ),
    fault(
        "a column to be handed on",
        "grant insert (guest_id) on public.guest_users to anon with grant option",
        "public.guest_users",
        "structure",
    ),
    fault(
        "a column's grants revoked",
        "revoke insert (guest_id), update (guest_id) on public.guest_users from anon",
        "public.guest_users",
        "structure",
        "access",
    ),
    fault(
        "cleanup of any status",
        "create or replace function private.cleanup_old_jobs(p_days integer default 7, p_limit integer default null)"
        " returns table (deleted_count integer) language plpgsql security definer set search_path = '' as $$ begin"
        " delete from public.async_jobs where updated_at < now() - make_interval(days => p_days);"
        " get diagnostics deleted_count = row_count; return next; end $$",
        "private.cleanup_old_jobs",
        "structure",
    ),
    fault(
        "guests' insert policy with check true",
        'alter policy "guests create their own jobs" on public.async_jobs with check (true)',
        "guests create their own jobs",
        "structure",
        "access",
    ),
    fault(
        "users' insert policy with check true",
        'alter policy "users create their own jobs" on public.async_jobs with check (true)',
        "users create their own jobs",
        "structure",
        "access",
    ),
]
