"""Start, stop and ask after the embedded server of a directory.

The server listens on 127.0.0.1 only, outlives the process that started it, and runs with `fsync = off`: its data
is throwaway, a crash of the computer may lose it. Every role but the superuser gets in without a password, so
another user of the same computer can use it (and on PostgreSQL 15, where CREATEROLE reaches far, run programs as
the server's account): no real data belongs there. One directory has at most one server.
"""

import errno
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import account as accounts
from supabase_jobs.local import api_state, cluster, copies, info, postmaster
from supabase_jobs.local import place as places
from supabase_jobs.local import state as states
from supabase_jobs.local.info import ServerInfo
from supabase_jobs.local.options import Wanted, find_binaries
from supabase_jobs.local.place import Place
from supabase_jobs.local.platform import load_owner, load_platform
from supabase_jobs.local.state import State

__all__ = ["ServerInfo", "remove", "reset", "running_url", "start", "status", "stop", "throwaway"]


def start(
    directory: Path,
    *,
    major: int | None = None,
    postgres_bin: Path | None = None,
    port: int | None = None,
    platform: bool | None = None,
    default_privileges: bool | None = None,
    settings: Mapping[str, str] | None = None,
) -> ServerInfo:
    """Start the server of a directory, or find it running.

    The first start makes the data; later ones take its version and content, and the same port if that is free.
    By default: the embedded PostgreSQL 16, a free port, the Supabase platform with its default privileges.
    `settings` are PostgreSQL's own (`{"shared_preload_libraries": "pg_cron"}`).

    Raises ConfigError where an option contradicts what is there or the port is taken, LocalServerError
    where the server does not come up (nothing half-made is left), BusyError where another start hangs.
    """
    wanted = Wanted(major, postgres_bin, port, platform, default_privileges, settings)
    place = places.of(directory)
    with _system_errors(place), states.locked(place, accounts.current()):
        return _start(place, wanted)


def stop(directory: Path) -> bool:
    """Stop the server of a directory and its API, and keep the data; says whether anything was running."""
    place = places.of(directory)
    with _system_errors(place):
        if states.load(place) is None:
            return False
        with states.locked(place, None):
            halted = api_state.halt(place)
            state = states.load(place)
            return (state is not None and postmaster.stop_any(state.data_dir)) or halted


def status(directory: Path) -> ServerInfo | None:
    """The server of a directory, when it lives and accepts connections."""
    place = places.of(directory)
    with _system_errors(place):
        state = states.load(place)
    found = info.running(state)
    if state is None or found is None or not found.ready or not postmaster.answers(found.port):
        return None
    return info.describe(state, found)


def running_url(directory: Path) -> str | None:
    """The URL of a directory's running server; reads two small files and checks the process."""
    place = places.of(directory)
    with _system_errors(place):
        found = info.running(states.load(place))
    return None if found is None else info.url(found.port)


def reset(
    directory: Path,
    *,
    major: int | None = None,
    postgres_bin: Path | None = None,
    port: int | None = None,
    platform: bool | None = None,
    default_privileges: bool | None = None,
    settings: Mapping[str, str] | None = None,
) -> ServerInfo:
    """Throw the data away and start anew, with the same settings where no others are given."""
    wanted = Wanted(major, postgres_bin, port, platform, default_privileges, settings)
    place = places.of(directory)
    with _system_errors(place), states.locked(place, accounts.current()):
        try:
            old = states.load(place)
        except LocalServerError:
            old = None  # not usable: a reset is what mends it
        if old is not None:
            wanted = wanted.as_before(old)
        # what cannot be carried out is refused before anything is deleted
        find_binaries(wanted.major, wanted.postgres_bin, accounts.current())
        _discard(place)
        return _make(place, wanted, preferred=None if old is None else old.port)


def remove(directory: Path) -> None:
    """Stop the server and remove everything that was made for the directory."""
    place = places.of(directory)
    with _system_errors(place):
        if not places.exists(place):
            return
        with states.locked(place, None):
            _discard(place)
            for home in place.homes():
                if _is_own_folder(home):
                    shutil.rmtree(home)


