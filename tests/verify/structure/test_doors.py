"""`verify` on what leads to our tables past the matrix: undeclared privileges, views, rules, functions."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.settings import load_settings
from supabase_jobs.verify.run import verify
from tests.fix_db import EXPECTATIONS, Make, oldest_and_newest
from tests.verify.structure.doors import DOORS, JOBS


def errors(connection: Connection, area: str, **changed: object) -> dict[str, Finding]:
    """Id → the errors of an area."""
    found = verify(connection, replace(EXPECTATIONS, **changed), (area,)).findings  # type: ignore[arg-type]
    return {f.id: f for f in found if f.severity is Severity.ERROR}


@pytest.mark.parametrize(
    ("sql", "role", "privilege"),
    [
        (f"grant references on {JOBS} to anon", "anon", "REFERENCES"),
        (f"grant trigger on {JOBS} to authenticated", "authenticated", "TRIGGER"),
        (f"grant references (id) on {JOBS} to anon", "anon", "REFERENCES"),
        (f"grant select on {JOBS} to public", "public", "SELECT"),
        (f"create role staff; grant staff to authenticator; grant delete on {JOBS} to staff", "staff", "DELETE"),
        (
            f"create role staff; create role desk; grant staff to desk; grant desk to authenticator;"
            f"grant update on {JOBS} to staff",
            "desk",
            "UPDATE",
        ),
    ],
)
def test_a_privilege_without_a_cell_or_a_line_is_undeclared(
    rolled_back: Connection, sql: str, role: str, privilege: str
) -> None:
    rolled_back.execute(sql.encode())
    finding = errors(rolled_back, "access")[f"access:{JOBS}:{role} may {privilege}"]
    assert finding.message == f"undeclared: {role} may {privilege} {JOBS}, but access.toml neither tests nor lists this"
    rolled_back.execute(finding.fix.encode())


def test_one_of_a_role_that_no_request_acts_as_is_a_warning(rolled_back: Connection) -> None:
    rolled_back.execute(f"create role reporting; grant select on {JOBS} to reporting".encode())
    [finding] = verify(rolled_back, EXPECTATIONS, ("access",)).findings
    assert (finding.severity, finding.id) == (Severity.WARNING, f"access:{JOBS}:reporting may SELECT")


def test_a_privilege_that_a_cell_tries_is_left_to_the_cell(rolled_back: Connection) -> None:
    rolled_back.execute(f"grant delete on {JOBS} to anon".encode())
    assert all(":anon may " not in id for id in errors(rolled_back, "access"))
    assert any(id.endswith(":delete") for id in errors(rolled_back, "access"))


def test_maintain_is_a_privilege_from_17_on(rolled_back: Connection, each_major: int) -> None:
    cases = {case.id for case in verify(rolled_back, EXPECTATIONS, ("access",)).cases}
    assert (f"access:{JOBS}:service_role may MAINTAIN" in cases) is (each_major >= 17)


def test_a_hidden_schema_that_the_projects_config_serves(rolled_back: Connection) -> None:
    assert errors(rolled_back, "access") == {}
    [(id, finding)] = errors(rolled_back, "access", exposed_schemas=("public", "private")).items()
    assert (id, finding.object) == ("access:private:not served", "private")


def test_a_hidden_schema_that_a_setting_of_the_database_serves(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("alter role authenticator in database {} set pgrst.db_schemas = 'public, private'").format(
                psycopg.sql.Identifier(database.name)
            )
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert set(errors(connection, "access")) == {"access:private:not served"}


@oldest_and_newest
@pytest.mark.parametrize("name", DOORS)
def test_a_door_is_found_mended_and_can_be_meant(rolled_back: Connection, name: str) -> None:
    sql, kind, door = DOORS[name]
    rolled_back.execute(sql.encode())
    what = "without row level security" if kind == "copy" else "that bypasses row level security"
    id = f"structure:{JOBS}:{kind} {what}:{door}"
    finding = errors(rolled_back, "structure")[id]
    assert errors(rolled_back, "structure", allowed_bypasses=frozenset({door})) == {}
    rolled_back.execute(finding.fix.replace("function shop", "procedure shop").encode())
    assert "staff" in sql or errors(rolled_back, "structure") == {}


@oldest_and_newest
@pytest.mark.parametrize(
    "sql",
    [
        f"create function public.mine() returns setof {JOBS} language sql as 'select * from {JOBS}'",
        f"create function public.backend() returns setof {JOBS} language sql security definer as"
        f" 'select * from {JOBS}'; revoke all on function public.backend from public, anon, authenticated",
        "create function public.other() returns int language sql security definer as"
        " 'select 1 as my_async_jobs -- async_jobs_count'",
        "create schema theirs; create table theirs.async_jobs (x int);"
        "create function public.other() returns bigint language sql security definer as"
        " 'select count(*) from theirs.async_jobs'",
        f"create view public.mine with (security_invoker = on) as select * from {JOBS};"
        "grant select on public.mine to anon",
        f"create table public.kept as table {JOBS}; alter table public.kept enable row level security",
        f"create table public.kept as table {JOBS}; revoke all on public.kept from anon, authenticated",
        f"create table public.kept as select id, url, status from {JOBS}",
    ],
)  # fmt: skip
def test_what_is_no_door_is_left_alone(rolled_back: Connection, sql: str) -> None:
    rolled_back.execute(sql.encode())
    assert verify(rolled_back, EXPECTATIONS).findings == ()


@pytest.mark.parametrize(
    ("sql", "id"),
    [
        (
            "create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper elsewhere;"
            "create foreign table public.every_job (id uuid, url text, status text, progress integer, result jsonb,"
            " error text, guest_id uuid, user_id uuid, created_at timestamptz, updated_at timestamptz, metadata jsonb)"
            " server elsewhere; grant select on public.every_job to public",
            "copy without row level security:public.every_job",
        ),
        (
            f"create function public.every_job() returns setof {JOBS} language sql security definer as"
            f" 'select * from {JOBS}'; alter extension plpgsql add function public.every_job()",
            "function that bypasses row level security:public.every_job()",
        ),
    ],
    ids=["a foreign table", "a function that an extension is said to have"],
)
def test_a_door_that_only_a_superuser_can_make(make_database: Make, sql: str, id: str) -> None:
    database = make_database("applied")
    with (
        psycopg.connect(database.superuser_url, autocommit=True) as superuser,
        psycopg.connect(database.url, autocommit=True) as connection,
    ):
        superuser.execute(sql.encode())
        finding = errors(connection, "structure")[f"structure:{JOBS}:{id}"]
        superuser.execute(finding.fix.encode())
        assert errors(connection, "structure") == {}


@pytest.mark.parametrize(
    ("when", "end"),
    [
        ("after", "null"),
        ("before", "new"),
        ("before", "case when tg_op = 'INSERT' then coalesce(new, old) else old end"),
    ],
)
def test_a_trigger_that_only_adds_is_a_warning(rolled_back: Connection, when: str, end: str) -> None:
    rolled_back.execute(
        "create table public.uploads (owner uuid); grant insert on public.uploads to authenticated;"
        "create function public.enqueue() returns trigger language plpgsql security definer as"
        f" $$ begin insert into {JOBS} (url, user_id) values ('https://x.com', new.owner); return {end}; end $$;"
        f"create trigger enqueue {when} insert on public.uploads for each row"
        " execute function public.enqueue()".encode()
    )
    [finding] = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert (finding.severity, "on public.uploads, for " in finding.message) == (Severity.WARNING, True)
    rolled_back.execute("alter table public.uploads disable trigger enqueue")
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()


TAKES_ON = {
    "by a setting": "returns void language sql set role = service_role as 'select'",
    "by a statement": "returns void language plpgsql as $$ begin set local role service_role; end $$",
    "by a statement that says to": "returns void language plpgsql as $$ begin SET ROLE TO service_role; end $$",
    "by a call": "returns text language sql as $$ select set_config('role', 'service_role', true) $$",
    "by claims": "returns void language plpgsql as"
    " $$ begin perform set_config('request.jwt.claims', json_build_object('sub', p)::text, true); end $$",
    "after a comment": "returns void language plpgsql as $$ begin -- see all\n set role service_role; end $$",
    "between comments": "returns void language plpgsql as $$ begin /* a */ set role service_role; /* b */ end $$",
    "by arguments that are named": "returns text language sql as"
    " $$ select set_config(is_local => true, setting_name => 'role', new_value => 'service_role') $$",
    "by what it calls": "returns text language sql as $$ select private.more() $$;"
    'create function private.more() returns text language sql as $$ select "private"."as service" () $$;'
    "create function private.\"as service\"() returns text language sql set role = service_role as 'select null'",
    "by a header, parsed": "returns text language sql begin atomic"
    " select set_config('request.headers', json_build_object('x-guest-id', p)::text, true); end",
}


@pytest.mark.parametrize("how", TAKES_ON)
def test_a_function_that_takes_on_another_identity(rolled_back: Connection, how: str) -> None:
    rolled_back.execute("set local check_function_bodies = off")
    rolled_back.execute(f"create function public.become(p text) {TAKES_ON[how]}".encode())
    [(id, finding)] = errors(rolled_back, "structure").items()
    assert id == "structure:lint:function_sets_role:public.become(text)"
    assert errors(rolled_back, "structure", allowed_bypasses=frozenset({"public.become(text)"})) == {}
    rolled_back.execute(finding.fix.encode())
    assert errors(rolled_back, "structure") == {}


def test_a_trigger_that_takes_on_another_identity_as_its_caller(rolled_back: Connection) -> None:
    """It reads what its caller may not, and puts it into a row that the caller reads."""
    rolled_back.execute(
        "create table public.notes (note text); grant insert on public.notes to anon;"
        "create function public.fill() returns trigger language plpgsql as $$ begin"
        " perform set_config('role', 'service_role', true);"
        f" new.note := (select string_agg(url, ' ') from {JOBS}); return new; end $$".encode()
    )
    assert errors(rolled_back, "structure") == {}  # nothing sets it off
    rolled_back.execute("create trigger fill before insert on public.notes for each row execute function public.fill()")
    [finding] = errors(rolled_back, "structure").values()
    assert finding.id == "structure:lint:function_sets_role:public.fill()"
    assert "anon and authenticated can fire it by writing to public.notes" in finding.message
    rolled_back.execute("alter table public.notes disable trigger fill")
    assert errors(rolled_back, "structure") == {}


def test_a_function_of_another_schema_takes_on_roles_by_itself(rolled_back: Connection) -> None:
    """Helpers of a project's tests do, and no request comes to them; one of the same name elsewhere is another."""
    rolled_back.execute(
        "create schema tests; grant usage on schema tests to public;"
        "create function tests.login() returns void language sql set role = service_role as 'select';"
        "create schema app; create function app.login() returns void language sql as 'select';"
        "create function public.enter() returns void language sql as 'select app.login()'"
    )
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()


