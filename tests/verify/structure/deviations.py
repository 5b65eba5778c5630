"""Deviations of the structure, one at a time: each is one finding, of this severity, and its fix undoes it."""

from dataclasses import dataclass

from supabase_jobs.findings import Severity

ERROR, WARNING, INFO = Severity


@dataclass(frozen=True)
class Deviation:
    """SQL that makes one, the severity and the id of the finding, and whether its fix is SQL that mends it."""

    sql: str
    severity: Severity
    id: str
    mends: bool = True


TABLE = "structure:public.async_jobs"
CLEANUP = "structure:private.cleanup_old_jobs(integer,integer,timestamp with time zone)"

DEVIATIONS = {
    "comment of a table changed": Deviation("comment on table public.async_jobs is 'x'", WARNING, f"{TABLE}:comment"),
    "comment of a column gone": Deviation(
        "comment on column public.guest_users.guest_id is null",
        WARNING,
        "structure:public.guest_users:comment of column:guest_id",
    ),
    "comment of a policy gone": Deviation(
        'comment on policy "guests read their own jobs" on public.async_jobs is null',
        WARNING,
        f"{TABLE}:comment of policy:guests read their own jobs",
    ),
    "comment of a trigger gone": Deviation(
        "comment on trigger update_async_job_updated_at_trigger on public.async_jobs is null",
        WARNING,
        f"{TABLE}:comment of trigger:update_async_job_updated_at_trigger",
    ),
    "comment of a function gone": Deviation(
        "comment on function private.cleanup_old_jobs is null", WARNING, f"{CLEANUP}:comment"
    ),
    "a column dropped": Deviation("alter table public.async_jobs drop column error", ERROR, f"{TABLE}:column:error"),
    "a column of another collation": Deviation(
        'alter table public.async_jobs alter column error type text collate "C"', ERROR, f"{TABLE}:column:error"
    ),
    "a column stored otherwise": Deviation(
        "alter table public.async_jobs alter column result set storage external",
        INFO,
        f"{TABLE}:storage of column:result",
    ),
    "an identity column": Deviation(
        "alter table public.async_jobs alter column progress drop default;"
        "alter table public.async_jobs alter column progress add generated always as identity;",
        ERROR,
        f"{TABLE}:default of column:progress",
    ),
    "a table that a crash empties": Deviation(
        "alter table public.async_jobs set unlogged", ERROR, f"{TABLE}:persistence"
    ),
    "another replica identity": Deviation(
        "alter table public.async_jobs replica identity full", WARNING, f"{TABLE}:replica identity"
    ),
    "a child table": Deviation(
        "create table public.child () inherits (public.async_jobs)", ERROR, f"{TABLE}:child table:public.child"
    ),
    "a parent table": Deviation(
        "create table public.parent (id uuid not null); alter table public.async_jobs inherit public.parent",
        ERROR,
        f"{TABLE}:parent table:public.parent",
    ),
    "a publication": Deviation(
        "alter publication supabase_realtime add table public.async_jobs",
        WARNING,
        f"{TABLE}:publication:supabase_realtime",
    ),
    "a foreign key that holds jobs in place": Deviation(
        "create table public.theirs (job_id uuid constraint job references public.async_jobs (id))",
        WARNING,
        f"{TABLE}:foreign key:job of public.theirs",
    ),
    "a trigger of theirs that fires before": Deviation(
        "create function public.theirs() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger theirs before insert on public.async_jobs for each row execute function public.theirs()",
        WARNING,
        f"{TABLE}:trigger:theirs",
    ),
    "a trigger of theirs that fires after": Deviation(
        "create function public.theirs() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger theirs after insert on public.async_jobs for each row execute function public.theirs()",
        INFO,
        f"{TABLE}:trigger:theirs",
    ),
    "a constraint of theirs": Deviation(
        "alter table public.async_jobs add constraint theirs check (url like 'https://%')",
        WARNING,
        f"{TABLE}:constraint:theirs",
    ),
    "a unique index of theirs": Deviation(
        "create unique index theirs on public.async_jobs (url, id)", WARNING, f"{TABLE}:index:theirs"
    ),
    "a trigger that fires on replicas too": Deviation(
        "alter table public.async_jobs enable always trigger update_async_job_updated_at_trigger",
        ERROR,
        f"{TABLE}:trigger:update_async_job_updated_at_trigger",
    ),
    "default privileges that open our schema": Deviation(
        "alter default privileges in schema private grant execute on functions to anon",
        WARNING,
        "structure:private:default privilege:anon on functions of postgres",
    ),
    "default privileges that open every schema": Deviation(
        "alter default privileges grant select on tables to authenticated",
        WARNING,
        "structure:private:default privilege:authenticated on tables of postgres",
    ),
    "anybody may create objects in public": Deviation(
        "grant create on schema public to anon", WARNING, "structure:public:right to create objects:anon"
    ),
    "a role of theirs may read": Deviation(
        "create role reporting; grant select on public.async_jobs to reporting", WARNING, f"{TABLE}:grant:reporting"
    ),
    "a policy for a role of theirs": Deviation(
        "create role reporting; create policy theirs on public.async_jobs for select to reporting using (true)",
        WARNING,
        f"{TABLE}:policy:theirs",
    ),
    "a grant to a role that the API can take on": Deviation(
        "create role staff; grant staff to authenticator; grant delete on public.async_jobs to staff",
        ERROR,
        f"{TABLE}:grant:staff",
    ),
    "a function that workers may run": Deviation(
        "alter function private.cleanup_old_jobs parallel safe", ERROR, f"{CLEANUP}:parallel"
    ),
    "a function that goes by the planner's own mind": Deviation(
        "alter function public.claim_jobs reset enable_incremental_sort",
        ERROR,
        "structure:public.claim_jobs(text,integer):settings",
    ),
    "a function of another cost": Deviation(
        "alter function private.cleanup_old_jobs cost 1 rows 7", WARNING, f"{CLEANUP}:cost"
    ),
    "another default of an argument": Deviation(
        "create or replace function public.cleanup_old_jobs(p_days integer default 0, p_limit integer default null)"
        " returns table (deleted_count integer) language sql volatile security invoker set search_path = '' as"
        " $$\n  select c.deleted_count from private.cleanup_old_jobs(p_days, p_limit, '-infinity') as c;\n$$",
        ERROR,
        "structure:public.cleanup_old_jobs(integer,integer):arguments",
        mends=False,
    ),
}
