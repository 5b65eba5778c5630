"""One change that opens several tables: one finding, one fix and one annotation, at its own line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.difference import compare
from supabase_jobs.audit.options import Comparison, Options
from supabase_jobs.audit.repairs import changes
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AccessDiff, Severity
from supabase_jobs.report import FORMATS
from supabase_jobs.report.producers.audit import by_cause
from tests.fix_cli import Run
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

TEAMS = """
create table public.teams (id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users, name text);
create table public.tasks (id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams, title text);
create table public.files (id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams, path text);
create table public.notes (id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams, body text);
alter table public.teams enable row level security;
alter table public.tasks enable row level security;
alter table public.files enable row level security;
alter table public.notes enable row level security;
create function public.is_owner(team uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.teams where id = team and owner_id = auth.uid())
$$;
create policy "teams: own" on public.teams for select to authenticated using (owner_id = auth.uid());
create policy "tasks: of visible teams" on public.tasks for select to authenticated
  using (exists (select from public.teams where teams.id = tasks.team_id));
create policy "files: of visible teams" on public.files for select to authenticated
  using (exists (select from public.teams where teams.id = files.team_id));
create policy "notes: of own teams" on public.notes for select to authenticated using (public.is_owner(team_id));
create policy "notes: change" on public.notes for update to authenticated using (public.is_owner(team_id));
"""
OPEN = """create policy "teams: visible" on public.teams for select to authenticated
  using (true);
"""
CAUSE = 'policy "teams: visible" of public.teams'
HELPER = """
create or replace function public.is_owner(team uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.teams where id = team)
$$;
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    database = session_copy(request, "shared_cause", "services", DEFAULT_MAJOR)
    with connect(database.url) as connection:
        connection.execute(TEAMS.encode())
    return database.url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def changed(connection: Connection, change: str) -> AccessDiff:
    """The difference that a change makes."""
    options = Options(comparison=Comparison(common=Common(), partial=True), stable=True)
    first = audit(connection, options)
    before = changes.read(connection, ["public"])
    connection.execute(change.encode())
    comparison = replace(options.comparison, before=before)
    second = audit(connection, replace(options, accepted=first.access, comparison=comparison))
    return compare(first, second, ("before", "after"))


def test_policy_of_another_table_is_the_cause(connection: Connection) -> None:
    diff = changed(connection, OPEN)
    opened = [one for one in diff.changes if one.severity is Severity.ERROR]
    assert {one.object for one in opened} == {"public.teams", "public.tasks", "public.files"}
    assert {one.cause for one in opened} == {CAUSE}
    assert {one.origin for one in opened} == {"public.teams"}
    [fix] = {one.fix for one in opened}
    assert 'drop policy if exists "teams: visible" on "public"."teams";' in fix
    connection.execute(fix.encode())
    options = Options(comparison=Comparison(common=Common()), stable=True)
    assert [f for f in audit(connection, options).findings if f.severity.is_problem] == []


def test_policy_of_another_table_is_the_cause_without_a_change(connection: Connection) -> None:
    connection.execute(
        b"""
        create function public.has_team() returns boolean language sql stable security definer
        set search_path = '' as $$
          select exists (select from public.teams where owner_id = auth.uid())
        $$;
        create policy "teams: visible" on public.teams for select to authenticated
        using (public.has_team());
        """
    )
    found = [f for f in audit(connection, Options()).findings if f.severity is Severity.ERROR]
    assert {f.object for f in found} == {"public.teams", "public.tasks", "public.files"}
    assert {(f.cause, f.origin) for f in found} == {(CAUSE, "public.teams")}
    assert len({f.fix for f in found}) == 1
    [group] = by_cause(found)
    assert len(group) == 3


