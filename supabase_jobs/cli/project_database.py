"""The database of commands that audit: the target, or an embedded server with the project's migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supabase_jobs.cli.common import connected, narrate, progress

if TYPE_CHECKING:
    from supabase_jobs.audit.configuration import Configuration
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.settings import Settings


@contextmanager
def project_database(given: "Settings") -> Iterator[tuple["Connection", bool]]:
    """The target database; without one, an embedded server with the project's migrations, removed afterwards."""
    from supabase_jobs.database.connection import connect
    from supabase_jobs.local import server

    url = given.db_url or server.running_url(given.directory)
    if url is not None:
        with connected(given) as connection:
            yield connection, False
        return
    from supabase_jobs.local.platform import load_services
    from supabase_jobs.migrations.apply import apply_pending
    from supabase_jobs.migrations.extensions import prepare
    from supabase_jobs.sources import project

    files = project.files(given)
    with server.throwaway(**_version(given)) as embedded, connect(embedded.url) as connection:
        load_services(embedded.own_url)
        with connect(embedded.own_url) as superuser:
            prepared = prepare(superuser, files)
        if prepared.missing:
            narrate(
                f"note: not installed: {', '.join(prepared.missing)}; the embedded server has stand-ins for some of"
                " their functions. With all of them: install a PostgreSQL that has them, or pass --db-url"
            )
        with progress(f"applying {len(files.migrations)} migrations to an embedded server"):
            apply_pending(connection, prepared.files)
        yield connection, True


def _version(given: "Settings") -> dict[str, Any]:
    """The PostgreSQL of `[db] major_version`, or the nearest one that is installed."""
    from supabase_jobs.local import account, binaries
    from supabase_jobs.sources.config_toml import load_major_version

    major = load_major_version(given.directory) or binaries.HOSTED_MAJOR
    installed = binaries.installed(major, given.directory, account.current())
    if installed is not None:
        return {"postgres_bin": installed.bin_dir}
    nearest = binaries.nearest_embedded(major)
    if nearest != major:
        narrate(f"note: PostgreSQL {major} is not installed, so the audit runs on PostgreSQL {nearest}")
    return {"major": nearest}


def audit_configuration(directory: Path) -> "Configuration":
    """The supabase/audit.toml of a project, if it has one."""
    from supabase_jobs.audit.configuration import DEFAULT_FILE, Configuration, load

    file = directory / DEFAULT_FILE
    return load(file) if file.is_file() else Configuration()