@contextmanager
def throwaway(
    *,
    major: int | None = None,
    postgres_bin: Path | None = None,
    platform: bool = True,
    default_privileges: bool | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[ServerInfo]:
    """A server in a temporary directory; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="supabase-jobs-"))
    try:
        yield start(
            directory,
            major=major,
            postgres_bin=postgres_bin,
            platform=platform,
            default_privileges=default_privileges,
            settings=settings,
        )
    finally:
        try:
            remove(directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _start(place: Place, wanted: Wanted) -> ServerInfo:
    state = states.load(place)
    if state is not None and not (state.prepared and (state.data_dir / "PG_VERSION").exists()):
        _discard(place)  # an earlier start was killed half-way, or the data was deleted
        state = None
    if state is None:
        return _make(place, wanted)
    wanted.check_against(state)
    found = postmaster.find(state.data_dir)
    if found is not None:
        wanted.check_against_running(state, found.port)
        ready = postmaster.wait_ready(found.pid, state.data_dir)
        if ready is not None:
            return info.describe(state, ready)
    account = accounts.current()
    programs = copies.usable(find_binaries(state.major, state.postgres_bin, account), account, state.home)
    settings = {**state.settings, **(wanted.settings or {})}
    found = cluster.serve(
        place, state.data_dir, programs, account, port=wanted.port, preferred=state.port, settings=settings
    )
    if found.port != state.port:
        api_state.halt(place)  # what a crash left of it looks for the database on the old port
    state = replace(state, port=found.port, bin_dir=programs.bin_dir, settings=settings)
    states.save(place, state)
    return info.describe(state, found)


def _make(place: Place, wanted: Wanted, preferred: int | None = None) -> ServerInfo:
    """Make the data, start, load the platform: all of it or nothing."""
    account = accounts.current()
    programs = find_binaries(wanted.major, wanted.postgres_bin, account)
    home = places.home_for(place, account)
    if (home / "data").exists():
        raise LocalServerError(
            f"{home / 'data'} holds a database, but its settings ({place.state_file}) are gone",
            hint="run `supabase-jobs local reset`; it makes a new, empty database",
        )
    try:
        programs = copies.usable(programs, account, home)
        platform = wanted.platform is not False
        state = State(
            home=home,
            major=programs.major,
            port=0,
            bin_dir=programs.bin_dir,
            postgres_bin=programs.bin_dir if wanted.postgres_bin else None,
            platform=platform,
            default_privileges=platform and wanted.default_privileges is not False,
            settings=dict(wanted.settings or {}),
            password=secrets.token_urlsafe(24),
        )
        states.save(place, state)
        data_dir = cluster.create(place, home, programs, account, state.password)
        process = cluster.serve(
            place, data_dir, programs, account, port=wanted.port, preferred=preferred, settings=state.settings
        )
        described = info.describe(state, process)
        if platform:
            load_platform(described.own_url, default_privileges=state.default_privileges)
        else:
            load_owner(described.own_url)
        states.save(place, replace(state, port=process.port, prepared=True))
    except BaseException:
        _discard(place)
        raise
    return described


def _discard(place: Place) -> None:
    """Stop the server and its API if they live, delete data and settings; the logs and the API's keys stay."""
    api_state.halt(place)
    for home in place.homes():
        if not _is_own_folder(home):
            continue
        data_dir = home / "data"
        if data_dir.is_symlink():
            raise LocalServerError(f"{data_dir} is a link; it is not followed", hint="remove the link yourself")
        postmaster.stop_any(data_dir)
        if data_dir.exists():
            _remove(data_dir)
        if home != place.root and not any(home.iterdir()):
            home.rmdir()
    place.state_file.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Delete a folder, in which a process that has just been killed may still make its last file."""
    for _ in range(40):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
        time.sleep(0.05)
    shutil.rmtree(folder)


def _is_own_folder(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


_HINTS = {
    errno.ENOSPC: "free some space on that disk, then start again",
    errno.EDQUOT: "free some of your disk quota, then start again",
    errno.EROFS: "work in a directory that you can write to",
    errno.EACCES: "work in a directory that you can write to",
    errno.EPERM: "work in a directory that you can write to",
}


@contextmanager
def _system_errors(place: Place) -> Iterator[None]:
    """Say what the operating system refused, and where."""
    try:
        yield
    except OSError as error:
        where = error.filename or place.root
        raise LocalServerError(
            f"the local server's files cannot be handled: {error.strerror or error} ({where})",
            hint=_HINTS.get(error.errno or 0),
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LocalServerError(f"a program did not end within {error.timeout:.0f} s: {error.cmd[0]}") from error
