"""Classification of PostgreSQL errors, and their translation into the errors of this program."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg import errors

from supabase_jobs.database.blocking import locked_tables
from supabase_jobs.database.conninfo import connected_address
from supabase_jobs.database.hidden_values import names_are_public, values_are_hidden
from supabase_jobs.database.hosts import reason
from supabase_jobs.database.interrupts import interrupt_behind
from supabase_jobs.database.masking import mask
from supabase_jobs.errors import BusyError, ConnectError, PrivilegeError, SupabaseJobsError

# Caused by the locks of another session: the same statement may succeed when it is run again.
LOCK_ERRORS = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
# The statement was not carried out because of the load on the server, so its failure shows nothing
# about access.
INCONCLUSIVE_ERRORS = (errors.LockNotAvailable, errors.DeadlockDetected, errors.QueryCanceled)
INCONCLUSIVE_SQLSTATES = tuple(error.sqlstate for error in INCONCLUSIVE_ERRORS)

_BUSY_ERRORS = (*LOCK_ERRORS, errors.ObjectInUse)
# the server or an administrator ended the session; 08 is the class of connection exceptions
_SESSION_ENDED = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", "08")


# What a migration of a Supabase project names first, by the SQLSTATE of its absence; the words of
# the message depend on the server's language.
_PLATFORM = {
    errors.InvalidSchemaName.sqlstate: r"\b(auth|storage|realtime|extensions)\b",
    errors.UndefinedObject.sqlstate: r"\b(anon|authenticated|service_role|authenticator)\b",
    errors.UndefinedTable.sqlstate: (
        r"\b(auth\.users|storage\.objects|storage\.buckets|realtime\.messages)\b"
    ),
    errors.UndefinedFunction.sqlstate: r"\bauth\.(uid|jwt|role)\b",
}
# classes of errors in which the server names objects that exist, whatever a function computes
_NAMING_OBJECTS = ("21", "23", "25", "40", "42501", "53", "54", "55", "57")
_NO_PLATFORM = (
    "The database lacks the schemas and roles of Supabase. Connect to a Supabase project, or start"
    " a local one:"
    " supabase start, or supabase-jobs local start."
)


def platform_hint(error: psycopg.Error) -> str | None:
    """The hint for an error because the database is no Supabase project; None for all others."""
    pattern = _PLATFORM.get(error.sqlstate or "")
    return (
        _NO_PLATFORM if pattern and re.search(pattern, error.diag.message_primary or "") else None
    )


def sqlstate_and_message(error: psycopg.Error) -> str:
    """An error of the server in one line, as a reason in a finding."""
    if not values_are_hidden() or not _may_hold_values(error):
        return f"{error.sqlstate}: {error.diag.message_primary}"
    function = raising_function(error)
    return f"{error.sqlstate}{f' in {function}' if function else ''} (its text may hold values)"


def public_message(error: psycopg.Error) -> str:
    """The message of the server, without a text that may hold values of rows; '' without one."""
    if values_are_hidden() and _may_hold_values(error):
        function = raising_function(error)
        return f"an error{f' in {function}' if function else ''} whose text may hold values"
    return error.diag.message_primary or ""


def raising_function(error: psycopg.Error) -> str:
    """The innermost function of the error's context; '' if there is none.

    Other lines of the context may hold values.
    """
    return next(iter(_functions(error)), "")


def outermost_function(error: psycopg.Error) -> str:
    """The outermost function of the error's context; '' if there is none."""
    return next(reversed(_functions(error)), "")


def _functions(error: psycopg.Error) -> list[str]:
    frames = (error.diag.context or "").splitlines()
    return [frame for frame in frames if frame.startswith(("PL/pgSQL function", "SQL function"))]


def _may_hold_values(error: psycopg.Error) -> bool:
    """Whether a function of the project wrote the text or the statement that the text is about, or
    it is about a value.
    """
    sqlstate = error.sqlstate or ""
    if _is_raised(error) or sqlstate.startswith("22"):
        return True
    if error.diag.context is None or sqlstate.startswith(_NAMING_OBJECTS):
        return False
    # the names of functions and operators are not quoted
    is_of_routine = sqlstate == errors.UndefinedFunction.sqlstate
    return is_of_routine or not names_are_public(error.diag.message_primary or "")


