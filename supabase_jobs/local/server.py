"""Start, stop, reset and remove the embedded server of a directory.

The server listens on 127.0.0.1 only and outlives the process that started it. It runs with `fsync =
off`, so a crash of the computer may lose its data. Only the superuser needs a password: every user
of the computer can connect as any other role (and on PostgreSQL 15, where CREATEROLE is more
powerful, run programs as the server's account). Store no production data in it. A directory has at
most one server.
"""

import errno
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from supabase_jobs.errors import BusyError, ConfigError, LocalServerError
from supabase_jobs.local import account as accounts
from supabase_jobs.local import api_state, postgres, temporary
from supabase_jobs.local import binaries as programs
from supabase_jobs.local import directory as directories
from supabase_jobs.local.directory import ServerDirectory, ServerSettings
from supabase_jobs.local.platform import load_owner, load_platform
from supabase_jobs.local.ports import HOST
from supabase_jobs.local.postgres import SUPERUSER, Postmaster

# settings that the local server sets itself
_RESERVED = {
    *("port", "listen_addresses", "unix_socket_directories", "data_directory"),
    *("config_file", "hba_file", "ident_file", "external_pid_file"),
}


@dataclass(frozen=True)
class ServerInfo:
    """A server that accepts connections. `url` is for the role `postgres`, without a password."""

    url: str
    host: str
    port: int
    pid: int
    data_dir: Path
    bin_dir: Path
    major: int
    platform: bool
    default_privileges: bool
    superuser: str
    superuser_password: str = field(repr=False)

    def url_for(self, database: str, role: str = "postgres") -> str:
        """The URL of a database for a role that needs no password; the names are not
        percent-encoded.
        """
        return _url(self.port, database, role)

    def superuser_url_for(self, database: str) -> str:
        """The URL of a database for the superuser. It contains the password: never print it."""
        return _url(self.port, database, f"{self.superuser}:{self.superuser_password}")

    @property
    def superuser_url(self) -> str:
        """The superuser's URL of the database `postgres`, with the password: never print it."""
        return self.superuser_url_for("postgres")

    @property
    def own_url(self) -> str:
        """The superuser's URL with the parameters that the caller's PG… variables could otherwise
        change.
        """
        return self.own_url_for("postgres")

    def own_url_for(self, database: str) -> str:
        """The same for another database."""
        # no login trigger runs as the superuser; the setting exists since PostgreSQL 17
        options = "-c%20event_triggers%3Doff" if self.major > 16 else ""
        url = self.superuser_url_for(database)
        return f"{url}?hostaddr={self.host}&sslmode=disable&options={options}"


@dataclass(frozen=True)
class ServerOptions:
    """The options of a start. None stands for the setting of the existing server, else for the
    default.
    """

    major: int | None = None
    postgres_bin: Path | None = None
    port: int | None = None
    platform: bool | None = None
    default_privileges: bool | None = None
    settings: Mapping[str, str] | None = None
    superuser: str = SUPERUSER

    def __post_init__(self) -> None:
        """Raise ConfigError for invalid options."""
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"{self.port} is not a port", hint="pass a port from 1 to 65535")
        if self.platform is False and self.default_privileges:
            raise ConfigError("default privileges are part of the platform, which is switched off")
        for name, value in (self.settings or {}).items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name) or "\0" in value:
                raise ConfigError(f"{name!r} is not a PostgreSQL setting")
            if name.lower() in _RESERVED:
                raise ConfigError(f"the local server sets {name} itself")

    def with_settings_of(self, old: ServerSettings) -> "ServerOptions":
        """The same options; those that are None come from an existing server."""
        other_version = self.major not in (None, old.major)
        default_privileges = self.default_privileges
        if default_privileges is None and self.platform is not False and old.platform:
            default_privileges = old.default_privileges
        return ServerOptions(
            major=self.major if self.major or self.postgres_bin else old.major,
            postgres_bin=self.postgres_bin or (None if other_version else old.postgres_bin),
            port=self.port,
            platform=old.platform if self.platform is None else self.platform,
            default_privileges=default_privileges,
            settings=old.settings if self.settings is None else self.settings,
            superuser=old.superuser,
        )

    def check_existing(self, existing: ServerSettings) -> None:
        """Raise ConfigError for an option that the existing database contradicts."""
        postgres_bin = self.postgres_bin and programs.check_folder(self.postgres_bin)
        differences: list[tuple[str, object, object]] = [
            ("PostgreSQL", self.major, existing.major),
            ("--postgres-bin", postgres_bin, existing.postgres_bin),
            ("the platform", self.platform, existing.platform),
            ("default privileges", self.default_privileges, existing.default_privileges),
        ]
        for name, requested, actual in differences:
            if requested is not None and requested != actual:
                raise ConfigError(
                    f"the local database of this directory was made with {name} {_shown(actual)}, "
                    f"not {_shown(requested)}",
                    hint="run `supabase-jobs local reset` with the new option; it makes a new,"
                    " empty database",
                )

    def check_running(self, running: ServerSettings, port: int) -> None:
        """Raise ConfigError for an option that requires a restart of the running server."""
        hint = "run `supabase-jobs local stop` first (`local reset` also empties the database)"
        if self.port not in (None, port):
            raise ConfigError(
                f"the local server of this directory runs on port {port}, not on {self.port}",
                hint=hint,
            )
        if self.settings is not None and {**running.settings, **self.settings} != running.settings:
            raise ConfigError(
                "the local server of this directory runs with other settings", hint=hint
            )


