"""`audit --explain`: findings as scripts that psql runs as printed, and cells in words."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from supabase_jobs.audit.baseline import Baseline, apply, parsed
from supabase_jobs.audit.explain import cell, finding
from supabase_jobs.audit.options import Files, Options
from supabase_jobs.database.connection import connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Audit
from supabase_jobs.sources.files import Migration
from supabase_jobs.sources.revocations import revocations
from tests.audit.catalogue import project
from tests.audit.conftest import run_audit
from tests.fix_cli import Run
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR
from tests.psql import psql_outcome

# project → faults of different kinds: tables, chains, columns, views, functions, files
FAULTS = {
    "teams": ["projects can be changed blindly", "anyone signed in can join a team"],
}
RECURSION = """
create table public.members (
  team_id integer, user_id uuid references auth.users, primary key (team_id, user_id)
);
alter table public.members enable row level security;
create policy "members: read" on public.members for select to authenticated
using (exists (select from public.members m where m.team_id = members.team_id and m.user_id = auth.uid()));
"""
# the index that the trigger's row is found by holds for some rows only
SIGN_UP = """
create table public.plans (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users,
  plan text not null default 'free' check (plan in ('free', 'pro')),
  ended boolean not null default false
);
create unique index on public.plans (user_id) where not ended;
alter table public.plans enable row level security;
create policy "plans: own" on public.plans for select to authenticated
using (user_id = auth.uid());
create policy "plans: change" on public.plans for update to authenticated
using (user_id = auth.uid());
create function public.subscribe() returns trigger language plpgsql security definer
set search_path = '' as $$
begin
  insert into public.plans (user_id) values (new.id);
  return new;
