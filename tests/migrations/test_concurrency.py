"""Several runners on one database: each file is applied once, and no lock or setting is left
behind.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.errors import BusyError
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.locks import LOCK_KEY, LockOptions
from supabase_jobs.sources.files import MigrationFiles
from tests.fix_cli import Run
from tests.fix_db import Make, packaged
from tests.migrations.helpers import LEDGER, rows, start, wait_for, write

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("through_pooler", [False, True], ids=["directly", "pgbouncer"])
def test_eight_concurrent_runs_apply_each_file_once(
    make_database: Make, pooled: Callable[..., str], through_pooler: bool
) -> None:
    database = make_database("platform")
    url = pooled(database.url) if through_pooler else database.url

    def run(_: int) -> tuple[int, str]:
        words = [sys.executable, "-m", "supabase_jobs", "apply", "--db-url", url]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return ran.returncode, ran.stdout + ran.stderr

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(run, range(8)))
    assert {code for code, _ in ended} <= {0, 5}, ended
    assert not [text for _, text in ended if "Traceback" in text]
    applied = [
        line for _, text in ended for line in text.splitlines() if line.startswith("applied")
    ]
    assert sorted(line.split()[1] for line in applied) == [m.version for m in packaged()]
    assert [version for version, _, _ in rows(database.url, LEDGER)] == [
        m.version for m in packaged()
    ]
    assert rows(database.url, "select * from pg_locks where locktype = 'advisory'") == []
    left = (
        "select name, setting from pg_settings where source = 'session'"
        " and name in ('lock_timeout', 'search_path', 'role')"
    )
    for _ in range(3):
        assert rows(url, left) == []


def test_apply_waits_for_another_runner_and_then_gives_up(platform_url: str) -> None:
    with psycopg.connect(platform_url) as other, connect(platform_url) as connection:
        other.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        with pytest.raises(BusyError, match="another supabase-jobs"):
            apply_pending(
                connection, MigrationFiles(packaged()), lock_options=LockOptions(runner_seconds=0.5)
            )
        other.rollback()
        assert len(apply_pending(connection, MigrationFiles(packaged()))[0]) == len(packaged())


# until no session holds the advisory lock 7
HELD = """
do $$
begin
  while exists (select from pg_locks where locktype = 'advisory' and objid = 7) loop
    perform pg_sleep(0.02);
  end loop;
end $$;
"""
WAITS = "another supabase-jobs is applying migrations; waiting for at most 30 s"


def test_a_dry_run_waits_for_another_runner(platform_url: str, files: Path) -> None:
    write(files, "20260101000000_slow.sql", HELD)
    with psycopg.connect(platform_url, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(7)")
        running = start(platform_url, files)
        asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        wait_for(platform_url, asleep, running)
        waiting = start(platform_url, files, "--dry-run")
        assert waiting.stderr is not None
        said = ""
        while WAITS not in said and (line := waiting.stderr.readline()):
            said += line
    running.communicate(timeout=30)
    said += waiting.communicate(timeout=30)[1]
    assert (running.returncode, waiting.returncode) == (0, 0), said
    assert said.count(WAITS) == 1


def test_a_wait_for_a_lock_names_its_holder(platform_url: str, files: Path, cli: Run) -> None:
    write(files, "20260101000000_more.sql", "alter table public.waited_for add column more text")
    with psycopg.connect(platform_url, application_name="the app") as other:
        other.execute("create table public.waited_for (id integer primary key)")
        other.commit()
        other.execute("select * from public.waited_for")
        options = ["--db-url", platform_url, "--migrations", str(files)]
        ran = cli("apply", *options, "--lock-timeout", "1500", "--retries", "1")
    assert ran.code == 5
    [line] = [line for line in ran.err.splitlines() if "waiting for a lock" in line]
    assert line.startswith("20260101000000_more.sql: waiting for a lock, held by pid ")
    assert "(the app, idle in transaction, for " in line
    assert line.endswith("; try 2 of 2")


def test_a_ledger_that_push_creates_concurrently_is_used(platform_url: str, files: Path) -> None:
    with psycopg.connect(platform_url) as other:
        other.execute("create schema supabase_migrations")
        other.execute(
            "create table supabase_migrations.schema_migrations (version text primary key)"
        )
        running = start(platform_url, files)
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        wait_for(platform_url, waiting, running)
        other.commit()
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, out + err


def test_of_three_folders_with_different_files_one_is_applied(
    platform_url: str, files: Path
) -> None:
    folders = []
    for name in "abc":
        folder = files.parent / name
        shutil.copytree(files, folder)
        write(
            folder,
            f"20260101000000_{name}.sql",
            f"create table public.only_in_{name} (id integer primary key)",
        )
        folders.append(folder)

    running = [start(platform_url, folder) for folder in folders]
    ended = [process.communicate(timeout=60) for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes == [0, 4, 4], ended
    assert len(rows(platform_url, "select from pg_tables where tablename like 'only_in_%'")) == 1
    assert len(rows(platform_url, LEDGER)) == len(packaged()) + 1
