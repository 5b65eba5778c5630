"""A database of an embedded server with a project's migrations, and copies of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.projects.migrated import apply_to, copy_database, server_options, started
from supabase_jobs.projects.narration import SILENT, Narration
from supabase_jobs.sources.files import MigrationFiles


@dataclass(frozen=True)
class Built:
    """A database with migrations. `missing` are the extensions that its server lacks."""

    server: ServerInfo
    missing: tuple[str, ...]

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection as postgres."""
        with connect(self.server.url) as connection:
            yield connection

    @contextmanager
    def copied(self) -> Iterator[tuple[Connection, Connection]]:
        """Connections to the database and to a copy of it; nobody may be connected before."""
        with connect(self.server.url) as connection:
            name = str(connection.info.dbname)
        copy = f"{name}_before"
        copy_database(self.server, name, copy)
        with connect(self.server.url) as original, connect(self.server.url_for(copy)) as other:
            yield original, other


@contextmanager
def built(
    directory: Path,
    files: MigrationFiles,
    *,
    major: int | None = None,
    default_privileges: bool | None = None,
    narration: Narration = SILENT,
) -> Iterator[Built]:
    """A database with the migrations applied, removed afterwards.

    `major` is by default that of the project in `directory`. Raises what `apply_pending` raises,
    and LocalServerError.
    """
    options = server_options(directory, major, narration)
    if default_privileges is not None:
        options["default_privileges"] = default_privileges
    with started(options, narration) as embedded:
        with connect(embedded.url) as connection:
            missing = apply_to(connection, embedded.own_url, files, narration)
        yield Built(embedded, tuple(missing))
