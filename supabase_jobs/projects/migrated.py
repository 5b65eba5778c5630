"""A project's migrations on an embedded server, removed afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local import account, binaries, databases, server
from supabase_jobs.local.platform import load_services
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.projects.narration import SILENT, Narration
from supabase_jobs.sources.config_toml import load_major_version
from supabase_jobs.sources.files import Migration, MigrationFiles


@contextmanager
def migrated(
    directory: Path,
    files: MigrationFiles,
    seeds: Sequence[Migration] = (),
    *,
    major: int | None = None,
    narration: Narration = SILENT,
) -> Iterator[Connection]:
    """A database with the migrations applied, and then the seed files run.

    `major` is by default that of the project in `directory`. Raises what `apply_pending` raises.
    """
    options = server_options(directory, major, narration)
    with server.throwaway(**options) as embedded, connect(embedded.url) as connection:
        load_services(embedded.own_url)
        note_missing(apply_to(connection, embedded.own_url, files, narration), narration)
        if seeds:
            from supabase_jobs.migrations.seed import apply_seeds

            apply_seeds(connection, seeds)
        yield connection


@contextmanager
def before_and_after(
    directory: Path,
    before: MigrationFiles,
    after: MigrationFiles,
    *,
    narration: Narration = SILENT,
) -> Iterator[tuple[Connection, Connection]]:
    """Two databases of an embedded server, with the migrations before and after.

    The files that both begin with are applied once, then the database is copied. If a file beyond
    them changes a role, which belongs to all databases of a server, each database gets a server of
    its own.
    """
    options = server_options(directory, None, narration)
    with ExitStack() as stack:
        embedded = stack.enter_context(server.throwaway(**options))
        load_services(embedded.own_url)
        shared = _common(before, after)
        with connect(embedded.url) as connection:
            name = str(connection.info.dbname)
            apply_to(connection, embedded.own_url, shared, narration)
        copy = f"{name}_before"
        copy_database(embedded, name, copy)
        old = stack.enter_context(connect(embedded.url_for(copy)))
        new = stack.enter_context(connect(embedded.url))
        missing = (
            []
            if len(shared.migrations) == len(before.migrations)
            else apply_beside(embedded, old, before, narration)
        )
        if missing is not None:
            more = apply_beside(embedded, new, after, narration)
            if more is not None:
                note_missing([*missing, *more], narration)
                yield old, new
                return
        connections = []
        for files in (before, after):
            own = stack.enter_context(server.throwaway(**options))
            load_services(own.own_url)
            connections.append(stack.enter_context(connect(own.url)))
            note_missing(apply_to(connections[-1], own.own_url, files, narration), narration)
        yield connections[0], connections[1]


def server_options(
    directory: Path, major: int | None = None, narration: Narration = SILENT
) -> dict[str, Any]:
    """The server for a version, for `server.throwaway`: an installed one, or the nearest embedded.

    The default version is `[db] major_version` of the project.
    """
    wanted = major or load_major_version(directory) or binaries.HOSTED_MAJOR
    installed = binaries.installed(wanted, directory, account.current())
    if installed is not None:
        return {"postgres_bin": installed.bin_dir}
    nearest = binaries.nearest_embedded(wanted)
    if nearest != wanted:
        narration.note(
            f"note: PostgreSQL {wanted} is not installed, so the audit runs on PostgreSQL {nearest}"
        )
    return {"major": nearest}


def _common(before: MigrationFiles, after: MigrationFiles) -> MigrationFiles:
    """The files that both begin with."""

    def content(migration: Migration) -> tuple[str, str]:
        return migration.version, migration.text

    pairs = zip(before.migrations, after.migrations, strict=False)
    return MigrationFiles(
        [new for _, new in takewhile(lambda p: content(p[0]) == content(p[1]), pairs)]
    )


def copy_database(embedded: ServerInfo, name: str, copy: str) -> None:
    """Copy a database without connections on an embedded server, with its settings."""
    with connect(embedded.own_url_for("template1")) as admin:
        databases.copy(admin, copy, name)
    with connect(embedded.own_url_for(name)) as superuser:
        owner = superuser.execute(
            "select pg_get_userbyid(datdba)::text from pg_database where datname = %s", (name,)
        ).fetchone()
        assert owner is not None  # noqa: S101  it is connected
        for statement in databases.settings_for(superuser, copy):
            superuser.execute(statement.encode())
        databases.set_owner(superuser, copy, str(owner[0]))


def apply_beside(
    embedded: ServerInfo, connection: Connection, files: MigrationFiles, narration: Narration
) -> list[str] | None:
    """Apply files to one of several databases; None if that changes the others. Returns the missing
    extensions.
    """
    name = str(connection.info.dbname)
    with connect(embedded.own_url) as superuser:
        before = databases.shared_state(superuser, name)
        missing = apply_to(connection, embedded.own_url_for(name), files, narration)
        return missing if databases.shared_state(superuser, name) == before else None


def apply_to(
    connection: Connection, superuser_url: str, files: MigrationFiles, narration: Narration
) -> list[str]:
    """Apply files to a database of an embedded server; returns the extensions that it lacks."""
    with connect(superuser_url) as superuser:
        prepared = prepare(superuser, files)
    count = len(files.migrations)
    migrations = "1 migration" if count == 1 else f"{count} migrations"
    with narration.step(f"applying {migrations} to an embedded server"):
        apply_pending(connection, prepared.files, observer=ApplyObserver(advance=narration.advance))
    return list(prepared.missing)


def note_missing(extensions: Sequence[str], narration: Narration) -> None:
    """Tell which extensions the server lacks."""
    if extensions:
        narration.note(
            f"note: not installed: {', '.join(dict.fromkeys(extensions))}; the embedded server has"
            " stand-ins for some of their functions. With all of them: install a PostgreSQL that"
            " has them, or pass --db-url"
        )
