"""Read the outcome of a statement or request: rows, hidden, denied, violates, or an SQLSTATE."""

import re

import psycopg

from supabase_jobs.database.batch import GroupResult
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS, VIOLATES

_INSUFFICIENT_PRIVILEGE = psycopg.errors.InsufficientPrivilege.sqlstate
# This SQLSTATE has two meanings. The name of the C function that raised it tells them apart in
# every language of the server.
_CHECKS_POLICIES = "ExecWithCheckOptions"
# A response of the API, and a test in PL/pgSQL, have only the message. It is in English on hosted
# projects; MERGE calls its row the target. A regular expression of Python and of PostgreSQL.
POLICY_MESSAGES = "^(new|target) row violates row-level security policy"
# of a missing privilege, for LIKE
PRIVILEGE_MESSAGES = "permission denied%"


def outcome_of_count(count: int) -> str:
    """The outcome of a statement or request that returned or changed so many rows."""
    return ROWS if count else HIDDEN


def outcome_of_error(error: psycopg.Error) -> str:
    """The outcome of a statement that failed: `denied`, `violates` (a policy's WITH CHECK), or its
    SQLSTATE.
    """
    if error.sqlstate == _INSUFFICIENT_PRIVILEGE:
        return VIOLATES if error.diag.source_function == _CHECKS_POLICIES else DENIED
    return error.sqlstate or "error"


def outcome_of_conclusive_error(error: psycopg.Error) -> str:
    """The outcome of a statement that failed. Raises the error if it shows nothing about access."""
    if isinstance(error, INCONCLUSIVE_ERRORS):
        raise error
    return outcome_of_error(error)


def outcome_of_group(result: GroupResult) -> str:
    """The outcome of the last statement of a group, or of the one that failed."""
    return (
        outcome_of_count(result.answers[-1].count)
        if result.error is None
        else outcome_of_error(result.error)
    )


def outcome_of_api_error(code: str, message: str) -> str:
    """The outcome of a request that the API answered with an error: as that of a statement, or a
    code of PostgREST.
    """
    if code == _INSUFFICIENT_PRIVILEGE:
        return VIOLATES if re.match(POLICY_MESSAGES, message) else DENIED
    return code
