"""A shop whose database is in use: its clients, and what they notice of a command.

The server's log says who waited for whom: with `log_lock_waits`, each wait of more than 20 ms is
logged with the processes that hold the lock. So a busy machine is no excuse and no fault.
"""

import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.independent_server import IndependentServer
from supabase_jobs.database.connection import connect
from supabase_jobs.local.platform import load_platform, load_services
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import MigrationFiles, load_migrations

SHOP = Path(__file__).parents[2] / "tests" / "data" / "shop"
CLIENTS = 8
CLIENT, WATCHER = "shop client", "shop watcher"
# in each value of the shop: texts, ids, amounts
MARKS = ("nightjar", "5e11ed00", "71429", "2019-02-03")


# the sessions of the shop itself
_OWN = {CLIENT, WATCHER, ""}
_PAUSE = 0.05
_POLL = 0.01
_PROCESSES = get_context("spawn")

_RECEIVED = re.compile(r"\[(\d+)\] LOG:  connection received: host=\S+ port=(\d+)")
_CONNECTED = re.compile(
    r"\[(\d+)\] LOG:  connection authorized: user=(\S+)(?: database=(\S+))?"
    r"(?: application_name=(.*))?"
)
_WAITS = re.compile(r"\[(\d+)\] LOG:  process \d+ still waiting for (\w+) on (.+) after [\d.]+ ms")
_HOLDERS = re.compile(
    r"\[(\d+)\] DETAIL:  Process(?:es)? holding the lock: ([\d, ]*)\. Wait queue: ([\d, ]*)\."
)
_ACQUIRED = re.compile(r"\[(\d+)\] LOG:  process \d+ acquired (\w+) on (.+) after ([\d.]+) ms")


def marks_in(output: str) -> list[str]:
    """The marks of values of the shop in an output, whatever their case."""
    lower = output.lower()
    return [mark for mark in MARKS if mark in lower]


def text(name: str) -> bytes:
    """The text of an SQL file of the shop."""
    return (SHOP / f"{name}.sql").read_bytes()


@dataclass(frozen=True)
class Session:
    """A session that was opened during an observation; `port` is its client's, 0 if unknown."""

    pid: int
    port: int
    role: str
    database: str
    application: str


@dataclass(frozen=True)
class Wait:
    """A session waited for a lock of others; `ms` is None if it gave up."""

    pid: int
    lock: str
    holders: frozenset[int]
    ms: float | None