end $$;
create trigger subscribe after insert on auth.users for each row execute function public.subscribe();
"""
REVOKES = """
create table public.lists (id integer primary key, mark text);
alter table public.lists enable row level security;
revoke select (mark) on public.lists from anon;
create function public.seed() returns void language sql as 'select';
revoke execute on function public.seed() from anon;
"""


def _ids(url: str) -> list[str]:
    with connect(url) as connection:
        found = run_audit(connection, repairs=False).findings
    return [f.id for f in found if f.severity.is_problem]


@pytest.fixture(scope="module")
def teams(request: pytest.FixtureRequest, project_url: Callable[[str], str]) -> str:
    """The URL of the project teams with two faults, and a view and a function that leak."""
    project_url("teams")
    database = session_copy(request, "explained", "services", DEFAULT_MAJOR)
    source = Path("tests/data/projects/teams/supabase/migrations")
    with connect(database.url) as connection:
        for file in sorted(source.glob("*.sql")):
            connection.execute(file.read_bytes())
        faults = {fault.name: fault.sql for fault in project("teams").faults}
        for name in FAULTS["teams"]:
            connection.execute(faults[name].encode())
        connection.execute(b"create view public.all_tasks as select * from public.tasks")
        connection.execute(
            b"create function public.count_tasks() returns setof public.tasks language sql"
            b" stable security definer as 'select * from public.tasks'"
        )
    return database.url


def test_psql_runs_each_finding_as_printed(teams: str) -> None:
    ids = _ids(teams)
    kinds = {id_.partition(":")[0] for id_ in ids}
    assert {"write", "escalation", "view", "function-reads"} <= kinds
    for id_ in {id_.partition(":")[0]: id_ for id_ in ids}.values():
        with connect(teams) as connection:
            script = finding.explain(connection, Options(), id_)
        assert script.startswith(("-- error ", "-- warning ")), id_
        assert psql_outcome(teams, script) == "rows", id_
    assert _ids(teams) == ids, "a script has left something"


def test_chain_has_a_statement_for_each_step(teams: str) -> None:
    with connect(teams) as connection:
        script = finding.explain(connection, Options(), "escalation:public.team_members:insert")
    steps = re.findall(r"^-- (\d)\. (.*)$", script, flags=re.MULTILINE)
    assert [number for number, _ in steps] == ["1", "2", "3"]
    assert steps[1][1] == "newcomer: insert join public.team_members"
    assert script.count("As a request: curl ") == 2
    # without the second step, the third shows nothing
    head, _, rest = script.partition("\n-- 2. ")
    alone = f"{head}\n-- 3. {rest.partition('-- 3. ')[2]}"
    assert psql_outcome(teams, alone) == "hidden"


def test_broken_access_ends_with_its_error(
    request: pytest.FixtureRequest,
) -> None:
    database = session_copy(request, "explained_broken", "services", DEFAULT_MAJOR)
    with connect(database.url) as connection:
        connection.execute(RECURSION.encode())
        id_ = "broken-access:public.members:recursion"
        script = finding.explain(connection, Options(), id_)
    assert psql_outcome(database.url, script) == "42P17"


def test_a_row_that_sign_up_inserts_is_changed(request: pytest.FixtureRequest) -> None:
    database = session_copy(request, "explained_sign_up", "services", DEFAULT_MAJOR)
    with connect(database.url) as connection:
        connection.execute(SIGN_UP.encode())
        found = run_audit(connection, repairs=False).findings
        [id_] = [f.id for f in found if f.object == "public.plans" and "plan" in f.message]
        script = finding.explain(connection, Options(), id_)
    assert "No row shows it" not in script
    assert psql_outcome(database.url, script) == "rows"


@pytest.mark.parametrize(
    ("id_", "shown"),
    [
        ("void-revoke:public.seed():anon:execute", "seed()|f|-|EXECUTE"),
        ("void-revoke:public.lists:anon:select(mark)", "anon|SELECT"),
    ],
)
def test_privileges_show_a_void_revoke(
    request: pytest.FixtureRequest, id_: str, shown: str
) -> None:
    database = session_copy(request, "explained_revoke", "services", DEFAULT_MAJOR)
    revoked = revocations([Migration("1", "one", REVOKES, "1_one.sql")])
    with connect(database.url) as connection, connection.transaction(force_rollback=True):
        connection.execute(REVOKES.encode())
        script = finding.explain(connection, Options(files=Files(revocations=revoked)), id_)
        query = script.partition("-- No row shows it; the privileges do")[2].partition("\n")[2]
        rows = connection.execute(query.partition(";")[0].encode()).fetchall()
    texts = ["|".join(str(value) for value in row) for row in rows]
    assert any(shown in text.replace("True", "t").replace("False", "f") for text in texts), texts


def test_unknown_finding_suggests_another(teams: str) -> None:
    with connect(teams) as connection, pytest.raises(ConfigError) as raised:
        finding.explain(connection, Options(), "write:public.project:update")
    assert "write:public.projects:update" in (raised.value.hint or "")


def test_cell_names_what_each_policy_says(teams: str) -> None:
    with connect(teams) as connection:
        text = cell.explain(connection, Options(), ("projects", "stranger", "update"))
    lines = text.splitlines()
    assert lines[0] == "public.projects: update as stranger"
    assert lines[1].startswith('role authenticated, claims: {"sub": "b0000001-')
    assert lines[2] == "grants: UPDATE to authenticated"
    said = [line for line in lines if re.match(r"\d\. policy", line)]
    assert said == [
        '1. policy "projects: admins write": permits own row (name), refuses another\'s row (name)',
        '2. policy "projects: open": permits own row (name), permits another\'s row (name)',
    ]
    assert "result: another's row (name): rows" in lines
    assert lines[-1] == "the policies read: private.team_role_of(uuid)"
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100


def test_cell_of_a_view_names_whose_policies_apply(teams: str) -> None:
    with connect(teams) as connection, connection.transaction(force_rollback=True):
        text = cell.explain(connection, Options(), ("all_tasks", "stranger", "read"))
        lines = text.splitlines()
        owner = connection.info.user
        assert lines[0] == "public.all_tasks, a view: select as stranger"
        assert lines[2] == "grants: SELECT to authenticated"
        assert lines[3] == f"runs as its owner {owner}: the policies of its tables apply to {owner}"
        assert lines[4] == "reads: public.tasks"
        assert lines[5] == "result: rows"
        assert "reached: rows of public.tasks that the tables refuse" in lines
        connection.execute(b"alter view public.all_tasks set (security_invoker = true)")
        text = cell.explain(connection, Options(), ("all_tasks", "stranger", "read"))
        assert "security_invoker: the policies of its tables apply to the caller" in text
        assert "result: hidden" in text
        assert "reached" not in text
        connection.execute(b"revoke select on public.all_tasks from authenticated")
        text = cell.explain(connection, Options(), ("all_tasks", "stranger", "read"))
        assert "grants: no SELECT to authenticated: every request ends with 42501" in text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("project", "stranger", "update"), "projects"),
        (("projects", "strangers", "update"), "stranger"),
        (("projects", "stranger", "change"), "read, select, insert, update, delete"),
    ],
)
def test_unknown_cell_suggests_another(teams: str, words: tuple[str, str, str], hint: str) -> None:
    with connect(teams) as connection, pytest.raises(ConfigError) as raised:
        cell.explain(connection, Options(), words)
    assert hint in (raised.value.hint or "")


def test_cell_names_a_restrictive_policy_and_a_missing_grant(teams: str) -> None:
    with connect(teams) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            b"create policy blocked on public.projects as restrictive for update to authenticated"
            b" using (false); revoke delete on public.projects from authenticated"
        )
        text = cell.explain(connection, Options(), ("projects", "stranger", "update"))
        assert '3. policy "blocked" (restrictive): refuses own row (name)' in text
        assert "result: own row (name): hidden" in text
        text = cell.explain(connection, Options(), ("projects", "stranger", "delete"))
        assert "grants: none" in text
        assert "result: own row: denied" in text


def _compared(stranger: str) -> Callable[[Audit], Audit]:
    """The deviations from a baseline with the access of a stranger to a view."""
    known = Baseline(access=parsed({"public.all_tasks": {"stranger": stranger}}))
    return lambda result: apply(result, known, strict=False, narrowed=False)


def test_access_to_a_view_beyond_the_baseline_is_shown_by_its_rows(teams: str) -> None:
    id_ = "baseline:public.all_tasks:stranger:read:wider"
    with connect(teams) as connection:
        script = finding.explain(connection, Options(), id_, _compared("none"))
    assert "No row shows it" not in script
    assert psql_outcome(teams, script) == "rows"


def test_a_view_that_shows_less_than_the_baseline_has_is_shown_by_its_definition(
    teams: str,
) -> None:
    id_ = "baseline:public.all_tasks:stranger:read:narrower"
    with connect(teams) as connection, connection.transaction(force_rollback=True):
        connection.execute(b"alter view public.all_tasks set (security_invoker)")
        script = finding.explain(connection, Options(), id_, _compared("read"))
        query = script.partition("-- No row shows it; the view does.\n")[2].partition(";")[0]
        [(owner, _, options, text)] = connection.execute(query.encode()).fetchall()
    assert (owner, options) == ("postgres", ["security_invoker=true"])
    assert "FROM tasks" in text


@pytest.mark.slow
def test_command_explains_what_differs_from_the_baseline(
    cli: Run, teams: str, tmp_path: Path
) -> None:
    baseline = tmp_path / "supabase" / "access.toml"
    baseline.parent.mkdir()
    baseline.write_text('[access]\n"public.projects" = { stranger = "none" }\n')
    found = cli("--db-url", teams, "audit", "--json", cwd=tmp_path).json["findings"]
    ids = [f["id"] for f in found if f["id"].startswith("baseline:public.projects:stranger:")]
    assert ids
    ran = cli("--db-url", teams, "audit", "--explain", ids[0], cwd=tmp_path)
    assert (ran.code, psql_outcome(teams, ran.out)) == (0, "rows"), ran.out + ran.err


def test_command(cli: Run, teams: str, tmp_path: Path) -> None:
    id_ = "write:public.projects:update"
    ran = cli("--db-url", teams, "audit", "--explain", id_, cwd=tmp_path)
    assert ran.code == 0
    assert psql_outcome(teams, ran.out) == "rows"
    words = ("--explain", "projects", "stranger", "read")
    ran = cli("--db-url", teams, "audit", *words, cwd=tmp_path)
    assert ran.out.startswith("public.projects: select as stranger\n")
    for wrong in (["projects"], ["--explain", "projects", "stranger"]):
        assert cli("audit", *wrong, cwd=tmp_path).code == 2
    ran = cli("audit", "--explain", id_, "--json", cwd=tmp_path)
    assert ran.code == 2
