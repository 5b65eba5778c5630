"""A project's migrations on an embedded server, removed afterwards."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import NotTested
from supabase_jobs.local import account, binaries, databases, server
from supabase_jobs.local.platform import load_services
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.migrations.apply import ApplyObserver, apply_pending
from supabase_jobs.migrations.extensions import prepare, superuser_statements
from supabase_jobs.projects.load import load, not_tested, raise_decisive, raise_first, warnings
from supabase_jobs.projects.narration import SILENT, Narration
from supabase_jobs.sources.config_toml import (
    lists_buckets,
    load_api_settings,
    load_buckets,
    load_major_version,
)
from supabase_jobs.sources.files import Migration, MigrationFiles, read_sql

_BUCKET = """
insert into storage.buckets (id, name, public, allowed_mime_types) values (%s, %s, %s, %s)
on conflict do nothing
"""


@dataclass(frozen=True)
class Migrated:
    """The connection to a database with the migrations, as postgres; `lacking` are objects whose
    statements failed.
    """

    connection: Connection
    lacking: tuple[NotTested, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A call with the connection between the files up to a version and later ones."""

    version: str
    reached: Callable[[Connection], None]


@dataclass(frozen=True)
class _Loaded:
    """The extensions and objects that are missing after a run of files."""

    missing: tuple[str, ...] = ()
    lacking: tuple[NotTested, ...] = ()

    def __add__(self, other: "_Loaded") -> "_Loaded":
        return _Loaded(self.missing + other.missing, self.lacking + other.lacking)


@contextmanager
def migrated(
    directory: Path,
    files: MigrationFiles,
    seeds: Sequence[Migration] = (),
    *,
    major: int | None = None,
    default_privileges: bool | None = None,
    checkpoint: Checkpoint | None = None,
    narration: Narration = SILENT,
) -> Iterator[Migrated]:
    """A database with the files loaded, and then the seed files run.

    `major` and `default_privileges` are by default those of the project in `directory`. A
    `checkpoint` is only reached if there are files after it. Raises MigrationError (6) if a seed
    file fails.
    """
    options = server_options(directory, major, narration)
    if default_privileges is not None:
        options["default_privileges"] = default_privileges
    with started(options, narration) as embedded, connect(embedded.url) as connection:
        files = _with_roles(directory, files)
        loaded = _load(connection, embedded.own_url, files, narration, checkpoint=checkpoint)
        note_missing(loaded.missing, narration)
        _insert_buckets(connection, directory, narration)
        if seeds:
            from supabase_jobs.migrations.seed import apply_seeds

            apply_seeds(connection, seeds)
        yield Migrated(connection, loaded.lacking)


@contextmanager
def migrated_server(directory: Path, files: MigrationFiles) -> Iterator[ServerInfo]:
    """An embedded server whose database `postgres` has the files.

    Raises MigrationError (6) with file and line for the first statement that fails.
    """
    with started(server_options(directory)) as embedded:
        with (
            connect(embedded.own_url) as superuser,
            superuser_statements(superuser),
            connect(embedded.url) as connection,
        ):
            prepared = prepare(superuser, _with_roles(directory, files))
            raise_decisive(load(connection, prepared.files.migrations))
            _insert_buckets(connection, directory)
        yield embedded


