"""The database of commands that audit: the target, or an embedded server with the project's
migrations.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supabase_jobs.cli.common import advance, connected, narrate, progress
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import DEFAULT_MIGRATIONS

if TYPE_CHECKING:
    from supabase_jobs.audit.configuration import Configuration
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.local.server import ServerInfo
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import Migration, MigrationFiles


@contextmanager
def project_database(
    given: "Settings", *, seed: bool = False
) -> Iterator[tuple["Connection", bool]]:
    """The target database; without one, an embedded server with the project's migrations, removed
    afterwards.

    With `seed`, the project's seed files run after the migrations. Raises ConfigError for `seed`
    with a target database, and without a target database if there are no migrations.
    """
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local import server

    url = given.db_url or server.running_url(given.directory)
    if url is not None:
        if seed:
            raise ConfigError(
                "--seed needs the embedded server, and a database was given or is running",
                hint="Leave out --seed, or leave out --db-url and stop the local server.",
            )
        with connected(given) as connection:
            yield connection, False
        return
    from supabase_jobs.local.platform import load_services
    from supabase_jobs.sources import project

    files = project.files(given)
    folder = given.migrations or given.directory / DEFAULT_MIGRATIONS
    if not files.migrations or (given.migrations is None and given.sql_dir is None):
        inside = folder.is_relative_to(given.directory)
        raise ConfigError(
            f"no migrations in {folder.relative_to(given.directory) if inside else folder}",
            hint="Run it in the project's folder, or pass --db-url URL.",
        )
    seeds = project.seeds(given) if seed else []
    with server.throwaway(**_version(given)) as embedded, connect(embedded.url) as connection:
        load_services(embedded.own_url)
        _narrate_missing(_apply(connection, embedded.own_url, files))
        if seeds:
            from supabase_jobs.migrations.seed import apply_seeds

            apply_seeds(connection, seeds)
        yield connection, True


@contextmanager
def compared_databases(
    given: "Settings", before: "MigrationFiles", after: "MigrationFiles", major: int | None = None
) -> Iterator[tuple["Connection", "Connection"]]:
    """Two databases of an embedded server, with the migrations before and after; removed
    afterwards.

    The files that both begin with are applied once, then the database is copied. If a file beyond
    them changes a role, which belongs to all databases of a server, each database gets a server of
    its own.
    """
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local import server
    from supabase_jobs.local.platform import load_services

    version = _version(given, major)
    with ExitStack() as stack:
        embedded = stack.enter_context(server.throwaway(**version))
        load_services(embedded.own_url)
        shared = _common(before, after)
        with connect(embedded.url) as connection:
            name = str(connection.info.dbname)
            _apply(connection, embedded.own_url, shared)
        copy = f"{name}_before"
        _copy(embedded, name, copy)
        old = stack.enter_context(connect(embedded.url_for(copy)))
        new = stack.enter_context(connect(embedded.url))
        missing = (
            []
            if len(shared.migrations) == len(before.migrations)
            else _beside(embedded, old, before)
        )
        if missing is not None and (more := _beside(embedded, new, after)) is not None:
            _narrate_missing([*missing, *more])
            yield old, new
            return
        connections = []
        for files in (before, after):
            own = stack.enter_context(server.throwaway(**version))
            load_services(own.own_url)
            connections.append(stack.enter_context(connect(own.url)))
            _narrate_missing(_apply(connections[-1], own.own_url, files))
        yield connections[0], connections[1]


def _common(before: "MigrationFiles", after: "MigrationFiles") -> "MigrationFiles":
    """The files that both begin with."""
    from supabase_jobs.sources.files import MigrationFiles

    def content(migration: "Migration") -> tuple[str, str]:
        return migration.version, migration.text

    pairs = zip(before.migrations, after.migrations, strict=False)
    return MigrationFiles(
        [new for _, new in takewhile(lambda p: content(p[0]) == content(p[1]), pairs)]
    )


def _copy(embedded: "ServerInfo", name: str, copy: str) -> None:
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local import databases

    with connect(embedded.url_for("template1")) as admin:
        databases.copy(admin, copy, name)
    with connect(embedded.own_url) as superuser:
        for statement in databases.settings_for(superuser, copy):
            superuser.execute(statement.encode())


def _beside(
    embedded: "ServerInfo", connection: "Connection", files: "MigrationFiles"
) -> list[str] | None:
    """Apply files to one of several databases; None if that changes the others. Returns the missing
    extensions.
    """
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local.databases import shared_state

    name = str(connection.info.dbname)
    with connect(embedded.own_url) as superuser:
        before = shared_state(superuser, name)
        missing = _apply(connection, embedded.own_url_for(name), files)
        return missing if shared_state(superuser, name) == before else None


def _apply(connection: "Connection", superuser_url: str, files: "MigrationFiles") -> list[str]:
    """Apply files to a database of an embedded server; returns the extensions that it lacks."""
    from supabase_jobs.database.connection import connect
    from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
    from supabase_jobs.migrations.extensions import prepare
    from supabase_jobs.report.wording import counted

    with connect(superuser_url) as superuser:
        prepared = prepare(superuser, files)
    with progress(f"applying {counted(len(files.migrations), 'migration')} to an embedded server"):
        apply_pending(connection, prepared.files, observer=ApplyObserver(advance=advance))
    return list(prepared.missing)


def _narrate_missing(extensions: list[str]) -> None:
    if extensions:
        narrate(
            f"note: not installed: {', '.join(dict.fromkeys(extensions))}; the embedded server has"
            " stand-ins for some"
            " of their functions. With all of them: install a PostgreSQL that has them, or pass"
            " --db-url"
        )


def _version(given: "Settings", major: int | None = None) -> dict[str, Any]:
    """The PostgreSQL of `[db] major_version`, unless a version is given; or the nearest one that is
    installed.
    """
    from supabase_jobs.local import account, binaries
    from supabase_jobs.sources.config_toml import load_major_version

    major = major or load_major_version(given.directory) or binaries.HOSTED_MAJOR
    installed = binaries.installed(major, given.directory, account.current())
    if installed is not None:
        return {"postgres_bin": installed.bin_dir}
    nearest = binaries.nearest_embedded(major)
    if nearest != major:
        narrate(
            f"note: PostgreSQL {major} is not installed, so the audit runs on PostgreSQL {nearest}"
        )
    return {"major": nearest}


def audit_configuration(directory: Path) -> "Configuration":
    """The supabase/audit.toml of a project, if it has one."""
    from supabase_jobs.audit.configuration import DEFAULT_FILE, Configuration, load

    file = directory / DEFAULT_FILE
    return load(file) if file.is_file() else Configuration()
