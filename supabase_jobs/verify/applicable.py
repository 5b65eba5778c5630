"""Whether a database has anything that `verify` checks."""

from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS
from supabase_jobs.verify.structure.snapshot import FILE_NAME, load

_QUERY = Path(__file__).with_name("has_relation.sql")


def has_managed_relation(connection: Connection) -> bool:
    """Whether one of the managed tables exists, as far as the role sees."""
    names = load(PACKAGED_DECLARATIONS / FILE_NAME).names
    relations = [name for name in names if "." in name and "(" not in name]
    [(found,)] = sql_file(_QUERY).rows(connection, relations)
    return bool(found)
