"""Queries, migration files, and an apply in a process of its own."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg

from tests.programs import find

LEDGER = (
    "select version, name, statements from supabase_migrations.schema_migrations order by version"
)


TABLES = (
    "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname in ('public', 'private', 'supabase_migrations') order by 1, 2"
)


SLOW = "create table public.slow (id integer);\nselect pg_sleep(60);\n"


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """The rows of a query, on a connection of its own."""
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def write(folder: Path, name: str, text: str) -> Path:
    """Write a migration file into a folder."""
    path = folder / name
    path.write_text(text, newline="")
    return path


def dump(url: str) -> str:
    """The whole database as SQL, including data and ledger."""
    package = find(16)
    assert package is not None
    program = package / "pginstall" / "bin" / "pg_dump"
    ran = subprocess.run(
        [program, "--dbname", url, "--no-sync"], capture_output=True, text=True, check=True
    )
    # newer releases write a random key into their dumps
    return "\n".join(
        line
        for line in ran.stdout.splitlines()
        if not line.startswith((r"\restrict", r"\unrestrict"))
    )


def start(url: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start an apply in a process of its own."""
    words = [
        sys.executable,
        "-m",
        "supabase_jobs",
        "apply",
        "--json",
        "--db-url",
        url,
        "--migrations",
        str(folder),
        *options,
    ]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(url: str, query: str, *running: subprocess.Popen[str]) -> list[tuple[object, ...]]:
    """The rows of a query as soon as it has some, while the processes run."""
    while not (found := rows(url, query)):
        assert all(process.poll() is None for process in running)
        time.sleep(0.02)
    return found


def wait_until_asleep(url: str) -> int:
    """Wait until a migration sleeps; returns the pid of its server process."""
    asleep = (
        "select pid from pg_stat_activity where query like '%pg_sleep(60)%' and wait_event ="
        " 'PgSleep'"
        " and datname = current_database()"
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if processes := rows(url, asleep):
            pid = processes[0][0]
            assert isinstance(pid, int)
            return pid
        time.sleep(0.05)
    raise AssertionError("no migration sleeps")