# a column goes before an argument with its name: who is in any club is in each
CLUBS = """
create table clubs (id uuid primary key default gen_random_uuid(), name text not null);
create table players (club_id uuid references clubs, user_id uuid references auth.users, primary key (club_id, user_id));
create table matches (id uuid primary key default gen_random_uuid(), club_id uuid not null references clubs, place text);
create table fees (id uuid primary key default gen_random_uuid(), club_id uuid not null references clubs, amount int);
alter table clubs enable row level security;
alter table players enable row level security;
alter table matches enable row level security;
alter table fees enable row level security;
create policy "own" on players for select to authenticated using (user_id = (select auth.uid()));
"""
CLUB_POLICIES = """
create policy "players" on matches for all to authenticated using (plays_in(club_id));
create policy "players" on fees for select to authenticated using (plays_in(club_id));
"""
CLUB_BLOCK = """
create function plays_in({argument} uuid) returns boolean language plpgsql stable security definer set search_path = public
as $$ begin return exists (select from players where {condition}); end $$;
"""
CLUB_HELPER = """
create function plays_in({argument} uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from players where {condition}) $$;
"""


@pytest.mark.parametrize(
    ("text", "argument", "condition", "added"),
    [
        (CLUB_HELPER, "club_id", "club_id = club_id and user_id = auth.uid()", '"club_id" = $1'),
        (CLUB_HELPER, "club", "user_id = auth.uid()", '"club_id" = $1'),
        (CLUB_HELPER, "club", "club_id = club", '"user_id" = (select auth.uid())'),
        (CLUB_BLOCK, "club", "user_id = auth.uid()", '"club_id" = $1'),
        (CLUB_BLOCK, "club", "club_id = club", '"user_id" = (select auth.uid())'),
    ],
)
def test_helper_that_asks_too_little_is_the_cause(
    connection: Connection, text: str, argument: str, condition: str, added: str
) -> None:
    helper = text.format(argument=argument, condition=condition)
    connection.execute(f"{CLUBS}{helper}{CLUB_POLICIES}".encode())
    tables = {"public.matches", "public.fees"}
    mended = [f for f in audit(connection, Options()).findings if f.object in tables and f.proven]
    assert {f.object for f in mended} == tables
    assert {(f.cause, f.origin) for f in mended} == {
        ("function public.plays_in(uuid)", "public.plays_in")
    }
    [fix] = {f.fix for f in mended}
    assert f"(select * from players where {added}) as players" in fix
    connection.execute(fix.encode())
    left = {f.id for f in audit(connection, Options()).findings if f.severity.is_problem}
    assert left.isdisjoint(f.id for f in mended)


def test_policy_that_members_need_is_no_cause(connection: Connection) -> None:
    connection.execute(
        b"""
        alter policy "tasks: of visible teams" on public.tasks
        using (exists (select from public.teams where owner_id = auth.uid()));
        alter policy "files: of visible teams" on public.files
        using (exists (select from public.teams where owner_id = auth.uid()));
        """
    )
    found = [f for f in audit(connection, Options()).findings if f.severity is Severity.ERROR]
    assert {(f.object, f.cause, f.origin) for f in found} == {
        ("public.tasks", 'policy "tasks: of visible teams"', ""),
        ("public.files", 'policy "files: of visible teams"', ""),
    }


@pytest.mark.parametrize(
    ("change", "cause", "objects"),
    [
        (HELPER, "function public.is_owner(uuid)", {"public.notes"}),
        (
            """alter policy "teams: own" on public.teams using (owner_id is not null);""",
            'policy "teams: own" of public.teams',
            {"public.teams", "public.tasks", "public.files"},
        ),
    ],
)
def test_changed_object_is_the_cause(
    connection: Connection, change: str, cause: str, objects: set[str]
) -> None:
    diff = changed(connection, change)
    opened = [one for one in diff.changes if one.severity is Severity.ERROR]
    opened = [one for one in opened if str(one.caller) != "owner"]
    assert {one.object for one in opened} == objects
    assert {one.cause for one in opened} == {cause}
    [fix] = {one.fix for one in opened}
    connection.execute(fix.encode())
    assert [f for f in audit(connection, Options()).findings if f.severity.is_problem] == []