@contextmanager
def before_and_after(
    directory: Path,
    before: MigrationFiles,
    after: MigrationFiles,
    *,
    narration: Narration = SILENT,
) -> Iterator[tuple[Migrated, Migrated]]:
    """Two databases of an embedded server, with the migrations before and after.

    The files that both begin with are applied once, then the database is copied. If a file beyond
    them changes a role, which belongs to all databases of a server, each database gets a server of
    its own. Raises MigrationError (6) if a statement of the later files fails: they are the change.
    """
    options = server_options(directory, None, narration)
    with ExitStack() as stack:
        embedded = stack.enter_context(started(options, narration))
        shared = _common(before, after)
        changed = {m.version for m in _beyond(after, shared).migrations}
        with connect(embedded.url) as connection:
            name = str(connection.info.dbname)
            files = _with_roles(directory, shared)
            both = _load(connection, embedded.own_url, files, narration)
            _insert_buckets(connection, directory, narration)
        copy = f"{name}_before"
        copy_database(embedded, name, copy)
        old = stack.enter_context(connect(embedded.url_for(copy)))
        new = stack.enter_context(connect(embedded.url))
        first = _load_beside(embedded, old, _beyond(before, shared), narration)
        if first is not None:
            second = _load_beside(
                embedded, new, _beyond(after, shared), narration, required=changed
            )
            if second is not None:
                note_missing([*both.missing, *first.missing, *second.missing], narration)
                yield (
                    Migrated(old, (both + first).lacking),
                    Migrated(new, (both + second).lacking),
                )
                return
        built = []
        for files, required in ((before, set[str]()), (after, changed)):
            own = stack.enter_context(started(options, narration))
            connection = stack.enter_context(connect(own.url))
            files = _with_roles(directory, files)
            loaded = _load(connection, own.own_url, files, narration, required=required)
            note_missing(loaded.missing, narration)
            _insert_buckets(connection, directory)
            built.append(Migrated(connection, loaded.lacking))
        yield built[0], built[1]


@contextmanager
def started(options: Mapping[str, Any], narration: Narration = SILENT) -> Iterator[ServerInfo]:
    """A new embedded server with the schemas of the services, removed afterwards."""
    with ExitStack() as stack:
        with narration.step("starting an embedded server"):
            embedded = stack.enter_context(server.throwaway(**options, in_memory=True))
            load_services(embedded.own_url)
        yield embedded


def server_options(
    directory: Path, major: int | None = None, narration: Narration = SILENT
) -> dict[str, Any]:
    """The server for a version, for `server.throwaway`: an installed one, or the nearest embedded.

    The default version is `[db] major_version` of the project, and its default privileges are those
    of `[api] auto_expose_new_tables`.
    """
    exposed = load_api_settings(directory).auto_expose_new_tables
    options: dict[str, Any] = {} if exposed is None else {"default_privileges": exposed}
    wanted = major or load_major_version(directory) or binaries.HOSTED_MAJOR
    installed = binaries.installed(wanted, directory, account.current())
    if installed is not None:
        return {**options, "postgres_bin": installed.bin_dir}
    nearest = binaries.nearest_embedded(wanted)
    if nearest != wanted:
        narration.note(
            f"note: PostgreSQL {wanted} is not installed, so the audit runs on PostgreSQL {nearest}"
        )
    return {**options, "major": nearest}


def _common(before: MigrationFiles, after: MigrationFiles) -> MigrationFiles:
    """The files that both begin with."""

    def content(migration: Migration) -> tuple[str, str]:
        return migration.version, migration.text

    pairs = zip(before.migrations, after.migrations, strict=False)
    return MigrationFiles(
        [new for _, new in takewhile(lambda p: content(p[0]) == content(p[1]), pairs)]
    )


def create_roles(directory: Path, embedded: ServerInfo) -> None:
    """Run supabase/roles.sql in a new database, as `supabase start` does before the migrations.

    Raises MigrationError (6) with file and line for the first statement that fails.
    """
    files = _with_roles(directory, MigrationFiles(()))
    if not files.migrations:
        return
    with (
        connect(embedded.own_url) as superuser,
        superuser_statements(superuser),
        connect(embedded.url) as connection,
    ):
        prepared = prepare(superuser, files)
        raise_decisive(load(connection, prepared.files.migrations))


def _with_roles(directory: Path, files: MigrationFiles) -> MigrationFiles:
    """The files after supabase/roles.sql, which the Supabase CLI runs before the migrations."""
    path = directory / "supabase" / "roles.sql"
    if not path.is_file():
        return files
    roles = Migration("", "roles", read_sql(path), str(path))
    return replace(files, migrations=[roles, *files.migrations])


