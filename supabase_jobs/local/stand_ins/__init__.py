"""Stand-ins for extensions that an installation of PostgreSQL lacks, or that would reach out of it.

Each file has the name of its extension. In it, the schema `extensions` stands for the one that the
extension is created in.
"""

from pathlib import Path

from psycopg import sql

from supabase_jobs.database.connection import Connection

_FILES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.sql"))}
# they run jobs and send requests in the background, which a server of ours never does
WITH_WORKERS = frozenset({"pg_cron", "pg_net"})
# extensions that only a superuser can create may read files, run programs or open connections
_HARMLESS = """
select name
from pg_available_extension_versions
group by name
having bool_or(trusted or not superuser)
"""


def names() -> frozenset[str]:
    """The extensions that have a stand-in."""
    return frozenset(_FILES)


def harmless(superuser: Connection) -> frozenset[str]:
    """The available extensions that stay inside the database, by their own declaration."""
    return frozenset(str(name) for (name,) in superuser.execute(_HARMLESS).fetchall())


def load(superuser: Connection, name: str, schema: str = "extensions") -> None:
    """Create the stand-in of an extension in a schema. Raises psycopg's errors."""
    text = _FILES[name].read_text(encoding="utf-8")
    quoted = sql.Identifier(schema).as_string(superuser)
    superuser.execute(text.replace("extensions.", f"{quoted}.").encode())
