"""Failing triggers, deferred constraints, timeouts, locks of other sessions, and a killed program:
nothing remains.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from supabase_jobs.audit import audit as auditing
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.sources.files import load_migrations
from tests.audit.catalogue import PROJECTS
from tests.fix_cli import Ran, Run
from tests.fix_db import Database, Make

FAILING = """
create function public.fail() returns trigger language plpgsql as $$ begin raise exception 'no lists today'; end $$;
create trigger fail after insert on public.lists for each row execute function public.fail();
"""
DEFERRED = """
create function public.fail() returns trigger language plpgsql as $$ begin raise exception 'checked late'; end $$;
create constraint trigger fail after insert on public.lists deferrable initially deferred
  for each row execute function public.fail();
"""
SLOW = """
create policy "slow" on public.tags as restrictive for select using ((select pg_sleep(5)) is not null);
"""
SHORT = SETTINGS.replace("'10s'", "'60ms'").replace("'2s'", "'20ms'")
COUNTS = """
select
  (select count(*) from auth.users),
  (select count(*) from public.lists),
  (select count(*) from public.todos),
  (select count(*) from public.tags),
  (select count(*) from public.todo_tags)
"""
LOCKS = """
select c.relname, l.mode
from pg_locks as l
inner join pg_class as c on l.relation = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname in ('public', 'storage') and c.relkind = 'r' and l.granted and l.pid <> pg_backend_pid()
"""
# of readers and writers: none conflicts with the queries and changes of other sessions
ROW_LOCKS = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of 60 ms and, for locks, 20 ms."""
    monkeypatch.setattr(auditing, "SETTINGS", SHORT)


@pytest.fixture
def database(make_database: Make) -> Database:
    """A database of this test with the tables of the project todos and a row in each."""
    made = make_database("platform")
    with psycopg.connect(made.url) as connection:
        for migration in load_migrations(PROJECTS / "todos" / "supabase" / "migrations"):
            connection.execute(migration.text.encode())
        connection.execute(
            "insert into auth.users (id) values ('a0000000-0000-4000-8000-000000000009')"
        )
        connection.execute(
            "insert into public.lists (owner_id, name) select id, 'existing' from auth.users"
        )
        connection.execute(
            "insert into public.todos (list_id, title) select id, 'existing' from public.lists"
        )
    return made


@pytest.fixture
def observer(database: Database) -> Iterator[psycopg.Connection]:
    """Another session."""
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        yield connection


def ran(cli: Run, database: Database) -> Ran:
    """`audit` on the database; afterwards the numbers of all rows are the same, and no lock
    remains.
    """
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        before = connection.execute(COUNTS).fetchall()
        result = cli("audit", "--json", "--call-functions", SUPABASE_DB_URL=database.url)
        assert connection.execute(COUNTS).fetchall() == before
    return result


def not_tested(result: Ran) -> dict[str, str]:
    return {item["object"]: item["why"] for item in result.json["coverage"]["not_tested"]}


def test_failing_trigger(cli: Run, database: Database, observer: psycopg.Connection) -> None:
    observer.execute(FAILING)
    result = ran(cli, database)
    assert (result.code, result.err.count("Traceback")) == (1, 0), (
        "what is not tested does not pass"
    )
    assert not_tested(result)["public.lists"] == "no row could be generated: P0001: no lists today"


def test_deferred_constraint(cli: Run, database: Database, observer: psycopg.Connection) -> None:
    observer.execute(DEFERRED)
    result = ran(cli, database)
    assert (result.code, not_tested(result)) == (0, {})


def test_statement_timeout(
    cli: Run, database: Database, observer: psycopg.Connection, short: None
) -> None:
    observer.execute(SLOW)
    result = ran(cli, database)
    assert (result.code, result.json["ok"]) == (1, False)
    assert "failed with 57014: a lock or the statement timeout" in not_tested(result)["public.tags"]


def test_table_that_another_session_locks(
    cli: Run, database: Database, observer: psycopg.Connection, short: None
) -> None:
    started = time.monotonic()
    with observer.transaction():
        observer.execute("lock table public.tags in share row exclusive mode")
        result = cli("audit", "--json", "--in-place", SUPABASE_DB_URL=database.url)
    assert result.code == 1
    assert "55P03" in not_tested(result)["public.tags"]
    assert time.monotonic() - started < 20, "a locked table is tried again and again"
    with observer.transaction():
        observer.execute("lock table public.tags in access exclusive mode")
        result = cli("audit", "--json", SUPABASE_DB_URL=database.url)
    assert (result.code, result.json["error"]["code"]) == (5, "busy"), result.err


@pytest.mark.slow
def test_killed_program(database: Database, observer: psycopg.Connection) -> None:
    """While it runs it holds the locks of readers and writers only; after kill -9 the server rolls
    back.
    """
    before = observer.execute(COUNTS).fetchall()
    observer.execute(SLOW)
    words = [sys.executable, "-m", "supabase_jobs", "audit", "--in-place", "--db-url", database.url]
    program = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (
            locks := {mode for name, mode in observer.execute(LOCKS).fetchall() if name == "tags"}
        ):
            assert program.poll() is None
            assert time.monotonic() < deadline
        while "RowExclusiveLock" not in locks:
            locks = {mode for _, mode in observer.execute(LOCKS).fetchall()}
            assert time.monotonic() < deadline
        assert locks <= ROW_LOCKS
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    deadline = time.monotonic() + 30
    while observer.execute(LOCKS).fetchall():
        assert time.monotonic() < deadline
    assert observer.execute(COUNTS).fetchall() == before
