"""Prepare a database as a Supabase project before its first migration (see the SQL files in this
folder).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from supabase_jobs.errors import ConnectError, LocalServerError

if TYPE_CHECKING:
    import psycopg

_HERE = Path(__file__).parent


def load_platform(conninfo: str, *, default_privileges: bool, older_image: bool = False) -> None:
    """Load the platform into the database of `conninfo` in one transaction; loading it again
    changes nothing.

    `conninfo` is a URL or connection string of a superuser other than `postgres`. Roles belong to
    the whole cluster, the rest to this database, which `postgres` owns afterwards.
    `default_privileges` is the switch "expose new tables" of a project: on, the API roles get all
    privileges on each new object in schema public; off, only those that no request uses, such as
    TRUNCATE. `older_image` creates the API roles and the owner of schema auth as older projects
    have them.

    Raises ConnectError, LocalServerError with the SQLSTATE.
    """
    names = ["owner.sql", "platform.sql", *(["older_image.sql"] if older_image else [])]
    names += [
        "default_privileges.sql",
        *([] if default_privileges else ["default_privileges_off.sql"]),
    ]
    _run(conninfo, names)


def load_owner(conninfo: str) -> None:
    """Create only the role `postgres` as the owner of the database: PostgreSQL without Supabase."""
    _run(conninfo, ["owner.sql"])


def load_services(conninfo: str) -> None:
    """Load what migrations use of Storage and Realtime, and the stand-ins of missing extensions.

    Raises what `load_platform` raises.
    """
    _run(conninfo, ["services.sql"], with_stand_ins=True)


def load_queues_api(superuser: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Load the schema by which requests reach queues of pgmq. Raises LocalServerError."""
    _run_file(superuser, _HERE / "queues_api.sql")


def _run(conninfo: str, names: list[str], *, with_stand_ins: bool = False) -> None:
    import psycopg  # needed only when a database is created

    try:
        connection = psycopg.connect(conninfo, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise ConnectError(f"cannot connect to load the platform: {str(error).strip()}") from None
    with connection:
        # With synchronous_commit = off, a crash just after the first start would lose the roles for
        # good.
        connection.execute("set local synchronous_commit = on")
        for name in names:
            _run_file(connection, _HERE / name)
        if with_stand_ins:
            _load_stand_ins(connection)


def _load_stand_ins(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    from supabase_jobs.local import stand_ins

    found = connection.execute("select name::text from pg_available_extensions").fetchall()
    available = {str(name) for (name,) in found} - stand_ins.WITH_WORKERS
    for name in sorted(stand_ins.names() - available):
        stand_ins.load(connection, name, version=stand_ins.PRELOADED)


def _run_file(connection: "psycopg.Connection[tuple[object, ...]]", path: Path) -> None:
    import psycopg

    from supabase_jobs.database.sql_files import sql_file

    try:
        sql_file(path).execute(connection)
    except psycopg.Error as error:
        raise LocalServerError(
            f"{path.name} failed: {error.diag.message_primary or str(error).strip()}",
            hint=error.diag.message_hint,
            sqlstate=error.sqlstate,
            file=path.name,
        ) from error
