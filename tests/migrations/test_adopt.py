"""`adopt`: files and ledger agree afterwards, no DDL runs, and the undo restores the ledger."""

import os
import pty
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.migrations import adopt, locks
from supabase_jobs.migrations.locks import LOCK_KEY, LockOptions
from tests.fix_cli import Run, SupabaseCli
from tests.fix_db import Make
from tests.migrations.helpers import LEDGER, rows, write
from tests.migrations.orphans import COUNT, EDITED, EXTRA, UNRECORDED, count_ddl, counted_ddl, make

CREATE_LEDGER = """
create schema supabase_migrations;
create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
"""


def folder_of(there: Path) -> list[str]:
    return sorted(path.name for path in (there / "supabase" / "migrations").iterdir())


def undo(url: str, file: Path) -> None:
    """Run the undo file as psql does, which sends statement after statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(file.read_bytes())


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """An empty project."""
    folder = tmp_path / "project"
    (folder / "supabase" / "migrations").mkdir(parents=True)
    return folder


def test_orphans_are_adopted_without_ddl_and_can_be_undone(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    database = make_database("platform")
    url = database.url
    orphans = make(url, tmp_path / "project", count=6)
    count_ddl(database.superuser_url)
    before = rows(url, LEDGER)
    dry = cli("adopt", "--dry-run", "--json", "--db-url", url, cwd=orphans.folder)
    assert dry.code == 4
    assert tuple(folder_of(orphans.folder)) == orphans.names
    assert rows(url, LEDGER) == before
    ran = cli("adopt", "--yes", "--json", "--db-url", url, cwd=orphans.folder)
    assert ran.json["changes"] == dry.json["changes"]
    actions = Counter(c["action"] for c in ran.json["changes"])
    assert (ran.code, actions) == (4, {"rename-file": 6, "write-file": 1, "keep": 1})
    again = cli("adopt", "--yes", "--json", "--db-url", url, cwd=orphans.folder)
    assert [c["action"] for c in again.json["changes"]] == ["keep"]
    assert again.json["undo"] is None
    assert counted_ddl(database.superuser_url) == []


@pytest.mark.slow
def test_both_versions_of_the_cli_say_up_to_date_after_37_orphans_were_adopted(
    make_database: Make, tmp_path: Path, cli: Run, each_supabase: SupabaseCli, embedded: None
) -> None:
    database = make_database("platform")
    url = database.url
    orphans = make(url, tmp_path / "project")
    count_ddl(database.superuser_url)
    before = rows(url, LEDGER)
    status = cli("status", "--json", "--db-url", url, cwd=orphans.folder).json["migrations"]
    # the rows of the two edited files and the extra row; the two files and the unrecorded one
    states = Counter(m["state"] for m in status)
    assert states == {"renamed": COUNT - 3, "remote-only": 3, "pending": 3}
    assert sum(m["diff"] is not None for m in status) == len(EDITED)
    remote_only = {m["version"] for m in status if m["state"] == "remote-only"}
    applied_as = {m["as"] for m in status if m["state"] == "renamed"}
    assert applied_as == {str(row[0]) for row in before} - remote_only
    assert EXTRA in remote_only
    push = ("db", "push", "--dry-run")
    refused = each_supabase(*push, url=url, cwd=orphans.folder)
    assert "up to date" not in refused.out + refused.err

    ran = cli("adopt", "--yes", "--json", "--db-url", url, cwd=orphans.folder)
    assert ran.code == 4, ran.err
    actions = Counter(c["action"] for c in ran.json["changes"])
    assert actions == {"rename-file": COUNT - 1, "write-file": 1, "write-row": 1, "keep": 2}
    [row] = [c for c in ran.json["changes"] if c["action"] == "write-row"]
    assert row["version"] == f"{20260501000000 + UNRECORDED}"
    assert all("label" in c["reason"] for c in ran.json["changes"] if c["action"] == "keep")
    assert counted_ddl(database.superuser_url) == []
    after = cli("status", "--json", "--db-url", url, cwd=orphans.folder).json["migrations"]
    assert Counter(m["state"] for m in after) == {"applied": COUNT - 1, "edited": len(EDITED)}

    pushed = each_supabase(*push, url=url, cwd=orphans.folder)
    assert pushed.code == 0, pushed.err
    assert "up to date" in pushed.out + pushed.err
    file = orphans.folder / ran.json["undo"]
    assert "migrations" not in file.parts
    undo(url, file)
    assert rows(url, LEDGER) == before


def test_rows_get_the_versions_of_the_files_if_asked(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=3)
    before = rows(url, LEDGER)
    ran = cli("adopt", "--yes", "--rows", "--json", "--db-url", url, cwd=orphans.folder)
    assert ran.code == 0
    assert Counter(c["action"] for c in ran.json["changes"]) == {"write-row": 3, "write-file": 1}
    assert set(orphans.names) <= set(folder_of(orphans.folder))
    status = cli("status", "--exit-code", "--json", "--db-url", url, cwd=orphans.folder)
    assert (status.code, {m["state"] for m in status.json["migrations"]}) == (0, {"applied"})
    undo(url, orphans.folder / ran.json["undo"])
    assert rows(url, LEDGER) == before


def test_without_a_terminal_nothing_changes_without_yes(
    make_database: Make, tmp_path: Path, cli: Run
) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=2)
    ran = cli("adopt", "--db-url", url, cwd=orphans.folder)
    assert (ran.code, "--yes" in ran.err) == (2, True)
    assert tuple(folder_of(orphans.folder)) == orphans.names


def test_each_change_is_asked_for_on_a_terminal(make_database: Make, tmp_path: Path) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=2)
    terminal, child_end = pty.openpty()
    os.write(terminal, b"y\nn\ny\n")
    ran = subprocess.run(
        [sys.executable, "-m", "supabase_jobs", "adopt", "--db-url", url],
        cwd=orphans.folder,
        stdin=child_end,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(child_end)
    os.close(terminal)
    assert ran.returncode == 4, ran.stderr
    assert ran.stderr.count("Make this change? [Y/n]") == 3
    assert "the change was refused" in ran.stdout
    names = folder_of(orphans.folder)
    assert [name.partition("_")[2] for name in names] == ["step_1.sql", "step_0.sql", "extra.sql"]
    assert names[0] == orphans.names[1]


@pytest.mark.parametrize(
    ("statements", "name", "file"),
    [
        (["create table t ()", "select 1"], "two", "20260101000000_two.sql"),
        (["select 1 -- a comment"], "a/../b; c", "20260101000000_a_.._b_c.sql"),
        # as version 2 of the CLI splits it
        (["select E'it\\'s", "'"], None, "20260101000000_migration.sql"),
        ([], "empty", "20260101000000_empty.sql"),
    ],
)
def test_a_row_without_a_file_gets_one_that_counts_as_applied(
    statements: list[str],
    name: str | None,
    file: str,
    platform_url: str,
    there: Path,
    cli: Run,
) -> None:
    with psycopg.connect(platform_url) as connection:
        connection.execute(CREATE_LEDGER)
        connection.execute(
            "insert into supabase_migrations.schema_migrations values (%s, %s, %s)",
            ("20260101000000", statements, name),
        )
    ran = cli("adopt", "--yes", "--db-url", platform_url, cwd=there)
    assert ran.code == 0, ran.err
    assert folder_of(there) == [file]
    status = cli("status", "--json", "--exit-code", "--db-url", platform_url, cwd=there)
    assert (status.code, [m["state"] for m in status.json["migrations"]]) == (0, ["applied"])


@pytest.mark.parametrize(
    ("version", "statements"), [("20260101000000", None), ("first", ["select 1"])]
)
def test_a_row_that_no_file_can_represent_is_left(
    version: str, statements: list[str] | None, platform_url: str, there: Path, cli: Run
) -> None:
    with psycopg.connect(platform_url) as connection:
        connection.execute(CREATE_LEDGER)
        connection.execute(
            "insert into supabase_migrations.schema_migrations values (%s, %s, 'x')",
            (version, statements),
        )
    ran = cli("adopt", "--yes", "--json", "--db-url", platform_url, cwd=there)
    assert (ran.code, [c["action"] for c in ran.json["changes"]]) == (4, ["keep"])
    assert folder_of(there) == []


TABLE = "create table public.notes (id bigint primary key, body text);\n"


def test_a_pending_file_counts_as_applied_only_if_its_effect_is_there(
    make_database: Make, there: Path, cli: Run, embedded: None
) -> None:
    """tests/projects/test_effects.py has more cases."""
    url = make_database("platform").url
    with psycopg.connect(url) as connection:
        connection.execute(CREATE_LEDGER)
    write(there / "supabase" / "migrations", "20260101000000_notes.sql", TABLE)
    kept = cli("adopt", "--yes", "--json", "--db-url", url, cwd=there)
    assert (kept.code, [c["action"] for c in kept.json["changes"]]) == (4, ["keep"])
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
    ran = cli("adopt", "--yes", "--json", "--db-url", url, cwd=there)
    assert (ran.code, [c["action"] for c in ran.json["changes"]]) == (0, ["write-row"])
    assert [row[:2] for row in rows(url, LEDGER)] == [("20260101000000", "notes")]
    undo(url, there / ran.json["undo"])
    assert rows(url, LEDGER) == []


@pytest.mark.slow
def test_an_edited_file_whose_effect_is_there_gets_its_row(
    make_database: Make, there: Path, cli: Run, embedded: None
) -> None:
    url = make_database("platform").url
    file = write(there / "supabase" / "migrations", "20260101000000_notes.sql", TABLE)
    assert cli("apply", "--db-url", url, cwd=there).code == 0
    file.write_text(TABLE.replace("body text", "body text, at timestamptz"))
    kept = cli("adopt", "--yes", "--json", "--db-url", url, cwd=there)
    assert (kept.code, [c["action"] for c in kept.json["changes"]]) == (4, ["keep"])
    with psycopg.connect(url) as connection:
        connection.execute("alter table public.notes add column at timestamptz")
    before = rows(url, LEDGER)
    ran = cli("adopt", "--yes", "--json", "--db-url", url, cwd=there)
    assert (ran.code, [c["action"] for c in ran.json["changes"]]) == (0, ["write-row"])
    assert cli("status", "--exit-code", "--db-url", url, cwd=there).code == 0
    undo(url, there / ran.json["undo"])
    assert rows(url, LEDGER) == before


@pytest.mark.slow
def test_without_a_ledger_adopt_creates_none(
    make_database: Make, there: Path, cli: Run, embedded: None
) -> None:
    url = make_database("platform").url
    write(there / "supabase" / "migrations", "20260101000000_notes.sql", TABLE)
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
    ran = cli("adopt", "--yes", "--db-url", url, cwd=there)
    assert ran.code == 4
    assert "adopt runs no DDL" in ran.err
    [command] = re.findall(r"-c '(.*)'", ran.err)
    with psycopg.connect(url) as connection:
        connection.execute(command.encode())
    assert cli("adopt", "--yes", "--db-url", url, cwd=there).code == 0


@pytest.mark.parametrize("limit", ["read only", "no privilege"])
def test_a_role_that_may_not_write_changes_nothing(
    limit: str, make_database: Make, tmp_path: Path, cli: Run
) -> None:
    database = make_database("platform")
    orphans = make(database.url, tmp_path / "project", count=3)
    options = "-c default_transaction_read_only=on" if limit == "read only" else "-c role=reader"
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("drop role if exists reader")
        connection.execute("create role reader in role pg_read_all_data")
        connection.execute("grant reader to postgres")
    before = rows(database.url, LEDGER)
    try:
        ran = cli(
            *("adopt", "--yes", "--rows", "--db-url", database.url),
            cwd=orphans.folder,
            PGOPTIONS=options,
        )
        assert ran.code == 7, ran.err
        assert tuple(folder_of(orphans.folder)) == orphans.names
        assert rows(database.url, LEDGER) == before
        # files alone need no privilege
        renamed = cli(
            *("adopt", "--yes", "--db-url", database.url), cwd=orphans.folder, PGOPTIONS=options
        )
        assert renamed.code == 0, renamed.err
    finally:
        with psycopg.connect(database.superuser_url) as connection:
            connection.execute("drop role reader")


def test_adopt_works_through_a_pooler(
    make_database: Make, tmp_path: Path, cli: Run, pooled: Callable[..., str]
) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=3)
    through = pooled(url, default_pool_size=1)
    assert cli("adopt", "--yes", "--rows", "--db-url", through, cwd=orphans.folder).code == 0
    assert cli("status", "--exit-code", "--db-url", through, cwd=orphans.folder).code == 0
    assert rows(url, "select * from pg_locks where locktype = 'advisory'") == []


def test_beside_another_runner_nothing_changes(
    make_database: Make, tmp_path: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LockOptions", partial(LockOptions, 100, runner_seconds=0.1))
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=2)
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        ran = cli("adopt", "--yes", "--db-url", url, cwd=orphans.folder)
    assert (ran.code, "another supabase-jobs" in ran.err) == (5, True)
    assert tuple(folder_of(orphans.folder)) == orphans.names


def test_a_ledger_that_changes_meanwhile_is_noticed(
    make_database: Make, tmp_path: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=2)
    plan_changes = adopt.plan_changes

    def slowly(*given: object, **more: object) -> list[adopt.Change]:
        with psycopg.connect(url) as other:
            other.execute("insert into supabase_migrations.schema_migrations values ('2', '{}')")
        return plan_changes(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(adopt, "plan_changes", slowly)
    ran = cli("adopt", "--yes", "--rows", "--db-url", url, cwd=orphans.folder)
    assert (ran.code, "another runner was at work" in ran.err) == (5, True)
    assert tuple(folder_of(orphans.folder)) == orphans.names


STEPS = 12


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_statement_leaves_the_ledger_as_before_or_after(
    make_database: Make, tmp_path: Path, cli: Run
) -> None:
    """The process ends, as kill -9 ends it, before the first, second, … statement or file change."""
    database = make_database("platform")
    killed = 0
    for step in range(1, STEPS + 1):
        name = f"{database.name}_{step}"
        database.server.create(name, database.name)
        url = database.server.url(name)
        orphans = make(url, tmp_path / f"project{step}", count=3)
        before = rows(url, LEDGER)
        ran = subprocess.run(
            [sys.executable, "-c", KILLED, str(step), "adopt", "--yes", "--rows", "--db-url", url],
            cwd=orphans.folder,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            check=False,
        )
        killed += ran.returncode == -9
        now = rows(url, LEDGER)
        after = [row[0] for row in before] != [row[0] for row in now]
        assert not after or len(now) == len(before)
        assert after or now == before
        finished = cli("adopt", "--yes", "--rows", "--db-url", url, cwd=orphans.folder)
        assert finished.code == 0, finished.err
        assert cli("status", "--exit-code", "--db-url", url, cwd=orphans.folder).code == 0
        database.server.drop(name)
    assert killed >= STEPS / 2


# counts what goes to the server and to the folder, and kills itself before one of these
KILLED = """
import os, signal, sys
from pathlib import Path
import psycopg
from supabase_jobs.cli import main
from supabase_jobs.database import batch
step, left = int(sys.argv[1]), [int(sys.argv[1])]
def count():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def counting(function):
    def call(*words, **more):
        count()
        return function(*words, **more)
    return call
