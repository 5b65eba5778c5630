"""Rows that are committed for requests to an API: ids by which a later run finds them, and one run at a time."""

import uuid
from dataclasses import dataclass

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import BusyError

_LOCK = "select pg_try_advisory_xact_lock(%s)"
LOCK_KEY = int.from_bytes(b"vrfyhttp", "big", signed=True)


@dataclass(frozen=True)
class Mark:
    """The six bytes that the ids of committed rows begin with, and the range of these ids.

    A real id is a random UUID of version 4: none begins like this and has version 8.
    """

    letters: bytes

    @property
    def first(self) -> uuid.UUID:
        """The lowest id."""
        return uuid.UUID(bytes=self.letters + b"\x80\x00\x80" + bytes(7))

    @property
    def last(self) -> uuid.UUID:
        """The highest id."""
        return uuid.UUID(bytes=self.letters + b"\x8f\xff\xbf" + b"\xff" * 7)

    def new_id(self) -> uuid.UUID:
        """A random id."""
        return self.apply(uuid.uuid4().bytes)

    def apply(self, value: bytes) -> uuid.UUID:
        """The id with the rest of sixteen bytes."""
        marked = bytearray(value)
        marked[:6] = self.letters
        marked[6] = 0x80 | (marked[6] & 0x0F)
        marked[8] = 0x80 | (marked[8] & 0x3F)
        return uuid.UUID(bytes=bytes(marked))


def lock(guard: Connection) -> None:
    """Lock the database against a second run, until the transaction of `guard` ends. Raises BusyError (5)."""
    if guard.execute(_LOCK, (LOCK_KEY,)).fetchone() != (True,):
        raise BusyError("another verify or audit is using the API of this database", hint="Wait until it has ended.")
