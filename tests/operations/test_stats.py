"""operations.stats: each section on every PostgreSQL version, read-only databases, timeouts, and
errors.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import PrivilegeError
from supabase_jobs.operations import stats
from supabase_jobs.operations.statements import NotAppliedError, statement
from tests.fix_db import Make, first_on_each_major
from tests.round_trips import traced
from tests.sql.population import STATUSES

_JOBS = """
with u as (insert into auth.users (id) values (gen_random_uuid()) returning id)
insert into public.async_jobs (url, status, user_id, created_at, updated_at)
select 'u' || row_number() over (), s, u.id, now() - c * interval '1 minute', now() - d * interval '1 minute'
from u, unnest(%s::text[], %s::integer[], %s::integer[]) as t (s, c, d)
"""
HOUR, DAY = 60, 24 * 60


def insert_jobs(connection: Connection, *jobs: tuple[str, int, int]) -> None:
    """Insert jobs: status, and the minutes since they were created and last updated."""
    connection.execute(_JOBS, [list(column) for column in zip(*jobs, strict=True)])


def collected(url: str, minutes: int = 15, *excluded: str) -> dict[str, stats.Rows]:
    with connect(url) as connection:
        result = stats.collect(connection, {"minutes": minutes}, excluded)
    assert result.unanswered == []
    return result.sections


def only(rows: stats.Rows, name: str, value: str) -> dict[str, Any]:
    """The one row with this value."""
    [row] = [row for row in rows if row[name] == value]
    return row


@pytest.fixture
def url(make_database: Make, each_major: int) -> str:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        insert_jobs(
            connection,
            ("queued", 5, 5),
            ("queued", 20, 1),
            ("queued", 2 * HOUR, 1),
            ("processing", 3 * DAY, 2),
            ("processing", 40 * DAY, 16),
            ("completed", 90, 30),
            ("completed", 10 * DAY, 2 * DAY),
            ("completed", 61, 1),
            ("failed", DAY, 30),
            ("cancelled", 50 * DAY, 31 * DAY),
        )
    return url


def test_jobs_by_status_and_age(url: str) -> None:
    sections = collected(url)
    assert [(row["status"], row["jobs"]) for row in sections["jobs"]] == list(
        zip(STATUSES, (3, 2, 3, 1, 1), strict=True)
    )
    ages = {row.pop("jobs"): list(row.values()) for row in sections["ages"]}
    assert ages == {
        "queued": [2, 1, 0, 0, 0],
        "processing": [0, 0, 1, 0, 1],
        "finished": [3, 0, 1, 0, 1],
    }


def test_finished_jobs_by_hour(url: str) -> None:
    rows = collected(url)["hours"]
    assert len(rows) == 24
    assert rows == sorted(rows, key=lambda row: str(row["hour"]))
    with psycopg.connect(url) as connection:
        [(last, half)] = connection.execute(
            "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:00\"Z\"'),"
            " to_char((now() - interval '30 minutes') at time zone 'UTC',"
            ' \'YYYY-MM-DD"T"HH24:00"Z"\')'
        ).fetchall()
    assert rows[-1]["hour"] >= last
    assert {status: sum(row[status] for row in rows) for status in STATUSES[2:]} == {
        "completed": 2,
        "failed": 1,
        "cancelled": 0,
    }
    assert only(rows, "failed", 1)["hour"] <= half  # type: ignore[arg-type]


def test_slowest_and_stuck_jobs(url: str) -> None:
    sections = collected(url)
    assert [round(row["seconds"] / 60) for row in sections["slowest"]] == [60, 60]
    stuck = [(row["status"], row["jobs"], round(row["seconds"] / 60)) for row in sections["stuck"]]
    assert stuck == [("processing", 1, 16), ("queued", 2, 120), ("queued", 2, 20)]
    assert collected(url, 300)["stuck"] == []


def test_stuck_jobs_are_the_same_without_worker_functions_and_heartbeats(url: str) -> None:
    """One query is the other without the table of heartbeats, which has no row here."""
    with_workers = collected(url)["stuck"]
    without = collected(url, 15, "005_create_worker_functions")["stuck"]
    assert len(without) == 3
    for one, other in zip(with_workers, without, strict=True):
        assert other["seconds"] == pytest.approx(one["seconds"], abs=30)
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_sizes_dead_rows_and_indexes(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        before = only(collected(url)["tables"], "name", "public.async_jobs")
        assert (before["rows"], before["vacuumed"]) == (None, None)
        connection.execute("vacuum analyze public.async_jobs")
        connection.execute("delete from public.async_jobs where status = 'completed'")
        connection.execute("select pg_stat_force_next_flush()")
        [(size, indexes)] = connection.execute(
            "select pg_table_size('public.async_jobs'), pg_indexes_size('public.async_jobs')"
        ).fetchall()
        names = {
            row[0]
            for row in connection.execute(
                "select indexname from pg_catalog.pg_indexes where schemaname = 'public'"
            )
        }
    sections = collected(url)
    jobs = only(sections["tables"], "name", "public.async_jobs")
    assert (jobs["rows"], jobs["bytes"], jobs["index_bytes"], jobs["dead_rows"]) == (
        10,
        size,
        indexes,
        3,
    )
    assert jobs["vacuumed"] is not None
    assert jobs["analyzed"] is not None
    assert {row["name"] for row in sections["indexes"]} == names
    assert all(row["valid"] for row in sections["indexes"])
    assert only(sections["indexes"], "name", "guest_users_pkey")["on_table"] == "public.guest_users"


def test_an_empty_database(make_database: Make, each_major: int) -> None:
    sections = collected(make_database("applied", each_major).url)
    assert {row["jobs"] for row in sections["jobs"]} == {0}
    assert (sections["slowest"], sections["stuck"], len(sections["hours"])) == ([], [], 24)


def test_infinite_timestamps_raise_no_error(applied_url: str) -> None:
    with psycopg.connect(applied_url) as connection:
        for status in STATUSES:
            insert_jobs(connection, (status, 1, 1), (status, 1, 1))
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set created_at = '-infinity', updated_at = 'infinity' where"
            " url = 'u1'"
        )
        connection.execute(
            "update public.async_jobs set created_at = 'infinity', updated_at = '-infinity' where"
            " url = 'u2'"
        )
    assert sum(row["jobs"] for row in collected(applied_url)["jobs"]) == 10


@first_on_each_major("created", [("infinity",), ("-infinity",), ("2999-01-01",)])
def test_a_job_created_after_its_last_update_is_not_the_slowest(
    make_database: Make, each_major: int, created: str
) -> None:
    """Owners may write any created_at."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:
        insert_jobs(connection, ("completed", 3, 2), ("completed", 3, 2))
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set created_at = %s where url = 'u1'", (created,)
        )
    assert [row["seconds"] for row in collected(url)["slowest"]] == [60]