batch._exchange = counting(batch._exchange)
psycopg.Connection.execute = counting(psycopg.Connection.execute)
Path.rename = counting(Path.rename)
Path.replace = counting(Path.replace)
Path.write_text = counting(Path.write_text)
main(sys.argv[2:])
"""


@pytest.mark.slow
def test_two_at_once_leave_a_ledger_that_agrees(
    make_database: Make, tmp_path: Path, cli: Run
) -> None:
    url = make_database("platform").url
    orphans = make(url, tmp_path / "project", count=20)
    for number in EDITED:
        for path in (orphans.folder / "supabase" / "migrations").glob(f"*_step_{number}.sql"):
            path.write_text(path.read_text().replace("label text, ", ""))
    words = [sys.executable, "-m", "supabase_jobs", "adopt", "--yes", "--rows", "--db-url", url]
    running = [
        subprocess.Popen(
            words, cwd=orphans.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert not any("Traceback" in error for error in errors)
    assert {process.returncode for process in running} <= {0, 5}
    assert 0 in [process.returncode for process in running]
    assert cli("status", "--exit-code", "--db-url", url, cwd=orphans.folder).code == 0


def test_a_ledger_of_two_thousand_rows_takes_less_than_two_seconds(
    platform_url: str, there: Path, cli: Run
) -> None:
    with psycopg.connect(platform_url) as connection:
        connection.execute(CREATE_LEDGER)
        connection.execute(
            "insert into supabase_migrations.schema_migrations"
            " select (20260601000000 + n)::text,"
            " array[format('create table public.t%s (id bigint, name text)', n)], 'agent_' || n"
            " from generate_series(0, 1999) as n"
        )
    for number in range(2000):
        path = there / "supabase" / "migrations" / f"{20260101000000 + number}_t{number}.sql"
        path.write_text(f"create table public.t{number} (id bigint, name text);\n")
    # of the processor, because other tests may run beside this one
    started = time.process_time()
    ran = cli("adopt", "--yes", "--db-url", platform_url, cwd=there)
    seconds = time.process_time() - started
    assert ran.code == 0
    assert seconds < 2
    assert len(folder_of(there)) == 2000
