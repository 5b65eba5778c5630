"""The schemas that the API of a database exposes."""

from collections.abc import Callable
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.projects.catalog import PLATFORM_SCHEMAS
from supabase_jobs.sources.config_toml import load_api_settings

EXPOSED_SCHEMAS = Path(__file__).with_name("exposed_schemas.sql")
GRANTED_SCHEMAS = Path(__file__).with_name("granted_schemas.sql")
_HOST = (".supabase.co", ".supabase.com")


def served_schemas(
    project: Path,
    url: str | None,
    database: Connection,
    note: Callable[[str], None] = lambda _text: None,
) -> tuple[str, ...]:
    """The schemas of the setting `pgrst.db_schemas` of a database, else those of the project's
    configuration, with the section of `[remotes]` for the project that the URL names.

    If requests reach no table in these, the schemas that the project's grants open to requests:
    the dashboard serves a schema without a trace in the project's files. `note` is told so.
    """
    rows = sql_file(EXPOSED_SCHEMAS).rows(database)
    if rows:
        return tuple(schema for (schema,) in rows)
    served = load_api_settings(project, project_ref(url)).schemas
    found = sql_file(GRANTED_SCHEMAS).rows(database, list(served), list(PLATFORM_SCHEMAS))
    granted = tuple(schema for (schema,) in found)
    if not granted:
        return served
    note(
        f"note: requests reach no table in {', '.join(served)}, and API roles may use"
        f" {', '.join(granted)}: taken as served. If it is, set schemas under [api] in"
        " supabase/config.toml"
    )
    return (*served, *granted)


def project_ref(url: str | None) -> str | None:
    """The reference of the hosted project that a URL names: db.REF.supabase.co, or a pooler's user
    postgres.REF.
    """
    parts = conninfo_to_dict(url or "")
    host = str(parts.get("host") or "")
    if not host.endswith(_HOST):
        return None
    if host.startswith("db."):
        return host.split(".")[1]
    return str(parts.get("user") or "").partition(".")[2] or None
