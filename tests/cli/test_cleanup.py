"""`supabase-jobs cleanup`: numbers, days, signals, progress bar, pooler, and errors."""

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

from supabase_jobs.sources.files import load_sources
from tests.fix_cli import Run
from tests.sql.population import expired, left, left_in, populate

pytestmark = pytest.mark.slow

# a row takes 10 ms, which leaves time for a signal
_SLOW = """
create function private.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return old; end $$;
create trigger slow before delete on public.async_jobs for each row execute function private.slow();
"""


def jobs(url: str) -> int:
    """The number of jobs."""
    return len(left(url)[0])


@pytest.fixture
def slow_url(applied_url: str) -> str:
    """A database with 300 expired jobs; at most a hundred can be deleted in a second."""
    with psycopg.connect(applied_url) as connection:
        expired(connection, 300)
        connection.execute(_SLOW)
    return applied_url


@contextmanager
def running(
    url: str, cwd: Path, *words: str, prefix: Sequence[str] = (), **more: Any
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "supabase_jobs", "cleanup", "--db-url", url, *words],
        cwd=cwd,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )
    try:
        yield process
    finally:
        process.kill()
        with process:  # waits and closes the pipes
            pass


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def deleting(url: str) -> bool:
    """Whether a batch is being deleted."""
    with psycopg.connect(url) as connection:
        sleeping = connection.execute("select from pg_stat_activity where wait_event = 'PgSleep'")
        return sleeping.fetchone() is not None


def test_dry_run_and_cleanup_report_the_same_numbers(cli: Run, applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 25)
        populate(connection)
        connection.commit()
        before = [len(ids) for ids in left_in(connection)]
    ran = cli("cleanup", "--dry-run", "--json", "--db-url", applied_url)
    counted = ran.json
    assert (ran.code, counted["batches"], counted["dry_run"]) == (0, 0, True)
    assert [len(ids) for ids in left(applied_url)] == before
    assert "would delete" in cli("cleanup", "--dry-run", "--db-url", applied_url).out
    done = cli("cleanup", "--batch-size", "10", "--json", "--db-url", applied_url)
    assert done.code == 0
    assert done.json["batches"] >= 3
    for kind in ("jobs_deleted", "guests_deleted"):
        assert done.json[kind] == counted[kind] > 0
    assert len(left(applied_url)[1]) == before[1] - done.json["guests_deleted"]
    assert "deleted 0 jobs and 0 guests in 0 batches" in cli("cleanup", "--db-url", applied_url).out


def test_the_variables_of_the_project_are_the_default_days(
    cli: Run, applied_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 3)
        connection.execute(
            "insert into public.guest_users (last_seen_at) values (now() - interval '40 days')"
        )
    (tmp_path / "supabase-jobs.toml").write_text(
        "[variables]\nretention_days = 20\nguest_inactive_days = 50\n"
    )

    def counts(*words: str) -> tuple[int, int]:
        counted = cli("cleanup", "--dry-run", "--json", *words, "--db-url", applied_url).json
        return counted["jobs_deleted"], counted["guests_deleted"]

    assert counts() == (0, 0)
    assert counts("--days", "5") == (3, 0)
    assert counts("--guest-days", "39") == (0, 1)
    (tmp_path / "supabase-jobs.toml").unlink()
    assert counts() == (3, 1)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_signal_stops_after_the_batch(
    slow_url: str, tmp_path: Path, number: signal.Signals, form: list[str]
) -> None:
    # a batch takes long enough that the signal, which follows its beginning, does not come after it
    with running(slow_url, tmp_path, "--batch-size", "60", *form) as process:
        until(lambda: jobs(slow_url) < 300)
        until(lambda: deleting(slow_url))
        at_signal = jobs(slow_url)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    deleted = 300 - jobs(slow_url)
    assert at_signal > 300 - deleted > 0  # the running batch was completed, and no further one
    assert deleted % 60 == 0
    assert (
        f'"jobs_deleted": {deleted},' in out
        if form
        else f"deleted {deleted} jobs and 0 guests" in out
    )
    assert "Interrupted" in err


def test_an_ignored_signal_stays_ignored(slow_url: str, tmp_path: Path) -> None:
    """nohup ignores SIGHUP so that the cleanup outlives its terminal."""
    with running(slow_url, tmp_path, "--batch-size", "100", prefix=["nohup"]) as process:
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
        out, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert '"jobs_deleted": 0,' in out
    assert jobs(slow_url) == 300
    until(lambda: not deleting(slow_url))


