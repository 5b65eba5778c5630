"""`verify` on a live database: silent where nothing is wrong, and one story per fault: green, broken, named."""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from supabase_jobs.database import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify import structure
from supabase_jobs.verify.areas import verify
from tests.fix_cli import Run
from tests.fix_db import Make

VARIABLES = {"guest_header": "x-guest-id"}


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
        "xor constraint not valid",
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
        "access",
    ),
    fault(
        "header cast without a look",
        "create or replace function private.request_guest_id() returns uuid language plpgsql stable"
        " set search_path = '' as $$ begin return"
        " (nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-guest-id')::uuid; end $$",
        "garbage",
        "access",
    ),
    fault(
        "migrate without its ownership check",
        "create or replace function private.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid) returns table"
        " (migrated_count integer) language plpgsql security definer set search_path = '' as $$ begin"
        " update public.async_jobs set guest_id = null, user_id = p_user_id where guest_id = p_guest_id;"
        " get diagnostics migrated_count = row_count; return next; end $$",
        "migrate",
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
]


def errors(connection: Connection, *areas: str) -> list[Finding]:
    """The errors that these areas find."""
    result = verify(connection, VARIABLES, areas or ("structure", "access"))
    return [f for f in result.findings if f.severity is Severity.ERROR]


def test_an_untouched_database_has_no_findings(rolled_back: Connection) -> None:
    result = verify(rolled_back, VARIABLES)
    assert (result.findings, result.ok) == ((), True)
    assert result.checks > 600


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_and_named(rolled_back: Connection, fault: Fault) -> None:
    rolled_back.execute(fault.sql.encode())
    found = errors(rolled_back)
    assert {f.area for f in found} == fault.areas
    named = [f for f in found if fault.named in f.object + f.message]
    assert named
    assert all(f.fix for f in named)


@pytest.mark.parametrize(
    "name",
    ["index with another predicate", "trigger dropped", "one more permissive policy", "delete granted to anon",
     "metadata nullable", "xor constraint dropped", "row level security off", "search_path lost",
     "guest may write who it became", "default changed", "definer made invoker", "private closed to the api"],
)  # fmt: skip
def test_the_fix_of_a_structure_finding_mends_it(rolled_back: Connection, name: str) -> None:
    rolled_back.execute(next(f for f in FAULTS if f.name == name).sql.encode())
    for finding in errors(rolled_back, "structure"):
        rolled_back.execute(finding.fix.encode())
    assert errors(rolled_back) == []


def test_objects_of_the_users_own_are_left_alone(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.theirs (id int); create index theirs_idx on public.theirs (id);"
        "create function public.their_function() returns int language sql as 'select 1';"
        "create index their_index on public.async_jobs (error); alter table public.async_jobs add column theirs text"
    )
    result = verify(rolled_back, VARIABLES)
    assert result.ok
    assert {f.severity for f in result.findings} == {Severity.INFO}
    assert all("their" in f.message for f in result.findings)


def test_verify_leaves_no_trace(shared: Callable[[int], str], each_major: int) -> None:
    counts = (
        "select (select count(*) from public.async_jobs), (select count(*) from public.guest_users),"
        " (select count(*) from auth.users), (select count(*) from pg_locks where locktype = 'advisory'),"
        " current_setting('role'), coalesce(current_setting('request.headers', true), ''),"
        " current_setting('search_path')"
    )
    with psycopg.connect(shared(each_major), autocommit=True) as connection:
        before = connection.execute(counts).fetchone()
        assert verify(connection, VARIABLES).ok
        assert connection.execute(counts).fetchone() == before


def test_verify_takes_no_lock_stronger_than_a_row_lock(shared: Callable[[int], str], each_major: int) -> None:
    """Another session writes, reads and even holds the table open while verify runs with a 2 s lock timeout."""
    with (
        psycopg.connect(shared(each_major)) as other,
        psycopg.connect(shared(each_major), autocommit=True) as connection,
    ):
        other.execute("lock table public.async_jobs, public.guest_users in row exclusive mode")
        assert verify(connection, VARIABLES).ok
        other.rollback()


def test_no_case_passes_on_an_empty_table(rolled_back: Connection) -> None:
    """A trigger that throws the planted rows away: hidden and denied would all 'hold', and prove nothing."""
    rolled_back.execute(
        "create function public.swallow() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger swallow before insert on public.async_jobs for each row execute function public.swallow()"
    )
    found = errors(rolled_back, "access")
    assert any("proves nothing" in f.message and "hidden" in f.message for f in found)
    assert any("proves nothing" in f.message and "denied" in f.message for f in found)


def test_a_trigger_on_auth_users_that_fails_is_reported_as_not_checked(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
            "create trigger refuse before insert on auth.users for each row execute function public.refuse()"
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        result = verify(connection, VARIABLES, ("access",))
    [finding] = result.findings
    assert (finding.severity, result.grids) == (Severity.WARNING, ())
    assert "not checked" in finding.message


def test_another_guest_header_is_what_verify_sends(rolled_back: Connection) -> None:
    assert not verify(rolled_back, {"guest_header": "x-other"}, ("access",)).ok


def test_the_recorded_structure_is_what_the_migrations_make(make_database: Make, each_major: int) -> None:
    with psycopg.connect(make_database("applied", each_major).url, autocommit=True) as connection:
        connection.execute("set search_path = ''")
        recorded = structure.load()
        made = [(part, name) for part, names in recorded.scope.items() for name in names]
        assert structure.dump(structure.record(connection, made)) == structure.DEFAULT_FILE.read_text(encoding="utf-8")


def test_the_recorded_scope_is_everything_that_the_migrations_make(make_database: Make) -> None:
    with psycopg.connect(make_database("platform").url, autocommit=True) as connection:
        before = structure.objects(connection)
    with psycopg.connect(make_database("applied").url, autocommit=True) as connection:
        made = structure.objects(connection) - before
    assert made == {(part, name) for part, names in structure.load().scope.items() for name in names}


def test_the_command_exits_1_and_names_the_object(applied_url: str, cli: Run) -> None:
    assert cli("verify", "--db-url", applied_url).code == 0
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute("drop index public.idx_async_jobs_url")
    ran = cli("--db-url", applied_url, "verify", "--json")
    assert ran.code == 1
    assert ran.json["ok"] is False
    [finding] = ran.json["findings"]
    assert finding["severity"] == "error"
    assert "idx_async_jobs_url" in finding["message"]
    assert finding["fix"].startswith("CREATE INDEX idx_async_jobs_url ON public.async_jobs")


def test_an_unmigrated_database_fails_with_a_line_per_missing_object(platform_url: str, cli: Run) -> None:
    ran = cli("verify", "--db-url", platform_url, "--json")
    assert ran.code == 1
    structural = [f for f in ran.json["findings"] if f["area"] == "structure"]
    assert 10 <= len(structural) <= 14
    assert any("access was not checked" in f["message"] for f in ran.json["findings"])
