"""pg_dump in front of a database in use: it gives way, ends when its client stands still, and needs a
session of its own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from benchmarks.distance import distance
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import BusyError, ConfigError, ConnectError
from supabase_jobs.local import binaries
from supabase_jobs.projects import dump
from supabase_jobs.projects.dump import Limits
from supabase_jobs.projects.source import read_dumped
from tests.fix_db import Database, Make, every_major
from tests.programs import unavailable

PG_DUMP = binaries.embedded(max(binaries.EMBEDDED)).bin_dir / "pg_dump"
DUMPING = "select pid from pg_stat_activity where application_name like 'supabase-jobs copy %'"

DUMPING_AS = DUMPING.replace("select pid", "select application_name")

LOCKED = f"select 1 from pg_locks where relation = 'public.notes'::regclass and pid in ({DUMPING})"


@pytest.fixture
def database(make_database: Make) -> Database:
    return make_database("platform", 17)


def dumped(connection: Connection, limits: Limits | None = None) -> str:
    with dump.watching(connection) as watcher:
        return dump.schema(
            watcher, PG_DUMP, questions=read_dumped(connection).questions, limits=limits or Limits()
        )


def without_keys(text: str) -> str:
    r"""The text without the random key of psql's \restrict."""
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def program_of(application_name: str) -> int:
    """The process id of the program whose session has this name. Tests beside this one dump too."""
    if not Path("/proc/self").exists():
        unavailable("the test finds a process in /proc")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                f"application_name='{application_name}'".encode()
                in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
    [program] = found
    return program


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_session_that_waits_is_let_through(database: Database) -> None:
    """At a distance the dump holds its locks for seconds. The second try then succeeds, and its
    text has what the session has changed: it did not wait for the end of the first.
    """
    port = int(psycopg.conninfo.conninfo_to_dict(database.url)["port"] or 0)
    with connect(database.superuser_url) as other, distance(port, 0.025) as proxy:
        other.execute("create table public.notes (id int); grant select on public.notes to public")
        texts: list[str] = []

        def run() -> None:
            far = psycopg.conninfo.make_conninfo(database.url, port=proxy.port)
            with connect(far) as connection:
                texts.append(dumped(connection))

        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: other.execute(LOCKED).fetchone())
        started = time.monotonic()
        other.execute("alter table public.notes add column body text")
        assert time.monotonic() - started < 2  # a twentieth on a quiet machine
        thread.join(60)
    assert "body text" in texts[0]


def test_a_dump_whose_client_stands_still_is_ended_by_the_server(database: Database) -> None:
    """The program is stopped, as on a laptop that sleeps."""
    port = int(psycopg.conninfo.conninfo_to_dict(database.url)["port"] or 0)
    with connect(database.superuser_url) as other, distance(port, 0.025) as proxy:
        errors: list[BaseException] = []

        def run() -> None:
            far = psycopg.conninfo.make_conninfo(database.url, port=proxy.port)
            try:
                with connect(far) as connection:
                    dumped(connection, Limits(still_seconds=1))
            except ConnectError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: other.execute(DUMPING_AS).fetchone())
        [(name,)] = other.execute(DUMPING_AS).fetchall()
        program = program_of(str(name))
        os.kill(program, signal.SIGSTOP)
        try:
            wait_for(lambda: other.execute(DUMPING).fetchone() is None)
        finally:
            os.kill(program, signal.SIGCONT)
        thread.join(60)
    assert "stood still" in str(errors[0])


def test_a_program_that_never_connects_leaves_no_session(
    database: Database, tmp_path: Path
) -> None:
    """It is stopped before its session is there: the server does not wait for it for minutes."""
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with connect(database.url) as connection, dump.watching(connection) as watcher:
        with pytest.raises(ConnectError, match="did not connect within"):
            dump.schema(watcher, program, limits=Limits(connect_seconds=0.5))
        assert watcher.execute("select 1").fetchone() == (1,)


MANY = """
create schema many;
create type many.state as enum ('a', 'b');
create type many.pair as (a int, b many.state);
create domain many.positive as int check (value > 0);
create type many.span as range (subtype = float8);
create table many.parts (id int, state many.state) partition by range (id);
do $$
begin
  for n in 1..20 loop
    execute format(
      'create function many.f%s(a int, b %s) returns text language sql as %L',
      n, (array['text', 'date', 'many.pair'])[n % 3 + 1], 'select 1::text'
    );
    execute format('create view many.v%s as select %1$s as n', n);
    execute format('create table many.t%s (id int)', n);
    execute format('grant select (id) on many.t%s to anon', n);
    execute format('create table many.part%s partition of many.parts for values from (%1$s) to (%2$s)', n, n + 1);
    execute format('create type many.state%s as enum (%L)', n, 'a');
    execute format('create domain many.domain%s as text', n);
    execute format('create type many.pair%s as (a int)', n);
  end loop;
end $$;
create materialized view many.m as select 1 as n;
create aggregate many.total(int) (sfunc = int4pl, stype = int);
"""


