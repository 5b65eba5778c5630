"""Start, stop, status, reset and remove the server of a directory."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import process, server
from tests.fix_cli import Run
from tests.programs import MAJORS, postgres_bin

START = "import sys, pathlib; from supabase_jobs.local import server; print(server.start(pathlib.Path(sys.argv[1])).url)"

pytestmark = pytest.mark.slow

THROWAWAY = """
from supabase_jobs.local import server

with server.throwaway(platform=False) as info:
    print(info.pid, info.data_dir, flush=True)
    input()
"""


def start_elsewhere(directory: Path) -> str:
    """Start in another process, as `$(supabase-jobs local start)` does."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("major", MAJORS)
def test_start_and_stop(directory: Path, major: int) -> None:
    folder = postgres_bin(major)
    info = server.start(directory, major=None if folder else major, postgres_bin=folder)
    assert info.major == major
    assert str(one(info.url, "show server_version")).startswith(f"{major}.")
    assert server.status(directory) == info
    assert server.running_url(directory) == info.url
    assert server.stop(directory) is True
    assert server.status(directory) is None
    assert server.running_url(directory) is None
    assert server.stop(directory) is False


def test_a_second_start_returns_the_running_server(directory: Path) -> None:
    assert server.start(directory) == server.start(directory)


def test_data_and_port_survive_a_stop(directory: Path) -> None:
    first = server.start(directory)
    with psycopg.connect(first.url) as connection:
        connection.execute("create table public.kept (id integer)")
    server.stop(directory)
    again = server.start(directory)
    assert again.port == first.port
    assert one(again.url, "select count(*) from public.kept") == 0


def test_two_directories_have_two_servers(directory: Path) -> None:
    infos = []
    for name in ("a", "b"):
        (directory / name).mkdir()
        infos.append(server.start(directory / name))
    try:
        assert infos[0].port != infos[1].port
        assert infos[0].data_dir != infos[1].data_dir
    finally:
        for name in ("a", "b"):
            server.remove(directory / name)


def test_the_server_outlives_the_process_that_started_it(directory: Path) -> None:
    assert start_elsewhere(directory) == server.running_url(directory)


