"""Applying to a database that is 50 ms away and in use: round trips, and how long readers wait for
a lock.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks.distance import Distance, distance
from tests.fix_cli import Run
from tests.fix_db import Database, Make, packaged
from tests.round_trips import traced

pytestmark = pytest.mark.slow

ONE_WAY_SECONDS = 0.025
# as supautils does for the tables in supautils.policy_grants
LOCK_ON_POLICY = """
create function public.lock_users() returns event_trigger language plpgsql security definer as
$$ begin lock table auth.users in access exclusive mode; end $$;
create event trigger lock_users on ddl_command_start when tag in ('CREATE POLICY') execute function public.lock_users();
"""
READ = "select count(*) from auth.users"


def remote_url(database: Database, proxy: Distance) -> str:
    """A URL through the proxy under a host name that is not local."""
    return f"postgresql://postgres@db.example.invalid:{proxy.port}/{database.name}?hostaddr=127.0.0.1&sslmode=disable"


@pytest.fixture
def busy_project(make_database: Make) -> Database:
    """A database whose policies lock auth.users until commit."""
    database = make_database("platform")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(LOCK_ON_POLICY)
    return database


@contextmanager
def reading(url: str) -> Iterator[list[float]]:
    """Reads auth.users again and again; the list gets the seconds of each read."""
    seconds: list[float] = []
    stop = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                started = time.monotonic()
                connection.execute(READ)
                seconds.append(time.monotonic() - started)
                time.sleep(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seconds
    finally:
        stop.set()
        thread.join()


def test_a_first_apply_takes_two_round_trips_a_file_and_four_more(
    make_database: Make, files: Path, cli: Run
) -> None:
    database = make_database("platform")
    with traced() as connections:
        assert cli("apply", "--db-url", database.url, "--migrations", str(files)).code == 0
        [connection] = connections
        assert connection.round_trips <= 2 * len(packaged()) + 4


@pytest.mark.parametrize("words", [("apply",), ("plan",), ("status",)], ids=" ".join)
def test_a_command_with_nothing_to_do_takes_few_round_trips(
    make_database: Make, files: Path, cli: Run, words: tuple[str, ...]
) -> None:
    database = make_database("applied")
    with traced() as connections:
        assert cli(*words, "--db-url", database.url, "--migrations", str(files)).code == 0
        [connection] = connections
        assert connection.round_trips <= 2


@pytest.mark.parametrize("words", [("apply",), ("apply", "--dry-run")], ids=" ".join)
def test_readers_wait_for_the_server_and_not_for_the_network(
    busy_project: Database, files: Path, cli: Run, words: tuple[str, ...]
) -> None:
    with (
        distance(busy_project.server.port, ONE_WAY_SECONDS) as proxy,
        reading(busy_project.url) as seconds,
    ):
        ran = cli(*words, "--db-url", remote_url(busy_project, proxy), "--migrations", str(files))
    assert ran.code == 0, ran.err
    assert len(seconds) > 10
    assert max(seconds) <= 0.7


def test_readers_wait_briefly_while_apply_waits_behind_a_long_transaction(
    busy_project: Database, files: Path
) -> None:
    with (
        distance(busy_project.server.port, ONE_WAY_SECONDS) as proxy,
        psycopg.connect(busy_project.url) as long_reader,
        reading(busy_project.url) as seconds,
    ):
        long_reader.execute(READ)
        words = ["apply", "--db-url", remote_url(busy_project, proxy), "--migrations", str(files)]
        running = subprocess.Popen(
            [sys.executable, "-m", "supabase_jobs", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(6)
        long_reader.rollback()
        _, err = running.communicate(timeout=60)
    assert running.returncode in (0, 5), err
    assert max(seconds) <= 1.2
    with psycopg.connect(busy_project.url) as connection:
        applied = connection.execute(
            "select count(*) from supabase_migrations.schema_migrations"
        ).fetchone()
        assert applied == (len(packaged()),) if running.returncode == 0 else applied is not None


def test_a_remote_dry_run_neither_audits_nor_verifies(
    busy_project: Database, files: Path, cli: Run
) -> None:
    with distance(busy_project.server.port, 0) as proxy:
        there = ("--db-url", remote_url(busy_project, proxy), "--migrations", str(files))
        ran = cli("apply", "--dry-run", "--json", *there)
    assert (ran.code, ran.json["verify"], ran.json["access"]) == (0, None, None)
    assert "it does not audit or verify" in ran.err


def test_plan_and_apply_name_the_tables_that_policies_lock(
    make_database: Make, files: Path, cli: Run
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        grants = """{"postgres": ["auth.users", "storage.objects"]}"""
        connection.execute(
            psycopg.sql.SQL("alter database {} set supautils.policy_grants = {}").format(
                psycopg.sql.Identifier(database.name), psycopg.sql.Literal(grants)
            )
        )
    there = ("--db-url", database.url, "--migrations", str(files))
    ran = cli("plan", "--json", *there)
    [lock] = ran.json["locks"]["20251108000002_create_async_jobs_table.sql"]
    assert lock == {"mode": "AccessExclusiveLock", "tables": ["auth.users", "storage.objects"]}
    assert "20251108000004_schedule_job_cleanup.sql" not in ran.json["locks"]
    note = "note: 20251108000002_create_async_jobs_table.sql locks until it commits: auth.users, storage.objects"
    assert f"{note} (AccessExclusiveLock: reads and writes wait)" in cli("apply", *there).err
