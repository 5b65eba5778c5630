"""`audit --migrations-from`: what three migrations change, since a git revision and since a folder;
its errors.
"""

import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.checkout import program
from tests.fix_cli import Run
from tests.fix_db import Make, Server
from tests.programs import DEFAULT_MAJOR

TABLE = """
create table {0} (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users on delete cascade,
  body text not null
);
"""
FIRST = (
    TABLE.format("invoices")
    + TABLE.format("notes")
    + "alter table invoices enable row level security;\n"
    "alter table notes enable row level security;\n"
    'create policy "invoices: own" on invoices for select using (user_id = (select auth.uid()));\n'
    'create policy "notes: own" on notes for all to authenticated using (user_id = (select auth.uid()));\n'
)
OPENED = '-- everybody\nalter policy "invoices: own" on invoices using (true);\n'
RENAMED = 'alter policy "notes: own" on notes rename to "notes: of their user";\n'
ADDED = TABLE.format("payments")
EVERYBODY = ("anon", "newcomer", "stranger")
EXPECTED = [
    *(f"error wider:public.invoices:{caller}:read" for caller in EVERYBODY),
    "error new:public.payments",
    "error leak:rls-disabled:public.payments:select",
]
embedded = pytest.mark.usefixtures("embedded")


def write(folder: Path, *texts: str, first: int = 1) -> Path:
    """Add migrations with ascending versions."""
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts, first):
        (migrations / f"2026010{number}000000_change.sql").write_text(text)
    return migrations


