"""An apply that can be trusted at night: many at once, killed in the middle, the server gone, locks held."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.local import server as local
from tests.fix_cli import Run
from tests.fix_db import Make, packaged
from tests.migrations.test_apply import LEDGER, TABLES, rows, write
from tests.parts import find

SLOW = "create table public.slow (id integer);\nselect pg_sleep(60);\n"


def dump(url: str) -> str:
    """The whole database as SQL, data and ledger included."""
    package = find(16)
    assert package is not None
    program = package / "pginstall" / "bin" / "pg_dump"
    ran = subprocess.run([program, "--dbname", url, "--no-sync"], capture_output=True, text=True, check=True)
    # newer releases put a random word into their dumps
    return "\n".join(line for line in ran.stdout.splitlines() if not line.startswith((r"\restrict", r"\unrestrict")))


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    """An apply that runs on its own."""
    words = [sys.executable, "-m", "supabase_jobs", "apply", "--json", "--db-url", url, "--migrations", str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_asleep(url: str) -> int:
    """Wait until a migration sleeps; the pid of its server process."""
    asleep = (
        "select pid from pg_stat_activity where query like '%pg_sleep(60)%' and wait_event = 'PgSleep'"
        " and datname = current_database()"
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := rows(url, asleep):
            pid = found[0][0]
            assert isinstance(pid, int)
            return pid
        time.sleep(0.05)
    raise AssertionError("no migration went to sleep")


@pytest.mark.parametrize("through_pooler", [False, True], ids=["directly", "pgbouncer"])
def test_eight_at_once(make_database: Make, pooled: Callable[..., str], through_pooler: bool) -> None:
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
    applied = [line for _, text in ended for line in text.splitlines() if line.startswith("applied")]
    assert sorted(line.split()[1] for line in applied) == [m.version for m in packaged()]
    assert [version for version, _, _ in rows(database.url, LEDGER)] == [m.version for m in packaged()]
    assert rows(database.url, "select * from pg_locks where locktype = 'advisory'") == []
    left = (
        "select name, setting from pg_settings where source = 'session'"
        " and name in ('lock_timeout', 'search_path', 'role')"
    )
    for _ in range(3):
        assert rows(url, left) == []


def test_apply_and_verify_through_a_pooler(
    platform_url: str, pooled: Callable[..., str], cli: Run, files: Path
) -> None:
    url = pooled(platform_url)
    write(files, "20260101000000_t.sql", "create table public.t (id integer);")
    write(files, "20260101000001_i.sql", "--! transaction:false\ncreate index concurrently i on public.t (id);")
    there = ("--db-url", url, "--migrations", str(files))
    assert cli("apply", "--dry-run", *there).code == 0
    assert cli("apply", *there).code == 0
    assert cli("status", "--exit-code", *there).code == 0
    assert cli("verify", *there).code == 0
    assert rows(platform_url, "select * from pg_locks where locktype = 'advisory'") == []


def test_killed_in_the_middle(platform_url: str, files: Path, cli: Run) -> None:
    slow = write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    wait_until_asleep(platform_url)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=10)
    # nobody cleans up: the server itself has to notice that its client is gone
    assert ("public", "slow") not in rows(platform_url, TABLES)
    assert rows(platform_url, LEDGER)[-1][0] == packaged()[-1].version
    slow.write_text(SLOW.replace("60", "0"))
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0
    assert ("public", "slow") in rows(platform_url, TABLES)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_interrupted_in_the_middle(platform_url: str, files: Path, number: signal.Signals, code: int) -> None:
    write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    backend = wait_until_asleep(platform_url)
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    assert running.returncode == code
    assert "Traceback" not in out + err
    assert "ignored" not in err
    assert ("public", "slow") not in rows(platform_url, TABLES)
    busy = f"select 1 from pg_stat_activity where pid = {backend} and state = 'active'"
    assert rows(platform_url, busy) == []


def test_the_connection_is_lost_in_the_middle(platform_url: str, files: Path) -> None:
    write(files, "20260101000000_slow.sql", SLOW)
    running = start(platform_url, files)
    backend = wait_until_asleep(platform_url)
    rows(platform_url, f"select pg_terminate_backend({backend}, 5000)")
    out, err = running.communicate(timeout=20)
    assert running.returncode == 7, out + err
    assert "was lost while applying 20260101000000_slow.sql" in out
    assert "Traceback" not in out + err
    assert ("public", "slow") not in rows(platform_url, TABLES)


def test_the_server_is_stopped_in_the_middle(files: Path, cli: Run, tmp_path: Path) -> None:
    slow = write(files, "20260101000000_slow.sql", SLOW)
    server = local.start(tmp_path)
    try:
        running = start(server.url, files)
        wait_until_asleep(server.url)
        os.kill(server.pid, signal.SIGQUIT)  # what pg_ctl stop -m immediate sends
        out, err = running.communicate(timeout=20)
        assert running.returncode == 7, out + err
        assert "Traceback" not in out + err
        again = local.start(tmp_path)
        slow.write_text(SLOW.replace("60", "0"))
        assert cli("apply", "--db-url", again.url, "--migrations", str(files)).code == 0
        assert cli("verify", "--db-url", again.url, "--migrations", str(files)).code == 0
    finally:
        local.remove(tmp_path)


def test_a_failing_second_statement_leaves_the_database_as_it_was(applied_url: str, files: Path, cli: Run) -> None:
    bad = write(files, "20260101000000_bad.sql", "alter table public.async_jobs add more text;\n\nselect 1 / 0;\n")
    before = dump(applied_url)
    ran = cli("apply", "--json", "--db-url", applied_url, "--migrations", str(files))
    error = ran.json["error"]
    assert (ran.code, error["file"], error["line"]) == (6, str(bad), 3)
    assert dump(applied_url) == before


@pytest.mark.parametrize(
    "text", ["create table public.t (id integer);", "create table public.t (id integer);\nselect 1 / 0;"]
)
def test_a_rehearsal_leaves_the_database_as_it_was(platform_url: str, files: Path, cli: Run, text: str) -> None:
    write(files, "20260101000000_t.sql", text)
    before = dump(platform_url)
    ran = cli("apply", "--dry-run", "--db-url", platform_url, "--migrations", str(files))
    assert ran.code == (6 if "1 / 0" in text else 0)
    assert dump(platform_url) == before


def test_who_holds_a_lock_is_named(applied_url: str, files: Path, cli: Run) -> None:
    write(files, "20260101000000_wants_a_lock.sql", "alter table public.async_jobs add column more text;")
    with psycopg.connect(applied_url, application_name="nightly-report") as holder:
        holder.execute("select 'a rather long query that is cut short', repeat('x', 200) from public.async_jobs")
        ran = cli(
            "apply", "--json", "--lock-timeout", "600ms", "--retries", "0", "--db-url", applied_url,
            "--migrations", str(files),
        )  # fmt: skip
        message = ran.json["error"]["message"]
        assert ran.code == 5
        for word in (f"pid {holder.info.backend_pid}", "nightly-report", "idle in transaction", "a rather long query"):
            assert word in message
        assert len(message.splitlines()[-1]) < 200
    assert ("public", "async_jobs") in rows(applied_url, TABLES)


def test_a_lock_that_is_let_go_is_waited_for(applied_url: str, files: Path) -> None:
    write(files, "20260101000000_wants_a_lock.sql", "alter table public.async_jobs add column more text;")
    with psycopg.connect(applied_url) as holder:
        holder.execute("select 1 from public.async_jobs")
        words = [sys.executable, "-m", "supabase_jobs", "apply", "--lock-timeout", "200ms", "--retries", "20",
                 "--db-url", applied_url, "--migrations", str(files)]  # fmt: skip
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        assert running.poll() is None
        holder.rollback()
        running.communicate(timeout=30)
    assert running.returncode == 0


def test_what_a_file_sets_reaches_nobody_through_a_pooler(
    platform_url: str, files: Path, pooled: Callable[..., str], cli: Run
) -> None:
    write(
        files,
        "20260101000000_sets.sql",
        "set statement_timeout = '77s'; set default_transaction_read_only = on; select set_config('x.y', 'z', false);",
    )
    write(files, "20260101000001_next.sql", "create table public.next (id integer);")
    url = pooled(platform_url, default_pool_size=1)
    assert cli("apply", "--db-url", url, "--migrations", str(files)).code == 0
    left = "select current_setting('statement_timeout'), current_setting('default_transaction_read_only')"
    assert rows(url, left) == [("0", "off")]
    assert ("public", "next") in rows(platform_url, TABLES)


def test_a_pool_of_one_connection_is_not_waited_on(
    platform_url: str, files: Path, pooled: Callable[..., str], cli: Run
) -> None:
    """The look for blockers, on a second connection, must not hold the first one up."""
    write(files, "20260101000000_sleeps.sql", "select pg_sleep(2);")
    url = pooled(platform_url, default_pool_size=1, query_wait_timeout=20)
    started = time.monotonic()
    ran = cli("apply", "--lock-timeout", "1s", "--db-url", url, "--migrations", str(files))
    assert ran.code == 0
    assert time.monotonic() - started < 8


def test_a_ledger_that_push_creates_meanwhile(platform_url: str, files: Path) -> None:
    with psycopg.connect(platform_url) as other:
        other.execute("create schema supabase_migrations")
        other.execute("create table supabase_migrations.schema_migrations (version text primary key)")
        running = start(platform_url, files)
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        while not rows(platform_url, waiting):
            assert running.poll() is None
        other.commit()
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, out + err


def test_a_deadlock_is_tried_again(applied_url: str, files: Path) -> None:
    """As with supabase db push, which holds the table and waits for our ledger row."""
    write(files, "20260101000000_x.sql", "select pg_sleep(1); alter table public.async_jobs add column more text;")
    with psycopg.connect(applied_url) as other:
        other.execute("lock table public.async_jobs in share mode")
        words = [sys.executable, "-m", "supabase_jobs", "apply", "--lock-timeout", "20s",
                 "--db-url", applied_url, "--migrations", str(files)]  # fmt: skip
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        while not rows(applied_url, asleep):
            assert running.poll() is None
        with suppress(psycopg.errors.DeadlockDetected):  # where the server chose the other one, ours went through
            other.execute("insert into supabase_migrations.schema_migrations (version) values ('20260101000000')")
        other.rollback()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err


def test_a_rehearsal_beside_another_apply(platform_url: str, files: Path, cli: Run) -> None:
    write(files, "20260101000000_slow.sql", SLOW.replace("60", "3"))
    running = start(platform_url, files)
    asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    while not rows(platform_url, asleep):
        assert running.poll() is None
    ran = cli("apply", "--dry-run", "--db-url", platform_url, "--migrations", str(files))
    running.communicate(timeout=30)
    assert (running.returncode, ran.code) == (0, 0)