def _is_raised(error: psycopg.Error) -> bool:
    return error.diag.source_function in ("exec_stmt_raise", "exec_stmt_assert")


@dataclass(frozen=True)
class NamedObjects:
    """The objects that an error is about."""

    schema: str | None = None
    table: str | None = None
    constraint: str | None = None
    column: str | None = None


def named_objects(error: psycopg.Error) -> NamedObjects:
    """The objects that an error names. None that RAISE names, if messages may hold no values: it
    can name anything.
    """
    if values_are_hidden() and _is_raised(error):
        return NamedObjects()
    diag = error.diag
    return NamedObjects(
        schema=diag.schema_name,
        table=diag.table_name,
        constraint=diag.constraint_name,
        column=diag.column_name,
    )


def session_ended(error: psycopg.Error) -> bool:
    """Whether the server or an administrator ended the session."""
    return (error.sqlstate or "").startswith(_SESSION_ENDED)


@contextmanager
def translated(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Translate the psycopg errors that no caller handles; the messages contain no password.

    Raises ConnectError (7) if the connection was lost, PrivilegeError (7) if the role lacks a
    privilege or may only read, BusyError (5) if another session blocked the statement, and
    SupabaseJobsError (2) for all other errors. After a lock timeout, the message names the locked
    tables and the sessions. An error that follows from an interrupt is replaced by the interrupt.
    """
    password, address = connection.info.password, connected_address(connection)
    try:
        yield
    except Exception as error:
        if (interrupt := interrupt_behind(error)) is not None:
            raise interrupt from None
        if not isinstance(error, psycopg.Error):
            raise
        text = public_message(error) or reason(str(error))
        if isinstance(error, errors.LockNotAvailable):
            text += locked_tables(connection)
        text = mask(text, (password,), address.names)
        _translate(error, text, lost=connection.broken)


@contextmanager
def explain_lost_connection(
    connection: psycopg.Connection[Any], message: str, *, hint: str, file: str | None = None
) -> Iterator[None]:
    """Raise ConnectError (7) with this message if the connection is lost inside the block."""
    try:
        yield
    except psycopg.Error as error:
        if not connection.broken:
            raise
        raise ConnectError(message, hint=hint, sqlstate=error.sqlstate, file=file) from None


def _translate(error: psycopg.Error, text: str, *, lost: bool) -> NoReturn:
    if lost or session_ended(error):
        raise ConnectError(
            f"the connection to the database was lost: {text}",
            hint="Uncommitted changes were rolled back. Run the command again.",
            sqlstate=error.sqlstate,
        ) from None
    if isinstance(error, errors.InsufficientPrivilege):
        raise PrivilegeError(
            f"the role lacks a privilege: {text}",
            hint="Connect as the role that owns the objects: postgres on Supabase.",
            sqlstate=error.sqlstate,
        ) from None
    if isinstance(error, errors.ReadOnlySqlTransaction):
        raise PrivilegeError(
            f"the database is read-only for this role: {text}",
            hint="The role has default_transaction_read_only, the server is a replica, or Supabase"
            " made the project"
            " read-only because its disk is full.",
            sqlstate=error.sqlstate,
        ) from None
    if isinstance(error, _BUSY_ERRORS):
        raise BusyError(
            f"another session blocked the statement: {text}",
            hint="Uncommitted changes were rolled back. Try again when the other session"
            " has ended.",
            sqlstate=error.sqlstate,
        ) from None
    hint = platform_hint(error)
    if isinstance(error, errors.QueryCanceled):
        hint = "The statement was cancelled, or the role's statement_timeout is too short for it."
    raise SupabaseJobsError(
        f"the database refused a statement of supabase-jobs: {text}",
        hint=hint,
        sqlstate=error.sqlstate,
    ) from None
