"""operations.cleanup: deleted rows, counts, batches, locks, concurrency, and errors."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import BusyError, ConnectError, PrivilegeError
from supabase_jobs.operations import cleanup
from supabase_jobs.operations.statements import NotAppliedError, statement
from tests.fix_db import Make, first_on_each_major, oldest_and_newest
from tests.sql.population import expired, left, left_in, populate

_FUNCTIONS = "select public.cleanup_old_jobs(%s), public.cleanup_inactive_guests(%s)"
DEFAULT = {"days": 7, "guest_days": 30}


@dataclass(frozen=True)
class Janitor:
    """The URL of the role `janitor`, and of the superuser."""

    url: str
    superuser_url: str


def run(url: str, days: dict[str, int] = DEFAULT, batch_size: int | None = None) -> cleanup.Deleted:
    """A complete cleanup."""
    deleted = cleanup.Deleted()
    with connect(url) as connection:
        for kind in cleanup.KINDS:
            for _ in cleanup.delete_expired(connection, kind, days, deleted, batch_size):
                pass
    return deleted


def counts(url: str, days: dict[str, int]) -> dict[str, int]:
    """The numbers of a dry run."""
    with connect(url) as connection:
        return {kind: cleanup.count_expired(connection, kind, days) for kind in cleanup.KINDS}


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """An open transaction of another session."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


@first_on_each_major(
    "days, guest_days, batch_size",
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
def test_cleanup_deletes_the_rows_of_the_functions_and_of_the_count(
    make_database: Make, each_major: int, days: int, guest_days: int, batch_size: int | None
) -> None:
    url = make_database("applied", each_major).url
    limits = {"days": days, "guest_days": guest_days}
    with psycopg.connect(url) as connection:
        populate(connection, seed=days + guest_days)
        connection.commit()
        before = left_in(connection)
        connection.execute(_FUNCTIONS, (days, guest_days))
        expected = left_in(connection)
        connection.rollback()
    counted = counts(url, limits)
    deleted = run(url, limits, batch_size)
    assert left(url) == expected
    assert counted == deleted.rows
    assert deleted.rows["guests"] == len(before[1]) - len(expected[1])
    if days < 2**31 - 1:
        assert deleted.rows["jobs"] > 0
        assert expected[0]


def test_batches_have_the_given_size_and_delete_the_oldest_first(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 25)
    deleted = cleanup.Deleted()
    with connect(applied_url) as connection:
        batches = cleanup.delete_expired(connection, "jobs", DEFAULT, deleted, 10)
        assert next(batches) == 10
        [(oldest,)] = connection.execute(
            "select min(right(url, -14)::integer) from public.async_jobs"
        ).fetchall()
        assert oldest == 11
        assert list(batches) == [10, 5]
    assert (deleted.rows["jobs"], deleted.batches) == (25, 3)


def test_cleanup_without_expired_rows_counts_no_batch(applied_url: str) -> None:
    assert (run(applied_url).batches, run(applied_url, batch_size=1).batches) == (0, 0)


def test_cleanup_deletes_more_rows_of_one_timestamp_than_a_batch_holds(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 2500, tied=True)
    assert run(applied_url, batch_size=100).rows["jobs"] == 2500


def test_infinite_and_bc_timestamps(applied_url: str) -> None:
    """A client may have written them. Infinity expires with 0 days only."""
    with psycopg.connect(applied_url) as connection:
        expired(connection, 4)
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set updated_at = 'infinity' where url like '%%/1'"
        )
        connection.execute(
            "update public.async_jobs set updated_at = '-infinity' where url like '%%/2'"
        )
        connection.execute(
            "update public.async_jobs set updated_at = '0044-03-15 BC' where url like '%%/3'"
        )
    assert run(applied_url, batch_size=1).rows["jobs"] == 3
    assert run(applied_url, {"days": 0, "guest_days": 30}, 1).rows["jobs"] == 1


