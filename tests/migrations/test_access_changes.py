"""`plan --access` and `apply --dry-run`: what the pending files change in who can do what."""

from pathlib import Path

import pytest

from supabase_jobs.audit import audit as auditing
from supabase_jobs.database.connection import connect
from supabase_jobs.errors import PrivilegeError
from supabase_jobs.local import embedded
from tests.audit.test_migrations_from import ADDED, EXPECTED, FIRST, OPENED, RENAMED, write
from tests.fix_cli import Run
from tests.fix_db import Make
from tests.migrations.helpers import LEDGER, rows

# the claim is unknown to the policies of the database
ADMINS = """
create policy "notes: support" on notes for select
using ((select auth.jwt() -> 'app_metadata' ->> 'user_role') = 'support');
"""
PENDING = (OPENED, RENAMED, ADDED)


@pytest.fixture
def url(make_database: Make, tmp_path: Path, cli: Run) -> str:
    """A database to which the first migration of the folder is applied."""
    url = make_database("platform").url
    write(tmp_path, FIRST)
    assert cli("apply", "--db-url", url).code == 0
    return url


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every database passes for one that no embedded server has."""
    monkeypatch.setattr(embedded, "is_embedded", lambda _connection: False)


def ids(changes: list[dict[str, str]]) -> list[str]:
    return [f"{change['severity']} {change['id']}" for change in changes]


def test_plan_and_dry_run_list_what_the_pending_files_change(
    cli: Run, url: str, tmp_path: Path
) -> None:
    write(tmp_path, *PENDING, first=2)
    before = rows(url, LEDGER)
    plan = cli("plan", "--access", "--json", "--db-url", url)
    assert (plan.code, ids(plan.json["access"]["changes"])) == (1, EXPECTED), plan.err
    assert plan.json["access"]["not_compared"] == []
    dry_run = cli("apply", "--dry-run", "--json", "--db-url", url)
    assert (dry_run.code, ids(dry_run.json["access"]["changes"])) == (0, EXPECTED), dry_run.err
    text = cli("apply", "--dry-run", "--db-url", url).out
    assert "\naccess       3 cells wider, 1 new object, 0 cells narrower, 1 new leak\n" in text
    assert "    + anon, newcomer and stranger can now read public.invoices\n" in text
    (tmp_path / "supabase" / "access.toml").write_text(
        '[access]\n"public.invoices" = { anon = "read" }\n'
    )
    accepted = cli("plan", "--access", "--json", "--db-url", url).json["access"]
    assert accepted["baseline"] == "supabase/access.toml"
    assert accepted["changes"][0]["severity"] == "info"
    assert rows(url, LEDGER) == before
    assert rows(url, "select count(*) from auth.users") == [(0,)]


def test_a_caller_that_only_the_pending_files_mention_is_compared(
    cli: Run, url: str, tmp_path: Path
) -> None:
    write(tmp_path, ADMINS, first=2)
    ran = cli("plan", "--access", "--json", "--db-url", url)
    assert ran.json["access"]["not_compared"] == []
    assert ids(ran.json["access"]["changes"]) == [
        "error wider:public.notes:user with app_metadata.user_role = support:read"
    ]
    assert ran.json["access"]["changes"][0]["cause"] == 'policy "notes: support"'
    text = cli("plan", "--access", "--db-url", url)
    assert "user with app_metadata.user_role = support can now read public.notes" in text.out
    assert text.out.splitlines()[-1].startswith("FAILED: 1 cell wider")
    steps = cli("apply", "--dry-run", "--db-url", url).err.splitlines()
    assert [step for step in steps if step.startswith("auditing ")] == [
        "auditing the state before",
        "auditing the state after",
        "auditing the state before again, as the callers of the pending files",
    ]


@pytest.mark.usefixtures("remote")
def test_plan_only_reads_the_database(cli: Run, url: str, tmp_path: Path) -> None:
    write(tmp_path, *PENDING, first=2)
    with connect(url) as connection:
        connection.execute('create policy "by hand" on notes for select to anon using (true)')
        connection.execute("create table by_hand (id int)")
    read_only = f"{url}?options=-c%20default_transaction_read_only%3Don"
    ran = cli("plan", "--access", "--json", "--db-url", read_only)
    assert (ran.code, ids(ran.json["access"]["changes"])) == (1, EXPECTED), ran.err
    assert "reads the catalogs and copies the schema; nothing is written" in ran.err
    assert ran.json["access"]["not_compared"] == []


@pytest.mark.usefixtures("remote")
def test_a_dry_run_on_a_remote_database_does_not_audit(cli: Run, url: str, tmp_path: Path) -> None:
    write(tmp_path, OPENED, first=2)
    ran = cli("apply", "--dry-run", "--json", "--db-url", url)
    assert (ran.code, ran.json["access"]) == (0, None)


def test_a_file_without_a_transaction_is_compared(cli: Run, url: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        "--! transaction:false\ncreate index concurrently by_user on notes (user_id);",
        first=2,
    )
    ran = cli("plan", "--access", "--json", "--db-url", url)
    assert ran.code == 0
    assert ran.json["access"]["not_compared"] == []


def test_plan_compares_nothing_without_pending_files_and_refuses_drift(
    cli: Run, url: str, tmp_path: Path
) -> None:
    assert cli("plan", "--access", "--json", "--db-url", url).json["access"] is None
    assert cli("plan", "--json", "--db-url", url).json["access"] is None
    write(tmp_path, f"{FIRST}select 1;")
    assert cli("plan", "--access", "--json", "--db-url", url).code == 4
    refused = cli("plan", "--access", "--files-only")
    assert (refused.code, "--access needs a database" in refused.err) == (2, True)


DEFERRED = """
create function has_line() returns trigger language plpgsql as $$ begin raise exception 'no line'; end $$;
create constraint trigger has_line after insert on payments
deferrable initially deferred for each row execute function has_line();
"""


def test_constraints_are_deferred_as_after_a_commit(cli: Run, url: str, tmp_path: Path) -> None:
    write(tmp_path, ADDED + DEFERRED, first=2)
    ran = cli("plan", "--access", "--json", "--db-url", url)
    assert ran.json["access"]["not_compared"] == []
    assert "error new:public.payments" in ids(ran.json["access"]["changes"])


def test_a_dry_run_succeeds_where_the_audit_fails(
    cli: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PrivilegeError("the role may not become anon")

    monkeypatch.setattr(auditing, "audit", refused)
    write(tmp_path, ADDED, first=2)
    dry_run = cli("apply", "--dry-run", "--json", "--db-url", url)
    assert (dry_run.code, dry_run.json["access"]) == (0, None)
    assert "note: who can do what was not compared: the role may not become anon" in dry_run.err
    assert cli("plan", "--access", "--db-url", url).code == PrivilegeError.exit_code