def _insert_buckets(connection: Connection, directory: Path, narration: Narration = SILENT) -> None:
    """Insert the buckets of config.toml, as `supabase start` does; those of migrations stay."""
    if lists_buckets(directory):
        narration.note(
            "note: [[storage.buckets]] in supabase/config.toml makes no bucket with the Supabase"
            " CLI, and version 3 refuses it: write [storage.buckets.NAME]; taken as such"
        )
    for bucket in load_buckets(directory):
        types = None if bucket.allowed_mime_types is None else list(bucket.allowed_mime_types)
        connection.execute(_BUCKET, (bucket.name, bucket.name, bucket.public, types))


def _beyond(files: MigrationFiles, shared: MigrationFiles) -> MigrationFiles:
    return MigrationFiles(files.migrations[len(shared.migrations) :])


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


def _load_beside(
    embedded: ServerInfo,
    connection: Connection,
    files: MigrationFiles,
    narration: Narration,
    *,
    required: Collection[str] = (),
) -> _Loaded | None:
    """Load files into one of several databases; None if that changes the others."""
    if not files.migrations:
        return _Loaded()
    name = str(connection.info.dbname)
    with connect(embedded.own_url) as superuser:
        before = databases.shared_state(superuser, name)
        own_url = embedded.own_url_for(name)
        loaded = _load(connection, own_url, files, narration, required=required)
        return loaded if databases.shared_state(superuser, name) == before else None


def apply_to(
    connection: Connection, superuser_url: str, files: MigrationFiles, narration: Narration
) -> list[str]:
    """Apply files as `apply` does; returns the extensions that the server lacks."""
    observer = ApplyObserver(advance=narration.advance)
    with connect(superuser_url) as superuser, superuser_statements(superuser):
        prepared = prepare(superuser, files)
        with narration.step(_applying(files)):
            apply_pending(connection, prepared.files, observer=observer)
    return list(prepared.missing)


def _load(
    connection: Connection,
    superuser_url: str,
    files: MigrationFiles,
    narration: Narration,
    *,
    required: Collection[str] = (),
    checkpoint: Checkpoint | None = None,
) -> _Loaded:
    """Load files without the statements that fail, and name those. Raises MigrationError (6) for a
    statement of a version that is `required`.
    """
    with connect(superuser_url) as superuser, superuser_statements(superuser):
        prepared = prepare(superuser, files)
        first, rest = _parts(prepared.files.migrations, checkpoint)
        with narration.step(_applying(files)):
            omissions = load(connection, first, narration.advance)
            if checkpoint is not None and rest:
                checkpoint.reached(connection)
                omissions += load(connection, rest, narration.advance)
    raise_first([o for o in omissions if o.migration.version in required])
    for line in warnings(omissions):
        narration.note(line)
    lacking = tuple(not_tested(omissions, prepared.unknown))
    return _Loaded(prepared.missing, lacking)


def _parts(
    files: Sequence[Migration], checkpoint: Checkpoint | None
) -> tuple[Sequence[Migration], Sequence[Migration]]:
    """The files up to a checkpoint, and the others; some have no version, only a place."""
    if checkpoint is None:
        return files, ()
    known = [n for n, file in enumerate(files, 1) if "" < file.version <= checkpoint.version]
    number = max(known, default=0)
    return files[:number], files[number:]


def _applying(files: MigrationFiles) -> str:
    count = len(files.migrations)
    migrations = "1 migration" if count == 1 else f"{count} migrations"
    return f"applying {migrations} to an embedded server"


def note_missing(extensions: Sequence[str], narration: Narration) -> None:
    """Tell which extensions the server lacks."""
    if extensions:
        narration.note(
            f"note: not installed: {', '.join(dict.fromkeys(extensions))}; the embedded server has"
            " stand-ins for some of their functions. With all of them: install a PostgreSQL that"
            " has them, or pass --db-url"
        )
