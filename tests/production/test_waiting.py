"""Other sessions wait for less than a second while a command looks at a database in use."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.distance import distance
from supabase_jobs.database import batch
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Severity
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database
from tests.migrations.helpers import write
from tests.production.traffic import COUNTER, sign_ups

# a long way; a session that has written must not wait for its client meanwhile, which takes two of
# them, and longer than a busy machine needs to forward the rest of a pipeline
ONE_WAY_SECONDS = 0.5
WAITS_FOR_CLIENT = """
select a.query from pg_stat_activity as a
where a.application_name = 'supabase-jobs' and a.backend_xid is not null
  and a.state = 'idle in transaction' and clock_timestamp() - a.state_change > interval '0.7 s'
"""


@pytest.fixture
def counted(in_use: Database) -> Database:
    """A database in use, in which each sign-up updates the same row."""
    with psycopg.connect(in_use.url, autocommit=True) as connection:
        connection.execute(COUNTER)
    return in_use


def test_locks_are_held_for_the_time_of_the_server(counted: Database) -> None:
    """Not for that of the network, whose round trips would add up to seconds."""
    found: list[object] = []
    ended = threading.Event()

    def observe() -> None:
        with psycopg.connect(counted.superuser_url, autocommit=True) as observer:
            while not ended.wait(0.02):
                found.extend(observer.execute(WAITS_FOR_CLIENT).fetchall())

    observing = threading.Thread(target=observe, daemon=True)
    with distance(counted.server.port, ONE_WAY_SECONDS) as proxy:
        url = counted.url.replace(str(counted.server.port), str(proxy.port))
        with connect(url) as connection, sign_ups(counted.url, 1, pause=1) as traffic:
            observing.start()
            result = verify(connection, EXPECTATIONS, ("access", "functions"))
            ended.set()
    observing.join(10)
    assert (result.ok, result.findings, result.unchecked) == (True, (), ())
    assert traffic.errors == []
    assert found == []


# of a transaction, between its first write that others may wait for and its end: the fixture rows,
# and the statements of probes; each takes a fraction of a millisecond
MOST_STATEMENTS = 120


def test_transactions_that_write_have_few_statements(
    counted: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a client waits for milliseconds, however many checks there are."""
    sent: list[str] = []
    command = batch._command

    def recording(*given: Any) -> Callable[[], None]:
        statement: Statement = given[-1]
        sent.append(statement.sql)
        return command(*given)

    monkeypatch.setattr(batch, "_command", recording)
    with connect(counted.url) as connection:
        result = verify(connection, EXPECTATIONS)
    assert (result.ok, result.unchecked) == (True, ())
    sizes = [*statements_after_a_sign_up(sent)]
    assert max(sizes) <= MOST_STATEMENTS
    assert len(sizes) >= 20


def statements_after_a_sign_up(sent: Sequence[str]) -> Iterator[int]:
    """The number of statements of each transaction from the first that inserts users on."""
    size = 0
    for text in sent:
        if text == "rollback" and size:
            yield size
            size = 0
        size += bool(size) or "insert into auth.users" in text


REFERRING = """
create table public.orders (customer uuid references auth.users on delete cascade, note text);
alter table public.orders alter column note set storage plain;
insert into public.orders (note) select repeat('x', 7000) from generate_series(1, 1200);
analyze public.orders;
"""
DELETES_A_USER = (
    "functions:auth.users:a user who is deleted takes its own jobs along, and guests forget that"
    " they became it"
)


def test_a_user_is_not_deleted_if_that_reads_a_large_table(counted: Database) -> None:
    """Sign-ups would wait for the counter that the insert of the user has locked."""
    with psycopg.connect(counted.url, autocommit=True) as connection:
        connection.execute(REFERRING.encode())
    with connect(counted.url) as connection:
        result = verify(connection, EXPECTATIONS, ("functions",))
        assert (result.ok, result.unchecked) == (True, ())
        [finding] = [one for one in result.findings if one.id == DELETES_A_USER]
        assert finding.severity is Severity.INFO
        assert finding.fix.endswith("\ncreate index concurrently on public.orders (customer);")
        assert finding.message.endswith(
            ": not tried on a database in use: a delete in auth.users reads all of public.orders"
            " (9600 kB)"
        )
        connection.execute("create index on public.orders (customer)")
        result = verify(connection, EXPECTATIONS, ("functions",))
    assert DELETES_A_USER in {case.id for case in result.cases}
    assert result.findings == ()


def test_a_user_is_deleted_on_an_embedded_server(rolled_back: Connection) -> None:
    """There nobody waits for it."""
    rolled_back.execute(REFERRING.encode())
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    assert DELETES_A_USER in {case.id for case in result.cases}
    assert result.findings == ()


