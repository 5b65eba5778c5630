"""Advice: each rule red → green, silent where the recorded structure speaks, and leaves others alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify import lints
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.lints.run import run_lints
from supabase_jobs.verify.run import verify
from supabase_jobs.verify.script import SETTINGS
from supabase_jobs.verify.structure import snapshot
from tests.fix_db import EXPECTATIONS, Make
from tests.psql import paste

RULES = {path.stem.replace("_", " ") for path in (Path(lints.__file__).parent / "structure").glob("*.sql")}

# A project with other sources: a table, a function and a view, recorded as they are, so that no fact speaks.
NOTES = """
create table public.notes (id uuid primary key, owner uuid, phone text, note text);
alter table public.notes enable row level security;
grant select, update on public.notes to authenticated;
create policy own on public.notes to authenticated using (owner = (select auth.uid()));
create view public.titles with (security_invoker) as select note from public.notes;
create function public.mine() returns bigint language sql stable set search_path = ''
  as 'select count(*) from public.notes';
"""
SCOPE = {"relations": ["public.notes", "public.titles"], "functions": ["public.mine()"], "schemas": []}

STORIES = [
    ("definer function exposed", "alter function public.mine() security definer", "warning",
     "alter function public.mine() security invoker;"),
    ("search path mutable", "alter function public.mine() reset all", "warning", "set search_path = '';"),
    ("function takes on role", "alter function public.mine() set role = service_role", "error",
     "revoke execute on function public.mine() from public, anon, authenticated;"),
    ("function builds statements",
     "create function public.run(q text) returns void language plpgsql security definer as"
     " $$ begin execute q; end $$", "error", "alter function public.run(text) security invoker;"),
    ("rls off in exposed schema", "alter table public.notes disable row level security", "error",
     "alter table public.notes enable row level security;"),
    ("rls without policies", "drop policy own on public.notes", "info", "create policy"),
    ("several permissive policies", "create policy two on public.notes for select using (note = 'public')", "warning",
     "restrictive"),
    ("policy always true", "create policy two on public.notes for update using (true)", "error", "alter policy two"),
    ("policy reads user metadata",
     "alter policy own on public.notes using ((select auth.jwt()) -> 'user_metadata' ->> 'role' = 'admin')", "error",
     "app_metadata"),
    ("no primary key", "alter table public.notes drop constraint notes_pkey", "info", "add primary key"),
    ("foreign key to auth", "alter table public.notes add foreign key (phone) references auth.users (phone)", "error",
     "drop constraint"),
    ("definer view", "alter view public.titles reset (security_invoker)", "error",
     "alter view public.titles set (security_invoker = true);"),
    ("definer view", "create materialized view public.copy as select * from public.notes", "error",
     "revoke all on table public.copy"),
    ("definer view", "create view public.outer_titles as select * from public.titles", "error", "security_invoker"),
    ("auth users exposed",
     "create or replace view public.titles with (security_invoker) as"
     " select n.note from public.notes as n inner join auth.users as u on n.owner = u.id", "error", "revoke all"),
    ("policies without rls",
     "alter table public.notes set schema private; alter table private.notes disable row level security", "error",
     "enable row level security;"),
]  # fmt: skip


def advised(connection: Connection) -> list[Finding]:
    """What the advice comes to for the sources of `NOTES`, whatever their recorded structure says."""
    result = Context()
    names = [name for part in SCOPE.values() for name in part] + ["private.notes"]
    connection.execute(SETTINGS)
    about = {"scope": names, "recorded": [], "exposed": ["public"]}
    run_lints(connection, "structure", "structure:advice", "structure", about, result)
    assert {f.id for f in result.findings} <= {case.id for case in result.cases}
    return result.findings


@pytest.mark.parametrize(("rule", "sql", "severity", "fix"), STORIES, ids=[f"{s[0]}: {s[1][:40]}" for s in STORIES])
def test_each_rule_is_silent_then_speaks(rolled_back: Connection, rule: str, sql: str, severity: str, fix: str) -> None:
    rolled_back.execute(NOTES.encode())
    assert advised(rolled_back) == []
    rolled_back.execute(sql.encode())
    findings = [f for f in advised(rolled_back) if f.id.startswith(f"structure:advice:{rule}:")]
    assert {f.severity.value for f in findings} == {severity}
    assert all(fix in f.fix and f.area == "structure" for f in findings)


@pytest.mark.parametrize("where", ["", " in database {}"])
@pytest.mark.parametrize(
    ("rule", "setting", "severity"),
    [
        ("anonymous requests", "pgrst.db_anon_role = 'service_role'", "error"),
        ("before every request", "pgrst.db_pre_request = 'public.limit_rates'", "info"),
    ],
)
def test_settings_of_the_role_that_the_api_connects_as(
    make_database: Make, rule: str, setting: str, severity: str, where: str
) -> None:
    """Nobody but a superuser may make them here; rolled back: databases share the role."""
    database = make_database("platform")
    target = psycopg.sql.SQL(where).format(psycopg.sql.Identifier(database.name)).as_string()
    with psycopg.connect(database.superuser_url) as connection, connection.transaction(force_rollback=True):
        connection.execute(f"alter role authenticator{target} set pgrst.db_anon_role = 'anon'".encode())
        assert advised(connection) == []
        connection.execute(f"alter role authenticator{target} set {setting}".encode())
        [finding] = advised(connection)
        id = f"structure:advice:{rule}:authenticator:{setting.partition(' ')[0]}"
        assert (finding.id, finding.severity.value) == (id, severity)
        if severity == "error":
            connection.execute(finding.fix.encode())
            assert advised(connection) == []


def test_a_schema_that_the_api_serves_by_a_setting_is_exposed(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "create schema shop; grant usage on schema shop to anon;"
            "create function shop.enter() returns void language sql set role = service_role as 'select'"
        )
        assert verify(connection, EXPECTATIONS, ("structure",)).findings == ()
        connection.execute("alter role authenticator set pgrst.db_schemas = 'public, shop'")
        [finding] = verify(connection, EXPECTATIONS, ("structure",)).findings
        assert finding.id == "structure:advice:function takes on role:shop.enter()"


def test_settings_for_another_database_are_not_ours(make_database: Make) -> None:
    with (
        psycopg.connect(make_database("platform").superuser_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("alter role authenticator in database template1 set pgrst.db_anon_role = 'postgres'")
        assert advised(connection) == []


def test_every_rule_has_a_story(make_database: Make) -> None:
    """A foreign table needs a superuser to make one."""
    told = {story[0] for story in STORIES} | {"foreign table exposed", "anonymous requests", "before every request"}
    assert told == RULES
    with psycopg.connect(make_database("platform").superuser_url, autocommit=True) as connection:
        connection.execute("create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing")
        connection.execute(
            "create foreign table public.notes (a text) server nowhere; grant select on public.notes to anon"
        )
        [finding] = [f for f in advised(connection) if "foreign table" in f.id]
        assert finding.severity is Severity.ERROR
        connection.execute(finding.fix.encode())
        assert advised(connection) == []


@pytest.mark.parametrize("rule", ["definer function exposed", "search path mutable", "definer view"])
def test_the_fix_mends_it(rolled_back: Connection, rule: str) -> None:
    rolled_back.execute(NOTES.encode())
    rolled_back.execute(next(sql for name, sql, _, _ in STORIES if name == rule).encode())
    for finding in advised(rolled_back):
        rolled_back.execute(finding.fix.encode())
    assert advised(rolled_back) == []


def test_our_own_are_clean_and_each_rule_is_a_case(rolled_back: Connection) -> None:
    result = verify(rolled_back, EXPECTATIONS, ("structure",))
    assert result.findings == ()
    assert {f"structure:advice:{rule}" for rule in RULES} <= {case.id for case in result.cases}


@pytest.mark.parametrize(
    "sql",
    [
        "alter function public.migrate_guest_jobs security definer",
        "alter function private.migrate_guest_jobs reset search_path",
        "alter table public.async_jobs disable row level security",
        "create view public.all_jobs as select * from public.async_jobs",
        'alter policy "guests update their own jobs" on public.async_jobs using (true)',
    ],
)
def test_where_the_structure_speaks_the_advice_is_silent(rolled_back: Connection, sql: str) -> None:
    rolled_back.execute(sql.encode())
    findings = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert findings
    assert [f.id for f in findings if ":advice:" in f.id] == []


def test_a_recorded_promise_that_is_unwise_is_said(rolled_back: Connection, tmp_path: Path) -> None:
    rolled_back.execute(NOTES.encode())
    rolled_back.execute(
        "alter function public.mine() security definer; alter view public.titles reset (security_invoker)"
    )
    rolled_back.execute("select set_config('search_path', '', true)")
    made = [(part, name) for part, names in SCOPE.items() for name in names]
    (tmp_path / "structure.json").write_text(snapshot.dump(snapshot.record(rolled_back, made)))
    result = verify(rolled_back, replace(EXPECTATIONS, directory=tmp_path, texts=()), ("structure",))
    assert {f.id for f in result.findings} == {
        "structure:advice:definer function exposed:public.mine()",
        "structure:advice:definer view:public.titles",
    }


def test_objects_of_others_are_left_alone(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.theirs (id int); grant all on public.theirs to anon;"
        "create view public.people as select email from auth.users;"
        "create function public.theirs() returns int language sql security definer as 'select 1'"
    )
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()


def test_a_rule_can_be_pasted(shared: Callable[[int], str]) -> None:
    with psycopg.connect(shared(16), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("structure",))
    scripts = [result.script(case) for case in result.cases if ":advice:" in case.id]
    out, err = paste(shared(16), "".join(scripts))
    assert (len(scripts), err) == (len(RULES), "")
    assert out.count("(0 rows)") == len(RULES)
