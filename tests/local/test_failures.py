"""Crashes, ports in use, full and read-only disks: errors, hints, and no incomplete database left."""

import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.errors import BusyError, ConfigError, LocalServerError
from supabase_jobs.local import account, binaries, process, server
from supabase_jobs.local import directory as directories
from tests.local.conftest import require_root
from tests.programs import unavailable

pytestmark = pytest.mark.slow


def kill(info: server.ServerInfo) -> None:
    """Kill the postmaster; its files remain, as after a crash."""
    os.kill(info.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.alive(info.pid, info.data_dir) and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def unrelated_process() -> Iterator[int]:
    """A process of the account that runs the servers, which is not one of them."""
    who = account.current()
    process = subprocess.Popen(
        ["/bin/sleep", "60"],
        user=who.uid if who.switches else None,
        group=who.gid if who.switches else None,
        extra_groups=[] if who.switches else None,
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def shim(directory: Path, initdb: str) -> Path:
    """A folder of programs in which initdb is a script."""
    folder = directory / "bin"
    folder.mkdir()
    (folder / "postgres").symlink_to(binaries.embedded().postgres)
    (folder / "initdb").write_text(f"#!/bin/sh\n{initdb}\n")
    for path in (folder, folder / "initdb"):
        path.chmod(0o755)
    return folder


def test_start_after_a_crash_of_the_server(directory: Path) -> None:
    first = server.start(directory)
    kill(first)
    assert server.status(directory) is None
    assert server.running_url(directory) is None
    assert server.start(directory).pid != first.pid


def test_a_reused_process_id_is_not_trusted(directory: Path) -> None:
    first = server.start(directory)
    server.stop(directory)
    with unrelated_process() as pid:
        lines = [
            str(pid),
            str(first.data_dir),
            "1",
            str(first.port),
            "",
            "127.0.0.1",
            "",
            "ready",
            "",
        ]
        (first.data_dir / "postmaster.pid").write_text("\n".join(lines))
        assert server.running_url(directory) is None
        assert server.status(directory) is None
        assert server.stop(directory) is False
        assert server.start(directory).pid != pid
        os.kill(pid, 0)  # it is still alive


def test_start_replaces_an_incomplete_database(directory: Path) -> None:
    first = server.start(directory)
    server_directory = directories.of(directory)
    settings = directories.load_settings(server_directory)
    assert settings is not None
    directories.save_settings(server_directory, replace(settings, prepared=False))
    assert server.running_url(directory) is None
    again = server.start(directory)
    assert again.pid != first.pid
    assert not process.alive(first.pid, first.data_dir)


def test_start_recreates_deleted_data(directory: Path) -> None:
    info = server.start(directory)
    server.stop(directory)
    subprocess.run(["/bin/rm", "-r", str(info.data_dir)], check=True)
    assert server.start(directory).data_dir == info.data_dir


def test_missing_settings_require_a_reset(directory: Path) -> None:
    server.start(directory)
    server.stop(directory)
    (directory / ".supabase-jobs" / "server.json").unlink()
    with pytest.raises(LocalServerError, match=r"server\.json") as caught:
        server.start(directory)
    assert "local reset" in str(caught.value.hint)
    assert server.reset(directory).pid


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"home": "/etc"}'])
def test_invalid_settings_require_a_reset(directory: Path, content: str) -> None:
    server_directory = directories.of(directory)
    directories.create(server_directory, account.current())
    server_directory.settings_file.touch(mode=0o600)
    server_directory.settings_file.write_text(content)
    for command in (server.start, server.stop, server.status, server.running_url):
        with pytest.raises(LocalServerError) as caught:
            command(directory)
        assert "local reset" in str(caught.value.hint)


def test_reset_replaces_invalid_settings(directory: Path) -> None:
    first = server.start(directory)
    directories.of(directory).settings_file.write_text("{")
    assert server.reset(directory).url == server.running_url(directory)
    assert not process.alive(first.pid, first.data_dir)


def test_a_port_in_use_is_reported(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            server.start(directory, port=port)
    assert server.start(directory, port=port).port == port


def test_start_uses_another_port_if_the_last_one_is_in_use(directory: Path) -> None:
    first = server.start(directory)
    server.stop(directory)
    with socket.create_server(("127.0.0.1", first.port)):
        assert server.start(directory).port != first.port


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_invalid_port_is_rejected(directory: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=f"{port} is not a port"):
        server.start(directory, port=port)


def test_a_failed_initdb_leaves_no_data_and_the_next_start_works(directory: Path) -> None:
    folder = shim(
        directory,
        'mkdir "$2/base"; echo "initdb: error: could not write: No space left on device"; exit 1',
    )
    with pytest.raises(LocalServerError, match="No space left") as caught:
        server.start(directory, postgres_bin=folder)
    assert "free some space" in str(caught.value.hint)
    assert {path.name for path in (directory / ".supabase-jobs").iterdir()} == {
        ".gitignore",
        "lock",
    }
    assert server.start(directory).pid


def test_a_failed_start_reports_the_log(directory: Path) -> None:
    with pytest.raises(LocalServerError, match="no_such_library") as caught:
        server.start(directory, settings={"shared_preload_libraries": "no_such_library"})
    assert "shared_preload_libraries" in str(caught.value.hint)
    assert not (directory / ".supabase-jobs" / "data").exists()


def test_a_setting_that_postgres_rejects_keeps_the_data(directory: Path) -> None:
    server.start(directory)
    server.stop(directory)
    with pytest.raises(LocalServerError, match="no_such_setting"):
        server.start(directory, settings={"no_such_setting": "1"})
    assert server.start(directory).pid


def test_a_lock_held_too_long_is_a_busy_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "LOCK_TIMEOUT", 0.1)
    with directories.locked(directories.of(directory), account.current()), pytest.raises(BusyError):
        server.start(directory)


def test_a_read_only_directory_is_reported(directory: Path) -> None:
    if os.geteuid() == 0:
        run_in_mount("ro,size=1m", directory, "expect('Read-only')")
        return
    directory.chmod(0o555)
    with pytest.raises(LocalServerError, match="Permission denied") as caught:
        server.start(directory)
    assert "can write to" in str(caught.value.hint)
    directory.chmod(0o755)


def test_a_full_disk_is_reported(directory: Path) -> None:
    require_root()
    run_in_mount(
        "size=20m,mode=755",
        directory,
        """
        expect("disk")
        assert not (directory / ".supabase-jobs" / "data").exists()
        subprocess.run(["mount", "-o", "remount,size=300m", str(directory)], check=True)
        assert server.start(directory).url == server.running_url(directory)
        server.remove(directory)
        """,
    )


def test_a_file_size_limit_leaves_no_data(directory: Path) -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)); expect('')"
    )
    run_script(script, directory)
    assert not (directory / ".supabase-jobs" / "data").exists()
    assert server.start(directory).pid


