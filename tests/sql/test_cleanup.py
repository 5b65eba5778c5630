"""operations.cleanup: the same rows as the functions in the database, whatever the batches, whoever is in the way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import BusyError, ConnectError, PrivilegeError
from supabase_jobs.operations import cleanup
from supabase_jobs.operations.queries import NotAppliedError, load
from tests.fix_db import Make
from tests.sql.population import expired, left, left_in, populate

FUNCTIONS = "select public.cleanup_old_jobs(%s), public.cleanup_inactive_guests(%s)"
DEFAULT = {"days": 7, "guest_days": 30}


def run(url: str, days: dict[str, int] = DEFAULT, batch_size: int | None = None) -> cleanup.Tally:
    """A cleanup of everything, to its end."""
    tally = cleanup.Tally()
    with connect(url) as connection:
        for kind in cleanup.KINDS:
            for _ in cleanup.sweep(connection, kind, days, tally, batch_size):
                pass
    return tally


def counted(url: str, days: dict[str, int]) -> dict[str, int]:
    """What a dry run says."""
    with connect(url) as connection:
        return {kind: cleanup.count(connection, kind, days) for kind in cleanup.KINDS}


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """An open transaction of somebody else's."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("days", "guest_days", "batch_size"),
    [
        (7, 30, None),
        (7, 30, 7),
        (30, 7, 10),
        (0, 0, 1),
        (7, 0, 50),
        (0, 30, 50),
        (2**31 - 1, 2**31 - 1, None),
        (1, 1, 3),
    ],
)
def test_the_rows_are_those_of_the_functions_and_of_the_count(
    make_database: Make, each_major: int, days: int, guest_days: int, batch_size: int | None
) -> None:
    url = make_database("applied", each_major).url
    limits = {"days": days, "guest_days": guest_days}
    with psycopg.connect(url) as connection:
        populate(connection, seed=days + guest_days)
        connection.commit()
        before = left_in(connection)
        connection.execute(FUNCTIONS, (days, guest_days))
        wanted = left_in(connection)
        connection.rollback()
    foreseen = counted(url, limits)
    tally = run(url, limits, batch_size)
    assert left(url) == wanted
    assert foreseen == tally.deleted
    assert tally.deleted["guests"] == len(before[1]) - len(wanted[1])
    if days < 2**31 - 1:
        assert tally.deleted["jobs"] > 0
        assert wanted[0]


def test_a_batch_deletes_so_many_and_the_oldest(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 25)
    tally = cleanup.Tally()
    with connect(applied_url) as connection:
        batches = cleanup.sweep(connection, "jobs", DEFAULT, tally, 10)
        assert next(batches) == 10
        [(oldest,)] = connection.execute("select min(right(url, -14)::integer) from public.async_jobs").fetchall()
        assert oldest == 11
        assert list(batches) == [10, 5]
    assert (tally.deleted["jobs"], tally.batches) == (25, 3)


def test_nothing_to_do_is_no_batch(applied_url: str) -> None:
    assert (run(applied_url).batches, run(applied_url, batch_size=1).batches) == (0, 0)


def test_many_of_one_timestamp(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 2500, tied=True)
    assert run(applied_url, batch_size=100).deleted["jobs"] == 2500


def test_times_without_end(applied_url: str) -> None:
    """A client may have written them: infinity is never old, but for 0 days."""
    with psycopg.connect(applied_url) as connection:
        expired(connection, 4)
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute("update public.async_jobs set updated_at = 'infinity' where url like '%%/1'")
        connection.execute("update public.async_jobs set updated_at = '-infinity' where url like '%%/2'")
        connection.execute("update public.async_jobs set updated_at = '0044-03-15 BC' where url like '%%/3'")
    assert run(applied_url, batch_size=1).deleted["jobs"] == 3
    assert run(applied_url, {"days": 0, "guest_days": 30}, 1).deleted["jobs"] == 1


_SETTINGS = """
alter database {0} set datestyle = '{1}';
alter database {0} set timezone = 'Asia/Kathmandu';
alter database {0} set default_transaction_isolation = 'serializable';
create function private.look() returns trigger language plpgsql as $$
begin
  assert current_setting('transaction_isolation') = 'read committed', current_setting('transaction_isolation');
  return old;
end $$;
create trigger look before delete on public.async_jobs for each row execute function private.look();
"""


@pytest.mark.parametrize("style", ["sql, dmy", "german", "postgres"])
def test_whatever_the_defaults_of_the_database(make_database: Make, style: str) -> None:
    """A batch's statements must each see what was committed before, so its isolation is not the default's."""
    database = make_database("applied")
    with psycopg.connect(database.url, autocommit=True) as connection:
        expired(connection, 30)
        connection.execute(_SETTINGS.format(database.name, style).encode())
    assert run(database.url, batch_size=7).deleted["jobs"] == 30


def test_locked_rows_are_left(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 30)
        populate(connection, guests=50, jobs=0)
    with session(url) as other:
        other.execute("select from public.async_jobs where url ~ '/[1-9]$' for update")
        other.execute("select from public.guest_users where last_seen_at < now() - interval '50 days' for key share")
        [(held,)] = other.execute(
            "select count(*) from public.guest_users where last_seen_at < now() - interval '50 days'"
        ).fetchall()
        tally = run(url, batch_size=4)
        assert tally.deleted["jobs"] == 21
    assert held > 0
    assert run(url, batch_size=4).deleted == {"jobs": 9, "guests": held}


