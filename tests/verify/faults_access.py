"""Faults of policies, grants and row level security."""

from tests.rls_faults import sql
from tests.verify.fault import fault

ACCESS = [
    fault(
        "select policy for anon made true",
        'alter policy "guests read their own jobs" on public.async_jobs using (true)',
        "guests read their own jobs",
        "structure",
        "access",
    ),
    fault(
        "row level security off",
        sql("Row level security is off"),
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
        "grant execute on function private.cleanup_old_jobs(integer, integer, timestamptz) to anon",
        "cleanup_old_jobs",
        "structure",
        "access",
    ),
    fault(
        "guests' update policy with check true",
        sql("UPDATE with check true"),
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
        sql("DELETE using true"),
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
    fault(
        "guests may leave their jobs to users",
        'alter policy "guests update their own jobs" on public.async_jobs'
        " with check (guest_id = (select private.request_guest_id()) or guest_id is null)",
        "guests update their own jobs",
        "structure",
        "access",
    ),
    fault(
        "who has no id reads what has no user",
        'alter policy "users read their own jobs" on public.async_jobs'
        " using (user_id is not distinct from (select auth.uid()))",
        "users read their own jobs",
        "structure",
        "access",
    ),
    fault(
        "who has no id deletes what has no user",
        'alter policy "users delete their own jobs" on public.async_jobs'
        " using (user_id is not distinct from (select auth.uid()))",
        "users delete their own jobs",
        "structure",
        "access",
    ),
]
