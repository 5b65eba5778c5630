"""`verify` as one call: every area that was asked for, in one transaction that is rolled back.

Each area is a package whose module `check` has `check(connection, expectations, context)`.
"""

import time
from collections.abc import Sequence

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Verification
from supabase_jobs.verify import access, functions, plans, structure
from supabase_jobs.verify.access import http_cases
from supabase_jobs.verify.access.check import check as check_access
from supabase_jobs.verify.access.check import declared_cases as access_cases
from supabase_jobs.verify.context import Context, DeadlineError
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.functions.check import check as check_functions
from supabase_jobs.verify.plans.check import check as check_plans
from supabase_jobs.verify.script import SETTINGS
from supabase_jobs.verify.structure.check import check as check_structure
from supabase_jobs.verify.structure.check import declared_cases as structure_cases

_CHECKS = {
    structure.AREA: check_structure,
    access.AREA: check_access,
    functions.AREA: check_functions,
    plans.AREA: check_plans,
}
# Areas in the order they run: the fastest first, because `mutate` stops at the first area with an error. `plans` runs
# after `access`, which has to run before any request setting exists in the session.
AREAS = tuple(_CHECKS)
# areas that insert test rows, and so need a primary server
_WRITING = (access.AREA, functions.AREA)

# Each statement has its own limit; what makes all of them slow, a policy of the project's own say, must not add up to
# an hour on a live database.
LONGEST_S = 120

_READ_ONLY = """
select
  current_setting('transaction_read_only')::boolean,
  case when pg_is_in_recovery() then 'a read-only replica' else 'a read-only transaction' end
"""


def parse(only: str | None) -> tuple[str, ...]:
    """The areas named in a comma-separated list, in the order they run; all for None. ConfigError for others."""
    if only is None:
        return AREAS
    wanted = {part.strip() for part in only.split(",") if part.strip()}
    if unknown := wanted - set(AREAS):
        raise ConfigError(f"--only: unknown area {min(unknown)!r}", hint=f"Areas: {', '.join(AREAS)}.")
    if not wanted:
        raise ConfigError("--only: no area named", hint=f"Areas: {', '.join(AREAS)}.")
    return tuple(area for area in AREAS if area in wanted)


def verify(
    connection: Connection, expectations: Expectations, areas: Sequence[str] = AREAS, *, repeated: bool = False
) -> Verification:
    """Check a live database and leave no trace: everything happens in a transaction that is rolled back.

    Takes no lock stronger than a row lock. An area that could not be judged (its declarations are missing, its
    test rows cannot be planted, the role lacks a right, the server only reads, it takes too long) is among `unchecked`,
    with a warning that says why: never passed. One that is `repeated` stops at an error, names no cases, and needs what
    `questions.prepared` prepares. Raises psycopg's errors where the connection is lost, and where
    somebody else's lock is in the way.
    """
    started = time.monotonic()
    result = Context(repeated, started + LONGEST_S)
    with connection.transaction(force_rollback=True):
        connection.execute(SETTINGS)
        read_only = connection.execute(_READ_ONLY).fetchone()
        for area in areas:
            if result.should_stop:
                break
            if area in _WRITING and read_only and read_only[0]:
                result.mark_unchecked(
                    area, "database", f"this is {read_only[1]}, and test rows cannot be planted", "Ask the primary."
                )
            else:
                _check(connection, area, expectations, result)
    result.downgrade_equivalent()
    return _verification(result, (time.monotonic() - started) * 1000)


def declared_cases(expectations: Expectations) -> Verification:
    """The cases that can be told without a database, with their scripts, also those through an API; none was asked."""
    result = Context()
    for cases in (structure_cases, access_cases, http_cases.declared_cases):
        cases(expectations, result)
    return _verification(result, 0.0)


def _verification(result: Context, milliseconds: float) -> Verification:
    return Verification(
        tuple(result.findings),
        tuple(result.cases),
        milliseconds,
        tuple(result.grids),
        tuple(result.unchecked),
        result.preambles,
        frozenset(result.equivalences),
        tuple(result.unexpected),
    )


def _check(connection: Connection, area: str, expectations: Expectations, result: Context) -> None:
    try:
        with connection.transaction(force_rollback=True):  # no area sees what another has planted
            _CHECKS[area](connection, expectations, result)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        why = f"it failed with {error.sqlstate}: {error.diag.message_primary}"
        result.mark_unchecked(area, "database", why, "Connect as postgres, the owner of what the migrations create.")
    except psycopg.errors.InvalidSqlStatementName as error:
        why = (
            f"it failed with {error.sqlstate}: {error.diag.message_primary}; something has dropped what it had prepared"
        )
        result.mark_unchecked(area, "database", why, "Look for a trigger of the project's own that says deallocate.")
    except DeadlineError:
        why = f"not to its end: {LONGEST_S} seconds are over, and each statement takes long"
        result.mark_unchecked(area, "database", why, "Mend what else was found, and look for what is slow in a policy.")
    except psycopg.errors.QueryCanceled as error:
        # a fault can be what makes it slow, on a large table: what has been found so far stands
        why = f"not to its end: a statement failed with {error.sqlstate}: {error.diag.message_primary}"
        result.mark_unchecked(area, "database", why, "Mend what else was found, and ask again when the server is idle.")
