"""Stand-ins for extensions that an installation of PostgreSQL lacks, or that would reach out of it.

Each file has the name of its extension. In it, the schema `extensions` stands for the one that the
extension is created in. The server lists a stand-in as an extension, so migrations may create it
again, alter and drop it, and pg_dump does not write its objects.
"""

import re
from pathlib import Path

from psycopg import sql

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file

_FOLDER = Path(__file__).parent
_FILES = {file.stem: file for file in sorted(_FOLDER.glob("*.sql"))}
_REGISTER = sql_file(_FOLDER / "register" / "extension.sql")
# the version of a stand-in: a migration creates the extension, or none has done so
REQUESTED, PRELOADED = "stand-in", "preloaded stand-in"
# they run jobs and send requests, which a server of ours never does
WITH_WORKERS = frozenset({"pg_cron", "pg_net", "http"})
_OBJECT = re.compile(r"\bextensions\.(\w+)")
_NEXT_OID = "select pg_nextoid('pg_extension', 'oid', 'pg_extension_oid_index')"
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


def objects(name: str) -> set[str]:
    """The names of what an extension has, as far as its stand-in has it too."""
    return set(_OBJECT.findall(_FILES[name].read_text(encoding="utf-8")))


def harmless(superuser: Connection) -> frozenset[str]:
    """The available extensions that stay inside the database, by their own declaration."""
    return frozenset(str(name) for (name,) in superuser.execute(_HARMLESS).fetchall())


def load(
    superuser: Connection, name: str, schema: str = "extensions", version: str = REQUESTED
) -> None:
    """Create the stand-in of an extension in a schema; one that exists is moved there.

    Raises psycopg's errors.
    """
    text = _FILES[name].read_text(encoding="utf-8")
    quoted = sql.Identifier(schema).as_string(superuser)
    with superuser.transaction():
        # every object that the file creates has a higher one
        [(oid,)] = superuser.execute(_NEXT_OID).fetchall()
        superuser.execute(text.replace("extensions.", f"{quoted}.").encode())
        _REGISTER.execute(superuser, [oid, name, quoted, version])
