"""Run scenarios against the fixture rows and describe every deviation. Needs an open transaction."""

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
from supabase_jobs.verify.functions.scenarios import ALL_IDS, DELETED, INSERTED, Scenario, ScenarioStep
from supabase_jobs.verify.identity import NULL
from supabase_jobs.verify.impersonation import Impersonation, one, reset_role, send_identity

NOW = "now"

# one savepoint for all scenarios: each scenario begins with a rollback to it
_SAVEPOINT = "fixture"
_RESET = "rollback to savepoint fixture"
# each of several steps has a savepoint of its own, so that an error undoes no other step
_STEP_SAVEPOINT = "savepoint step"
_STEP_ROLLBACK = "rollback to savepoint step"
_STEP_RELEASE = "release savepoint step"

_WATCH = "supabase_jobs_watch"
_RUN_WATCH = "execute supabase_jobs_watch"

Rows = Mapping[str, Mapping[str, Any]]


class UncheckedError(Exception):
    """A scenario could not be checked, for a reason outside the managed objects; `fix` is the hint."""

    def __init__(self, message: str, fix: str = "Connect as postgres.") -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class _Result:
    """The rows that a step returned, or its error: as declarations name it (`error`), and psycopg's (`cause`)."""

    rows: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    cause: psycopg.Error | None = None

    def __str__(self) -> str:
        if self.cause is None:
            return format_rows(self.rows)
        return f"{self.error} ({self.cause.diag.message_primary or ''})"


@contextmanager
def scenario_runner(
    impersonation: Impersonation, watch: str, variables: Mapping[str, object], managed: Collection[str] = ()
) -> Iterator["ScenarioRunner"]:
    """A runner for scenarios on the fixture rows; leaving the context undoes all changes.

    `watch` is the query that shows changes. `variables` fill the placeholders of declared values. A constraint of a
    table that is not among `managed` is a user object.
    """
    connection = impersonation.connection
    params = {**impersonation.ids, ALL_IDS: list(impersonation.ids.values())}
    query = psycopg.ClientCursor(connection).mogrify(watch.encode(), params).encode()
    with (
        prepared(connection, {_WATCH: query}),
        connection.transaction(force_rollback=True, savepoint_name=_SAVEPOINT),
    ):
        yield ScenarioRunner(impersonation, params, variables, managed)