_SETTINGS = """
alter database {0} set datestyle = '{1}';
alter database {0} set timezone = 'Asia/Kathmandu';
alter database {0} set default_transaction_isolation = 'serializable';
create function private.check_isolation() returns trigger language plpgsql as $$
begin
  assert current_setting('transaction_isolation') = 'read committed', current_setting('transaction_isolation');
  return old;
end $$;
create trigger check_isolation before delete on public.async_jobs
for each row execute function private.check_isolation();
"""


@pytest.mark.parametrize("style", ["sql, dmy", "german", "postgres"])
def test_cleanup_overrides_isolation_datestyle_and_timezone_of_the_database(
    make_database: Make, style: str
) -> None:
    """Each statement of a batch must see what was committed before it."""
    database = make_database("applied")
    with psycopg.connect(database.url, autocommit=True) as connection:
        expired(connection, 30)
        connection.execute(_SETTINGS.format(database.name, style).encode())
    assert run(database.url, batch_size=7).rows["jobs"] == 30


@oldest_and_newest
def test_cleanup_skips_locked_rows(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 30)
        populate(connection, guests=50, jobs=0)
    with session(url) as other:
        other.execute("select from public.async_jobs where url ~ '/[1-9]$' for update")
        other.execute(
            "select from public.guest_users where last_seen_at < now() - interval '50 days' for"
            " key share"
        )
        [(locked,)] = other.execute(
            "select count(*) from public.guest_users where last_seen_at < now() - interval '50"
            " days'"
        ).fetchall()
        assert run(url, batch_size=4).rows["jobs"] == 21
    assert locked > 0
    assert run(url, batch_size=4).rows == {"jobs": 9, "guests": locked}


@oldest_and_newest
def test_a_locked_job_keeps_its_guest_and_no_other_guest(
    make_database: Make, each_major: int
) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.guest_users (guest_id, last_seen_at)"
            " select lpad(n::text, 32, '0')::uuid, now() - (100 - n) * interval '1 day' from"
            " generate_series(1, 5) as n"
        )
        connection.execute(
            "insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', guest_id, now() - interval '60 days' from public.guest_users"
        )
    keep_jobs = {"days": 90, "guest_days": 30}
    with session(url) as other:
        other.execute(
            "select from public.async_jobs where guest_id = lpad('1', 32, '0')::uuid for update"
        )
        assert run(url, keep_jobs, 1).rows == {"jobs": 0, "guests": 4}
    assert run(url, keep_jobs, 1).rows == {"jobs": 0, "guests": 1}
    assert left(url) == (set(), set())


