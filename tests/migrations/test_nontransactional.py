"""Files that cannot run in a transaction: applied, half done, resumed, one runner at a time."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Make
from tests.migrations.helpers import LEDGER, rows, start, wait_for, write

INDEX = "--! transaction:false\ncreate unique index concurrently {} on public.t (id);\n"


VALID = "select indisvalid from pg_index where indexrelid = to_regclass('public.once')"


def table(url: str, *values: int) -> None:
    """Create a table with some values."""
    with psycopg.connect(url) as connection:
        connection.execute("create table public.t (id integer)")
        for value in values:
            connection.execute("insert into public.t values (%s)", (value,))


def test_a_nontransactional_file_is_applied_and_recorded(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    there = ("--db-url", applied_url, "--migrations", str(files))
    assert cli("apply", *there).code == 0
    assert rows(applied_url, VALID) == [(True,)]
    assert rows(applied_url, LEDGER)[-1] == (
        "20260101000000",
        "i",
        [INDEX.format("once").strip().rstrip(";")],
    )
    assert cli("status", "--exit-code", *there).code == 0


def test_a_file_of_one_concurrent_index_needs_no_header(
    applied_url: str, files: Path, cli: Run
) -> None:
    """`supabase db push` runs it, too."""
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once").partition("\n")[2])
    there = ("--db-url", applied_url, "--migrations", str(files))
    ran = cli("apply", *there)
    assert ran.code == 0, ran.err
    assert rows(applied_url, VALID) == [(True,)]


SEVERAL = """
create unique index concurrently once on public.t (id);
drop index concurrently if exists public.other;
create unique index concurrently negative on public.t ((-id));
"""


def test_a_file_of_several_concurrent_indexes_is_applied_and_resumed(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 2)
    with psycopg.connect(applied_url) as connection:
        connection.execute("create index other on public.t (id)")
    text = SEVERAL.replace("((-id))", "((id > 0))")
    write(files, "20260101000000_i.sql", text)
    there = ("--db-url", applied_url, "--migrations", str(files))
    ran = cli("apply", "--json", *there)
    assert (ran.code, ran.json["error"]["line"]) == (6, 4)
    assert 'left INVALID: "public"."negative"' in ran.json["error"]["message"]
    assert rows(applied_url, LEDGER)[-1][0] != "20260101000000"
    write(files, "20260101000000_i.sql", SEVERAL)
    again = cli("apply", *there)
    assert again.code == 0, again.err
    assert '"public"."once" exists already' in again.err
    assert 'dropped "public"."negative"' in again.err
    indexes = "select relname, indisvalid from pg_index join pg_class on oid = indexrelid where indrelid = 'public.t'::regclass"
    assert sorted(rows(applied_url, indexes)) == [("negative", True), ("once", True)]
    count = "select cardinality(statements) from supabase_migrations.schema_migrations"
    assert rows(applied_url, f"{count} where version = '20260101000000'") == [(3,)]


def test_a_failure_names_the_invalid_index_and_the_next_run_resumes(
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


def test_a_killed_run_is_resumed(applied_url: str, files: Path, cli: Run) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    with psycopg.connect(applied_url) as writer:
        writer.execute("insert into public.t values (3)")  # the index waits for this transaction
        running = start(applied_url, files)
        waiting = "select pid from pg_stat_activity where query like '%concurrently once%' and wait_event_type = 'Lock'"
        processes = wait_for(applied_url, waiting, running)
        running.kill()
        running.communicate(timeout=10)
        rows(applied_url, f"select pg_terminate_backend({processes[0][0]}, 5000)")
    assert rows(applied_url, VALID) == [(False,)]
    assert cli("apply", "--db-url", applied_url, "--migrations", str(files)).code == 0
    assert rows(applied_url, VALID) == [(True,)]


def test_only_one_runner_applies_the_file(
    applied_url: str, files: Path, pooled: Callable[[str], str]
) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    url = pooled(applied_url)
    with psycopg.connect(applied_url) as writer:
        writer.execute("insert into public.t values (3)")
        both = [start(url, files), start(applied_url, files)]
        waiting = "select pid from pg_stat_activity where query like '%concurrently once%' and wait_event_type = 'Lock'"
        wait_for(applied_url, waiting, *both)
        writer.commit()
    ended = [r.communicate(timeout=60) for r in both]
    assert [r.returncode for r in both] == [0, 0], ended
    assert rows(applied_url, VALID) == [(True,)]
    assert [version for version, _, _ in rows(applied_url, LEDGER)].count("20260101000000") == 1


def test_an_index_of_another_table_with_the_same_name_is_kept(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 1)
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(
            "create schema other; create table other.t (id integer); insert into other.t values"
            " (1), (1)"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("create unique index concurrently once on other.t (id)")
        connection.execute("delete from public.t")
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    assert cli("apply", "--db-url", applied_url, "--migrations", str(files)).code == 0
    assert rows(
        applied_url, "select count(*) from pg_index where indexrelid = 'other.once'::regclass"
    ) == [(1,)]


def test_a_built_index_without_ledger_row_is_recorded(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 2)
    statement = "create unique index concurrently once on public.t (id)"
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(statement)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    ran = cli("apply", "--db-url", applied_url, "--migrations", str(files))
    assert ran.code == 0
    assert "exists already" in ran.err
    assert rows(applied_url, LEDGER)[-1][0] == "20260101000000"


def test_a_different_index_of_the_same_name_is_an_error(
    applied_url: str, files: Path, cli: Run
) -> None:
    table(applied_url, 1, 2)
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute("create index once on public.t (id) where id > 1")
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    ran = cli("apply", "--json", "--db-url", applied_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "42P07")
    assert "if [not] exists" in ran.json["error"]["hint"]


def test_the_default_isolation_of_the_database_does_not_block_the_index(
    make_database: Make, files: Path, cli: Run
) -> None:
    """In a repeatable read transaction the lock holder would keep a snapshot, and the index would
    wait for it.
    """
    database = make_database("applied")
    table(database.url, 1, 2)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        default = "default_transaction_isolation = 'repeatable read'"
        connection.execute(f"alter database {database.name} set {default}".encode())
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    assert cli("apply", "--db-url", database.url, "--migrations", str(files)).code == 0
    assert rows(database.url, VALID) == [(True,)]


def test_a_lost_connection_reports_a_half_done_file(applied_url: str, files: Path) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    with psycopg.connect(applied_url) as writer:
        writer.execute("insert into public.t values (3)")
        running = start(applied_url, files)
        waiting = "select pid from pg_stat_activity where query like '%concurrently once%' and wait_event_type = 'Lock'"
        processes = wait_for(applied_url, waiting, running)
        rows(applied_url, f"select pg_terminate_backend({processes[0][0]}, 5000)")
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 7
    assert "half done" in out
    assert "rolled back" not in out


def test_a_pool_of_one_connection_is_an_error(
    applied_url: str, files: Path, pooled: Callable[..., str], cli: Run
) -> None:
    table(applied_url, 1, 2)
    write(files, "20260101000000_i.sql", INDEX.format("once"))
    url = pooled(applied_url, default_pool_size=1, query_wait_timeout=2)
    ran = cli("apply", "--json", "--db-url", url, "--migrations", str(files))
    assert ran.code == 7
    assert "two connections" in ran.json["error"]["message"]
