"""Commands that are stopped, killed, cut off or lose their server leave nothing behind.

Each is met while it waits for a lock, with the locks that it has by then; then the lock is
released, and nobody is there to continue.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.distance import Distance, distance
from benchmarks.shop import Shop, write_project

pytestmark = pytest.mark.slow

GONE_SECONDS = 10
# a command that lost its database ends by itself, without anybody to interrupt it
END_SECONDS = 60
START_SECONDS = 60
# tables that another session locks; each command locks one of them after others
BLOCKED = "public.orders, public.products, public.async_jobs"
COMMANDS = {
    "audit": ("audit", "--json"),
    "plan-access": ("plan", "--access", "--json"),
    "dry-run": ("apply", "--dry-run", "--json"),
    "verify": ("verify", "--json"),
    "stats": ("stats", "--json"),
    "check-results": ("check-results", "--json"),
}

WAITING = """
select from pg_stat_activity where client_port = any(%s) and wait_event_type = 'Lock'
"""
SESSIONS = """
select application_name, pid, state, query from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and application_name <> 'shop watcher'
"""
LOCKS = f"""
select s.*, l.mode, l.locktype, l.relation::regclass from ({SESSIONS}) as s
inner join pg_locks as l on s.pid = l.pid
where l.granted and l.locktype in ('relation', 'transactionid', 'tuple', 'advisory')
"""


@dataclass
class Running:
    """A command in a process group of its own, with its own folders and its own way to the server."""

    process: subprocess.Popen[str]
    start: Callable[[], subprocess.Popen[str]]
    scratch: Path
    network: Distance
    deadline: float = float("inf")

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the command and to the programs that it runs, as a laptop that sleeps."""
        os.killpg(self.process.pid, number)

    def finish(self) -> tuple[int, str]:
        """Exit code and output."""
        try:
            out, err = self.process.communicate(timeout=max(self.deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            return -1, "does not end"
        assert "Traceback" not in out + err, out + err
        return self.process.returncode, out + err

    def left(self) -> list[str]:
        """Processes and files of the command."""
        found = [f"{pid}: {words}" for pid, words in processes(self.scratch).items()]
        return found + [str(path) for path in (self.scratch / "tmp").iterdir()]


def processes(scratch: Path) -> dict[int, str]:
    """The processes that name a folder in their command line or environment, with the former."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if os.fsencode(scratch) in words + (folder / "environ").read_bytes():
                found[int(folder.name)] = words.replace(b"\0", b" ").decode(errors="replace")
    return found


@contextlib.contextmanager
def running(name: str, shop: Shop) -> Iterator[Running]:
    """Start a command in the project of the shop; everything of it is gone after the block."""
    scratch = Path(tempfile.mkdtemp(prefix="interrupted-"))
    scratch.chmod(0o755)
    write_project(scratch, pending=True)
    for folder in ("tmp", "home"):
        (scratch / folder).mkdir()
    (scratch / "tmp").chmod(0o1777)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE", "PG"))}
    environ = {**kept, "HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp")}
    with distance(shop.server.port, 0.0) as network:
        url = shop.url.replace(f":{shop.server.port}/", f":{network.port}/")
        words = [*COMMANDS[name], "--db-url", f"{url}?application_name={name}"]
        start = partial(
            subprocess.Popen,
            [sys.executable, "-m", "supabase_jobs", *words],
            cwd=scratch,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        process = start()
        started = Running(process, start, scratch, network)
        try:
            yield started
        finally:
            with contextlib.suppress(ProcessLookupError):
                started.signal_all(signal.SIGKILL)
            for pid in processes(scratch):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()
            shutil.rmtree(scratch)


@contextlib.contextmanager
def interrupted(
    shop: Shop, interrupt: Callable[[Running], object], *, before_release: Callable[[], object]
) -> Iterator[dict[str, Running]]:
    """Run all commands, and interrupt each as soon as it waits for a lock; released in the block."""
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(contextlib.closing(shop.connect()))
        observer = stack.enter_context(contextlib.closing(shop.connect()))
        blocker.execute("begin")
        blocker.execute(f"lock table {BLOCKED} in access exclusive mode".encode())
        commands = {name: stack.enter_context(running(name, shop)) for name in COMMANDS}
        waited_for = dict(commands)
        deadline = time.monotonic() + START_SECONDS
        while waited_for:
            for name, command in list(waited_for.items()):
                if observer.execute(WAITING, ([*command.network.trips],)).fetchone() is not None:
                    interrupt(waited_for.pop(name))
                    command.deadline = time.monotonic() + END_SECONDS
                elif command.process.poll() is not None:
                    raise AssertionError((name, command.process.communicate()))
            assert time.monotonic() < deadline, f"wait for no lock: {[*waited_for]}"
            time.sleep(0.01)
        before_release()
        blocker.close()
        yield commands


def nothing() -> None:
    """Do nothing."""


def left_after(shop: Shop, query: str) -> list[Any]:
    """The rows of a query that are still there after the time in which they have to go."""
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        with shop.connect() as connection:
            found = connection.execute(query.encode()).fetchall()
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_a_laptop_that_sleeps(shop: Shop) -> None:
    before = shop.contents()
    with interrupted(
        shop, lambda command: command.signal_all(signal.SIGSTOP), before_release=nothing
    ) as commands:
        assert left_after(shop, LOCKS) == []
        for command in commands.values():
            command.signal_all(signal.SIGCONT)
            command.deadline = time.monotonic() + END_SECONDS
        ended = {name: command.finish() for name, command in commands.items()}
        assert {
            name: text for name, (code, text) in ended.items() if code not in (0, 1, 5, 7)
        } == {}
        assert left_after(shop, SESSIONS) == []
        assert [command.left() for command in commands.values()] == [[]] * len(commands)
    assert shop.contents() == before


def test_a_killed_program(shop: Shop) -> None:
    """Its embedded server is removed by the next run of any command that needs one."""
    before = shop.contents()
    with interrupted(
        shop, lambda command: command.process.kill(), before_release=nothing
    ) as commands:
        assert left_after(shop, LOCKS) == []
        assert left_after(shop, SESSIONS) == []
        killed = commands["audit"]
        out, err = killed.start().communicate(timeout=END_SECONDS)
        assert '"findings"' in out, err
        assert killed.left() == []
    assert shop.contents() == before


def test_a_dropped_network(shop: Shop) -> None:
    before = shop.contents()
    with interrupted(
        shop, lambda command: command.network.dropped.set(), before_release=nothing
    ) as commands:
        assert left_after(shop, LOCKS) == []
        ended = {name: command.finish() for name, command in commands.items()}
        assert {name: text for name, (code, text) in ended.items() if code not in (5, 7)} == {}
        for command in commands.values():  # the sessions learn of it when the network is back
            command.network.dropped.clear()
        assert left_after(shop, SESSIONS) == []
        assert [command.left() for command in commands.values()] == [[]] * len(commands)
    assert shop.contents() == before


def test_a_server_that_restarts(shop: Shop) -> None:
    """Each command is stopped while it waits, so that all are there when the server restarts."""
    before = shop.contents()

    def restart() -> None:
        shop.server.stop()
        shop.server.start()

    with interrupted(
        shop, lambda command: command.signal_all(signal.SIGSTOP), before_release=restart
    ) as commands:
        for command in commands.values():
            command.signal_all(signal.SIGCONT)
            command.deadline = time.monotonic() + END_SECONDS
        ended = {name: command.finish() for name, command in commands.items()}
        assert {name: text for name, (code, text) in ended.items() if code not in (5, 7)} == {}
        assert left_after(shop, SESSIONS) == []
        assert [command.left() for command in commands.values()] == [[]] * len(commands)
    assert shop.contents() == before
