"""`supabase-jobs cleanup` as its users see it: numbers, signals, a terminal, a pooler, and what is refused."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fix_cli import Run
from tests.sql.population import expired, left, left_in, populate

# a row takes 10 ms, so that there is time for a signal
_SLOW = """
create function private.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return old; end $$;
create trigger slow before delete on public.async_jobs for each row execute function private.slow();
"""


def jobs(url: str) -> int:
    """How many there are."""
    return len(left(url)[0])


@pytest.fixture
def slow_url(applied_url: str) -> str:
    """A database with 300 expired jobs, of which a second deletes a hundred at most."""
    with psycopg.connect(applied_url) as connection:
        expired(connection, 300)
        connection.execute(_SLOW)
    return applied_url


@contextmanager
def running(url: str, cwd: Path, *words: str, by: Sequence[str] = (), **more: Any) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*by, sys.executable, "-m", "supabase_jobs", "cleanup", "--db-url", url, *words],
        cwd=cwd, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        with process:  # waits, and closes its pipes
            pass


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def deleting(url: str) -> bool:
    """Whether a batch is being deleted right now."""
    with psycopg.connect(url) as connection:
        waits = connection.execute("select from pg_stat_activity where wait_event = 'PgSleep'")
        return waits.fetchone() is not None


def test_the_numbers(cli: Run, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 25)
        populate(connection)
        connection.commit()
        before = [len(ids) for ids in left_in(connection)]
    ran = cli("cleanup", "--dry-run", "--json", "--db-url", applied_url)
    foreseen = ran.json
    assert (ran.code, foreseen["batches"], foreseen["dry_run"]) == (0, 0, True)
    assert [len(ids) for ids in left(applied_url)] == before
    assert "would delete" in cli("cleanup", "--dry-run", "--db-url", applied_url).out
    done = cli("cleanup", "--batch-size", "10", "--json", "--db-url", applied_url)
    assert done.code == 0
    assert done.json["batches"] >= 3
    for kind in ("jobs_deleted", "guests_deleted"):
        assert done.json[kind] == foreseen[kind] > 0
    assert len(left(applied_url)[1]) == before[1] - done.json["guests_deleted"]
    assert "deleted 0 jobs and 0 guests in 0 batches" in cli("cleanup", "--db-url", applied_url).out


def test_the_days_are_the_projects_unless_said_otherwise(cli: Run, applied_url: str, tmp_path: Path) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 3)
        connection.execute("insert into public.guest_users (last_seen_at) values (now() - interval '40 days')")
    (tmp_path / "supabase-jobs.toml").write_text("[variables]\nretention_days = 20\nguest_inactive_days = 50\n")

    def counts(*words: str) -> tuple[int, int]:
        found = cli("cleanup", "--dry-run", "--json", *words, "--db-url", applied_url).json
        return found["jobs_deleted"], found["guests_deleted"]

    assert counts() == (0, 0)
    assert counts("--days", "5") == (3, 0)
    assert counts("--guest-days", "39") == (0, 1)
    (tmp_path / "supabase-jobs.toml").unlink()
    assert counts() == (3, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_signal_ends_after_the_batch(slow_url: str, tmp_path: Path, number: signal.Signals, form: list[str]) -> None:
    with running(slow_url, tmp_path, "--batch-size", "20", *form) as process:
        until(lambda: jobs(slow_url) < 300)
        until(lambda: deleting(slow_url))
        at_signal = jobs(slow_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    gone = 300 - jobs(slow_url)
    assert at_signal > 300 - gone > 0  # the batch that ran was finished, and not all of it
    assert gone % 20 == 0
    assert f'"jobs_deleted": {gone},' in out if form else f"deleted {gone} jobs and 0 guests" in out
    assert "Interrupted" in err


def test_a_signal_that_is_ignored_stays_so(slow_url: str, tmp_path: Path) -> None:
    """As nohup makes it, for a cleanup that is to outlive its terminal."""
    with running(slow_url, tmp_path, "--batch-size", "100", by=["nohup"]) as process:
        until(lambda: deleting(slow_url))
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, jobs(slow_url)) == (0, 0)
    assert out.startswith("deleted 300 jobs")


def test_a_second_signal_cancels_the_batch(slow_url: str, tmp_path: Path) -> None:
    with running(slow_url, tmp_path, "--batch-size", "300", "--json") as process:
        until(lambda: deleting(slow_url))
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=2)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert '"jobs_deleted": 0,' in out
    assert jobs(slow_url) == 300
    until(lambda: not deleting(slow_url))


def test_killed_midway_and_run_again(cli: Run, slow_url: str, tmp_path: Path) -> None:
    with psycopg.connect(slow_url) as connection:
        populate(connection)
        connection.commit()
        connection.execute("alter table public.async_jobs disable trigger slow")
        connection.execute("select public.cleanup_old_jobs(), public.cleanup_inactive_guests()")
        wanted = left_in(connection)
        connection.rollback()
    with running(slow_url, tmp_path, "--batch-size", "30") as process:
        begun = jobs(slow_url)
        until(lambda: jobs(slow_url) < begun)
        until(lambda: deleting(slow_url))
        process.kill()
    until(lambda: not deleting(slow_url))
    assert left(slow_url)[0] > wanted[0]
    with psycopg.connect(slow_url) as connection:
        connection.execute("drop trigger slow on public.async_jobs")
    assert cli("cleanup", "--db-url", slow_url).code == 0
    assert left(slow_url) == wanted


def test_a_bar_on_a_terminal(slow_url: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with running(slow_url, tmp_path, "--batch-size", "20", stderr=theirs, env=environ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # so a terminal's end is told
            while chunk := os.read(ours, 4096):
                shown += chunk
        out, _ = process.communicate()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"jobs .*\b[1-9]\d*0/300 +[1-9]\d*/s +0:00:0\d", text)
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", text))
    assert out.startswith("deleted 300 jobs and 0 guests in 15 batches")


def test_a_terminal_that_is_gone_stops_nothing(slow_url: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running(
        slow_url, tmp_path, "--batch-size", "20", stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        until(lambda: b"jobs" in os.read(ours, 4096))
        os.close(ours)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, jobs(slow_url)) == (0, 0)
    assert out.startswith("deleted 300 jobs and 0 guests in 15 batches")


def test_no_bar_elsewhere(cli: Run, slow_url: str) -> None:
    ran = cli("cleanup", "--db-url", slow_url)
    assert ran.err.splitlines() == [line for line in ran.err.splitlines() if line.startswith("database: ")]


def test_through_a_transaction_pooler(cli: Run, applied_url: str, pooled: Callable[..., str]) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 95)
        populate(connection, jobs=0)
    ran = cli("cleanup", "--batch-size", "10", "--json", "--db-url", pooled(applied_url, default_pool_size=1))
    assert (ran.code, ran.json["jobs_deleted"]) == (0, 95)
    assert ran.json["guests_deleted"] > 0


@pytest.mark.parametrize(
    "words",
    [("--days", "-1"), ("--days", "soon"), ("--guest-days", "-1"), ("--batch-size", "0"), ("--days", "2147483648")],
    ids=" ".join,
)
def test_what_is_refused(cli: Run, applied_url: str, words: tuple[str, ...]) -> None:
    ran = cli("cleanup", *words, "--json", "--db-url", applied_url)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")


def test_without_the_migrations(cli: Run, platform_url: str) -> None:
    for words in ((), ("--dry-run",)):
        ran = cli("cleanup", *words, "--json", "--db-url", platform_url)
        assert (ran.code, ran.json["error"]["code"]) == (2, "not_applied")
        assert "supabase-jobs apply" in ran.json["error"]["hint"]


def test_a_role_without_the_right(cli: Run, applied_url: str) -> None:
    ran = cli("cleanup", "--json", "--db-url", applied_url.replace("//postgres@", "//authenticator@"))
    assert (ran.code, ran.json["error"]["code"]) == (7, "insufficient_privilege")