BUILDS = {
    "a text": ("(q text) returns void language plpgsql security definer as $$ begin execute q; end $$", Severity.ERROR),
    "an object": (
        "(q jsonb) returns void language plpgsql security definer as $$ begin EXECUTE q->>'sql'; end $$",
        Severity.ERROR,
    ),
    "an array, as xml": (
        "(q text[]) returns xml language sql security definer as $$ select query_to_xml(q[1], true, true, '') $$",
        Severity.ERROR,
    ),
    "a query of words": (
        "(q text) returns setof text language sql security definer as $$ select word from ts_stat(q) $$",
        Severity.ERROR,
    ),
    "a table of two ways": (
        "(q text) returns setof record language plpgsql security definer as"
        " $$ begin return query select * from extensions.crosstab(q) as t (a text, b int); end $$",
        Severity.ERROR,
    ),
    "a number": (
        "(q int) returns void language plpgsql security definer as $$ begin execute 'analyze'; end $$",
        Severity.WARNING,
    ),
    "as its caller": ("(q text) returns void language plpgsql as $$ begin execute q; end $$", None),
    "an update of a column named role": (
        "(q text) returns void language plpgsql as $$ begin update public.t set role = q, n = 1; end $$",
        None,
    ),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_function_that_builds_statements(rolled_back: Connection, name: str) -> None:
    sql, severity = BUILDS[name]
    rolled_back.execute(f"create function public.run{sql}".encode())
    found = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert [f.severity for f in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.id.startswith("structure:lint:security_definer_dynamic_sql:public.run(")
        rolled_back.execute(finding.fix.encode())
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()


def test_a_door_needs_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "supabase-jobs.toml"
    file.write_text('[allowed_bypasses]\n"public.stats()" = "counts only"\n')
    assert load_settings(tmp_path, {}).allowed_bypasses == {"public.stats()": "counts only"}
    file.write_text('[allowed_bypasses]\n"public.stats()" = ""\n')
    with pytest.raises(ConfigError, match="needs a reason"):
        load_settings(tmp_path, {})


def test_the_former_key_names_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "supabase-jobs.toml").write_text('[doors]\n"public.stats()" = "counts only"\n')
    with pytest.raises(ConfigError, match="'doors' is now called 'allowed_bypasses'"):
        load_settings(tmp_path, {})
