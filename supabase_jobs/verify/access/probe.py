"""Try one cell of an access matrix after another on one connection; each is undone by what comes next.

Works for any declaration; knows no table. Needs an open transaction.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.prepare import without_automatic_prepare
from supabase_jobs.outcomes import refusal
from supabase_jobs.verify import ownership
from supabase_jobs.verify.access.declaration import Action
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import (
    SET,
    Impersonation,
    Params,
    one,
    send_identity,
    serve_previous,
)

# Two savepoints, and going back to one is part of what comes next: nobody has been taken on yet, and a row's identity
# has. Taking it on costs more than most of what it then tries.
_SAVEPOINT = "nobody"
_BE_NOBODY = "rollback to savepoint nobody"
_KEEP = "savepoint somebody"
_UNDO = "rollback to savepoint somebody"


@contextmanager
def begun(session: Impersonation) -> Iterator[None]:
    """What all the rest needs to be inside of; everything is undone at the end."""
    connection = session.connection
    with without_automatic_prepare(connection), connection.transaction(force_rollback=True, savepoint_name=_SAVEPOINT):
        yield


def take_on(session: Impersonation, identity: Identity) -> str | None:
    """Be an identity, and nobody else, until the next one is taken on; probes come back to where this has ended.

    None, or what it came to where the identity served before could not do what it is said to have done.
    """
    session.connection.execute(_BE_NOBODY)
    try:
        serve_previous(session, identity)
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if session.connection.broken:
            raise
        return refusal(error)
    with session.connection.pipeline():
        became = send_identity(session, identity)
        session.connection.execute(_KEEP)
    became()
    return None


def probe_together(session: Impersonation, actions: Sequence[Action], params: Params) -> list[str] | None:
    """The outcomes of several actions as the identity taken on, each undone by the next, in one round trip.

    It takes a third of the time that one after another does. None where any of them fails: nothing is known then.
    """
    try:
        with session.connection.pipeline():
            asked = [_ask(session, action, params) for action in actions]
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error:
        if session.connection.broken:
            raise
        return None
    return ["rows" if _affected(ran) else "hidden" for ran in asked]


def probe(session: Impersonation, action: Action, params: Params) -> tuple[str, psycopg.Error | None]:
    """The outcome of one action as the identity taken on; undone by the next, or by leaving the savepoints."""
    try:
        with session.connection.pipeline():
            ran = _ask(session, action, params)
        return "rows" if _affected(ran) else "hidden", None
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if session.connection.broken:
            raise
        return "rows" if error.sqlstate == action.bound else refusal(error), error


def _ask(session: Impersonation, action: Action, params: Params) -> psycopg.Cursor[Any]:
    """Send an action in an open pipeline, and what its owner asks then; the cursor that tells whether it reached."""
    session.connection.execute(_UNDO)
    ran = session.connection.execute(action.sql.encode(), params)
    if action.reached is not None:
        session.connection.execute(SET, ("role", session.own_role))
        ran = session.connection.execute(action.reached.encode(), params)
    return ran


def allowed(session: Impersonation, question: str, params: Params) -> bool:
    """Whether the identity taken on reaches every row by a statement, which is then not run."""
    session.connection.execute(_UNDO)
    return bool(one(session.connection.execute(question.encode(), params))[0])


def control(session: Impersonation, action: Action, params: Params, ours: Collection[str]) -> str | None:
    """None where the same statement as the owner finds its target; else why it did not."""
    try:
        with session.connection.pipeline():
            session.connection.execute(_BE_NOBODY)
            ran = session.connection.execute((action.control or action.sql).encode(), params)
        return None if _affected(ran) else "finds nothing either"
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if session.connection.broken:
            raise
        session.connection.execute(_BE_NOBODY)
        if ownership.user_object_conflict(
            session.connection, error, ours
        ):  # which refers to the target, so that it is there
            return None
        return f"fails with {error.sqlstate}: {error.diag.message_primary}"


def user_object_conflict(
    session: Impersonation, cause: psycopg.Error, ours: Collection[str]
) -> ownership.UserObjectConflict | None:
    """What of the project's own a probe has met with, if that is what its error says."""
    session.connection.execute(_UNDO)
    return ownership.user_object_conflict(session.connection, cause, ours)


def _affected(cursor: psycopg.Cursor[Any]) -> int:
    return max(cursor.rowcount, 0)
