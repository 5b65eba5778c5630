"""Faults of functions."""

from tests.rls_faults import sql
from tests.verify.fault import fault

FUNCTIONS = [
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
        sql("A definer without its search_path"),
        "migrate_guest_jobs",
        "structure",
    ),
    fault("function dropped", "drop function public.migrate_guest_jobs", "migrate_guest_jobs", "structure", "access"),
    fault(
        "an overload that runs as its owner",
        "create function public.cleanup_old_jobs() returns bigint language sql security definer"
        " as 'with d as (delete from public.async_jobs returning 1) select count(*) from d'",
        "cleanup_old_jobs()",
        "structure",
    ),
    fault(
        "a function that says nothing to a null",
        "alter function private.migrate_guest_jobs strict",
        "migrate_guest_jobs",
        "structure",
    ),
    fault(
        "cleanup of any status",
        "create or replace function private.cleanup_old_jobs(p_days integer, p_limit integer, p_from timestamptz)"
        " returns table (deleted_count integer, next_from timestamptz) language plpgsql security definer"
        " set search_path = '' as $$ begin"
        " delete from public.async_jobs where updated_at < now() - make_interval(days => p_days);"
        " get diagnostics deleted_count = row_count; return next; end $$",
        "private.cleanup_old_jobs",
        "structure",
    ),
]
