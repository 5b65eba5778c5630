"""Classification of database errors: kind, exit code and message by SQLSTATE."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import BusyError, ConnectError, PrivilegeError, SupabaseJobsError
from supabase_jobs.local.server import throwaway
from tests.fix_cli import Run
from tests.fix_db import Server

SHORT_LOCK_TIMEOUT = "?options=-c%20lock_timeout%3D10"


def test_a_lost_connection_is_reported_and_rolled_back(server: Server, platform_url: str) -> None:
    def lose(connection: Connection) -> None:
        connection.execute("create table public.half ()")
        with connect(server.url("postgres", server.user)) as admin:
            admin.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("select 1")

    with (
        pytest.raises(ConnectError, match="the connection to the database was lost") as caught,
        connect(platform_url) as connection,
        connection.transaction(),
    ):
        lose(connection)
    assert "were rolled back" in str(caught.value.hint)
    assert caught.value.sqlstate == "57P01"
    with connect(platform_url) as connection:
        assert connection.execute("select to_regclass('public.half')").fetchone() == (None,)


@pytest.fixture(scope="module")
def without_platform() -> Iterator[str]:
    """A server that is no Supabase project; its roles are missing too."""
    with throwaway(platform=False) as info:
        yield info.url


RAISE = "do $$ begin raise exception 'details' using errcode = '{}'; end $$"


@pytest.mark.parametrize(
    ("statement", "kind", "code", "message"),
    [
        (RAISE.format("55P03"), BusyError, 5, "blocked the statement: details"),
        (RAISE.format("40P01"), BusyError, 5, "blocked the statement: details"),
        (RAISE.format("40001"), BusyError, 5, "blocked the statement: details"),
        (RAISE.format("55006"), BusyError, 5, "blocked the statement: details"),
        (RAISE.format("42501"), PrivilegeError, 7, "lacks a privilege: details"),
        (RAISE.format("08006"), ConnectError, 7, "was lost: details"),
        (
            RAISE.format("53100"),
            SupabaseJobsError,
            2,
            "refused a statement of supabase-jobs: details",
        ),
        (RAISE.format("25006"), PrivilegeError, 7, "read-only for this role: details"),
        ("select 1/0", SupabaseJobsError, 2, "division by zero"),
        ("select pg_sleep(9)", SupabaseJobsError, 2, "statement timeout"),
    ],
    ids=[
        "lock",
        "deadlock",
        "serialization",
        "in use",
        "privilege",
        "lost",
        "disk",
        "read-only",
        "other",
        "timeout",
    ],
)
def test_errors_are_classified_by_sqlstate(
    platform_url: str, statement: str, kind: type[SupabaseJobsError], code: int, message: str
) -> None:
    url = f"{platform_url}?options=-c%20statement_timeout%3D200"
    with pytest.raises(kind, match=message) as caught, connect(url) as connection:
        connection.execute(statement.encode())
    assert (type(caught.value), caught.value.exit_code) == (kind, code)
    assert "connection failed" not in caught.value.message


@pytest.mark.parametrize(
    "statement",
    [
        "select auth.uid()",
        "grant select on table pg_class to anon",
        "create table public.x (id uuid references auth.users)",
        "create table storage.x ()",
    ],
)
def test_a_database_without_the_platform_leads_to_a_hint(
    without_platform: str, statement: str
) -> None:
    with pytest.raises(SupabaseJobsError) as caught, connect(without_platform) as connection:
        connection.execute(statement.encode())
    assert "lacks the schemas and roles of Supabase" in str(caught.value.hint)
    assert "supabase-jobs local start" in str(caught.value.hint)


@pytest.mark.parametrize(
    "statement", ["select private.x()", "select * from auth.userz", "set role nobody_there"]
)
def test_other_missing_objects_lead_to_no_hint(
    without_platform: str, platform_url: str, statement: str
) -> None:
    for url in (without_platform, platform_url):
        with pytest.raises(SupabaseJobsError) as caught, connect(url) as connection:
            connection.execute(statement.encode())
        assert caught.value.hint is None


def test_a_migration_without_the_platform_fails_with_a_hint(
    without_platform: str, cli: Run
) -> None:
    for command, code in (("apply", 6), ("verify", 2)):
        ran = cli(command, "--json", "--db-url", without_platform)
        assert ran.code == code
        assert "lacks the schemas and roles of Supabase" in ran.json["error"]["hint"]


@pytest.mark.parametrize("command", ["verify", "audit"])
def test_a_lock_timeout_names_the_table_and_the_session(
    applied_url: str, cli: Run, command: str
) -> None:
    with psycopg.connect(applied_url, application_name="nightly-report") as holder:
        holder.execute("create table public.things (id uuid primary key, user_id uuid)")
        holder.commit()
        holder.execute("lock table public.async_jobs, public.things in access exclusive mode")
        ran = cli(command, SUPABASE_DB_URL=applied_url)
        pid = holder.info.backend_pid
    assert ran.code == 5
    session = rf"pid {pid} \(nightly-report, idle in transaction, for \d+ s\): lock table public.async_jobs"
    for table in ("async_jobs", "things"):
        assert re.search(
            rf"^  public\.{table} \(AccessExclusiveLock\): {session}", ran.err, flags=re.MULTILINE
        )


def test_a_lock_timeout_in_an_open_transaction_names_no_session(applied_url: str) -> None:
    with psycopg.connect(applied_url) as holder:
        holder.execute("lock table public.async_jobs in access exclusive mode")
        with (
            pytest.raises(BusyError) as caught,
            connect(applied_url + SHORT_LOCK_TIMEOUT) as connection,
        ):
            connection.execute("begin; select from public.async_jobs")
    assert (
        caught.value.message
        == "another session blocked the statement: canceling statement due to lock timeout"
    )


def test_a_lock_timeout_without_a_locked_table_names_no_session(applied_url: str) -> None:
    with psycopg.connect(applied_url) as holder:
        holder.execute("select pg_advisory_lock(1)")
        with (
            pytest.raises(BusyError) as caught,
            connect(applied_url + SHORT_LOCK_TIMEOUT) as connection,
        ):
            connection.execute("select pg_advisory_lock(1)")
    assert "locked tables" not in caught.value.message