@dataclass
class Observation:
    """Events of the shop during a block; complete after it."""

    sessions: list[Session] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    # of sessions that are not the shop's own
    longest_write: float = 0.0
    longest_transaction: float = 0.0
    locks: set[str] = field(default_factory=set)
    # milliseconds of each action of the clients
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    # process of the server → its nanoseconds on a core, and those of waiting for one
    schedule: dict[int, tuple[int, int]] = field(default_factory=dict)

    def note_schedule(self, pid: int) -> None:
        """Note how long a process of the server has waited for a core, where the system says so."""
        with suppress(OSError, ValueError):
            on, waiting, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
            self.schedule[pid] = int(on), int(waiting)

    @property
    def stretch(self) -> float:
        """By how much a busy machine lengthens what the sessions of others do; 1 on a quiet one."""
        on = sum(times[0] for times in self.schedule.values())
        waiting = sum(times[1] for times in self.schedule.values())
        return 1 + waiting / on if on else 1.0

    def wait(self, seconds: float) -> None:
        """Let the clients work for a while."""
        time.sleep(seconds)

    def percentile(self, number: int) -> float:
        """Milliseconds that this percentage of the clients' actions did not exceed."""
        ordered = sorted(ms for times in self.times.values() for ms in times)
        return ordered[min(len(ordered) * number // 100, len(ordered) - 1)]

    def longest_wait(self, *, for_own: bool) -> float:
        """Milliseconds of the longest wait for sessions of the shop, or for others."""
        own = {s.pid for s in self.sessions if s.application in _OWN}
        visitors = {s.pid for s in self.sessions} - own
        found = [
            float("inf") if wait.ms is None else wait.ms
            for wait in self.waits
            if wait.pid not in visitors and bool(wait.holders & visitors) is not for_own
        ]
        return max(found, default=0.0)

    @property
    def visitors(self) -> list[Session]:
        """The sessions that are not the shop's own."""
        return [s for s in self.sessions if s.application not in _OWN]


@dataclass(frozen=True)
class Shop:
    """The database of the shop, and the database that its functions write through dblink."""

    server: IndependentServer
    name: str
    orders: int
    clients: list[int] = field(default_factory=list)

    @property
    def log_name(self) -> str:
        """The name of the other database."""
        return f"{self.name}_log"

    @property
    def url(self) -> str:
        """The URL for the role `postgres`."""
        return self.server.url(self.name)

    @property
    def superuser_url(self) -> str:
        """The URL for the superuser."""
        return self.server.superuser_url(self.name)

    def connect(self, application: str = WATCHER, database: str = "") -> psycopg.Connection[Any]:
        """A session of the shop itself, as superuser in autocommit mode."""
        return psycopg.connect(
            self.server.superuser_url(database or self.name),
            autocommit=True,
            application_name=application,
        )

    def log_rows(self) -> int:
        """The number of rows that functions wrote into the other database."""
        with self.connect(database=self.log_name) as connection:
            [(rows,)] = connection.execute("select count(*) from public.log").fetchall()
        return int(rows)

    def state(self) -> tuple[Any, ...]:
        """Everything that a write changes: the WAL, transactions, sequences, counted rows."""
        with self.connect() as connection:
            [row] = connection.execute(text("state")).fetchall()
        return (*row, self.log_rows())

    def contents(self) -> Mapping[str, Any]:
        """The version of each row of each table, and the sequences: what stays after a rollback."""
        found: dict[str, Any] = {}
        with self.connect() as connection:
            tables = connection.execute(
                "select schemaname, relname from pg_stat_user_tables order by 1, 2"
            ).fetchall()
            for schema, table in tables:
                versions = sql.SQL(
                    "select count(*), md5(string_agg(ctid::text || xmin, ',' order by ctid))"
                    " from {}"
                ).format(sql.Identifier(schema, table))
                [found[f"{schema}.{table}"]] = connection.execute(versions).fetchall()
            found["sequences"] = connection.execute(
                "select sequencename, last_value from pg_sequences order by 1, 2"
            ).fetchall()
        return {**found, "log": self.log_rows()}

    def settle(self) -> None:
        """Freeze and flush everything, so that reading alone writes nothing any more."""
        with self.connect() as connection:
            connection.execute("analyze")
            connection.execute("vacuum (freeze)")  # also the statistics that analyze replaced
            connection.execute("checkpoint")

    @contextmanager
    def observed(self, *, clients: int = 0) -> Iterator[Observation]:
        """Watch the shop during the block, with this number of clients."""
        seen = Observation()
        start = self.server.log.stat().st_size
        stop = threading.Event()
        ready = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(seen, stop, ready))
        watcher.start()
        try:
            ready.wait(30)
            with self._clients(clients, seen):
                yield seen
        finally:
            stop.set()
            watcher.join()
            with self.server.log.open("rb") as file:
                file.seek(start)
                read_log(file.read().decode(errors="replace"), seen)

    def _watch(self, seen: Observation, stop: threading.Event, ready: threading.Event) -> None:
        try:
            with self.connect() as connection, self.connect() as listener:
                for channel in ("sign_ups", "orders", "visits"):
                    listener.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                ready.set()
                while not stop.wait(_POLL):
                    for pid, age, writes, locks in connection.execute(text("watch")):
                        seen.note_schedule(pid)
                        seen.longest_transaction = max(seen.longest_transaction, age)
                        if writes:
                            seen.longest_write = max(seen.longest_write, age)
                        seen.locks.update(locks)
                notifies = listener.notifies(timeout=0)
                seen.notifications += [f"{n.channel} {n.payload}" for n in notifies]
        except psycopg.OperationalError as error:  # the server was restarted
            seen.errors.append(str(error))
        finally:
            ready.set()

    @contextmanager
    def _clients(self, number: int, seen: Observation) -> Iterator[None]:
        if number == 0:
            yield
            return
        pipe, child_pipe = _PROCESSES.Pipe()
        process = _PROCESSES.Process(
            target=_run_clients, args=(self.url, number, child_pipe), daemon=True
        )
        process.start()
        child_pipe.close()
        try:
            pipe.recv()  # all are connected
            yield
            pipe.send(None)
            seen.times, errors = pipe.recv()
            seen.errors += errors
            process.join(30)
        finally:
            if process.is_alive():
                process.kill()
                process.join()


def read_log(log: str, seen: Observation) -> None:
    """Read sessions and waits from a part of the server's log."""
    waiting: dict[tuple[int, str], Wait] = {}
    latest: dict[int, str] = {}
    ports: dict[int, int] = {}
    for line in log.splitlines():
        if found := _RECEIVED.search(line):
            ports[int(found[1])] = int(found[2])
        elif found := _CONNECTED.search(line):
            pid, role, database, application = found.groups()
            seen.sessions.append(
                Session(
                    pid=int(pid),
                    port=ports.get(int(pid), 0),
                    role=role,
                    database=database or "",
                    application=application or "",
                )
            )
        elif found := _WAITS.search(line):
            latest[int(found[1])] = f"{found[2]} on {found[3]}"
        elif (found := _HOLDERS.search(line)) and int(found[1]) in latest:
            pid = int(found[1])
            queue = [int(other) for other in found[3].split(", ") if other]
            before = queue[: queue.index(pid)] if pid in queue else queue
            holders = [int(other) for other in found[2].split(", ") if other]
            lock = latest[pid]
            waiting[pid, lock] = Wait(pid, lock, frozenset((*holders, *before)), None)
        elif found := _ACQUIRED.search(line):
            key = int(found[1]), f"{found[2]} on {found[3]}"
            if wait := waiting.pop(key, None):
                seen.waits.append(Wait(wait.pid, wait.lock, wait.holders, float(found[4])))
    seen.waits += waiting.values()


def create(server: IndependentServer, name: str = "shop", orders: int = 2000) -> Shop:
    """Create the database of the shop, with the migrations of this package and its own."""
    shop = Shop(server, name, orders)
    with shop.connect(database="template1") as connection:
        _create_role(connection)
        for database in (shop.name, shop.log_name):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    with shop.connect(database=shop.log_name) as connection:
        connection.execute("create table public.log (message text)")
        connection.execute("grant all on table public.log to shop_log")
    load_platform(shop.superuser_url, default_privileges=True)
    load_services(shop.superuser_url)
    with shop.connect() as connection:
        connection.execute("create extension dblink with schema extensions")
        connection.execute("create extension postgres_fdw with schema extensions")
        connection.execute("grant usage on foreign data wrapper postgres_fdw to postgres")
        with connect(shop.url) as owner:
            apply_pending(owner, MigrationFiles(migrations()))
        connection.execute(f"set shop.port = '{server.port}'".encode())
        connection.execute(f"set shop.log = '{shop.log_name}'".encode())
        connection.execute(text("log"))
        connection.execute("set session_replication_role = replica")
        with psycopg.RawCursor(connection) as cursor:
            for statement in text("rows").split(b";\n"):
                if statement.strip():
                    parameters = (orders,) if b"$1" in statement else ()
                    cursor.execute(statement, parameters)
    shop.settle()
    return shop


def migrations(*, pending: bool = False) -> list[Any]:
    """The migrations of this package and those of the shop."""
    folders = [SHOP.parents[2] / "supabase" / "migrations", SHOP / "supabase" / "migrations"]
    if pending:
        folders.append(SHOP / "pending")
    found = [migration for folder in folders for migration in load_migrations(folder)]
    return sorted(found, key=lambda migration: migration.version)


def write_project(folder: Path, *, pending: bool = False) -> None:
    """Write the project of the shop into a folder."""
    target = folder / "supabase" / "migrations"
    target.mkdir(parents=True, exist_ok=True)
    for migration in migrations(pending=pending):
        (target / migration.file_name).write_text(migration.text, newline="")


def _create_role(connection: psycopg.Connection[Any]) -> None:
    if connection.execute("select from pg_roles where rolname = 'shop_log'").fetchone() is None:
        connection.execute("create role shop_log login password 'nightjar-log-password'")


# ---------------------------------------------------------------------------- the clients' process


def _run_clients(url: str, number: int, pipe: Pipe) -> None:
    stop = threading.Event()
    connected = threading.Barrier(number + 1)
    clients = [_Client(url, stop, connected) for _ in range(number)]
    for client in clients:
        client.start()
    connected.wait(60)
    pipe.send(None)
    pipe.recv()
    stop.set()
    times: dict[str, list[float]] = {}
    for client in clients:
        client.join()
        for action, found in client.times.items():
            times.setdefault(action, []).extend(found)
    pipe.send((times, [client.error for client in clients if client.error]))


class _Client(threading.Thread):
    """A client that signs up users, orders and reads for them, until it is stopped."""

    def __init__(self, url: str, stop: threading.Event, connected: threading.Barrier) -> None:
        super().__init__()
        self.times: dict[str, list[float]] = {}
        self.error = ""
        self._url, self._stopped, self._connected = url, stop, connected

    def run(self) -> None:
        """Work until the event is set, or until an action fails."""
        connection = psycopg.connect(self._url, autocommit=True, application_name=CLIENT)
        with connection, psycopg.RawCursor(connection) as cursor:
            self._connected.wait(60)
            try:
                while not self._stopped.wait(_PAUSE):
                    self._serve_a_user(connection, cursor)
            except psycopg.Error as error:
                self.error = f"{error.sqlstate}: {error}"

    def _serve_a_user(
        self, connection: psycopg.Connection[Any], cursor: psycopg.RawCursor[Any]
    ) -> None:
        def run(name: str, *parameters: object) -> None:
            cursor.execute(text(f"clients/{name}"), parameters)

        user = f"5e11ed00-{str(uuid.uuid4())[9:]}"
        with self._timed("sign_up"):
            run("sign_up", user)
        with self._timed("order"), connection.transaction():
            run("order", user)
            [(number,)] = cursor.fetchall()
            run("invoice", number, user)
        with self._timed("read"), connection.transaction():
            run("become_user", user)
            run("read", number)
        with self._timed("job"):
            run("job", user)

    @contextmanager
    def _timed(self, action: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.times.setdefault(action, []).append((time.perf_counter() - started) * 1000)
