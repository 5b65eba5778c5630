"""Hand a guest's jobs over to a user. The rules stand in the function that is called, in the database."""

from uuid import UUID

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.operations.queries import explained, load

_NO_SUCH_ROW = "23503"


class UnknownUserError(SupabaseJobsError):
    """There is no such user."""

    code = "unknown_user"


def mask(secret: UUID) -> str:
    """An id of which nobody can make use: a guest's works like a password."""
    return "…" + str(secret)[-4:]


def hand_over(connection: Connection, guest: UUID, user: UUID) -> int:
    """Move all jobs of a guest to a user and say how many; 0 for a guest that is unknown or has none.

    Raises UnknownUserError (2), BusyError (5) where somebody holds the guest's rows for 4 s, PrivilegeError (7)
    where the role may not, and what else `explained` raises. Then nothing was moved.
    """
    try:
        with explained(connection), connection.transaction():
            load("migrate_guest/settings").dicts(connection, {})
            moved: int = load("migrate_guest/move").dicts(connection, {"guest": guest, "account": user})[0]["moved"]
    except SupabaseJobsError as error:
        if error.sqlstate != _NO_SUCH_ROW:
            raise
        # masked, for it may be the guest's
        raise UnknownUserError(
            f"there is no user {mask(user)}; nothing was moved",
            hint="The guest comes first, then the user: supabase-jobs migrate-guest GUEST_ID USER_ID.",
            sqlstate=error.sqlstate,
        ) from None
    return moved
