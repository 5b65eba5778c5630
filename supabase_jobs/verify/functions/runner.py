"""Play scenarios against planted rows, and tell in words what did not go as declared.

Works for any declaration; knows no function and no table. Needs an open transaction.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from string import Template
from typing import Any

import psycopg

from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.prepare import prepared
from supabase_jobs.outcomes import refusal
from supabase_jobs.verify import ownership
from supabase_jobs.verify.functions.scenarios import ALL_IDS, DELETED, INSERTED, Scenario, Step
from supabase_jobs.verify.identity import NULL
from supabase_jobs.verify.impersonation import Impersonation, one, reset_role, send_identity

NOW = "now"

# one savepoint for all scenarios: going back to it is part of the next one
_SAVEPOINT = "planted"
_UNDO = "rollback to savepoint planted"
# each of several steps has one of its own, so that an error takes back no other
_STEP = "savepoint step"
_STEP_BACK = "rollback to savepoint step"
_STEP_ON = "release savepoint step"

_WATCH = "supabase_jobs_watch"
_LOOK = "execute supabase_jobs_watch"

Rows = Mapping[str, Mapping[str, Any]]


class InTheWayError(Exception):
    """A scenario could not be played, for a reason that says nothing of what it is about; `fix` is what helps."""

    def __init__(self, message: str, fix: str = "Connect as postgres.") -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class _Outcome:
    """What a step came to: the rows it returned, or its error, as declarations call it and as it is."""

    rows: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    cause: psycopg.Error | None = None

    def __str__(self) -> str:
        if self.cause is None:
            return shown(self.rows)
        return f"{self.error} ({self.cause.diag.message_primary or ''})"


@contextmanager
def on_stage(
    session: Impersonation, watch: str, variables: Mapping[str, object], ours: Collection[str] = ()
) -> Iterator["Stage"]:
    """The planted rows, to play on; they are as they were when this is left.

    `watch` is the query by which changes are seen, and `variables` fill in the declared values. A constraint of a table
    that is not among `ours` is the project's own, and says nothing of ours.
    """
    connection = session.connection
    params = {**session.ids, ALL_IDS: list(session.ids.values())}
    look = psycopg.ClientCursor(connection).mogrify(watch.encode(), params).encode()
    with (
        prepared(connection, {_WATCH: look}),
        connection.transaction(force_rollback=True, savepoint_name=_SAVEPOINT),
    ):
        yield Stage(session, params, variables, ours)


class Stage:
    """Plays scenarios on one connection, and says how rows and values are called."""

    def __init__(
        self,
        session: Impersonation,
        params: Mapping[str, object],
        variables: Mapping[str, object],
        ours: Collection[str],
    ) -> None:
        self._session = session
        self._connection = session.connection
        self._ours = ours
        self._variables = {name: str(value) for name, value in variables.items()}
        self._params = params
        self._names = {str(id): f"${name}" for name, id in session.ids.items()}
        self._names[one(self._connection.execute("select to_jsonb(now())"))[0]] = NOW
        self.planted = self._seen(self._connection.execute(_LOOK))

    def play(self, scenario: Scenario) -> Iterator[str]:
        """What was not as declared, in words; undone by the next, or by leaving the stage.

        Raises InTheWayError where something of the project's own kept it from being played.
        """
        if scenario.given or len(scenario.steps) > 1:
            outcomes, before, after = self._at_length(scenario)
        else:
            outcome, seen = self._ask(scenario.steps[0], [_UNDO], look=True)
            outcomes, before, after = [outcome], self.planted, self._seen(seen) if seen else self.planted
        for number, (step, outcome) in enumerate(zip(scenario.steps, outcomes, strict=True), 1):
            self._must_be_judged(scenario, step, outcome)
            expected = _Outcome(tuple(tuple(map(self._filled, row)) for row in step.result), step.error)
            if (outcome.rows, outcome.error) != (expected.rows, expected.error):
                call = f"call {number}" if len(scenario.steps) > 1 else "the call"
                yield f"{call} should come to {step.error or shown(expected.rows)} and comes to {outcome}"
        yield from self._changes(before, after, scenario)

    def _at_length(self, scenario: Scenario) -> tuple[list[_Outcome], Rows, Rows]:
        self._connection.execute(_UNDO)
        before = self._given(scenario) if scenario.given else self.planted
        outcomes, first = [], [_STEP]
        for step in scenario.steps:
            outcome, _ = self._ask(step, first, look=False)
            outcomes.append(outcome)
            first = [_STEP_BACK if outcome.cause else _STEP_ON, _STEP]
        self._connection.execute(first[0])
        return outcomes, before, self._seen(self._connection.execute(_LOOK))

    def _given(self, scenario: Scenario) -> Rows:
        try:
            with self._connection.pipeline():
                for statement in scenario.given:
                    self._execute(statement)
                reset_role(self._session)
                seen = self._connection.execute(_LOOK)
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if self._connection.broken:
                raise
            why = f"{scenario.name}: what it starts from failed with {error.sqlstate}: {error.diag.message_primary}"
            raise InTheWayError(why) from error
        return self._seen(seen)

    def _ask(self, step: Step, first: Sequence[str], *, look: bool) -> tuple[_Outcome, psycopg.Cursor[Any] | None]:
        """Call as an identity, give it up, keep what it did, and look: all in one round trip, after what is `first`.

        An error has taken back whatever its call had done until then; nothing is seen after one.
        """
        became = called = seen = None
        try:
            with self._connection.pipeline():
                for statement in first:
                    self._connection.execute(statement.encode())
                if step.identity is not None:
                    became = send_identity(self._session, step.identity)
                called = self._execute(step.call)
                reset_role(self._session, step.identity)
                if look:
                    seen = self._connection.execute(_LOOK)
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if self._connection.broken or (called is not None and called.pgresult is not None):
                raise
            if became is not None:
                became()
            return _Outcome(error=refusal(error), cause=error), None
        if became is not None:
            became()
        found = called.fetchall() if called.description else []
        return _Outcome(tuple(tuple(self._called(value) for value in row) for row in found)), seen

    def _must_be_judged(self, scenario: Scenario, step: Step, outcome: _Outcome) -> None:
        if outcome.cause is None:
            return
        if outcome.error in scenario.unjudged:
            raise InTheWayError(f"{scenario.name}: it failed with {outcome}")
        if step.error is not None:  # it got past what should have refused it
            return
        self._connection.execute(_UNDO)
        if (found := ownership.user_object_conflict(self._connection, outcome.cause, self._ours)) is not None:
            raise InTheWayError(f"{scenario.name}: {found.why}", found.fix)

    def _changes(self, before: Rows, after: Rows, scenario: Scenario) -> Iterator[str]:
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        for name in sorted(changed | set(scenario.changes)):
            expected = scenario.changes.get(name)
            if isinstance(expected, Mapping):
                expected = {column: self._filled(value) for column, value in expected.items()}
            found = self._change(before.get(name), after.get(name))
            if found != expected:
                yield f"{name} should be {told(expected)} and is {told(found)}"

    def _change(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str | dict[str, str] | None:
        if before == after:
            return None
        if before is None or after is None:
            return INSERTED if before is None else DELETED
        return {c: self._called(after.get(c)) for c in {**before, **after} if before.get(c) != after.get(c)}

    def _execute(self, statement: str) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement.encode(), self._params)

    def _seen(self, looked: psycopg.Cursor[Any]) -> Rows:
        """Every watched row, by the name of its id, or by its key where it has none."""
        [found] = one(looked)
        return {self._names.get(key, key).removeprefix("$"): row for key, row in (found or {}).items()}

    def _called(self, value: object) -> str:
        """A value as declarations write it: ids by their `$name`, the transaction's time as `now`."""
        if value is None:
            return NULL
        text = value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
        return self._names.get(text, text)

    def _filled(self, text: str) -> str:
        """A declared value with the variables filled in; ids keep their names."""
        return Template(text).safe_substitute(self._variables)


def shown(rows: tuple[tuple[str, ...], ...]) -> str:
    """The rows of an answer, in words."""
    return "; ".join(", ".join(row) for row in rows) or "no row"


def told(change: str | Mapping[str, str] | None) -> str:
    """A change of a row, in words."""
    if change is None:
        return "as it was"
    if isinstance(change, str):
        return change
    return "changed to " + ", ".join(f"{column} = {value}" for column, value in sorted(change.items()))
