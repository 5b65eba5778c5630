"""The nightly maintenance of partitions in docs/partitions.md; no job is deleted too early."""

import threading
from datetime import timedelta

import psycopg

from tests.fix_cron import eventually
from tests.fix_db import Database, Make
from tests.impersonation import GUEST_A
from tests.operations.conftest import ADD, BLOCKS, MONDAY, NAMES, Move, query, sqlstate


def test_nightly_drops_expired_partitions_and_creates_new_ones(
    filled: Database, move: Move
) -> None:
    """The move is five weeks old, so some partitions have expired."""
    url, until = filled.url, MONDAY - timedelta(weeks=7)
    query(url, "update public.async_jobs set created_at = now() - interval '90 days'")
    move(url, until)
    names = [name for (name,) in query(url, NAMES)]
    weeks = [until + timedelta(weeks=n) for n in range(4)]
    with psycopg.connect(url) as connection:
        connection.execute("alter table public.async_jobs disable trigger user")
        connection.execute(
            "update public.async_jobs set status = 'failed', updated_at = now() - interval '8 days'"
        )
        for week, status, days in zip(
            weeks, ("completed", "queued", "failed", "failed"), (8, 8, 6, 8), strict=True
        ):
            connection.execute(
                "insert into public.async_jobs (url, guest_id, created_at, status, updated_at)"
                " values ('u', %s, %s, %s, now() - make_interval(days => %s))",
                (GUEST_A, week, status, days),
            )
    with psycopg.connect(url) as connection:
        dropped = connection.execute("select private.drop_async_jobs_partitions(7)").fetchall()
        assert [name for (name,) in dropped] == [
            names[0],
            names[1],
            names[4],
        ]  # not the active one, nor the young
        connection.rollback()
    assert sqlstate(url, "select private.drop_async_jobs_partitions(-1)") == "22023"
    assert sqlstate(url, "select private.drop_async_jobs_partitions(null)") == "22023"
    assert query(url, BLOCKS["ahead"])[0][1] is False
    query(url, f"drop table {', '.join(names[9:])}")
    assert query(url, BLOCKS["ahead"])[0][1] is True
    query(url, BLOCKS["nightly"])
    after = [name for (name,) in query(url, NAMES)]
    assert after == [name for name in names if name not in (names[0], names[1], names[4])]
    assert sqlstate(url, ADD, GUEST_A, until) == "23514"
    assert query(url, BLOCKS["nightly"]) == []


def test_an_uncommitted_job_keeps_its_partition(make_database: Make, move: Move) -> None:
    """It is committed after the partition was found empty, and before the partition is locked."""
    url, until = make_database("applied").url, MONDAY - timedelta(weeks=7)
    move(url, until)
    with psycopg.connect(url) as connection:
        connection.execute("insert into public.guest_users (guest_id) values (%s)", (GUEST_A,))
    dropped: list[str] = []
    drop = threading.Thread(
        target=lambda: dropped.extend(
            name for (name,) in query(url, "select private.drop_async_jobs_partitions(7)")
        )
    )
    with psycopg.connect(url) as other:
        other.execute(ADD, (GUEST_A, until - timedelta(days=1)))
        drop.start()
        with psycopg.connect(url, autocommit=True) as connection:
            eventually(
                connection,
                "select exists (select from pg_locks where mode = 'AccessExclusiveLock' and not"
                " granted)",
            )
        other.commit()
    drop.join(20)
    assert dropped
    assert "private.async_jobs_first" not in dropped
    assert query(url, "select guest_id from public.async_jobs") == [(GUEST_A,)]