def start(
    directory: Path,
    *,
    major: int | None = None,
    postgres_bin: Path | None = None,
    port: int | None = None,
    platform: bool | None = None,
    default_privileges: bool | None = None,
    settings: Mapping[str, str] | None = None,
    superuser: str = SUPERUSER,
) -> ServerInfo:
    """Start the server of a directory, or return the running one.

    The first start creates the database. Later starts keep its version and content, and its port if
    that is free. Defaults: the embedded PostgreSQL 16, a free port, the Supabase platform with its
    default privileges. `settings` are PostgreSQL settings (`{"shared_preload_libraries":
    "pg_cron"}`).

    Raises ConfigError if an option contradicts the existing database or the port is in use,
    LocalServerError if the server does not start (an incomplete database is removed), BusyError if
    another start holds the lock for too long.
    """
    options = ServerOptions(
        major=major,
        postgres_bin=postgres_bin,
        port=port,
        platform=platform,
        default_privileges=default_privileges,
        settings=settings,
        superuser=superuser,
    )
    server_directory = directories.of(directory)
    with _system_errors(server_directory), directories.locked(server_directory, accounts.current()):
        return _start(server_directory, options)


def stop(directory: Path) -> bool:
    """Stop the server of a directory and its API, keeping the data; return whether anything was
    running.
    """
    server_directory = directories.of(directory)
    with _system_errors(server_directory):
        if directories.load_settings(server_directory) is None:
            return False
        with directories.locked(server_directory, None):
            api_stopped = api_state.stop(server_directory)
            settings = directories.load_settings(server_directory)
            return (settings is not None and postgres.stop(settings.data_dir)) or api_stopped


def status(directory: Path) -> ServerInfo | None:
    """The server of a directory, if it accepts connections."""
    server_directory = directories.of(directory)
    with _system_errors(server_directory):
        settings = directories.load_settings(server_directory)
    postmaster = _running(settings)
    if settings is None or postmaster is None or not postmaster.ready:
        return None
    return _info(settings, postmaster) if postgres.accepts_connections(postmaster.port) else None


def existing_major(directory: Path) -> int | None:
    """The PostgreSQL version of a directory's database; None if the next start creates one."""
    server_directory = directories.of(directory)
    with _system_errors(server_directory):
        try:
            settings = directories.load_settings(server_directory)
        except LocalServerError:
            return None  # a start reports it, a reset replaces it
    return None if settings is None or not _is_complete(settings) else settings.major


