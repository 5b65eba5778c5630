"""Files that cannot run in a transaction: applied, half done, gone on with, and one runner at a time."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.database.test_apply import LEDGER, rows, write
from tests.database.test_night import start
from tests.fix_cli import Run

INDEX = "--! transaction:false\ncreate unique index concurrently {} on public.t (id);\n"
VALID = "select indisvalid from pg_index where indexrelid = to_regclass('public.once')"


def table(url: str, *values: int) -> None:
    """A table with some values."""
    with psycopg.connect(url) as connection:
        connection.execute("create table public.t (id integer)")
        for value in values:
            connection.execute("insert into public.t values (%s)", (value,))


def test_it_is_applied_and_recorded(applied_url: str, files: Path, cli: Run) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    there = ("--db-url", applied_url, "--migrations", str(files))
    assert cli("apply", *there).code == 0
    assert rows(applied_url, VALID) == [(True,)]
    assert rows(applied_url, LEDGER)[-1] == ("20260101000000", "i", [INDEX.format("once").strip().rstrip(";")])
    assert cli("status", "--exit-code", *there).code == 0


def test_after_a_failure_the_invalid_index_is_named_and_the_next_run_goes_on(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 1)
    write(files, "20260101000000_i.sql", INDEX.format("if not exists once"))
    there = ("--db-url", applied_url, "--migrations", str(files))
    ran = cli("apply", "--json", *there)
    error = ran.json["error"]
    assert (ran.code, error["sqlstate"], error["line"]) == (6, "23505", 2)
    assert 'left INVALID: "public"."once"' in error["message"]
    assert "again" in error["hint"]
    assert rows(applied_url, VALID) == [(False,)]
    assert rows(applied_url, LEDGER)[-1][0] != "20260101000000"

    with psycopg.connect(applied_url) as connection:
        connection.execute("delete from public.t where ctid = (select max(ctid) from public.t)")
    again = cli("apply", *there)
    assert again.code == 0
    assert "INVALID" in again.err
    assert rows(applied_url, VALID) == [(True,)]


def test_killed_in_the_middle_and_run_again(applied_url: str, files: Path, cli: Run) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    with psycopg.connect(applied_url) as writer:
        writer.execute("insert into public.t values (3)")  # the index waits for this transaction
        running = start(applied_url, files)
        waiting = "select pid from pg_stat_activity where query like '%concurrently once%' and wait_event_type = 'Lock'"
        while not (found := rows(applied_url, waiting)):
            assert running.poll() is None
        running.kill()
        running.communicate(timeout=10)
        rows(applied_url, f"select pg_terminate_backend({found[0][0]}, 5000)")
    assert rows(applied_url, VALID) == [(False,)]
    assert cli("apply", "--db-url", applied_url, "--migrations", str(files)).code == 0
    assert rows(applied_url, VALID) == [(True,)]


def test_two_runners_do_not_meet(applied_url: str, files: Path, pooled: Callable[[str], str]) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    url = pooled(applied_url)
    with psycopg.connect(applied_url) as writer:
        writer.execute("insert into public.t values (3)")
        both = [start(url, files), start(applied_url, files)]
        waiting = "select pid from pg_stat_activity where query like '%concurrently once%' and wait_event_type = 'Lock'"
        while not rows(applied_url, waiting):
            assert all(r.poll() is None for r in both)
        writer.commit()
    ended = [r.communicate(timeout=60) for r in both]
    assert [r.returncode for r in both] == [0, 0], ended
    assert rows(applied_url, VALID) == [(True,)]
    assert [version for version, _, _ in rows(applied_url, LEDGER)].count("20260101000000") == 1


def test_an_index_of_another_table_with_the_same_name_is_not_dropped(applied_url: str, files: Path, cli: Run) -> None:
    table(applied_url, 1, 1)
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(
            "create schema other; create table other.t (id integer); insert into other.t values (1), (1)"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("create unique index concurrently once on other.t (id)")
        connection.execute("delete from public.t")
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    assert cli("apply", "--db-url", applied_url, "--migrations", str(files)).code == 0
    assert rows(applied_url, "select count(*) from pg_index where indexrelid = 'other.once'::regclass") == [(1,)]