def test_a_killed_cleanup_can_be_run_again(cli: Run, slow_url: str, tmp_path: Path) -> None:
    with psycopg.connect(slow_url) as connection:
        populate(connection)
        connection.commit()
        connection.execute("alter table public.async_jobs disable trigger slow")
        connection.execute("select public.cleanup_old_jobs(), public.cleanup_inactive_guests()")
        expected = left_in(connection)
        connection.rollback()
    with running(slow_url, tmp_path, "--batch-size", "30") as process:
        initial = jobs(slow_url)
        until(lambda: jobs(slow_url) < initial)
        until(lambda: deleting(slow_url))
        process.kill()
    until(lambda: not deleting(slow_url))
    assert left(slow_url)[0] > expected[0]
    with psycopg.connect(slow_url) as connection:
        connection.execute("drop trigger slow on public.async_jobs")
    assert cli("cleanup", "--db-url", slow_url).code == 0
    assert left(slow_url) == expected


def test_a_terminal_shows_a_progress_bar(slow_url: str, tmp_path: Path) -> None:
    terminal, child_end = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with running(
        slow_url, tmp_path, "--batch-size", "20", stderr=child_end, env=environ
    ) as process:
        os.close(child_end)
        shown = b""
        with suppress(OSError):  # raised at the end of a pseudo-terminal
            while chunk := os.read(terminal, 4096):
                shown += chunk
        out, _ = process.communicate()
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"jobs .*\b[1-9]\d*0/300 +[1-9]\d*/s +0:00:0\d", text)
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", text))
    assert out.startswith("deleted 300 jobs and 0 guests in 15 batches")


def test_cleanup_continues_after_the_terminal_was_closed(slow_url: str, tmp_path: Path) -> None:
    terminal, child_end = pty.openpty()
    with running(
        slow_url,
        tmp_path,
        "--batch-size",
        "20",
        stderr=child_end,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(child_end)
        until(lambda: b"jobs" in os.read(terminal, 4096))
        os.close(terminal)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, jobs(slow_url)) == (0, 0)
    assert out.startswith("deleted 300 jobs and 0 guests in 15 batches")


def test_no_progress_bar_without_a_terminal(cli: Run, slow_url: str) -> None:
    ran = cli("cleanup", "--db-url", slow_url)
    assert [line.partition(" ")[0] for line in ran.err.splitlines()] == ["database:", "cleanup"]


def test_cleanup_through_a_transaction_pooler(
    cli: Run, applied_url: str, pooled: Callable[..., str]
) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 95)
        populate(connection, jobs=0)
    ran = cli(
        "cleanup",
        "--batch-size",
        "10",
        "--json",
        "--db-url",
        pooled(applied_url, default_pool_size=1),
    )
    assert (ran.code, ran.json["jobs_deleted"]) == (0, 95)
    assert ran.json["guests_deleted"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ("--days", "-1"),
        ("--days", "soon"),
        ("--guest-days", "-1"),
        ("--batch-size", "0"),
        ("--days", "2147483648"),
    ],
    ids=" ".join,
)
def test_invalid_options_are_usage_errors(
    cli: Run, applied_url: str, words: tuple[str, ...]
) -> None:
    ran = cli("cleanup", *words, "--json", "--db-url", applied_url)
    assert (ran.code, ran.json["error"]["code"]) == (2, "usage")


def test_missing_migrations_exit_2(cli: Run, platform_url: str) -> None:
    for words in ((), ("--dry-run",)):
        ran = cli("cleanup", *words, "--json", "--db-url", platform_url)
        assert (ran.code, ran.json["error"]["code"]) == (2, "not_applied")
        assert "supabase-jobs apply" in ran.json["error"]["hint"]


def test_a_role_without_privileges_exits_7(cli: Run, applied_url: str) -> None:
    ran = cli(
        "cleanup", "--json", "--db-url", applied_url.replace("//postgres@", "//authenticator@")
    )
    assert (ran.code, ran.json["error"]["code"]) == (7, "insufficient_privilege")


def test_help_names_the_variables_and_repeats_no_default(cli: Run) -> None:
    """The defaults are in sql/manifest.toml."""
    shown = cli("cleanup", "--help").out
    variables = load_sources().variables
    for name in ("retention_days", "guest_inactive_days"):
        assert name in shown
        assert not re.search(rf"\b{variables[name].default}\b", shown.partition("Example:")[0])
