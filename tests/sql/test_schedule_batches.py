"""The command that 004 schedules: each batch costs the same, also while an old snapshot is open."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.sources.files import load_sources
from supabase_jobs.sources.render import render_sources
from tests.fix_db import Make
from tests.sql.population import expired, left, left_in, populate

BATCH = 50


def command(**variables: object) -> str:
    """The command of the cron job with these variables."""
    rendered = render_sources(load_sources(), {"cleanup_batch_size": BATCH, **variables})
    [text] = [r.text for r in rendered if r.source.name == "schedule_job_cleanup"]
    _, found, _ = text.split("$cleanup$")
    return found


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


@contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """A transaction of another session that still sees all rows deleted after its start."""
    with psycopg.connect(url) as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from public.async_jobs")
        yield
        other.rollback()


def inactive(connection: Connection, number: int) -> None:
    """Insert `number` guests without jobs, longest unseen first."""
    connection.execute(
        "insert into public.guest_users (last_seen_at)"
        " select now() - interval '90 days' + n * interval '1 second' from generate_series(1, %s)"
        " as n",
        (number,),
    )


# The blocks of the table and entries of its index read by the end of each batch. A DO block reports
# its statistics at its end, so these are sums over all batches so far.
WATCH = """
create table public.watched (id integer generated always as identity, blocks bigint, entries bigint);
create function public.watch() returns trigger language plpgsql security definer as $$
begin
  insert into public.watched (blocks, entries)
  select pg_stat_get_xact_blocks_fetched(tg_relid), pg_stat_get_xact_tuples_returned(tg_argv[0]::regclass);
  return null;
end $$;
create trigger watch after delete on public.{}
for each statement execute function public.watch('public.{}');
"""


JOBS = WATCH.format("async_jobs", "idx_async_jobs_cleanup")
GUESTS = WATCH.format("guest_users", "idx_guest_users_last_seen_at")


def costs(url: str) -> list[tuple[int, int]]:
    """The (blocks, entries) of each full batch, in order; without an empty one at the end."""
    with psycopg.connect(url) as connection:
        sums = connection.execute(
            "select blocks, entries from public.watched order by id"
        ).fetchall()
    steps = [(b - a, d - c) for (a, c), (b, d) in pairwise([(0, 0), *sums])]
    return steps[:-1]


@pytest.mark.parametrize("kind", ["jobs", "guests"])
def test_batches_do_not_get_more_expensive(make_database: Make, each_major: int, kind: str) -> None:
    """An old snapshot prevents PostgreSQL from marking the index entries of deleted rows as dead."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        (expired if kind == "jobs" else inactive)(connection, 2000)
        connection.execute((JOBS if kind == "jobs" else GUESTS).encode())
    with old_snapshot(url):
        run(url, command())
    assert left(url) == (set(), set())
    batches = costs(url)
    assert len(batches) >= 2000 / BATCH
    early, late = batches[1:11], batches[-11:-1]
    for index in (0, 1):  # blocks, entries
        assert sum(cost[index] for cost in late) <= 1.5 * sum(cost[index] for cost in early)
    assert max(entries for _, entries in batches) <= 2 * BATCH


@pytest.mark.parametrize(("days", "guest_days"), [(7, 30), (30, 7), (0, 0)])
def test_scheduled_cleanup_deletes_the_same_rows_as_the_functions(
    make_database: Make, days: int, guest_days: int
) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        populate(connection, seed=days)
        connection.commit()
        connection.execute(
            "select public.cleanup_old_jobs(%s), public.cleanup_inactive_guests(%s)",
            (days, guest_days),
        )
        expected = left_in(connection)
        connection.rollback()
    run(url, command(retention_days=days, guest_inactive_days=guest_days, cleanup_batch_size=7))
    assert left(url) == expected


def test_many_rows_with_one_timestamp_are_deleted(make_database: Make) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        expired(connection, 300, tied=True)
    run(url, command())
    assert left(url)[0] == set()


@pytest.mark.parametrize("time", ["now() - interval '60 days'", "'-infinity'"])
def test_cleanup_ends_if_a_whole_batch_must_stay(make_database: Make, time: str) -> None:
    """All guests have one timestamp and locked jobs: the cleanup continues after them, or ends."""
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        connection.execute(
            f"with g as (insert into public.guest_users (last_seen_at)"
            f" select {time} from generate_series(1, {2 * BATCH}) returning guest_id)"
            " insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', guest_id, now() - interval '50 days' from g".encode()
        )
        connection.execute(
            "insert into public.guest_users (last_seen_at) values (now() - interval '40 days')"
        )
        connection.commit()
        connection.execute("select from public.async_jobs for update")
        with psycopg.connect(url, autocommit=True) as cleaner:
            cleaner.execute("set statement_timeout = '20s'")
            cleaner.execute(command(retention_days=100).encode())
        connection.rollback()
    assert len(left(url)[1]) == 2 * BATCH + ("infinity" in time)