def running_url(directory: Path) -> str | None:
    """The URL of a directory's running server. Reads two small files and checks the process."""
    server_directory = directories.of(directory)
    with _system_errors(server_directory):
        postmaster = _running(directories.load_settings(server_directory))
    return None if postmaster is None else _url(postmaster.port)


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
    """Delete the data and create a new database; options that are None keep their setting."""
    options = ServerOptions(
        major=major,
        postgres_bin=postgres_bin,
        port=port,
        platform=platform,
        default_privileges=default_privileges,
        settings=settings,
    )
    server_directory = directories.of(directory)
    with _system_errors(server_directory), directories.locked(server_directory, accounts.current()):
        try:
            old = directories.load_settings(server_directory)
        except LocalServerError:
            old = None  # the file is not usable; reset replaces it
        if old is not None:
            options = options.with_settings_of(old)
        # fails for missing programs before anything is deleted
        programs.find(options.major, options.postgres_bin, accounts.current())
        _discard(server_directory)
        return _create(server_directory, options, preferred=None if old is None else old.port)


def remove(directory: Path) -> None:
    """Stop the server and remove all files that were created for the directory."""
    server_directory = directories.of(directory)
    with _system_errors(server_directory):
        if not directories.exists(server_directory):
            return
        with directories.locked(server_directory, None):
            _discard(server_directory)
            # the folder of the project last: without it, a removal that was interrupted finds
            # nothing to do
            for home in reversed(server_directory.homes()):
                if directories.is_own_folder(home):
                    shutil.rmtree(home)


@contextmanager
def throwaway(
    *,
    major: int | None = None,
    postgres_bin: Path | None = None,
    platform: bool = True,
    default_privileges: bool | None = None,
    settings: Mapping[str, str] | None = None,
    superuser: str = SUPERUSER,
    in_memory: bool = False,
) -> Iterator[ServerInfo]:
    """A server in a temporary directory, both removed after the block. `in_memory`: its files are
    few, and in memory if there is room.

    If the process is killed, the next call in any process stops the server and removes the
    directory.
    """
    _remove_abandoned()
    with temporary.directory(in_memory=in_memory) as directory:
        try:
            yield start(
                directory,
                major=major,
                postgres_bin=postgres_bin,
                platform=platform,
                default_privileges=default_privileges,
                settings=settings,
                superuser=superuser,
            )
        except LocalServerError as error:
            if error.hint and "server.log" in error.hint:  # which is removed
                error.hint = "for a server whose log remains, run `supabase-jobs local start`"
            raise
        finally:
            remove(directory)


def _remove_abandoned() -> None:
    """Stop and remove the throwaway servers of killed processes."""
    for directory in temporary.abandoned():
        # what cannot be removed is no reason to fail now; a later run tries again
        with suppress(LocalServerError, BusyError, OSError):
            remove(directory)
            shutil.rmtree(directory)


def _start(directory: ServerDirectory, options: ServerOptions) -> ServerInfo:
    saved = directories.load_settings(directory)
    if saved is not None and not _is_complete(saved):
        _discard(directory)  # an earlier start was killed, or the data was deleted
        saved = None
    if saved is None:
        return _create(directory, options)
    options.check_existing(saved)
    postmaster = postgres.find(saved.data_dir)
    if postmaster is not None:
        options.check_running(saved, postmaster.port)
        ready = postgres.wait_ready(postmaster.pid, saved.data_dir)
        if ready is not None:
            return _info(saved, ready)
    account = accounts.current()
    installed = programs.find(saved.major, saved.postgres_bin, account)
    binaries = programs.executable_by(account, installed, saved.home)
    settings = {**saved.settings, **(options.settings or {})}
    postmaster = postgres.start(
        directory,
        saved.data_dir,
        binaries,
        account,
        port=options.port,
        preferred=saved.port,
        settings=settings,
    )
    if postmaster.port != saved.port:
        api_state.stop(directory)  # after a crash, the API may still connect to the old port
    saved = replace(saved, port=postmaster.port, bin_dir=binaries.bin_dir, settings=settings)
    directories.save_settings(directory, saved)
    return _info(saved, postmaster)