def git(folder: Path, *words: str) -> None:
    settings = (
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.com",
        "-c",
        "init.defaultBranch=main",
    )
    subprocess.run(
        [program("git"), "-C", str(folder), *settings, *words], check=True, capture_output=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a subfolder of a repository; its first migration is on the branch main."""
    folder = tmp_path / "repository" / "apps" / "web"
    write(folder, FIRST)
    git(tmp_path, "init", str(tmp_path / "repository"))
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "first")
    return folder


@embedded
def test_three_migrations_change_exactly_what_they_open(cli: Run, project: Path) -> None:
    write(project, OPENED, RENAMED, ADDED, first=2)
    ran = cli("audit", "--migrations-from", "main", "--json", cwd=project, GITHUB_ACTIONS="true")
    assert ran.code == 1, ran.err
    found = ran.json
    assert [f"{c['severity']} {c['id']}" for c in found["changes"]] == EXPECTED
    assert found["not_compared"] == []
    assert (found["ok"], found["before"]) == (False, "main")
    first, added = found["changes"][0], found["changes"][3]
    assert first["message"] == "anon can now read public.invoices"
    assert first["cause"] == 'policy "invoices: own"'
    assert first["location"]["file"] == "apps/web/supabase/migrations/20260102000000_change.sql"
    assert first["location"]["line"] == 2
    assert added["message"].startswith("new table public.payments, without row level security; ")
    assert {caller: added["access"][caller].split()[0] for caller in EVERYBODY} == dict.fromkeys(
        EVERYBODY, "read"
    )
    assert ran.err.count("::error ") == 3  # the callers of invoices have one cause


@embedded
def test_a_renamed_policy_changes_nothing(cli: Run, project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "supabase" / "migrations", tmp_path / "before")
    write(project, RENAMED, first=2)
    ran = cli("audit", "--migrations-from", str(tmp_path / "before"), cwd=project)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("ok: 0 cells wider, 0 new objects, 0 cells narrower; ")


@embedded
def test_what_a_rewritten_migration_changes_is_the_cause(cli: Run, project: Path) -> None:
    write(project, FIRST + OPENED)
    ran = cli("audit", "--migrations-from", "main", "--json", cwd=project)
    assert [f"{c['severity']} {c['id']}" for c in ran.json["changes"]] == EXPECTED[:3]
    [place] = {(c["cause"], c["location"]["line"]) for c in ran.json["changes"]}
    assert place == ('policy "invoices: own"', f"{FIRST}{OPENED}".count("\n"))


def test_a_database_is_compared_by_a_copy(cli: Run, project: Path, make_database: Make) -> None:
    """A policy that was changed in the dashboard."""
    database = make_database("services", DEFAULT_MAJOR)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(FIRST.encode())
        connection.execute(OPENED.encode())
    read_only = f"{database.url}?options=-c%20default_transaction_read_only%3Don"
    words = ("audit", "--migrations-from", "main", "--json", "--db-url", read_only)
    ran = cli(*words, cwd=project)
    assert ran.code == 1, ran.err
    assert [f"{c['severity']} {c['id']}" for c in ran.json["changes"]] == EXPECTED[:3]
    assert ran.json["not_compared"] == []
    assert "nothing is written to this database" in ran.err


@embedded
def test_the_baseline_of_the_project_accepts_changes(cli: Run, project: Path) -> None:
    write(project, OPENED, first=2)
    baseline = project / "supabase" / "access.toml"
    baseline.write_text('[access]\n"public.invoices" = { anon = "read", newcomer = "read" }\n')
    ran = cli("audit", "--migrations-from", "main", "--json", cwd=project)
    severities = {c["caller"]: c["severity"] for c in ran.json["changes"]}
    assert (ran.code, severities) == (1, {"anon": "info", "newcomer": "info", "stranger": "error"})


@embedded
def test_a_branch_that_lacks_migrations_of_main_reports_them_as_removed(
    cli: Run, project: Path, request: pytest.FixtureRequest
) -> None:
    """The branch has a migration between those of main, too, and one for a role, which is no part
    of a database.
    """
    write(project, "select 1;", ADDED, first=3)
    git(project, "add", "--all")
    git(project, "commit", "--message", "main")
    (project / "supabase" / "migrations" / "20260104000000_change.sql").unlink()
    # both databases are on one server here
    role = "if not exists (select from pg_roles where rolname = 'accountant') then create role accountant; end if;"
    write(project, f"do $$ begin {role} end $$;\n{OPENED}", first=2)
    server: Server = request.getfixturevalue(f"server_{DEFAULT_MAJOR}")
    request.addfinalizer(lambda: server.admin.execute("drop role if exists accountant"))
    ran = cli("audit", "--migrations-from", "main", "--json", cwd=project)
    assert ran.code == 1, ran.out
    assert (
        "lacks migrations of main, so what they open counts as removed: 20260104000000" in ran.err
    )
    ids = [c["id"] for c in ran.json["changes"]]
    assert ids[:3] == [f"wider:public.invoices:{caller}:read" for caller in EVERYBODY]
    assert "removed:public.payments" in ids
    # once in copies of one database, with what they have in common, and once in databases of
    # their own
    assert ran.err.count("starting an embedded server\n") == 1 + 2
    assert ran.err.count("to an embedded server") == 3 + 2
    assert ran.err.count("applying 3 migrations to an embedded server") == 2


@embedded
def test_a_schema_that_the_configuration_adds_is_compared_with_the_revision(
    cli: Run, project: Path
) -> None:
    (project / "supabase" / "migrations" / "20260101000000_change.sql").write_text(
        "create schema app; create table app.jobs (id bigint generated always as identity primary"
        " key, body text);\n"
        "grant usage on schema app to anon; grant select on app.jobs to anon;\n"
    )
    git(project, "commit", "--all", "--message", "a schema")
    (project / "supabase" / "config.toml").write_text('[api]\nschemas = ["public", "app"]\n')
    ran = cli("audit", "--migrations-from", "main", "--json", cwd=project)
    assert "error new:app.jobs" in [f"{c['severity']} {c['id']}" for c in ran.json["changes"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("no-such-branch",),
            "'no-such-branch' is neither a folder nor a revision of this git repository",
        ),
        (("--upload-pack=x",), "'--upload-pack=x' is neither a folder nor a revision"),
        (("empty",), "empty has no folder apps/web/supabase/migrations"),
        (("main", "--update-baseline"), "--update-baseline conflicts with --migrations-from"),
        (("both",), "'both' is a folder and a git revision"),
        (("nothing",), "the folder nothing contains no migration"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    cli: Run, project: Path, words: tuple[str, ...], message: str
) -> None:
    git(project, "branch", "both")
    git(project, "checkout", "--orphan", "empty")
    git(project, "rm", "-r", "--cached", ".")
    git(project, "commit", "--allow-empty", "--message", "nothing")
    for name in ("both", "nothing"):
        (project / name).mkdir()
    ran = cli("audit", f"--migrations-from={words[0]}", *words[1:], cwd=project)
    assert ran.code == 2
    assert message in ran.err
    assert "hint: " in ran.err


def test_a_revision_needs_a_repository_and_git(cli: Run, tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    ran = cli(
        "audit",
        "--migrations-from",
        "main",
        cwd=tmp_path,
        GIT_CEILING_DIRECTORIES=str(tmp_path.parent),
    )
    assert (ran.code, "is in no git repository" in ran.err) == (2, True)
    ran = cli("audit", "--migrations-from", "main", cwd=tmp_path, PATH=str(tmp_path))
    assert (ran.code, "git is not installed" in ran.err) == (2, True)


def test_a_project_without_migrations_has_nothing_to_compare(cli: Run, tmp_path: Path) -> None:
    ran = cli("audit", "--migrations-from", "main", cwd=tmp_path)
    assert (ran.code, "there are no migrations to compare with" in ran.err) == (2, True)