@pytest.mark.parametrize(
    "setting",
    ["default_transaction_read_only = on", "default_transaction_isolation = serializable"],
)
def test_stats_of_a_read_only_or_serializable_database(make_database: Make, setting: str) -> None:
    database = make_database("applied")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f"alter database {database.name} set {setting}".encode())
    assert len(collected(database.url)) == 7


def test_a_query_that_times_out_is_reported_as_unanswered(
    applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = statement("stats/settings")
    quick = replace(settings, text=settings.text.replace("'10s'", "'100ms'"))
    queries = {
        "slow": replace(settings, text="select pg_catalog.pg_sleep(5)"),
        "fast": replace(settings, text="select 1 as one"),
    }
    monkeypatch.setattr(stats, "statement", lambda _name: quick)
    monkeypatch.setattr(stats, "statements", lambda _name: queries)
    with connect(applied_url) as connection:
        result = stats.collect(connection, {})
    assert (result.unanswered, result.sections) == (["slow"], {"slow": [], "fast": [{"one": 1}]})


def test_a_query_after_one_that_times_out_may_time_out_too(
    applied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = statement("stats/settings")
    quick, slow, fast = (
        replace(settings, text=text)
        for text in (
            settings.text.replace("'10s'", "'100ms'"),
            "select pg_catalog.pg_sleep(5)",
            "select current_setting('statement_timeout') as timeout",
        )
    )
    monkeypatch.setattr(stats, "statement", lambda _name: quick)
    monkeypatch.setattr(
        stats, "statements", lambda _name: {"a": fast, "b": slow, "c": slow, "d": fast, "e": slow}
    )
    with connect(applied_url) as connection:
        result = stats.collect(connection, {})
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert result.unanswered == ["b", "c", "e"]
    assert result.sections == {
        "a": [{"timeout": "100ms"}],
        "b": [],
        "c": [],
        "d": [{"timeout": "100ms"}],
        "e": [],
    }


def test_stats_takes_one_round_trip(applied_url: str) -> None:
    with traced() as connections, connect(applied_url) as connection:
        assert len(stats.collect(connection, {"minutes": 15}).sections) == 7
        # the second connection watches for sessions that wait
        assert [c.round_trips for c in connections[:1]] == [1]


def test_stats_through_a_pooler(applied_url: str, pooled: Callable[..., str]) -> None:
    url = pooled(applied_url)
    assert collected(url).keys() == collected(applied_url).keys()


def test_missing_privileges_and_missing_migrations_raise(
    applied_url: str, platform_url: str
) -> None:
    with pytest.raises(PrivilegeError):
        collected(applied_url.replace("//postgres@", "//authenticator@"))
    with pytest.raises(NotAppliedError):
        collected(platform_url)