def test_cleanup_ends_after_a_batch_of_locked_guests_of_one_timestamp(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute(
            "with g as (insert into public.guest_users (last_seen_at)"
            " select now() - interval '90 days' from generate_series(1, 6) returning guest_id)"
            " insert into public.async_jobs (url, status, guest_id, updated_at)"
            " select 'u', 'failed', guest_id, now() - interval '60 days' from g"
        )
    with session(applied_url) as other:
        other.execute("select from public.async_jobs for update")
        assert run(applied_url, {"days": 90, "guest_days": 30}, 2).rows["guests"] == 0


@oldest_and_newest
def test_an_uncommitted_job_keeps_its_guest(make_database: Make, each_major: int) -> None:
    """Its foreign key locks the row of the guest."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into public.guest_users (last_seen_at) values (now() - interval '90 days')"
        )
    with session(url) as other:
        other.execute(
            "insert into public.async_jobs (url, guest_id) select 'u', guest_id from"
            " public.guest_users"
        )
        assert run(url).rows["guests"] == 0


@oldest_and_newest
def test_concurrent_cleanups_share_the_rows(make_database: Make, each_major: int) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 3000)
        populate(connection)
    counted = counts(url, DEFAULT)
    results: list[cleanup.Deleted] = []
    threads = [
        threading.Thread(target=lambda: results.append(run(url, batch_size=20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {kind: sum(result.rows[kind] for result in results) for kind in cleanup.KINDS} == counted
    assert run(url).batches == 0


def test_the_error_of_a_lost_connection_reports_the_deleted_rows(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.url) as connection:
        expired(connection, 25)
    with connect(database.url) as connection:
        batches = cleanup.delete_expired(connection, "jobs", DEFAULT, cleanup.Deleted(), 10)
        assert next(batches) == 10
        with psycopg.connect(database.superuser_url) as other:
            other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(ConnectError, match=r"lost.*; 10 jobs and 0 guests had been deleted"):
            next(batches)
    assert len(left(database.url)[0]) == 15


def test_a_table_lock_raises_busy_error(applied_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = statement("cleanup/settings")
    quick = replace(settings, text=settings.text.replace("'4s'", "'100ms'"))
    assert quick != settings
    monkeypatch.setattr(
        cleanup, "statement", lambda name: quick if name == "cleanup/settings" else statement(name)
    )
    with session(applied_url) as other:
        other.execute("lock table public.async_jobs")
        with pytest.raises(BusyError):
            run(applied_url)


@pytest.fixture
def janitor(make_database: Make) -> Iterator[Janitor]:
    """An expired job and an inactive guest, and a role that row level security restricts."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection:
        expired(connection, 1)
        connection.execute(
            "insert into public.guest_users (last_seen_at) values (now() - interval '90 days')"
        )
        connection.execute(
            "create role janitor login;"
            " grant delete, select, update on public.async_jobs, public.guest_users to janitor;"
            " grant usage on schema private to janitor"
        )
    yield Janitor(database.server.url(database.name, "janitor"), database.superuser_url)
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("drop owned by janitor cascade; drop role janitor")


def test_a_role_needs_execute_on_the_functions(janitor: Janitor) -> None:
    for work in (run, lambda url: counts(url, DEFAULT)):
        with pytest.raises(PrivilegeError, match="permission denied for function"):
            work(janitor.url)


def test_row_level_security_raises_an_error_instead_of_hiding_rows(janitor: Janitor) -> None:
    """The counts run as the caller, the deletions as the owner of the functions."""
    with psycopg.connect(janitor.superuser_url, autocommit=True) as connection:
        connection.execute("grant execute on all functions in schema private to janitor")
        for kind in cleanup.KINDS:
            with (
                pytest.raises(PrivilegeError, match="row-level security"),
                connect(janitor.url) as caller,
            ):
                cleanup.count_expired(caller, kind, DEFAULT)
        for function in ("cleanup_old_jobs", "cleanup_inactive_guests"):
            connection.execute(f"alter function private.{function} owner to janitor".encode())
        for kind in cleanup.KINDS:
            with (
                pytest.raises(PrivilegeError, match="row-level security"),
                connect(janitor.url) as caller,
            ):
                list(cleanup.delete_expired(caller, kind, DEFAULT, cleanup.Deleted()))


def test_missing_migrations_are_reported(platform_url: str) -> None:
    for work in (run, lambda url: counts(url, DEFAULT)):
        with pytest.raises(NotAppliedError, match='"private"') as caught:
            work(platform_url)
        assert "supabase-jobs apply" in str(caught.value.hint)


def test_the_batch_size_adapts_to_the_time_of_a_batch() -> None:
    size = cleanup.BatchSize()
    sizes = []
    for seconds in (0.01, 0.01, 0.2, 0.03):
        size.adapt(seconds, advanced=True)
        sizes.append(size.rows)
    assert sizes == [500, 1000, 500, 500]
    for _ in range(20):
        size.adapt(1, advanced=True)
    assert size.rows == cleanup.SMALLEST_SIZE
    for _ in range(20):
        size.adapt(1, advanced=False)
    assert size.rows == cleanup.LARGEST_SIZE
    fixed = cleanup.BatchSize(7)
    fixed.adapt(0, advanced=True)
    assert fixed.rows == 7


_SCANNED = (
    "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'idx_async_jobs_cleanup'"
)


def test_no_batch_reads_the_index_entries_of_deleted_rows(
    make_database: Make, each_major: int
) -> None:
    """An open snapshot keeps these entries from being marked as dead."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        expired(connection, 4000)
    with session(url) as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from public.async_jobs")
        assert run(url, batch_size=50).rows["jobs"] == 4000
    with psycopg.connect(url, autocommit=True) as connection:
        [(read,)] = connection.execute(_SCANNED).fetchall()
    assert 4000 <= read < 8000
