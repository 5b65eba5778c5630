"""What the fixtures do on a connection, written once for both kinds of psycopg connection.

Each function is a generator: it yields a Step, is sent the Result, and has psycopg's errors thrown into it at the
`yield`. `synchronous` and `asynchronous` run the steps. All of it happens inside a transaction of the caller's.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.outcomes import refusal
from supabase_jobs.testing.identity import Identity
from supabase_jobs.testing.outcome import Attempt, Outcome, Params, Result, Table


@dataclass(frozen=True)
class Step:
    """One statement. `ours` has $1 parameters and plain tuples for rows; a user's has psycopg's and its row factory."""

    query: bytes | Composed
    params: Params = None
    ours: bool = True
    plain: bool = False


T = TypeVar("T")
Steps = Generator[Step, Result, T]

_GET = b"select s.name, coalesce(current_setting(s.name, true), '') from unnest($1::text[]) as s (name)"
_SET = b"select set_config(s.name, s.value, true) from unnest($1::text[], $2::text[]) as s (name, value)"
# so that nobody's open session makes a test hang for ever
_BEGIN = b"""
select current_user::text, set_config(
  'lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '10s'), true
)
"""

_numbers = count(1)


@dataclass(frozen=True)
class Entered:
    """What an identity has to put back: the savepoint before it, and the settings that were there."""

    savepoint: str
    before: dict[str, str]


def begin() -> Steps[Identity]:
    """The identity of the connection itself, at the start of the test's transaction: no request, its own role."""
    answer = yield Step(_BEGIN)
    return Identity(answer.rows[0][0])


def enter(identity: Identity) -> Steps[Entered]:
    """Take on an identity, until `leave`."""
    made = identity.made()
    answer = yield Step(_GET, (list(made),))
    entered = Entered((yield from _savepoint()), dict(answer.rows))
    try:
        yield Step(_SET, (list(made), list(made.values())))
    except psycopg.Error as error:
        yield from _undo(entered.savepoint)
        if error.sqlstate in ("22023", "42501"):  # set role: unknown, or not a member
            raise SupabaseJobsError(
                f"cannot act as the role {identity.role}: {error.diag.message_primary}",
                hint="Connect as a role that is a member of it: postgres is one of the three API roles of Supabase.",
                sqlstate=error.sqlstate,
            ) from None
        raise
    return entered


def leave(entered: Entered, *, undo: bool) -> Steps[None]:
    """Put back the role and the settings that were there before; with `undo` also everything done since."""
    if undo:
        yield from _undo(entered.savepoint)
    else:
        yield Step(_SET, (list(entered.before), list(entered.before.values())))
        yield from _release(entered.savepoint)


def execute(attempt: Attempt) -> Steps[Result]:
    """Run a statement as its identity and keep what it did; where it fails, only it is undone."""
    entered = yield from enter(attempt.identity)
    try:
        answer = yield Step(attempt.sql.encode(), attempt.params, ours=False)
    except BaseException:
        yield from leave(entered, undo=True)
        raise
    yield from leave(entered, undo=False)
    return answer


def outcome(attempt: Attempt) -> Steps[Outcome]:
    """What a statement comes to for its identity; the statement is kept where it worked, see `undone`."""
    try:
        answer = yield from execute(attempt)
    except INCONCLUSIVE_ERRORS:
        raise
    except psycopg.Error as error:
        if error.sqlstate is None:  # never reached the server, or lost it
            raise
        return Outcome(refusal(error), Result(), error.sqlstate, error.diag.message_primary or "")
    return Outcome("hidden" if answer.count == 0 else "rows", answer)


def undone(steps: Callable[[], Steps[T]]) -> Steps[T]:
    """Some steps, of which nothing stays."""
    savepoint = yield from _savepoint()
    try:
        return (yield from steps())
    finally:
        yield from _undo(savepoint)


def tables(owner: Identity, attempt: Attempt) -> Steps[list[Table]]:
    """The tables of a statement, found in its plan, and what keeps the role from their rows; none where it has no plan.

    Asked only for a message, so what cannot be found out is left out of it.
    """
    with suppress(psycopg.Error):
        return (yield from undone(lambda: _tables(owner, attempt)))
    return []


def _tables(owner: Identity, attempt: Attempt) -> Steps[list[Table]]:
    yield from enter(owner)
    explain = Composed([SQL("explain (verbose, format json) "), SQL(attempt.sql)])
    answer = yield Step(explain, attempt.params, ours=False, plain=True)
    found = sorted(set(_relations(answer.rows[0][0])))
    if not found:
        return []
    names = [list(column) for column in zip(*found, strict=True)]
    answer = yield Step(_query("tables"), (*names, attempt.identity.role))
    return [Table(*row) for row in answer.rows]


def _relations(plan: Any) -> Generator[tuple[str, str]]:
    if isinstance(plan, dict):
        if "Relation Name" in plan and "Schema" in plan:
            yield plan["Schema"], plan["Relation Name"]
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from _relations(part)


def _savepoint() -> Steps[str]:
    name = f"rls_{next(_numbers)}"
    yield Step(SQL("savepoint {}").format(Identifier(name)))
    return name


def _release(name: str) -> Steps[None]:
    yield Step(SQL("release savepoint {}").format(Identifier(name)))


def _undo(name: str) -> Steps[None]:
    yield Step(SQL("rollback to savepoint {}").format(Identifier(name)))
    yield from _release(name)


def _query(name: str) -> bytes:
    return sql_file(Path(__file__).with_name(f"{name}.sql")).text.encode()
