"""Move the jobs of a guest to a user, by the function of the database, which holds the rules."""

from uuid import UUID

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.operations.statements import change, requires_migrations, statement

_FOREIGN_KEY_VIOLATION = "23503"


class UnknownUserError(SupabaseJobsError):
    """The user does not exist."""

    code = "unknown_user"


def mask(secret: UUID) -> str:
    """The last four digits of an id; a guest's id works like a password."""
    return "…" + str(secret)[-4:]


def migrate_guest(connection: Connection, guest: UUID, user: UUID) -> int:
    """Move all jobs of a guest to a user; returns how many, 0 for a guest that is unknown or has
    none.

    Raises UnknownUserError (2), BusyError (5) if another session locks the guest's rows for 4 s,
    PrivilegeError (7) if the role lacks a privilege, and what else `requires_migrations` raises.
    Then no job was moved.
    """
    try:
        with requires_migrations(connection):
            settings, move = statement("migrate_guest/settings"), statement("migrate_guest/move")
            row = change(connection, settings, move, {"guest": guest, "account": user})
    except SupabaseJobsError as error:
        if error.sqlstate != _FOREIGN_KEY_VIOLATION:
            raise
        # masked: the arguments may be swapped, and then this is the guest's id
        raise UnknownUserError(
            f"user {mask(user)} does not exist; no job was moved",
            hint="The guest is the first argument, the user the second: supabase-jobs"
            " migrate-guest GUEST_ID USER_ID.",
            sqlstate=error.sqlstate,
        ) from None
    moved: int = row[0]
    return moved