def test_a_throwaway_server_removes_those_of_killed_processes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    with server.throwaway(platform=False) as running:
        program = subprocess.Popen(
            [sys.executable, "-c", THROWAWAY],
            env={**os.environ, "TMPDIR": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with program:
            assert program.stdout is not None
            pid, _, data = program.stdout.readline().strip().partition(" ")
            program.kill()
        killed, data_dir = int(pid), Path(data)
        assert process.alive(killed, data_dir)
        with server.throwaway(platform=False):
            assert not process.alive(killed, data_dir)
            assert not data_dir.parent.exists()
            assert len(list(directory.iterdir())) == 2
            assert one(running.url, "select 1") == 1
    assert list(directory.iterdir()) == []


def test_start_has_the_schemas_of_the_services(directory: Path, cli: Run) -> None:
    url = server.start(directory).url
    assert one(url, "select to_regclass('storage.buckets')") is None
    started = cli("local", "start", "--services", cwd=directory)
    assert started.out.strip() == url
    assert "--services is no longer needed" in started.err
    assert one(url, "select to_regclass('storage.buckets')::text") == "storage.buckets"
    url = cli("local", "reset", cwd=directory).out.strip()
    assert one(url, "select to_regclass('storage.buckets')::text") == "storage.buckets"


def test_a_new_database_has_the_default_privileges_of_the_project(
    directory: Path, cli: Run
) -> None:
    config = directory / "supabase" / "config.toml"
    config.parent.mkdir()
    config.write_text("[api]\nauto_expose_new_tables = false\n")
    url = cli("local", "start", cwd=directory).out.strip()
    granted = "select has_table_privilege('anon', 'public.t', 'select')"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table public.t ()")
    assert one(url, granted) is False


def test_concurrent_starts_give_one_server(directory: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        urls = set(pool.map(start_elsewhere, [directory] * 3))
    assert urls == {server.running_url(directory)}


def test_status_and_stop_create_no_files(directory: Path) -> None:
    assert server.status(directory) is None
    assert server.running_url(directory) is None
    assert server.stop(directory) is False
    server.remove(directory)
    assert list(directory.iterdir()) == []


def test_remove_deletes_all_files(closed: Path) -> None:
    info = server.start(closed)
    server.remove(closed)
    assert list(closed.iterdir()) == []
    assert not info.data_dir.parent.exists()
    assert not process.alive(info.pid, info.data_dir)


def test_reset_empties_the_database_and_keeps_the_settings(directory: Path) -> None:
    first = server.start(
        directory, major=18, default_privileges=False, settings={"work_mem": "7MB"}
    )
    with psycopg.connect(first.url) as connection:
        connection.execute("create table public.gone (id integer)")
    again = server.reset(directory)
    assert (again.major, again.default_privileges, again.port) == (18, False, first.port)
    assert one(again.url, "select to_regclass('public.gone')") is None
    assert one(again.url, "show work_mem") == "7MB"


def test_reset_changes_the_version(directory: Path) -> None:
    server.start(directory, major=16)
    assert server.reset(directory, major=18).major == 18


def test_reset_with_invalid_options_deletes_nothing(directory: Path) -> None:
    info = server.start(directory)
    with pytest.raises(ConfigError):
        server.reset(directory, major=12)
    assert server.status(directory) == info


def test_a_version_other_than_that_of_the_data_is_rejected(directory: Path) -> None:
    server.start(directory, major=16)
    with pytest.raises(ConfigError, match="was made with PostgreSQL 16, not 18") as caught:
        server.start(directory, major=18)
    assert "local reset" in str(caught.value.hint)


def test_a_port_other_than_the_running_one_is_rejected(directory: Path) -> None:
    info = server.start(directory)
    with pytest.raises(ConfigError, match=f"port {info.port}"):
        server.start(directory, port=info.port + 1)


def test_settings_persist_across_restarts(directory: Path) -> None:
    server.start(directory, settings={"work_mem": "9MB", "application_name": "it's \\ one"})
    server.stop(directory)
    info = server.start(directory)
    assert one(info.url, "show work_mem") == "9MB"
    assert (
        one(info.url, "select reset_val from pg_settings where name = 'application_name'")
        == "it's \\ one"
    )


@pytest.mark.parametrize("name", ["listen_addresses", "port", "hba_file", "no such", "x'; --"])
def test_reserved_and_invalid_settings_are_rejected(directory: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        server.start(directory, settings={name: "*"})


def test_a_server_without_the_platform(directory: Path) -> None:
    info = server.start(directory, platform=False)
    assert one(info.url, "select count(*) from pg_namespace where nspname = 'auth'") == 0
    assert one(info.url, "select current_user::text") == "postgres"


def test_a_directory_name_with_special_characters(directory: Path) -> None:
    awkward = directory / 'it\'s "a" $(test) `x` ñ -D'
    awkward.mkdir()
    try:
        assert server.start(awkward) == server.start(awkward)
        assert server.stop(awkward) is True
    finally:
        server.remove(awkward)


def test_the_environment_of_the_caller_does_not_affect_the_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = {"PGDATA": "/nowhere", "LC_ALL": "xx_XX", "TZ": "CET"}
    libpq = {"PGOPTIONS": "-c nonsense=1", "PGSSLMODE": "require", "PGHOSTADDR": "192.0.2.1"}
    for name, value in {**strange, **libpq}.items():
        monkeypatch.setenv(name, value)
    info = server.start(directory)
    for name in libpq:
        monkeypatch.delenv(name)
    assert one(info.url, "select current_setting('timezone')") == "UTC"


def test_a_missing_directory_is_reported(directory: Path) -> None:
    with pytest.raises(LocalServerError, match="no such directory"):
        server.start(directory / "missing")
