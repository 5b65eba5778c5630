"""User objects that bypass row level security: what is no bypass, and bypasses that are allowed."""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make, oldest_and_newest

JOBS = "public.async_jobs"


def errors(connection: Connection) -> dict[str, Finding]:
    """Id → the errors of the structure area."""
    findings = verify(connection, EXPECTATIONS, ("structure",)).findings
    return {str(f.id): f for f in findings if f.severity is Severity.ERROR}


@oldest_and_newest
@pytest.mark.parametrize(
    "sql",
    [
        f"create function public.mine() returns setof {JOBS} language sql as 'select * from {JOBS}'",
        f"create function public.backend() returns setof {JOBS} language sql security definer as"
        f" 'select * from {JOBS}'; revoke all on function public.backend from public, anon,"
        " authenticated",
        # runs as the caller of the view, which depends on the columns of the table only
        f"create function public.mine() returns setof {JOBS} language sql as 'select * from"
        f" {JOBS}';"
        "create view public.my_jobs as select id, url from public.mine(); grant all on"
        " public.my_jobs to anon;"
        "create view public.my_urls as select url from public.my_jobs; grant select on"
        " public.my_urls to public",
        "create function public.other() returns int language sql security definer as"
        " 'select 1 as my_async_jobs -- async_jobs_count'",
        # with this search_path, the name is that of a column
        f"create view private.active with (security_invoker = on) as select * from {JOBS};"
        "create function public.switch(active boolean) returns boolean language sql security definer"
        " set search_path = public as 'select active'",
        "create schema shop; create table shop.async_jobs (x int);"
        "create function public.other() returns bigint language sql security definer as"
        " 'select count(*) from shop.async_jobs'",
        f"create view public.mine with (security_invoker = on) as select * from {JOBS};"
        "grant select on public.mine to anon",
        f"create table public.kept as table {JOBS}; alter table public.kept enable row level"
        " security",
        f"create table public.kept as table {JOBS}; revoke all on public.kept from anon,"
        " authenticated",
        f"create table public.kept as select id, url, status from {JOBS}",
    ],
)
def test_objects_without_a_bypass_are_not_reported(rolled_back: Connection, sql: str) -> None:
    rolled_back.execute(sql.encode())
    assert verify(rolled_back, EXPECTATIONS).findings == ()


@pytest.mark.parametrize(
    ("sql", "id"),
    [
        (
            "create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper"
            " elsewhere;"
            "create foreign table public.every_job (id uuid, url text, status text, progress"
            " integer, result jsonb,"
            " error text, guest_id uuid, user_id uuid, created_at timestamptz, updated_at"
            " timestamptz, metadata jsonb)"
            " server elsewhere; grant select on public.every_job to public",
            "copy without row level security:public.every_job",
        ),
        (
            f"create function public.every_job() returns setof {JOBS} language sql security"
            " definer as"
            f" 'select * from {JOBS}'; alter extension plpgsql add function public.every_job()",
            "function that bypasses row level security:public.every_job()",
        ),
        (
            "create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper"
            " elsewhere;"
            "create foreign table public.links (job text, link text) server elsewhere"
            " options (schema_name 'public', table_name 'async_jobs'); grant select on"
            " public.links to anon",
            "copy without row level security:public.links",
        ),
    ],
    ids=[
        "a foreign table",
        "a function of an extension",
        "a foreign table with a managed table in its options",
    ],
)
def test_bypass_that_only_a_superuser_can_create_is_reported_until_fixed(
    make_database: Make, sql: str, id: str
) -> None:
    database = make_database("applied")
    with (
        psycopg.connect(database.superuser_url, autocommit=True) as superuser,
        psycopg.connect(database.url, autocommit=True) as connection,
    ):
        superuser.execute(sql.encode())
        finding = errors(connection)[f"structure:{JOBS}:{id}"]
        superuser.execute(finding.fix.encode())
        assert errors(connection) == {}


def test_invoker_trigger_that_sets_a_role_is_reported_while_enabled(
    rolled_back: Connection,
) -> None:
    """It reads rows that its caller may not read, and writes them into a row that the caller reads."""
    rolled_back.execute(
        "create table public.notes (note text); grant insert on public.notes to anon;"
        "create function public.fill() returns trigger language plpgsql as $$ begin"
        " perform set_config('role', 'service_role', true);"
        f" new.note := (select string_agg(url, ' ') from {JOBS}); return new; end $$".encode()
    )
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()  # no trigger calls it
    rolled_back.execute(
        "create trigger fill before insert on public.notes for each row execute function"
        " public.fill()"
    )
    found = verify(rolled_back, EXPECTATIONS, ("structure", "access")).findings
    by_id = {str(finding.id): finding for finding in found}
    warning = by_id.pop("structure:lint:function_sets_role:public.fill()")
    assert "can fire it by writing to public.notes" in warning.message
    assert [*by_id] == ["access:public.notes:reach"]
    rolled_back.execute("alter table public.notes disable trigger fill")
    assert verify(rolled_back, EXPECTATIONS, ("structure", "access")).findings == ()


def test_function_that_sets_a_role_outside_the_exposed_schemas_is_not_reported(
    rolled_back: Connection,
) -> None:
    """No request reaches the helpers of a project's tests; a function of the same name in another
    schema is not one.
    """
    rolled_back.execute(
        "create schema tests; grant usage on schema tests to public;"
        "create function tests.login() returns void language sql set role = service_role as"
        " 'select';"
        "create schema app; create function app.login() returns void language sql as 'select';"
        "create function public.enter() returns void language sql as 'select app.login()'"
    )
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()


@pytest.mark.parametrize(
    "body",
    [
        "begin execute format('select %I', q); end",
        "begin update public.t set role = q, n = 1; end",  # a column, not a role
    ],
)
def test_invoker_function_that_builds_statements_is_not_reported(
    rolled_back: Connection, body: str
) -> None:
    rolled_back.execute(
        f"create function public.run(q text) returns void language plpgsql as $$ {body} $$".encode()
    )
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()
