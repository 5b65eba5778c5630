"""Faults of columns, constraints, indexes, triggers, views, and whatever hangs on a table."""

from tests.rls_faults import sql
from tests.verify.fault import fault

OBJECTS = [
    fault(
        "xor constraint dropped",
        sql("A constraint dropped for an import"),
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
        "access",
    ),
    fault(
        "trigger dropped",
        "drop trigger update_async_job_updated_at_trigger on public.async_jobs",
        "update_async_job_updated_at_trigger",
        "structure",
    ),
    fault(
        "trigger disabled",
        sql("A trigger that is disabled"),
        "update_async_job_updated_at_trigger",
        "structure",
    ),
    fault("column dropped", "alter table public.async_jobs drop column error", "error", "structure", "access"),
    fault("table dropped", "drop table public.async_jobs cascade", "public.async_jobs", "structure", "access"),
    fault(
        "xor constraint not valid",
        sql("A constraint that is NOT VALID"),
        "chk_user_or_guest",
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
]