def test_a_guest_whose_job_is_locked_stays_and_does_not_hide_the_others(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.guest_users (guest_id, last_seen_at)"
            " select lpad(n::text, 32, '0')::uuid, now() - (100 - n) * interval '1 day' from generate_series(1, 5) as n"
        )
        connection.execute(
            "insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', guest_id, now() - interval '60 days' from public.guest_users"
        )
    keep_jobs = {"days": 90, "guest_days": 30}
    with session(url) as other:
        other.execute("select from public.async_jobs where guest_id = lpad('1', 32, '0')::uuid for update")
        assert run(url, keep_jobs, 1).deleted == {"jobs": 0, "guests": 4}
    assert run(url, keep_jobs, 1).deleted == {"jobs": 0, "guests": 1}
    assert left(url) == (set(), set())


def test_a_batch_of_held_guests_of_one_timestamp_ends(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute(
            "with g as (insert into public.guest_users (last_seen_at)"
            " select now() - interval '90 days' from generate_series(1, 6) returning guest_id)"
            " insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', guest_id, now() - interval '60 days' from g"
        )
    with session(applied_url) as other:
        other.execute("select from public.async_jobs for update")
        assert run(applied_url, {"days": 90, "guest_days": 30}, 2).deleted["guests"] == 0


def test_a_job_that_is_being_added_keeps_its_guest(make_database: Make, each_major: int) -> None:
    """Its foreign key locks the guest's row, and whoever holds a lock keeps its guest."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        connection.execute("insert into public.guest_users (last_seen_at) values (now() - interval '90 days')")
    with session(url) as other:
        other.execute("insert into public.async_jobs (url, guest_id) select 'u', guest_id from public.guest_users")
        assert run(url).deleted["guests"] == 0


def test_two_at_once_share_the_work(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 3000)
        populate(connection)
    foreseen = counted(url, DEFAULT)
    tallies: list[cleanup.Tally] = []
    threads = [threading.Thread(target=lambda: tallies.append(run(url, batch_size=20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {kind: sum(t.deleted[kind] for t in tallies) for kind in cleanup.KINDS} == foreseen
    assert run(url).batches == 0


def test_a_lost_connection_says_how_much_is_gone(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.url) as connection:
        expired(connection, 25)
    with connect(database.url) as connection:
        batches = cleanup.sweep(connection, "jobs", DEFAULT, cleanup.Tally(), 10)
        assert next(batches) == 10
        with psycopg.connect(database.superuser_url) as other:
            other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(ConnectError, match=r"lost.*; 10 jobs and 0 guests had been deleted"):
            next(batches)
    assert len(left(database.url)[0]) == 15


def test_a_table_lock_in_the_way_is_busy(applied_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load("cleanup/settings")
    quick = replace(settings, text=settings.text.replace("'4s'", "'100ms'"))
    monkeypatch.setattr(cleanup, "load", lambda _name: quick)
    with session(applied_url) as other:
        other.execute("lock table public.async_jobs")
        with pytest.raises(BusyError):
            run(applied_url)


def test_a_role_that_row_security_holds_back_is_told(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection:
        expired(connection, 1)
        connection.execute(
            "create role janitor login;"
            " grant delete, select, update on public.async_jobs, public.guest_users to janitor"
        )
    try:
        with (
            pytest.raises(PrivilegeError, match="row-level security"),
            connect(database.server.url(database.name, "janitor")) as connection,
        ):
            list(cleanup.sweep(connection, "jobs", DEFAULT, cleanup.Tally()))
        # nor does a dry run say that there is nothing to delete
        with pytest.raises(PrivilegeError, match="row-level security"):
            counted(database.server.url(database.name, "janitor"), DEFAULT)
    finally:
        with psycopg.connect(database.superuser_url) as connection:
            connection.execute("drop owned by janitor; drop role janitor")


def test_without_the_migrations(platform_url: str) -> None:
    for work in (lambda: run(platform_url), lambda: counted(platform_url, DEFAULT)):
        with pytest.raises(NotAppliedError, match="async_jobs") as caught:
            work()
        assert "supabase-jobs apply" in str(caught.value.hint)


def test_the_pace_follows_the_time_a_batch_took() -> None:
    pace = cleanup.Pace()
    sizes = []
    for seconds in (0.01, 0.01, 0.2, 0.03):
        pace.adapt(seconds, moved=True)
        sizes.append(pace.size)
    assert sizes == [500, 1000, 500, 500]
    for _ in range(20):
        pace.adapt(1, moved=True)
    assert pace.size == cleanup.SMALLEST_SIZE
    for _ in range(20):
        pace.adapt(1, moved=False)  # slow for what it walks over: less would make it slower
    assert pace.size == cleanup.LARGEST_SIZE
    fixed = cleanup.Pace(7)
    fixed.adapt(0, moved=True)
    assert fixed.size == 7


_SCANNED = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'idx_async_jobs_cleanup'"


def test_no_batch_reads_again_what_is_deleted(make_database: Make, each_major: int) -> None:
    """Counted in index entries, with a transaction open that keeps the dead ones from being passed over."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 4000)
    with session(url) as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from public.async_jobs")
        assert run(url, batch_size=50).deleted["jobs"] == 4000
    with psycopg.connect(url, autocommit=True) as connection:
        [(read,)] = connection.execute(_SCANNED).fetchall()
    assert 4000 <= read < 8000
