"""Make a database look like a Supabase project before its first migration (see the SQL files beside this one)."""

from pathlib import Path
from typing import TYPE_CHECKING

from supabase_jobs.errors import ConnectError, LocalServerError

if TYPE_CHECKING:
    import psycopg

_HERE = Path(__file__).parent


def load_platform(conninfo: str, *, default_privileges: bool) -> None:
    """Load the platform into the database of `conninfo`, in one transaction; running it again changes nothing.

    `conninfo` is a URL or connection string of a superuser that is not `postgres`. Roles belong to the whole
    cluster, the rest to this database, which `postgres` owns afterwards. `default_privileges` grants
    everything made in schema public to the API roles, as older Supabase projects do.

    Raises ConnectError, LocalServerError with the sqlstate.
    """
    names = ["owner.sql", "platform.sql"] + (["default_privileges.sql"] if default_privileges else [])
    _run(conninfo, names)


def load_owner(conninfo: str) -> None:
    """Only the role `postgres` and its ownership of the database: a plain PostgreSQL, no Supabase."""
    _run(conninfo, ["owner.sql"])


def _run(conninfo: str, names: list[str]) -> None:
    import psycopg  # loaded only where a database is made

    try:
        connection = psycopg.connect(conninfo, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise ConnectError(f"cannot connect to load the platform: {str(error).strip()}") from None
    with connection:
        # else a server that crashes just after its start comes back without its roles, and never loads them again
        connection.execute("set local synchronous_commit = on")
        for name in names:
            _run_file(connection, _HERE / name)


def _run_file(connection: "psycopg.Connection[tuple[object, ...]]", path: Path) -> None:
    import psycopg

    try:
        connection.execute(path.read_bytes())
    except psycopg.Error as error:
        raise LocalServerError(
            f"{path.name} failed: {error.diag.message_primary or str(error).strip()}",
            hint=error.diag.message_hint,
            sqlstate=error.sqlstate,
            file=path.name,
        ) from error
