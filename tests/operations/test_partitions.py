"""The move to partitions of docs/partitions.md: rows, access, keys, workers, dumps, uninstall."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.fix_api import serve_api
from tests.fix_cli import Run
from tests.fix_db import Database, Make
from tests.impersonation import (
    ANON,
    GUEST_A,
    GUEST_B,
    JOBS,
    SERVICE,
    USER_A,
    acting_as,
    guest,
    row_count,
    sqlstate_of,
    user,
    visible_jobs,
)
from tests.operations.conftest import (
    ADD,
    BLOCKS,
    MONDAY,
    NAMES,
    TEXT,
    Move,
    Shell,
    fill,
    query,
    sqlstate,
)
from tests.sql.owner_limits import set_limits
from tests.sql.population import left, left_in
from tests.sql.test_uninstall import catalogs
from tests.sql.test_workers import claim

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("major", [15, 18])
def test_the_move_keeps_all_rows_and_their_visibility(
    make_database: Make, major: int, move: Move
) -> None:
    url = fill(make_database("applied", major)).url
    before = query(url, BLOCKS["fingerprint"])
    move(url)
    assert query(url, BLOCKS["fingerprint"]) == before
    partitions = [name for (name,) in query(url, NAMES)]
    with psycopg.connect(url) as connection:
        for owner in (
            GUEST_A,
            GUEST_B,
        ):  # in the first partition, which holds one job of each, and in the second
            connection.execute(ADD, (owner, datetime.now(UTC)))
            connection.execute(ADD, (owner, MONDAY))
        for owner in (GUEST_A, GUEST_B):
            jobs = {
                job
                for (job,) in connection.execute(
                    "select id from async_jobs where guest_id = %s", (owner,)
                )
            }
            assert len(jobs) == 3
            assert visible_jobs(connection, guest(owner)) == jobs
        assert visible_jobs(connection, user(USER_A)) == {JOBS[USER_A]}
        assert visible_jobs(connection, ANON) == set()
        assert len(visible_jobs(connection, SERVICE)) == 4 + 600 + 4
        assert (
            row_count(connection, user(USER_A), "delete from public.async_jobs returning id") == 1
        )
        assert (
            sqlstate_of(
                connection, guest(GUEST_A), "update public.async_jobs set guest_id = %s", GUEST_B
            )
            == "42501"
        )
        assert sqlstate_of(connection, guest(GUEST_A), ADD, GUEST_B, datetime.now(UTC)) == "42501"
        add_users = ADD.replace("guest_id", "user_id")
        for caller, add, owner in (
            (guest(GUEST_A), ADD, GUEST_A),
            (user(USER_A), add_users, USER_A),
        ):
            assert sqlstate_of(connection, caller, add, owner, MONDAY) == "0A000"
            assert (
                sqlstate_of(connection, caller, add, owner, MONDAY + timedelta(weeks=30)) == "23514"
            )
            assert sqlstate_of(connection, caller, add, owner, "infinity") == "23514"
            with acting_as(connection, caller) as execute:
                assert execute(f"{add} returning created_at = now()", owner, datetime.now(UTC)) == [
                    (True,)
                ]
                listed = "select id, created_at from public.async_jobs order by id"
                rows = execute(listed)
                assert rows
                execute("update public.async_jobs set created_at = %s", MONDAY)
                assert execute(listed) == rows
        for partition in partitions:
            for caller in (guest(GUEST_A), user(USER_A), SERVICE):
                assert sqlstate_of(connection, caller, f"select from {partition}") == "42501"


def test_verify_reports_the_documented_findings(
    filled: Database, move: Move, shell: Shell, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the findings are counted; trying their fixes takes half a minute
    monkeypatch.setattr("supabase_jobs.verify.verify.TRIALS_LIMIT_S", 0)
    url = filled.url
    assert "0 errors" in shell(move(url), url)
    partitions = query(url, NAMES)
    findings = cli("verify", "--only", "structure,functions", "--json", "--db-url", url).json[
        "findings"
    ]
    areas = [finding["area"] for finding in findings]
    assert {area: areas.count(area) for area in areas} == {
        "structure": 12 + len(partitions),
        "functions": 1,
    }
    assert "`structure` has 12 errors and one for each partition" in TEXT
    # the first partition was the table, and its indexes have the names of the migrations; a nightly
    # run drops it
    query(url, "delete from public.async_jobs; drop table private.async_jobs_first")
    assert cli("verify", "--only", "plans", "--json", "--db-url", url).json["findings"] == []


def test_dependent_objects_are_listed(applied_url: str) -> None:
    depends = BLOCKS["depends"]
    known = query(applied_url, depends)
    assert {what.split("(")[0] for (what,) in known} == {
        "function claim_jobs",
        "function complete_and_claim",
    }
    query(
        applied_url,
        "create view public.v as select id from public.async_jobs;"
        "create table public.t (job uuid constraint to_jobs references public.async_jobs (id));"
        "create function public.f(public.async_jobs) returns integer language sql as 'select 1'",
    )
    more = {what for (what,) in query(applied_url, depends)} - {what for (what,) in known}
    assert sorted(what.split()[0] for what in more) == ["constraint", "function", "rule"]


def test_the_documented_keys_and_times(filled: Database, move: Move) -> None:
    url = filled.url
    move(url)
    again = f"insert into public.async_jobs (id, url, guest_id) values ('{JOBS[GUEST_A]}', 'u', '{GUEST_A}')"
    upsert = f"{again} on conflict ({{}}) do update set progress = 1"
    assert sqlstate(url, again) is None
    assert sqlstate(url, upsert.format("id")) == "42P10"
    assert sqlstate(url, upsert.format("id, created_at")) is None
    assert sqlstate(url, ADD, GUEST_A, MONDAY + timedelta(weeks=30)) == "23514"
    assert sqlstate(url, ADD, GUEST_A, "infinity") == "23514"
    assert sqlstate(url, ADD, "00000000-0000-0000-0000-000000000000", MONDAY) == "23503"
    query(url, f"update public.async_jobs set created_at = '{MONDAY}' where guest_id = '{GUEST_B}'")
    where = f"select tableoid::regclass::text from public.async_jobs where guest_id = '{GUEST_B}'"
    assert query(url, where) == [(f"private.async_jobs_{MONDAY:%Y_%m_%d}",)]
    query(url, f"delete from public.guest_users where guest_id = '{GUEST_B}'")
    assert query(url, where) == []


def test_the_limits_of_owners_hold_with_partitions(filled: Database, move: Move) -> None:
    url = filled.url
    move(url)
    new = "insert into public.async_jobs (url, guest_id) select 'u', %s from generate_series(1, %s)"
    with psycopg.connect(url) as connection:
        active = "select count(*) from public.async_jobs where guest_id = %s and status in ('queued', 'processing')"
        [(jobs,)] = connection.execute(active, (GUEST_A,)).fetchall()
        limits = {"max_active_jobs_per_guest": jobs + 1, "max_new_jobs_per_guest_per_hour": 1000}
        set_limits(connection, owners_may_only_cancel=True, **limits)
        connection.execute(ADD, (GUEST_A, MONDAY))  # in the second partition
        assert sqlstate_of(connection, guest(GUEST_A), new, GUEST_A, 1) == "PT429"
        cancel = (
            "update public.async_jobs set status = 'cancelled' where status = 'queued' returning id"
        )
        assert row_count(connection, guest(GUEST_A), cancel) >= 1
        assert (
            sqlstate_of(connection, guest(GUEST_A), "update public.async_jobs set progress = 1")
            == "PT403"
        )
        assert sqlstate_of(connection, guest(GUEST_B), new, GUEST_B, 1001) == "PT429"


def test_times_after_the_first_partition_are_corrected(
    filled: Database, move: Move, shell: Shell
) -> None:
    url = filled.url
    query(url, f"update public.async_jobs set created_at = '{MONDAY}' where guest_id = '{GUEST_A}'")
    with pytest.raises(AssertionError, match="async_jobs_until"):
        move(url)
    query(url, BLOCKS["beyond"].replace("2026-12-07", f"{MONDAY:%Y-%m-%d}"))
    shell(BLOCKS["apply"].splitlines()[0], url)
    assert query(
        url, f"select tableoid::regclass::text from public.async_jobs where guest_id = '{GUEST_A}'"
    ) == [("private.async_jobs_first",)]


def test_workers_cleanup_and_stats_work_with_partitions(
    filled: Database, move: Move, cli: Run
) -> None:
    url = filled.url
    move(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "update public.async_jobs set created_at = now() - random() * interval '1 hour'"
        )
        connection.execute(ADD, (GUEST_A, MONDAY))
        connection.commit()
        oldest = connection.execute(
            "select id from public.async_jobs where status = 'queued' order by created_at"
        )
        assert [job for job, _ in claim(connection, limit=1000)] == [job for (job,) in oldest]
        connection.rollback()
        connection.execute("select public.cleanup_old_jobs(), public.cleanup_inactive_guests()")
        wanted = left_in(connection)
        connection.rollback()
    assert cli("cleanup", "--batch-size", "10", "--db-url", url).code == 0
    assert left(url) == wanted
    [jobs_table] = [
        table
        for table in cli("stats", "--json", "--db-url", url).json["tables"]
        if "async" in table["name"]
    ]
    assert (jobs_table["bytes"], jobs_table["index_bytes"]) == (0, 0)


DUPLICATE = (
    "insert into public.async_jobs (id, url, guest_id, status, created_at, updated_at)"
    " values (%s, 'u', %s, %s, %s, now() - interval '60 days')"
)


def test_a_duplicate_id_does_not_reach_the_job_of_another_owner(
    filled: Database, move: Move
) -> None:
    """A guest inserts jobs with the id of a job of a user."""
    url, job_id = filled.url, JOBS[USER_A]
    query(url, f"delete from public.async_jobs where id <> '{job_id}'")
    move(url)

    def add(status: str) -> None:
        with psycopg.connect(url) as connection:
            values = (job_id, GUEST_A, status, MONDAY - timedelta(days=30))
            connection.execute(DUPLICATE.encode(), values)

    def unchanged() -> bool:
        jobs = query(
            url,
            f"select j from public.async_jobs as j where id = '{job_id}' and user_id is not null",
        )
        return jobs == before

    query(url, f"update public.async_jobs set status = 'completed' where id = '{job_id}'")
    before = query(url, f"select j from public.async_jobs as j where id = '{job_id}'")
    add("queued")
    assert query(url, "select guest_id from public.claim_jobs('w', 10)") == [(GUEST_A,)]
    assert unchanged()
    assert query(url, "select requeued_count from public.requeue_stale_jobs('0')") == [(1,)]
    assert unchanged()
    query(url, "select from public.claim_jobs('w', 10)")
    complete = "select public.complete_job(job_id, 'w', claim_id, '7') from private.worker_state"
    assert query(url, complete) == [(True,)]
    assert unchanged()
    query(url, "delete from public.async_jobs where guest_id is not null")
    add("completed")
    assert query(url, "select public.cleanup_old_jobs()") == [(1,)]
    assert unchanged()
    add("completed")
    query(url, "select public.cleanup_inactive_guests(0)")
    assert unchanged()


def test_the_api_exposes_one_table(filled: Database, move: Move) -> None:
    move(filled.url)
    with serve_api(filled.server, filled.name) as api:
        headers = api.headers(guest=GUEST_A)
        [job] = api.request(
            "GET", "async_jobs?select=id,guest_users(guest_id)", headers=headers
        ).json()
        assert job == {"id": str(JOBS[GUEST_A]), "guest_users": {"guest_id": str(GUEST_A)}}
        assert api.request("GET", "async_jobs_first", headers=headers).status_code in (401, 404)
        assert (
            "/async_jobs_first"
            not in api.request("GET", "", headers=api.headers(service=True)).json()["paths"]
        )
        body = {**job, "url": "u", "guest_id": str(GUEST_A)}
        del body["guest_users"]
        merge = {**headers, "Prefer": "resolution=merge-duplicates"}
        refused = api.request("POST", "async_jobs?on_conflict=id", headers=merge, json=body)
        assert refused.json()["code"] == "42P10"


def test_a_dump_of_partitions_restores_into_an_unpartitioned_table(
    make_database: Make, shell: Shell, move: Move
) -> None:
    """`--table` alone dumps no job of a partitioned table."""
    url = fill(make_database("applied", 17)).url
    move(url)
    before = query(url, BLOCKS["fingerprint"])
    after = make_database("platform", 17).url
    assert "`--table-and-children=public.async_jobs --load-via-partition-root`" in TEXT
    shell(BLOCKS["dump"], url, major=17)
    assert "async_jobs" not in shell(
        "pg_restore --list jobs.dump | grep 'TABLE DATA'", url, major=17
    )
    children = "--table-and-children=public.async_jobs --load-via-partition-root"
    shell(BLOCKS["dump"].replace("--table=public.async_jobs", children), url, major=17)
    shell(
        "cd / && supabase-jobs apply", after, major=17
    )  # the packaged migrations, without partitions
    shell(BLOCKS["order"], after, major=17)
    assert query(after, BLOCKS["fingerprint"]) == before


def test_uninstall_drops_the_partitions(make_database: Make, move: Move, shell: Shell) -> None:
    database = make_database("platform")
    url = database.url
    before = catalogs(url)
    shell("supabase-jobs render && supabase-jobs apply", url)
    fill(database)
    move(url)
    query(url, BLOCKS["unpartition"])
    shell(BLOCKS["uninstall"], url)
    assert catalogs(url) == before
