"""Lock timeouts: retries, blocking sessions, deadlocks."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, TABLES, rows, wait_for, write


def test_the_blocking_session_is_named(applied_url: str, files: Path, cli: Run) -> None:
    write(
        files,
        "20260101000000_wants_a_lock.sql",
        "alter table public.async_jobs add column more text;",
    )
    with psycopg.connect(applied_url, application_name="nightly-report") as holder:
        holder.execute(
            "select 'a rather long query that is cut short', repeat('x', 200) from"
            " public.async_jobs"
        )
        ran = cli(
            "apply",
            "--json",
            "--lock-timeout",
            "2s",
            "--retries",
            "0",
            "--db-url",
            applied_url,
            "--migrations",
            str(files),
        )
        message = ran.json["error"]["message"]
        assert ran.code == 5
        for word in (
            f"pid {holder.info.backend_pid}",
            "nightly-report",
            "idle in transaction",
            "a rather long query",
        ):
            assert word in message
        assert len(message.splitlines()[-1]) < 200
    assert ("public", "async_jobs") in rows(applied_url, TABLES)


def test_apply_succeeds_when_the_lock_is_released(applied_url: str, files: Path) -> None:
    write(
        files,
        "20260101000000_wants_a_lock.sql",
        "alter table public.async_jobs add column more text;",
    )
    with psycopg.connect(applied_url) as holder:
        holder.execute("select 1 from public.async_jobs")
        words = [
            sys.executable,
            "-m",
            "supabase_jobs",
            "apply",
            "--lock-timeout",
            "200ms",
            "--retries",
            "20",
            "--db-url",
            applied_url,
            "--migrations",
            str(files),
        ]
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        assert running.poll() is None
        holder.rollback()
        running.communicate(timeout=30)
    assert running.returncode == 0


def test_a_deadlock_is_retried(applied_url: str, files: Path) -> None:
    """The other session acts like supabase db push: it holds the table and waits for the ledger row
    of apply.
    """
    write(
        files,
        "20260101000000_x.sql",
        "select pg_sleep(1); alter table public.async_jobs add column more text;",
    )
    with psycopg.connect(applied_url) as other:
        other.execute("lock table public.async_jobs in share mode")
        words = [
            sys.executable,
            "-m",
            "supabase_jobs",
            "apply",
            "--lock-timeout",
            "20s",
            "--db-url",
            applied_url,
            "--migrations",
            str(files),
        ]
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        wait_for(applied_url, asleep, running)
        with suppress(psycopg.errors.DeadlockDetected):  # if the server cancels the other session
            other.execute(
                "insert into supabase_migrations.schema_migrations (version) values"
                " ('20260101000000')"
            )
        other.rollback()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err


def test_apply_gives_up_after_the_last_retry(applied_url: str, cli: Run, files: Path) -> None:
    write(
        files,
        "20260101000000_wants_a_lock.sql",
        "alter table public.async_jobs add column more text;",
    )
    with psycopg.connect(applied_url) as holder:
        holder.execute("select 1 from public.async_jobs")
        ran = cli(
            "apply",
            "--json",
            "--lock-timeout",
            "100ms",
            "--retries",
            "1",
            "--db-url",
            applied_url,
            "--migrations",
            str(files),
        )
    assert (ran.code, ran.json["error"]["sqlstate"]) == (5, "55P03")
    assert rows(applied_url, LEDGER)[-1][0] == packaged()[-1].version


def test_a_dry_run_gives_up_after_the_lock_timeout(applied_url: str, files: Path, cli: Run) -> None:
    write(
        files,
        "20260101000000_wants_a_lock.sql",
        "alter table public.async_jobs add column more text;",
    )
    with psycopg.connect(applied_url) as holder:
        holder.execute("select 1 from public.async_jobs")
        ran = cli(
            "apply",
            "--dry-run",
            "--json",
            "--lock-timeout",
            "200ms",
            "--retries",
            "0",
            "--db-url",
            applied_url,
            "--migrations",
            str(files),
        )
    assert ran.code == 5


def test_the_lock_timeout_applies_to_the_ledger(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "1_first.sql", "select 1;")
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute(
            "create table supabase_migrations.schema_migrations (version text primary key)"
        )
    with psycopg.connect(platform_url) as holder:
        holder.execute("select from supabase_migrations.schema_migrations")
        started = time.monotonic()
        words = (
            "apply",
            "--json",
            "--lock-timeout",
            "200ms",
            "--retries",
            "0",
            "--db-url",
            platform_url,
        )
        ran = cli(*words, "--migrations", str(tmp_path))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (5, "55P03")
    assert (
        "the migration ledger: could not get a lock within 200 ms" in ran.json["error"]["message"]
    )
    assert time.monotonic() - started < 3
