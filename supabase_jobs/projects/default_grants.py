"""The default privileges of a database: whether requests reach new objects without a GRANT."""

from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file

_QUERY = Path(__file__).with_suffix(".sql")


def default_grants(connection: Connection) -> bool:
    """Whether the API roles get privileges on the tables that postgres creates in public."""
    [(exposed,)] = sql_file(_QUERY).rows(connection)
    return bool(exposed)
