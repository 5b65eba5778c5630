"""Sessions: their names and settings, a second one like the first, and what is said when one is lost or refused."""

import os
from pathlib import Path

import pytest

from supabase_jobs.database.connection import Connection, connect, describe, second_connection
from supabase_jobs.errors import BusyError, ConnectError, PrivilegeError, SupabaseJobsError
from tests.fix_db import Server

REF = "abcdefghijklmnopqrst"
SECRET = "s3cr3t/p4ss"
ENCODED = "s3cr3t%2Fp4ss"
ELSEWHERE = "db.example.invalid"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGPASSFILE", "/nowhere")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("server_16")
    return found


def service_file(folder: Path, **settings: object) -> str:
    """A service file with one service, `there`; returns its path."""
    path = folder / "services.conf"
    path.write_text("[there]\n" + "".join(f"{key}={value}\n" for key, value in settings.items()))
    return str(path)


def named(url: str) -> object:
    with connect(url) as connection:
        row = connection.execute("select current_setting('application_name')").fetchone()
        assert row is not None
        return row[0]


def test_the_application_is_named_unless_the_user_names_it(
    platform_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named(platform_url) == "supabase-jobs"
    assert named(f"{platform_url}?application_name=mine") == "mine"
    monkeypatch.setenv("PGSERVICEFILE", service_file(tmp_path, application_name="service"))
    assert named(f"{platform_url}?service=there") == "service"
    monkeypatch.setenv("PGAPPNAME", "environment")
    assert named(platform_url) == "environment"


def test_the_target_says_what_is_not_encrypted(platform_url: str) -> None:
    with connect(f"{platform_url.replace('127.0.0.1', ELSEWHERE)}?hostaddr=127.0.0.1&sslmode=disable") as connection:
        assert str(describe(connection)).endswith("role postgres, WITHOUT TLS")
    with connect(platform_url) as connection:
        assert str(describe(connection)).endswith("role postgres")


def test_a_twin_is_another_session_at_the_same_place(platform_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1234")
    query = (
        "select pg_backend_pid(), current_user, current_database(), current_setting('statement_timeout'),"
        " current_setting('application_name')"
    )
    with connect(f"{platform_url}?application_name=mine") as one:
        monkeypatch.delenv("PGOPTIONS")
        monkeypatch.setenv("PGHOST", ELSEWHERE)
        with second_connection(one) as two:
            first, second = (c.execute(query).fetchone() for c in (one, two))
            assert two.autocommit
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert first[1:] == second[1:]


@pytest.mark.parametrize("source", ["URL", "PGPASSWORD", "file"])
def test_a_twin_has_the_same_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    url = f"postgresql://{server.user}@127.0.0.1:{server.port}/postgres"
    if source == "URL":
        url = server.url("postgres", server.user)
    elif source == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", server.password)
    else:
        (tmp_path / "pgpass").write_text(f"*:*:*:*:{server.password}\n")
        (tmp_path / "pgpass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    with connect(url) as one:
        monkeypatch.setenv("PGPASSFILE", "/nowhere")
        monkeypatch.setenv("PGPASSWORD", "other")
        with second_connection(one) as two:
            assert two.info.user == server.user


def test_a_twin_goes_to_the_host_that_answered(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"host": "127.0.0.1,localhost", "port": f"1,{server.port}", "user": server.user, "dbname": "postgres"}
    monkeypatch.setenv("PGSERVICEFILE", service_file(tmp_path, **place, password=server.password))
    with connect("service=there") as one, second_connection(one) as two:
        assert {o.keyword: o.val for o in two.pgconn.info}[b"host"] == b"localhost"
        assert two.info.port == server.port


def test_a_twin_that_cannot_be_made_is_our_error(server: Server, platform_url: str) -> None:
    with connect(server.url("postgres", server.user)) as admin, connect(platform_url) as one:
        admin.execute("alter role postgres connection limit 0")
        try:
            with pytest.raises(ConnectError, match="too many connections"), second_connection(one):
                pass
        finally:
            admin.execute("alter role postgres connection limit -1")


def test_errors_inside_a_twin_are_translated(platform_url: str) -> None:
    with connect(platform_url) as one, pytest.raises(PrivilegeError), second_connection(one) as two:
        two.execute("create table pg_catalog.mine ()")


def test_a_lost_connection_says_so_and_leaves_nothing(server: Server, platform_url: str) -> None:
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


RAISE = "do $$ begin raise exception 'told' using errcode = '{}'; end $$"


@pytest.mark.parametrize(
    ("statement", "kind", "code", "message"),
    [
        (RAISE.format("55P03"), BusyError, 5, "blocked the statement: told"),
        (RAISE.format("40P01"), BusyError, 5, "blocked the statement: told"),
        (RAISE.format("40001"), BusyError, 5, "blocked the statement: told"),
        (RAISE.format("55006"), BusyError, 5, "blocked the statement: told"),
        (RAISE.format("42501"), PrivilegeError, 7, "lacks a privilege: told"),
        (RAISE.format("08006"), ConnectError, 7, "was lost: told"),
        (RAISE.format("53100"), SupabaseJobsError, 2, "refused a statement of supabase-jobs: told"),
        (RAISE.format("25006"), SupabaseJobsError, 2, "refused a statement of supabase-jobs: told"),
        ("select 1/0", SupabaseJobsError, 2, "division by zero"),
        ("select pg_sleep(9)", SupabaseJobsError, 2, "statement timeout"),
    ],
    ids=["lock", "deadlock", "serialization", "in use", "right", "lost", "disk", "read-only", "other", "timeout"],
)
def test_errors_are_called_what_they_are(
    platform_url: str, statement: str, kind: type[SupabaseJobsError], code: int, message: str
) -> None:
    url = f"{platform_url}?options=-c%20statement_timeout%3D200"
    with pytest.raises(kind, match=message) as caught, connect(url) as connection:
        connection.execute(statement.encode())
    assert (type(caught.value), caught.value.exit_code) == (kind, code)
    assert "connection failed" not in caught.value.message
