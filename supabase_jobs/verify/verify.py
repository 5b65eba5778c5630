"""Run the areas of `verify` in transactions that are rolled back.

Each area is a package whose module `check` has the function `check(connection, expectations,
context)`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import LOCK_ERRORS, sqlstate_and_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Id, Severity, Verification
from supabase_jobs.local.embedded import is_embedded
from supabase_jobs.session.deadline import Deadline, DeadlineError
from supabase_jobs.session.frame import Undo
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.verify import (
    accepted_unchecked,
    additions,
    causes,
    equivalence,
    ownership,
    tried_fixes,
)
from supabase_jobs.verify.allowed import pins
from supabase_jobs.verify.areas import ACCESS, AREAS, FUNCTIONS, STRUCTURE
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations

# areas that insert fixture rows, and so need a primary server
_WRITING = (ACCESS, FUNCTIONS)

# for all statements together: each has its own limit, but a slow user policy can make all of them
# slow
TIME_LIMIT_S = 120
# for trying the fixes of all findings
TRIALS_LIMIT_S = 30

_FEW_NUMBERS = sql_file(Path(__file__).with_name("few_numbers.sql"))
_CLOSED_FUNCTIONS = sql_file(Path(__file__).with_name("closed_functions.sql"))

_DATABASE = sql_file(Path(__file__).with_name("database.sql"))
_FOR_ALL = (
    "every session of this database is read-only by default, so Auth, requests and workers cannot"
    " write (Supabase does this when the disk is full)"
)


def parse(only: str | None) -> tuple[str, ...]:
    """The areas of a comma-separated list, in the order they run; all areas for None. ConfigError
    for other names.
    """
    if only is None:
        return AREAS
    wanted = {part.strip() for part in only.split(",") if part.strip()}
    if unknown := wanted - set(AREAS):
        raise ConfigError(
            f"--only: unknown area {min(unknown)!r}", hint=f"Areas: {', '.join(AREAS)}."
        )
    if not wanted:
        raise ConfigError("--only: no area named", hint=f"Areas: {', '.join(AREAS)}.")
    return tuple(area for area in AREAS if area in wanted)


def import_area(area: str) -> Any:
    """The module that checks an area. It is imported on use: the server can answer the queries of
    the first area before the modules of the others are there.
    """
    return import_module(f"supabase_jobs.verify.{area}.check")


def verify(
    connection: Connection,
    expectations: Expectations,
    areas: Sequence[str] = AREAS,
    *,
    repeated: bool = False,
    tries_fixes: bool = True,
    advance: Callable[[int, int], None] = lambda _number, _total: None,
) -> Verification:
    """Check a live database. Everything happens in transactions that are rolled back.

    In an open transaction, everything happens in that. Otherwise each area is a transaction, and on
    a database in use each few checks, for which other sessions wait only a moment. Takes no lock
    stronger than a row lock. An area that cannot be checked (its declarations are missing, its
    fixture rows cannot be inserted, the role lacks a privilege, the server is read-only, it takes
    too long) is listed in `unchecked`, and a warning gives the reason, unless the project accepts
    it. For `repeated`, see `Context`; such a run finds no causes. Raises psycopg's errors if the
    connection is lost, if another session's lock blocks a statement, or if the database has no
    Auth.

    With `tries_fixes`, the fixes of the findings are tried, see `tried_fixes`; each takes the time
    of these checks, and locks what it changes.
    """
    started = time.monotonic()
    context = Context(repeated=repeated, deadline=Deadline(started + TIME_LIMIT_S))
    context.allowed.narrowings_unknown = STRUCTURE not in areas and pins.allows_narrowings(
        expectations.allowed
    )
    try:
        _check_all(connection, expectations, areas, context, advance)
    except psycopg.errors.InsufficientPrivilege as error:
        if not _mark_closed_functions(connection, areas, context, error):
            raise
        tries_fixes = False  # nothing can be tried either
    equivalence.downgrade(context)
    additions.settle(context, areas)
    if not repeated:
        pins.report_unused(expectations.allowed, areas, context)
    accepted = accepted_unchecked.accept(context, expectations.accepted_unchecked, areas, AREAS)
    if not repeated:
        context.findings[:] = causes.explain(context, expectations, areas)
    result = _verification(context, (time.monotonic() - started) * 1000, accepted)
    if repeated or not tries_fixes:
        return result
    check = partial(verify, connection, expectations, areas, tries_fixes=False)
    until = min(started + TIME_LIMIT_S, time.monotonic() + TRIALS_LIMIT_S)
    found = tried_fixes.try_fixes(connection, result, check, Deadline(until))
    return replace(result, findings=tuple(found))


def _check_all(
    connection: Connection,
    expectations: Expectations,
    areas: Sequence[str],
    context: Context,
    advance: Callable[[int, int], None],
) -> None:
    with _begun(connection, context) as (begin_area, database):
        used = False
        for number, area in enumerate(areas, 1):
            if context.should_stop:
                break
            advance(number, len(areas))
            if area in _WRITING and database.is_read_only:
                _mark_read_only(area, database, context)
                continue
            if used:  # no area sees the fixture rows of another
                run_groups(connection, [begin_area])[0].answer()
            used = True
            if (
                area in _WRITING
                and not context.repeated
                and _few_numbers(connection, area, expectations, context)
            ):
                continue
            _check(connection, area, expectations, context, has_auth=database.has_auth)


def _mark_closed_functions(
    connection: Connection,
    areas: Sequence[str],
    context: Context,
    error: psycopg.errors.InsufficientPrivilege,
) -> bool:
    """Mark all areas as unchecked if nobody may call a function of PostgreSQL that everybody may
    call in a new database. Requests need them too: the API passes the claims by set_config().
    """
    closed = [function for (function,) in _CLOSED_FUNCTIONS.rows(connection)]
    if not closed:
        return False
    why = f"it failed with {sqlstate_and_message(error)}, as each request does that calls it"
    fix = f"As a superuser: grant execute on function {', '.join(closed)} to public;"
    for area in areas:
        context.mark_unchecked(area, closed[0], why, fix, severity=Severity.ERROR)
    return True


@dataclass(frozen=True)
class _Database:
    """The row of `database.sql`."""

    is_read_only: bool
    kind: str
    fix: str
    has_auth: bool
    cluster_name: str


def _mark_read_only(area: str, database: _Database, context: Context) -> None:
    """Mark a writing area as unchecked; it is an error if the whole database is read-only."""
    if database.fix:
        severity = Severity.ERROR
        context.mark_unchecked(area, "database", _FOR_ALL, database.fix, severity=severity)
        return
    why = f"this is {database.kind}, and fixture rows cannot be inserted"
    context.mark_unchecked(area, "database", why, "Connect to the primary.")


def _few_numbers(
    connection: Connection, area: str, expectations: Expectations, context: Context
) -> bool:
    """Whether the rows of an area would use up a sequence; then mark it as unchecked."""
    tables = sorted(ownership.managed_relations(expectations))
    rows = _FEW_NUMBERS.rows(connection, tables)
    if rows:
        left = ", ".join(f"{name} ({numbers:,})" for name, numbers in rows)
        why = f"its rows would take numbers from sequences that have few left: {left}"
        fix = f"Give it more numbers: alter sequence {rows[0][0]} as bigint maxvalue 2147483647."
        context.mark_unchecked(area, rows[0][0], why, fix, id=Id(area, "sequence"))
    return bool(rows)


@contextmanager
def _begun(
    connection: Connection, context: Context
) -> Iterator[tuple[Sequence[Statement], _Database]]:
    """A transaction, or a savepoint in an open one, that is rolled back. Yields the statements that
    begin the next area, and the state of the database.
    """
    with rolled_back(
        connection,
        Statement(SETTINGS),
        of_transaction=[time_limits()],
        last=[_DATABASE.statement()],
    ) as (statements, answer):
        [row] = answer.rows
        database = _Database(*row)
        context.in_use = not is_embedded(connection, database.cluster_name)
        again = statements.again
        if context.in_use and statements.is_transaction:
            context.undo = Undo(again, releases_locks=True)
        else:
            context.undo = Undo(rows=again)
        yield again, database


def _verification(
    context: Context, milliseconds: float, accepted: Mapping[str, str]
) -> Verification:
    return Verification(
        findings=tuple(context.findings),
        cases=tuple(context.cases),
        milliseconds=milliseconds,
        grids=tuple(context.grids),
        unchecked=tuple(
            dict.fromkeys(area for id, area in context.unchecked.items() if id not in accepted)
        ),
        preambles=context.preambles,
        downgradable=frozenset(context.equivalence.needed),
        unexpected=tuple(context.unexpected),
        accepted_unchecked=accepted,
        not_applied=context.not_applied,
        problems={
            id: change.problem for id, change in context.evidence.changes.items() if change.problem
        },
    )


def _check(
    connection: Connection,
    area: str,
    expectations: Expectations,
    context: Context,
    *,
    has_auth: bool,
) -> None:
    """Run an area. Without Auth the database is no Supabase project, and errors end the run."""
    try:
        import_area(area).check(connection, expectations, context)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        why = f"it failed with {sqlstate_and_message(error)}"
        context.mark_unchecked(
            area, "database", why, "Connect as postgres, the owner of the managed objects."
        )
    except psycopg.errors.InvalidSqlStatementName as error:
        why = (
            f"it failed with {sqlstate_and_message(error)}; something deallocated the"
            " prepared statements of verify"
        )
        context.mark_unchecked(
            area, "database", why, "Look for a user trigger that runs deallocate."
        )
    except DeadlineError:
        why = (
            f"it was stopped after the time limit of {TIME_LIMIT_S} seconds, because"
            " many statements are slow"
        )
        context.mark_unchecked(
            area, "database", why, "Fix the other findings, and look for a slow policy."
        )
    except psycopg.errors.QueryCanceled as error:
        # the cause may be a fault that makes a statement slow on a large table, so earlier findings
        # are kept
        why = f"it was stopped: a statement failed with {sqlstate_and_message(error)}"
        fix = "Fix the other findings, and run verify again when the server is idle."
        context.mark_unchecked(area, "database", why, fix)
    except (psycopg.Error, ValueError) as error:
        if context.repeated or connection.broken or not has_auth or isinstance(error, LOCK_ERRORS):
            raise
        context.mark_unchecked(
            area,
            "database",
            f"the server's answer to a statement of verify was {_answer(error)}",
            "Fix what the answer names, and run verify again.",
            severity=Severity.ERROR,
        )


def _answer(error: psycopg.Error | ValueError) -> str:
    """An unexpected answer: the server's error, or a value that Python cannot represent."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return sqlstate_and_message(error)
    return "a value that cannot be read here, as a number of more than 4,300 digits"