PRELUDE = """
import pathlib, subprocess, sys
from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import server
directory = pathlib.Path(sys.argv[1])
def expect(text):
    try:
        server.start(directory)
    except LocalServerError as error:
        assert text in error.message, error.message
        print(error.message, error.hint, sep=chr(10))
    else:
        raise SystemExit("it started")
"""


def run_script(script: str, directory: Path, *prefix: str) -> None:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(directory)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_in_mount(options: str, directory: Path, script: str) -> None:
    """Run a script with a small file system mounted on the directory, in a new mount namespace."""
    if subprocess.run(["/bin/sh", "-c", "unshare -m true"], capture_output=True).returncode != 0:
        unavailable("needs the right to mount")
    mount = 'mount -t tmpfs -o "$0" none "$1" && shift && exec "$@"'
    run_script(script, directory, "unshare", "-m", "/bin/sh", "-c", mount, options, str(directory))


def test_the_superuser_password_is_private(directory: Path) -> None:
    info = server.start(directory)
    folder = directory / ".supabase-jobs"
    assert stat.S_IMODE((folder / "server.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "server.log").stat().st_mode) == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"
    assert info.superuser_password not in repr(info)
    assert not (folder / "password").exists()
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(info.url_for("postgres", "supabase_admin"))


def test_failed_statements_are_not_logged(directory: Path) -> None:
    info = server.start(directory)
    with psycopg.connect(info.url) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("select 'a guest secret' from nowhere")
    assert "a guest secret" not in (directory / ".supabase-jobs" / "server.log").read_text()


def test_a_moved_project_names_its_former_folder(directory: Path) -> None:
    (directory / "a").mkdir()
    server.start(directory / "a", platform=False)
    server.stop(directory / "a")
    (directory / "a").rename(directory / "b")
    with pytest.raises(LocalServerError) as raised:
        server.start(directory / "b")
    former = directory / "a"
    assert (
        raised.value.message
        == f"the local server in {directory / 'b'} was made in {former}, and works only there"
    )
    assert raised.value.hint == (
        f"move the folder back to {former}, or run `supabase-jobs local reset`; it makes a new,"
        " empty database"
    )
    (directory / "b").rename(former)
    assert server.start(former).data_dir == former / ".supabase-jobs" / "data"
    server.remove(former)


def test_the_failure_of_a_temporary_server_names_no_file_of_it() -> None:
    with (
        pytest.raises(LocalServerError, match="much") as raised,
        server.throwaway(settings={"work_mem": "much"}),
    ):
        pass
    assert raised.value.hint == "for a server whose log remains, run `supabase-jobs local start`"
