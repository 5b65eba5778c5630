"""Rows that are committed for requests to an API: ids by which a later run finds them, and one run
at a time.
"""

import hashlib
import uuid

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import BusyError

# It is in the middle of an id, because triggers derive names from the first or last digits. A real
# id is a random UUID of version 4; this one has version 8.
MARK = "-6175-8469-9473-"
_LOCK = "select pg_try_advisory_xact_lock(%s)"
_OTHER_USERS = "select exists (select from auth.users where id::text not like %s)"
LOCK_KEY = int.from_bytes(b"vrfyhttp", "big", signed=True)


def marked_id(text: str) -> uuid.UUID:
    """The marked id that follows from a text."""
    digits = hashlib.sha256(text.encode()).hexdigest()
    return uuid.UUID(f"{digits[:8]}{MARK}{digits[8:20]}")


def is_marked_id(text: str) -> bool:
    """Whether an id is marked."""
    return MARK in text


def has_other_users(connection: Connection) -> bool:
    """Whether auth.users has a user whose id is not marked. Reads no other column.

    False if the role may not read it, or there is none: then it cannot insert users either.
    """
    [result] = run_groups(connection, [[Statement(_OTHER_USERS, (f"%{MARK}%",))]])
    return result.error is None and result.answer().rows == [(True,)]


def lock(guard: Connection) -> None:
    """Lock the database against a second run, until the transaction of `guard` ends. Raises
    BusyError (5).
    """
    if guard.execute(_LOCK, (LOCK_KEY,)).fetchone() != (True,):
        raise BusyError(
            "another verify or audit is using the API of this database",
            hint="Wait until it has ended.",
        )