def _create(
    directory: ServerDirectory, options: ServerOptions, preferred: int | None = None
) -> ServerInfo:
    """Create the data directory, start the server, load the platform; after an error remove
    everything.
    """
    account = accounts.current()
    binaries = programs.find(options.major, options.postgres_bin, account)
    home = directories.home_for(directory, account)
    if (home / "data").exists():
        raise LocalServerError(
            f"{home / 'data'} contains a database, but its settings ({directory.settings_file})"
            " are missing",
            hint="run `supabase-jobs local reset`; it makes a new, empty database",
        )
    try:
        binaries = programs.executable_by(account, binaries, home)
        platform = options.platform is not False
        created = ServerSettings(
            home=home,
            major=binaries.major,
            port=0,
            bin_dir=binaries.bin_dir,
            postgres_bin=binaries.bin_dir if options.postgres_bin else None,
            platform=platform,
            default_privileges=platform and options.default_privileges is not False,
            settings=dict(options.settings or {}),
            password=secrets.token_urlsafe(24),
            superuser=options.superuser,
        )
        directories.save_settings(directory, created)
        data_dir = postgres.initialize(
            directory,
            home,
            binaries,
            account,
            superuser=created.superuser,
            password=created.password,
        )
        postmaster = postgres.start(
            directory,
            data_dir,
            binaries,
            account,
            port=options.port,
            preferred=preferred,
            settings=created.settings,
        )
        info = _info(created, postmaster)
        if platform:
            load_platform(info.own_url, default_privileges=created.default_privileges)
        else:
            load_owner(info.own_url)
        directories.save_settings(directory, replace(created, port=postmaster.port, prepared=True))
    except BaseException:
        _discard(directory)
        raise
    return info


def _discard(directory: ServerDirectory) -> None:
    """Stop the server and its API, delete data and settings; keep the logs and the API's keys."""
    api_state.stop(directory)
    for home in directory.homes():
        if not directories.is_own_folder(home):
            continue
        data_dir = home / "data"
        if data_dir.is_symlink():
            raise LocalServerError(
                f"{data_dir} is a link and is not followed", hint=f"remove the link: rm {data_dir}"
            )
        postgres.stop(data_dir, keep_data=False)
        if data_dir.exists():
            _remove_folder(data_dir)
        if home != directory.root and not any(home.iterdir()):
            home.rmdir()
    directory.settings_file.unlink(missing_ok=True)


def _remove_folder(folder: Path) -> None:
    """Delete a folder in which a killed process may still create a last file."""
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


def _is_complete(settings: ServerSettings) -> bool:
    return settings.prepared and (settings.data_dir / "PG_VERSION").exists()


def _running(settings: ServerSettings | None) -> Postmaster | None:
    """The process of a server whose database is complete."""
    return None if settings is None or not settings.prepared else postgres.find(settings.data_dir)


def _info(settings: ServerSettings, postmaster: Postmaster) -> ServerInfo:
    return ServerInfo(
        url=_url(postmaster.port),
        host=HOST,
        port=postmaster.port,
        pid=postmaster.pid,
        data_dir=settings.data_dir,
        bin_dir=settings.bin_dir,
        major=settings.major,
        platform=settings.platform,
        default_privileges=settings.default_privileges,
        superuser=settings.superuser,
        superuser_password=settings.password,
    )


def _url(port: int, database: str = "postgres", login: str = "postgres") -> str:
    return f"postgresql://{login}@{HOST}:{port}/{database}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


_HINTS = {
    errno.ENOSPC: "free some space on that disk, then start again",
    errno.EDQUOT: "free some of your disk quota, then start again",
    errno.EROFS: "work in a directory that you can write to",
    errno.EACCES: "work in a directory that you can write to",
    errno.EPERM: "work in a directory that you can write to",
}


@contextmanager
def _system_errors(directory: ServerDirectory) -> Iterator[None]:
    """Translate errors of the operating system into LocalServerError with the path."""
    try:
        yield
    except OSError as error:
        path = error.filename or directory.root
        raise LocalServerError(
            f"cannot access the files of the local server: {error.strerror or error} ({path})",
            hint=_HINTS.get(error.errno or 0),
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LocalServerError(
            f"{error.cmd[0]} did not finish within {error.timeout:.0f} s"
        ) from error