def test_verify_repeats_a_batch_that_another_session_blocks(counted: Database) -> None:
    """A transaction holds the counter for longer than verify waits, and then ends."""
    with (
        connect(counted.url) as connection,
        psycopg.connect(counted.url) as other,
        sign_ups(counted.url, clients=1),
    ):
        other.execute("set local idle_in_transaction_session_timeout = '1200ms'")
        other.execute("update public.user_count set total = total")
        result = verify(connection, EXPECTATIONS, ("access", "functions"))
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            other.execute("select 1")
    assert (result.ok, result.unchecked) == (True, ())


LOCKS = """
select l.mode, l.relation::regclass from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where a.application_name = 'supabase-jobs' and l.granted and l.relation = 'public.user_count'::regclass
"""
SLOW = "alter table public.user_count add column more int;\nselect pg_sleep({seconds});"


def test_dry_run_gives_way_to_sessions_that_wait(
    counted: Database, files: Path, cli_process: Run
) -> None:
    write(files, "20990101000000_slow.sql", SLOW.format(seconds=20))
    with sign_ups(counted.url) as traffic:
        ran = cli_process("apply", "--dry-run", "--db-url", counted.url)
    assert ran.code == 5, ran.err
    assert "other sessions waited for its locks" in ran.err
    assert "hint: Run it when traffic is lower" in ran.err
    assert traffic.errors == []
    assert traffic.longest < 2  # the file alone takes 20 s


def test_a_slow_dry_run_for_which_nobody_waits_ends(
    counted: Database, files: Path, cli_process: Run
) -> None:
    write(files, "20990101000000_slow.sql", SLOW.format(seconds=1.5))
    ran = cli_process("apply", "--dry-run", "--json", "--db-url", counted.url)
    assert ran.code == 0, ran.out
    assert [file["name"] for file in ran.json["applied"]] == ["slow"]


def test_a_dry_run_of_a_stopped_client_gives_way(counted: Database, files: Path) -> None:
    """The loop that watches it is a statement of the server."""
    write(files, "20990101000000_slow.sql", SLOW.format(seconds=20))
    words = ["apply", "--dry-run", "--migrations", str(files), "--db-url", counted.url]
    running = subprocess.Popen(
        [sys.executable, "-m", "supabase_jobs", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        with psycopg.connect(counted.superuser_url, autocommit=True) as observer:
            wait_for(observer, "state = 'active' and query like '%pg_sleep(20)%'")
            running.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            observer.execute("update public.user_count set total = total")
            assert time.monotonic() - started < 5
            locks = observer.execute(LOCKS).fetchall()
            assert locks == []
    finally:
        running.kill()
        running.communicate(timeout=60)


def wait_for(observer: psycopg.Connection[tuple[object, ...]], condition: str) -> None:
    """Wait until a session meets a condition on pg_stat_activity."""
    query = f"select from pg_stat_activity where pid <> pg_backend_pid() and {condition}"
    deadline = time.monotonic() + 60
    while observer.execute(query.encode()).fetchone() is None:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


SLOW_JOBS = """
alter table public.async_jobs rename to slow_jobs;
create view public.async_jobs as select j.* from public.slow_jobs as j, (select pg_sleep(20)) as s;
"""


@pytest.mark.parametrize("command", ["stats", "check-results"])
def test_a_reader_gives_way_to_sessions_that_wait(in_use: Database, cli: Run, command: str) -> None:
    """A migration that waits for a reader makes all others wait behind it."""
    with psycopg.connect(in_use.url) as connection:
        connection.execute(SLOW_JOBS.encode())
    waits: list[float] = []
    ended = threading.Event()

    def lock() -> None:
        with psycopg.connect(in_use.url, autocommit=True) as other:
            while not ended.wait(0.2):
                started = time.monotonic()
                other.execute("alter table public.slow_jobs alter column url set default ''")
                waits.append(time.monotonic() - started)

    locking = threading.Thread(target=lock, daemon=True)
    locking.start()
    ran = cli(command, "--db-url", in_use.url)
    ended.set()
    locking.join(20)
    assert max(waits) < 2, waits
    assert (ran.code, "other sessions waited for its locks" in ran.err) == (5, True), ran.err


LARGEST = """
select exists (
  select from pg_locks as l
  where l.pid = a.pid and l.granted and l.mode <> 'AccessShareLock'
    and l.relation in ('auth.users'::regclass, 'public.user_count'::regclass)
)
from pg_stat_activity as a
where a.application_name = 'supabase-jobs' and a.datname = current_database() and a.state = 'active'
  and a.query like '%max_job_bytes(''result'')%'
"""


def test_no_sign_up_waits_for_the_largest_result(counted: Database) -> None:
    """Its check takes the longest of all probes, and runs without new users."""
    found: list[bool] = []
    ended = threading.Event()

    def observe() -> None:
        with psycopg.connect(counted.superuser_url, autocommit=True) as observer:
            while not ended.wait(0.005):
                found.extend(locked for (locked,) in observer.execute(LARGEST).fetchall())

    observing = threading.Thread(target=observe, daemon=True)
    observing.start()
    with connect(counted.url) as connection:
        result = verify(connection, EXPECTATIONS, ("functions",))
    ended.set()
    observing.join(10)
    assert result.ok
    assert set(found) == {False}