@every_major
def test_questions_about_objects_are_asked_together(make_database: Make, each_major: int) -> None:
    database = make_database("platform", each_major)
    port = int(psycopg.conninfo.conninfo_to_dict(database.url)["port"] or 0)
    with connect(database.url) as connection:
        few = read_dumped(connection).questions
        connection.execute(MANY.encode())
        every = read_dumped(connection).questions
        with dump.watching(connection) as watcher:
            expected = without_keys(dump.schema(watcher, PG_DUMP))
    trips = []
    with distance(port, 0.005) as proxy:
        far = psycopg.conninfo.make_conninfo(database.url, port=proxy.port)
        with connect(far) as connection, dump.watching(connection) as watcher:
            for questions in (few, every):
                before = proxy.round_trips
                assert without_keys(dump.schema(watcher, PG_DUMP, (), questions)) == expected
                trips.append(proxy.round_trips - before)
    # 20 of each of seven kinds in one
    assert trips[1] < trips[0] - 120
    assert trips[1] < 90


def test_an_error_of_a_question_that_nobody_asked_ends_the_copy(database: Database) -> None:
    wrong = ["EXECUTE dumpFunc('no oid')"]
    with connect(database.url) as connection:
        questions = [*wrong, *read_dumped(connection).questions]
        with dump.watching(connection) as watcher:
            with pytest.raises(ConnectError, match="invalid input syntax for type oid"):
                dump.schema(watcher, PG_DUMP, (), questions)
            assert "CREATE TABLE auth.users" in dump.schema(watcher, PG_DUMP)


def test_a_pooler_in_transaction_mode_is_refused(
    database: Database, pooled: Callable[..., str]
) -> None:
    with connect(pooled(database.url)) as connection:
        with pytest.raises(ConfigError, match="another session") as caught:
            dumped(connection)
        assert "session pooler" in (caught.value.hint or "")


def test_the_password_is_not_among_the_arguments(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    start = subprocess.Popen

    def recorded(command: list[str], **options: object) -> object:
        commands.append(command)
        return start(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    monkeypatch.setenv("PGOPTIONS", "-c search_path=wrong")
    with connect(database.superuser_url) as connection:
        text = dumped(connection)
    assert "CREATE TABLE auth.users" in text
    assert database.server.password not in " ".join(commands[0])


def test_a_table_that_stays_locked_is_reported(database: Database) -> None:
    with connect(database.url) as connection, connect(database.url) as other:
        other.execute("create table public.notes (id int)")
        with other.transaction():
            other.execute("lock table public.notes in access exclusive mode")
            with pytest.raises(BusyError, match="stayed locked"):
                dumped(connection, Limits(lock_seconds=0.2))


@pytest.fixture
def encrypted(database: Database) -> Iterator[Connection]:
    """A server that speaks TLS with a certificate of its own."""
    admin = database.server.admin
    folder = Path(str(admin.execute("show data_directory").fetchone()[0]))  # type: ignore[index]
    words = ["req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
    files = ["-out", str(folder / "server.crt"), "-keyout", str(folder / "server.key")]
    openssl = shutil.which("openssl")
    if openssl is None:
        unavailable("openssl is not installed")
    subprocess.run([openssl, *words, *files], capture_output=True, check=True)
    owner = folder.stat()
    for name in ("server.crt", "server.key"):
        os.chown(folder / name, owner.st_uid, owner.st_gid)
        (folder / name).chmod(0o600)
    admin.execute("alter system set ssl = on")
    admin.execute("select pg_reload_conf()")
    yield admin
    admin.execute("alter system reset ssl")
    admin.execute("select pg_reload_conf()")


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_the_dump_is_encrypted(
    database: Database, encrypted: Connection, tmp_path: Path, mode: str
) -> None:
    folder = Path(str(encrypted.execute("show data_directory").fetchone()[0]))  # type: ignore[index]
    (tmp_path / "root.crt").write_bytes((folder / "server.crt").read_bytes())
    conninfo = psycopg.conninfo.make_conninfo(
        database.url, host="localhost", sslmode=mode, sslrootcert=str(tmp_path / "root.crt")
    )
    seen: list[object] = []

    def watch(other: Connection) -> None:
        query = (
            "select s.ssl from pg_stat_ssl as s inner join pg_stat_activity as a using (pid)"
            " where a.application_name like 'supabase-jobs copy %'"
        )
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            seen.extend(other.execute(query).fetchall())

    wait_for(lambda: encrypted.execute("show ssl").fetchone() == ("on",))
    with connect(conninfo) as connection, connect(database.superuser_url) as other:
        assert connection.pgconn.ssl_in_use
        thread = threading.Thread(target=watch, args=(other,))
        thread.start()
        assert "CREATE TABLE auth.users" in dumped(connection)
        thread.join()
    assert seen[0] == (True,)


def test_a_killed_process_leaves_no_session(database: Database, tmp_path: Path) -> None:
    with connect(database.superuser_url) as other:
        command = ["-m", "supabase_jobs", "audit", "--db-url", database.url]
        ran = subprocess.Popen(
            [sys.executable, *command],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: other.execute(DUMPING).fetchone())
        ran.send_signal(signal.SIGKILL)
        ran.wait()
        wait_for(lambda: other.execute(DUMPING).fetchone() is None)
