"""Sessions: application name, encryption, and a second connection like the first."""

from pathlib import Path

import pytest

from supabase_jobs.database.connection import connect, describe, second_connection
from supabase_jobs.errors import ConnectError, PrivilegeError
from tests.database.conftest import service_file
from tests.fix_db import Server

ELSEWHERE = "db.example.invalid"


def named(url: str) -> object:
    with connect(url) as connection:
        row = connection.execute("select current_setting('application_name')").fetchone()
        assert row is not None
        return row[0]


def test_the_application_name_is_set_unless_the_user_sets_it(
    platform_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named(platform_url) == "supabase-jobs"
    assert named(f"{platform_url}?application_name=mine") == "mine"
    monkeypatch.setenv("PGSERVICEFILE", service_file(tmp_path, application_name="service"))
    assert named(f"{platform_url}?service=there") == "service"
    monkeypatch.setenv("PGAPPNAME", "environment")
    assert named(platform_url) == "environment"


def test_an_unencrypted_connection_is_described_as_such(platform_url: str) -> None:
    with connect(
        f"{platform_url.replace('127.0.0.1', ELSEWHERE)}?hostaddr=127.0.0.1&sslmode=disable"
    ) as connection:
        assert str(describe(connection)).endswith("role postgres, WITHOUT TLS")
    with connect(platform_url) as connection:
        assert str(describe(connection)).endswith("role postgres")


def test_a_second_connection_is_another_session_with_the_same_options(
    platform_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1234")
    query = (
        "select pg_backend_pid(), current_user, current_database(),"
        " current_setting('statement_timeout'),"
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
def test_a_second_connection_uses_the_same_password(
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


def test_a_second_connection_goes_to_the_host_that_answered(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {
        "host": "127.0.0.1,localhost",
        "port": f"1,{server.port}",
        "user": server.user,
        "dbname": "postgres",
    }
    monkeypatch.setenv("PGSERVICEFILE", service_file(tmp_path, **place, password=server.password))
    with connect("service=there") as one, second_connection(one) as two:
        assert {o.keyword: o.val for o in two.pgconn.info}[b"host"] == b"localhost"
        assert two.info.port == server.port


def test_a_refused_second_connection_is_a_connect_error(server: Server, platform_url: str) -> None:
    with connect(server.url("postgres", server.user)) as admin, connect(platform_url) as one:
        admin.execute("alter role postgres connection limit 0")
        try:
            with pytest.raises(ConnectError, match="too many connections"), second_connection(one):
                pass
        finally:
            admin.execute("alter role postgres connection limit -1")


def test_errors_of_a_second_connection_are_translated(platform_url: str) -> None:
    with connect(platform_url) as one, pytest.raises(PrivilegeError), second_connection(one) as two:
        two.execute("create table pg_catalog.mine ()")
