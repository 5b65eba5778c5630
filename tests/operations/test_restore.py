"""Dump and restore with pg_dump and pg_restore: rows, policies, ledger, and refused restores."""

from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Database, Make
from tests.impersonation import GUEST_A, JOBS, USER_A, guest, user, visible_jobs
from tests.operations.conftest import BLOCKS, Shell, fill, query
from tests.sql.population import STATUSES

pytestmark = pytest.mark.slow

FINGERPRINT = BLOCKS["fingerprint"]
# from an older version to a newer one, with the programs of the newer one
UPGRADES = [(15, 17), (16, 18)]


def with_results(database: Database) -> str:
    """Fill a database with guests, users, jobs and results; returns its URL."""
    change = "update public.async_jobs set result = '{\"a\": [1.50, null, \"ñ\"]}' where status = 'completed'"
    query(fill(database).url, change)
    return database.url


@pytest.mark.parametrize(("source", "target"), UPGRADES)
def test_restore_reproduces_rows_users_ledger_and_policies(
    make_database: Make, shell: Shell, source: int, target: int
) -> None:
    before = with_results(make_database("applied", source))
    after = make_database("platform", target).url
    shell(BLOCKS["dump"], before, major=target)
    for step in ("restore-1", "restore-2"):
        shell(BLOCKS[step], after, major=target)
    fingerprint = query(before, FINGERPRINT)
    assert [what for what, number, _ in fingerprint if number] == [
        "guests",
        *(f"jobs {s}" for s in sorted(STATUSES)),
    ]
    assert query(after, FINGERPRINT) == fingerprint
    users, ledger = (
        "select id from auth.users order by 1",
        "select * from supabase_migrations.schema_migrations order by 1",
    )
    assert query(after, users) == query(before, users)
    assert query(after, ledger) == query(before, ledger)
    with psycopg.connect(after) as connection:
        assert visible_jobs(connection, guest(GUEST_A)) == {JOBS[GUEST_A]}
        assert visible_jobs(connection, user(USER_A)) == {JOBS[USER_A]}


@pytest.mark.parametrize(
    "change",
    [
        "update public.async_jobs set result = '{}' where id = (select id from public.async_jobs"
        " limit 1)",
        "delete from public.async_jobs where id = (select id from public.async_jobs limit 1)",
        "update public.guest_users set last_seen_at = last_seen_at + interval '1 microsecond'",
    ],
)
def test_the_fingerprint_detects_a_difference(make_database: Make, change: str) -> None:
    url = with_results(make_database("applied"))
    before = query(url, FINGERPRINT)
    query(url, "alter table public.async_jobs disable trigger user")
    query(url, change)
    assert query(url, FINGERPRINT) != before


def test_restore_is_atomic_and_accepts_existing_users(make_database: Make, shell: Shell) -> None:
    before = with_results(make_database("applied"))
    shell(BLOCKS["dump"], before)
    after = make_database("platform").url
    shell(BLOCKS["restore-1"], after)
    some = f"insert into auth.users (id) values ('{USER_A}')"
    query(after, some)
    with pytest.raises(AssertionError, match="duplicate key"):
        shell(BLOCKS["restore-2"], after)
    assert query(after, FINGERPRINT) == [("guests", 0, None)]
    without = BLOCKS["restore-2"].replace(
        " jobs.dump", " --table=guest_users --table=async_jobs jobs.dump"
    )
    with pytest.raises(AssertionError, match="violates foreign key"):
        shell(without, after)
    query(after, "insert into auth.users (id) values ('00000000-0000-0000-0000-0000000000b2')")
    shell(without, after)
    assert "0 errors" in shell(BLOCKS["restore-3"], after)
    assert query(after, FINGERPRINT) == query(before, FINGERPRINT)


def test_verify_reports_grants_of_restored_definitions(
    make_database: Make, shell: Shell, cli: Run
) -> None:
    """The reason why the migrations, not the dump, create the tables."""
    before = with_results(make_database("applied"))
    after = make_database("platform").url
    shell('pg_dump "$SUPABASE_DB_URL" -Fc -f all.dump -n private -n public', before)
    shell('pg_restore -d "$SUPABASE_DB_URL" --no-owner all.dump || true', after)
    privileges = "select has_table_privilege('anon', 'public.async_jobs', p) from unnest(array['delete', 'truncate']) as p"
    assert query(before, privileges) == [(False,), (False,)]
    assert query(after, privileges) == [(True,), (True,)]
    assert cli("verify", "--only", "structure", "--db-url", after).code == 1


def test_some_rows_come_back_by_way_of_a_local_server(
    make_database: Make, shell: Shell, tmp_path: Path
) -> None:
    url = with_results(make_database("applied"))
    jobs_of_user = (
        f"select id, created_at, updated_at from public.async_jobs where user_id = '{USER_A}'"
    )
    before, rest = query(url, jobs_of_user), query(url, FINGERPRINT)
    shell(BLOCKS["dump"], url)
    query(url, f"delete from public.async_jobs where user_id = '{USER_A}'")
    assert query(url, FINGERPRINT) != rest
    try:
        shell(BLOCKS["some"], url, user_id=str(USER_A))
    finally:
        shell("cd rescue && supabase-jobs local stop", url)
    assert query(url, jobs_of_user) == before
    assert query(url, FINGERPRINT) == rest
