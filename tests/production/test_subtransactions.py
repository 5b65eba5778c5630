"""Subtransactions at a time: beyond 64 of a session, all sessions of the server become slow."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Database
from tests.migrations.helpers import write

MOST = 60
# of sessions that the command opened; the server counts since PostgreSQL 16
COUNT = """
select coalesce(max(s.subxact_count), 0), coalesce(bool_or(s.subxact_overflowed), false)
from pg_stat_get_backend_idset() as b (id)
cross join lateral pg_stat_get_backend_subxact(b.id) as s
inner join pg_stat_activity as a on pg_stat_get_backend_pid(b.id) = a.pid
where a.application_name like 'supabase-jobs%' and a.datname = current_database()
"""
# more than a session can have without becoming slow
FILES = 66
COMMANDS = [
    ("verify",),
    ("apply", "--dry-run"),
    ("plan", "--locks"),
    ("plan", "--access"),
    ("audit",),
]


@contextmanager
def counted(database: Database) -> Iterator[list[tuple[int, bool]]]:
    """The counts during the block, and one at its end."""
    found: list[tuple[int, bool]] = []
    ended = threading.Event()

    def observe() -> None:
        with psycopg.connect(database.superuser_url, autocommit=True) as observer:
            is_last = False
            while not is_last:
                is_last = ended.wait(0.002)  # a loop without a pause takes a core for itself
                found.append(observer.execute(COUNT).fetchone() or (0, False))

    thread = threading.Thread(target=observe, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(10)


def test_the_count_sees_subtransactions(in_use: Database) -> None:
    with (
        psycopg.connect(in_use.url, application_name="supabase-jobs") as connection,
        counted(in_use) as found,
    ):
        for _ in range(70):
            connection.execute("savepoint again; create temporary table if not exists x ()")
            connection.execute("comment on table x is 'x'")
    assert max(count for count, _ in found) > MOST
    assert any(overflowed for _, overflowed in found)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_has_many(
    cli: Run, in_use: Database, files: Path, words: tuple[str, ...]
) -> None:
    for number in range(FILES):
        name = f"2099010100{number:04d}_table_{number}.sql"
        write(
            files,
            name,
            f"create table public.t{number} (id int); insert into public.t{number} values (1);",
        )
    with counted(in_use) as found:
        ran = cli(*words, "--db-url", in_use.url)
    assert ran.code in (0, 1), ran.err
    assert max(count for count, _ in found) < MOST
    assert not any(overflowed for _, overflowed in found)