class ScenarioRunner:
    """Runs scenarios on one connection and compares results and changed rows with the declaration."""

    def __init__(
        self,
        impersonation: Impersonation,
        params: Mapping[str, object],
        variables: Mapping[str, object],
        managed: Collection[str],
    ) -> None:
        self._impersonation = impersonation
        self._connection = impersonation.connection
        self._managed = managed
        self._variables = {name: str(value) for name, value in variables.items()}
        self._params = params
        self._names = {str(id): f"${name}" for name, id in impersonation.ids.items()}
        self._names[one(self._connection.execute("select to_jsonb(now())"))[0]] = NOW
        self.fixture_rows = self._rows(self._connection.execute(_RUN_WATCH))

    def run(self, scenario: Scenario) -> Iterator[str]:
        """Yield a description of each deviation. The next scenario undoes the changes, and so does the context's end.

        Raises UncheckedError if a user object prevents the run.
        """
        if scenario.given or len(scenario.steps) > 1:
            results, before, after = self._run_steps(scenario)
        else:
            result, watched = self._call(scenario.steps[0], [_RESET], watch=True)
            results, before = [result], self.fixture_rows
            after = self._rows(watched) if watched else self.fixture_rows
        for number, (step, result) in enumerate(zip(scenario.steps, results, strict=True), 1):
            self._check_judgeable(scenario, step, result)
            expected = _Result(tuple(tuple(map(self._fill, row)) for row in step.result), step.error)
            if (result.rows, result.error) != (expected.rows, expected.error):
                call = f"call {number}" if len(scenario.steps) > 1 else "the call"
                yield f"{call} should result in {step.error or format_rows(expected.rows)}, but results in {result}"
        yield from self._deviating_changes(before, after, scenario)

    def _run_steps(self, scenario: Scenario) -> tuple[list[_Result], Rows, Rows]:
        self._connection.execute(_RESET)
        before = self._run_given(scenario) if scenario.given else self.fixture_rows
        results, first = [], [_STEP_SAVEPOINT]
        for step in scenario.steps:
            result, _ = self._call(step, first, watch=False)
            results.append(result)
            first = [_STEP_ROLLBACK if result.cause else _STEP_RELEASE, _STEP_SAVEPOINT]
        self._connection.execute(first[0])
        return results, before, self._rows(self._connection.execute(_RUN_WATCH))

    def _run_given(self, scenario: Scenario) -> Rows:
        try:
            with self._connection.pipeline():
                for statement in scenario.given:
                    self._execute(statement)
                reset_role(self._impersonation)
                watched = self._connection.execute(_RUN_WATCH)
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if self._connection.broken:
                raise
            reason = f"`given` failed with {error.sqlstate}: {error.diag.message_primary}"
            raise UncheckedError(f"{scenario.name}: {reason}") from error
        return self._rows(watched)

    def _call(
        self, step: ScenarioStep, first: Sequence[str], *, watch: bool
    ) -> tuple[_Result, psycopg.Cursor[Any] | None]:
        """Run the statements `first`, the call as its identity, and the watch query, in one round trip.

        After an error the second value is None: the error undid the call.
        """
        check_identity = called = watched = None
        try:
            with self._connection.pipeline():
                for statement in first:
                    self._connection.execute(statement.encode())
                if step.identity is not None:
                    check_identity = send_identity(self._impersonation, step.identity)
                called = self._execute(step.call)
                reset_role(self._impersonation, step.identity)
                if watch:
                    watched = self._connection.execute(_RUN_WATCH)
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if self._connection.broken or (called is not None and called.pgresult is not None):
                raise
            if check_identity is not None:
                check_identity()
            return _Result(error=refusal(error), cause=error), None
        if check_identity is not None:
            check_identity()
        rows = called.fetchall() if called.description else []
        return _Result(tuple(tuple(self._declared(value) for value in row) for row in rows)), watched

    def _check_judgeable(self, scenario: Scenario, step: ScenarioStep, result: _Result) -> None:
        if result.cause is None:
            return
        if result.error in scenario.unchecked_errors:
            raise UncheckedError(f"{scenario.name}: it failed with {result}")
        if step.error is not None:  # the call got past the expected error, so a later error is a deviation
            return
        self._connection.execute(_RESET)
        if (conflict := ownership.user_object_conflict(self._connection, result.cause, self._managed)) is not None:
            raise UncheckedError(f"{scenario.name}: {conflict.why}", conflict.fix)

    def _deviating_changes(self, before: Rows, after: Rows, scenario: Scenario) -> Iterator[str]:
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        for name in sorted(changed | set(scenario.changes)):
            expected = scenario.changes.get(name)
            if isinstance(expected, Mapping):
                expected = {column: self._fill(value) for column, value in expected.items()}
            actual = self._change(before.get(name), after.get(name))
            if actual != expected:
                yield f"{name} should be {format_change(expected)}, but is {format_change(actual)}"

    def _change(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str | dict[str, str] | None:
        if before == after:
            return None
        if before is None or after is None:
            return INSERTED if before is None else DELETED
        return {c: self._declared(after.get(c)) for c in {**before, **after} if before.get(c) != after.get(c)}

    def _execute(self, statement: str) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement.encode(), self._params)

    def _rows(self, watched: psycopg.Cursor[Any]) -> Rows:
        """The result of the watch query: each row by the name of its id, or by its key if the id has no name."""
        [rows] = one(watched)
        return {self._names.get(key, key).removeprefix("$"): row for key, row in (rows or {}).items()}

    def _declared(self, value: object) -> str:
        """A value as declarations write it: an id as `$name`, the time of the transaction as `now`."""
        if value is None:
            return NULL
        text = value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
        return self._names.get(text, text)

    def _fill(self, text: str) -> str:
        """A declared value with the variables filled in; the names of ids stay."""
        return Template(text).safe_substitute(self._variables)


def format_rows(rows: tuple[tuple[str, ...], ...]) -> str:
    """The rows of a result as text."""
    return "; ".join(", ".join(row) for row in rows) or "no row"


def format_change(change: str | Mapping[str, str] | None) -> str:
    """The change of a row as text."""
    if change is None:
        return "unchanged"
    if isinstance(change, str):
        return change
    return "changed to " + ", ".join(f"{column} = {value}" for column, value in sorted(change.items()))