def test_trigger_that_guarded_a_column_is_the_cause(connection: Connection) -> None:
    connection.execute(
        b"""
        alter table public.notes add column pinned boolean not null default false;
        create function public.keep_pinned() returns trigger language plpgsql as $$ begin
          if new.pinned is distinct from old.pinned and auth.uid() is not null then
            raise insufficient_privilege using message = 'only moderators pin notes';
          end if;
          return new;
        end $$;
        create trigger keep_pinned before update on public.notes
        for each row execute function public.keep_pinned();
        """
    )
    diff = changed(connection, "drop trigger keep_pinned on public.notes;")
    opened = [one for one in diff.changes if one.change == "wider"]
    assert {one.cause for one in opened} == {'no trigger "keep_pinned" of public.notes'}
    assert "CREATE TRIGGER keep_pinned" in opened[0].fix


def test_grant_is_the_cause(connection: Connection) -> None:
    connection.execute(b"revoke update on public.notes from authenticated")
    diff = changed(connection, "grant update on public.notes to authenticated;")
    opened = [one for one in diff.changes if one.change == "wider"]
    assert {one.cause for one in opened} == {"a grant of UPDATE on public.notes to authenticated"}


TEXT = ("--format", "text", "--output", "found.txt")
GUARDED = """
create function public.keep_body() returns trigger language plpgsql as $$ begin
  new.body := old.body;
  return new;
end $$;
create trigger keep_body before update on public.notes for each row execute function public.keep_body();
revoke insert on public.notes from authenticated;
create policy "notes: add" on public.notes for insert to authenticated with check (public.is_owner(team_id));
"""


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize(
    ("change", "cause", "fix"),
    [
        (HELPER, "function public.is_owner(uuid)", "where id = team and owner_id = auth.uid()"),
        (OPEN, CAUSE, 'drop policy if exists "teams: visible"'),
        (
            "drop trigger keep_body on public.notes;",
            'no trigger "keep_body" of public.notes',
            "CREATE TRIGGER keep_body",
        ),
        (
            "grant insert on public.notes to authenticated;",
            "a grant of INSERT on public.notes to authenticated",
            "revoke insert",
        ),
    ],
    ids=["function", "policy", "trigger", "grant"],
)
def test_what_migrations_change_after_the_baseline_is_the_cause(
    cli: Run, tmp_path: Path, change: str, cause: str, fix: str
) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_teams.sql").write_text(TEAMS + GUARDED, encoding="utf-8")
    assert cli("audit", "--update-baseline").code == 0
    recorded = (tmp_path / "supabase" / "access.toml").read_text()
    assert 'last_migration = "20250101000000"' in recorded
    (folder / "20250102000000_change.sql").write_text(change, encoding="utf-8")
    cli("audit", "--format", "json", "--output", "found.json", *TEXT)
    found = json.loads((tmp_path / "found.json").read_text())["findings"]
    errors = [one for one in found if one["severity"] == "error"]
    assert errors
    assert "public.notes: public.notes:" not in (tmp_path / "found.txt").read_text()
    assert {one["cause"] for one in errors} == {cause}
    assert all(fix in one["fix"] for one in errors)


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_one_finding_in_each_format(cli: Run, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "supabase" / "migrations"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "20250101000000_teams.sql").write_text(TEAMS, encoding="utf-8")
    (new / "20250102000000_open.sql").write_text(f"-- teams are visible\n{OPEN}", encoding="utf-8")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    words = []
    for form in FORMATS:
        words += ["--format", form, "--output", f"report.{form}"]
    ran = cli("audit", "--migrations-from", "old", *words, cwd=tmp_path, **github)
    assert ran.code == 1
    texts = {form: (tmp_path / f"report.{form}").read_text() for form in words[1::4]}
    place = "supabase/migrations/20250102000000_open.sql:2"
    for form in ("text", "markdown"):
        assert texts[form].count('drop policy if exists "teams: visible"') == 1, form
        assert place in texts[form], form
    results = json.loads(texts["sarif"])["runs"][0]["results"]
    errors = [one for one in results if one["level"] == "error"]
    assert len(errors) == 1
    [location] = errors[0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == place.removesuffix(":2")
    assert location["physicalLocation"]["region"]["startLine"] == 2
    annotations = [line for line in ran.err.splitlines() if line.startswith("::error")]
    assert len(annotations) == 1
    assert f"file={place.removesuffix(':2')},line=2," in annotations[0]
    for name in ("teams", "tasks", "files"):
        assert f"public.{name}" in annotations[0]
