"""Run the statement of one cell of the access matrix as an identity; every probe undoes the one before.

Needs an open transaction.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.prepare import without_automatic_prepare
from supabase_jobs.outcomes import refusal
from supabase_jobs.verify import ownership
from supabase_jobs.verify.access.matrix import Action
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import SET, Impersonation, Params, one, send_identity, serve_previous

# One savepoint before the identity is set and one after it: setting the identity takes longer than most probes. Each
# probe begins with a rollback, which needs no round trip of its own.
_OWN_ROLE = "own_role"
_RESET_ROLE = "rollback to savepoint own_role"
_KEEP_IDENTITY = "savepoint identity"
_UNDO_PROBE = "rollback to savepoint identity"


@contextmanager
def savepoints(impersonation: Impersonation) -> Iterator[None]:
    """The context that all other functions of this module need; leaving it undoes all probes."""
    connection = impersonation.connection
    with without_automatic_prepare(connection), connection.transaction(force_rollback=True, savepoint_name=_OWN_ROLE):
        yield


def set_identity(impersonation: Impersonation, identity: Identity) -> str | None:
    """Set the identity of the following probes. None, or the outcome of the previous identity's statement if it fails.

    See `Identity.previous`.
    """
    impersonation.connection.execute(_RESET_ROLE)
    try:
        serve_previous(impersonation, identity)
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if impersonation.connection.broken:
            raise
        return refusal(error)
    with impersonation.connection.pipeline():
        check_identity = send_identity(impersonation, identity)
        impersonation.connection.execute(_KEEP_IDENTITY)
    check_identity()
    return None


def run_together(impersonation: Impersonation, actions: Sequence[Action], params: Params) -> list[str] | None:
    """The outcomes of several actions, run in one round trip: a third of the time of separate probes.

    None if any of them fails; then no outcome is known.
    """
    try:
        with impersonation.connection.pipeline():
            cursors = [_send(impersonation, action, params) for action in actions]
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error:
        if impersonation.connection.broken:
            raise
        return None
    return ["rows" if _row_count(cursor) else "hidden" for cursor in cursors]


def run(impersonation: Impersonation, action: Action, params: Params) -> tuple[str, psycopg.Error | None]:
    """The outcome of one action, and its error if it failed."""
    try:
        with impersonation.connection.pipeline():
            cursor = _send(impersonation, action, params)
        return "rows" if _row_count(cursor) else "hidden", None
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if impersonation.connection.broken:
            raise
        return "rows" if error.sqlstate == action.row_limit_error else refusal(error), error


def _send(impersonation: Impersonation, action: Action, params: Params) -> psycopg.Cursor[Any]:
    """Send an action in an open pipeline; return the cursor whose row count shows whether it reached its target."""
    connection = impersonation.connection
    connection.execute(_UNDO_PROBE)
    cursor = connection.execute(action.sql.encode(), params)
    if action.reached is not None:
        connection.execute(SET, ("role", impersonation.own_role))
        cursor = connection.execute(action.reached.encode(), params)
    return cursor


def is_unrestricted(impersonation: Impersonation, query: str, params: Params) -> bool:
    """The result of an action's `unrestricted_if` query: true if its statement would reach every row."""
    impersonation.connection.execute(_UNDO_PROBE)
    return bool(one(impersonation.connection.execute(query.encode(), params))[0])


def control_failure(
    impersonation: Impersonation, action: Action, params: Params, managed: Collection[str]
) -> str | None:
    """None if the control statement, run as the owner, reaches the target; otherwise how it fails."""
    connection = impersonation.connection
    try:
        with connection.pipeline():
            connection.execute(_RESET_ROLE)
            cursor = connection.execute((action.control or action.sql).encode(), params)
        return None if _row_count(cursor) else "finds nothing either"
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if connection.broken:
            raise
        connection.execute(_RESET_ROLE)
        # a user object that refers to the target shows that the target exists
        if ownership.user_object_conflict(connection, error, managed):
            return None
        return f"fails with {error.sqlstate}: {error.diag.message_primary}"


def user_object_conflict(
    impersonation: Impersonation, error: psycopg.Error, managed: Collection[str]
) -> ownership.UserObjectConflict | None:
    """The user object that raised the error of a probe, if any."""
    impersonation.connection.execute(_UNDO_PROBE)
    return ownership.user_object_conflict(impersonation.connection, error, managed)


def _row_count(cursor: psycopg.Cursor[Any]) -> int:
    return max(cursor.rowcount, 0)
