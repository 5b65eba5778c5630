"""Call functions, fire triggers, delete what cascades, and judge each by what rows changed; all rolled back.

Works for any declaration; knows no function and no table. Expects to be called inside a transaction that is
rolled back.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from string import Template
from typing import Any

import psycopg

from supabase_jobs.database import Connection
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.project import Promise
from supabase_jobs.verify import scenarios, script
from supabase_jobs.verify.collected import Collected
from supabase_jobs.verify.declaration import NULL, Identity
from supabase_jobs.verify.impersonation import (
    NOT_AN_ANSWER,
    SET,
    THROWN_AWAY,
    Session,
    become,
    begin,
    one,
    plant,
    refusal,
)
from supabase_jobs.verify.scenarios import ALL_IDS, DELETED, INSERTED, Scenario, Scenarios, Step

AREA = "functions"
WRITES = True

NOW = "now"

Rows = Mapping[str, Mapping[str, Any]]


def check(connection: Connection, promise: Promise, result: Collected) -> None:
    """The area: the scenarios of these sources, against this database."""
    if (file := result.declared(AREA, promise, scenarios.DEFAULT_FILE)) is not None:
        run(connection, scenarios.load(file), promise.variables, result)


def run(connection: Connection, declared: Scenarios, variables: Mapping[str, object], result: Collected) -> None:
    """Run every scenario, undone by a savepoint; one finding for each that is not as declared.

    `variables` fill the placeholders that are not ids. The fixture rows stay until the caller rolls its
    transaction back.
    """
    session = begin(connection, AREA, declared.ids, declared.placeholders, variables)
    scripts = _Scripts(session, declared)
    result.preambles[AREA] = scripts.preamble
    if not plant(session, AREA, declared.fixture, result):
        return
    stage = _Stage(session, declared.watch, variables)
    planted = stage.look()
    if missing := [name for name in declared.planted if name not in planted]:
        result.unchecked.append(AREA)
        result.findings.append(_nothing_there(missing))
        return
    deviating: set[str] = set()
    for scenario in declared.scenarios:
        if result.enough:
            break
        if not deviating.isdisjoint(scenario.after):
            deviating.add(scenario.name)
            continue
        if not result.repeated:
            result.cases.append(Case(_id(scenario), AREA, scenario.subject, scenario.name, scripts.of(scenario)))
        try:
            deviations = list(stage.play(scenario, planted))
        except _InTheWayError as error:
            result.not_checked(AREA, scenario.subject, str(error), "Connect as postgres.", id=_id(scenario))
            continue
        if deviations:
            deviating.add(scenario.name)
            result.findings.append(_deviation(scenario, deviations))


class _InTheWayError(Exception):
    """A scenario could not be played, for a reason that says nothing of what it is about."""


@dataclass(frozen=True)
class _Outcome:
    """What a step came to: the rows it returned, or its error and the server's words for it."""

    rows: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    words: str = ""

    def __str__(self) -> str:
        return f"{self.error} ({self.words})" if self.error else _shown(self.rows)


class _Stage:
    """Plays scenarios on one connection, and says how rows and values are called."""

    def __init__(self, session: Session, watch: str, variables: Mapping[str, object]) -> None:
        self._session = session
        self._connection = session.connection
        self._watch = watch
        self._variables = {name: str(value) for name, value in variables.items()}
        self._params = {**session.ids, ALL_IDS: list(session.ids.values())}
        self._names = {str(id): f"${name}" for name, id in session.ids.items()}
        self._names[one(self._connection.execute("select to_jsonb(now())"))[0]] = NOW

    def look(self) -> Rows:
        """Every watched row, by the name of its id, or by its key where it has none."""
        [found] = one(self._execute(self._watch))
        return {self._names.get(key, key).removeprefix("$"): row for key, row in (found or {}).items()}

    def play(self, scenario: Scenario, planted: Rows) -> Iterator[str]:
        """What was not as declared, in words; everything is undone when this is through."""
        with self._connection.transaction(force_rollback=True):
            before = self._given(scenario) if scenario.given else planted
            if len(scenario.steps) == 1:  # after an error nothing more is asked here: no savepoint is needed
                outcomes = [self._outcome(scenario.steps[0], nullcontext())]
            else:
                outcomes = [self._outcome(step, self._connection.transaction()) for step in scenario.steps]
            # an error has taken back whatever its call had done until then
            after = before if all(outcome.error for outcome in outcomes) else self.look()
        for number, (step, outcome) in enumerate(zip(scenario.steps, outcomes, strict=True), 1):
            if outcome.error in scenario.unjudged:
                raise _InTheWayError(f"{scenario.name}: it failed with {outcome}")
            expected = _Outcome(tuple(tuple(map(self._filled, row)) for row in step.result), step.error)
            if (outcome.rows, outcome.error) != (expected.rows, expected.error):
                call = f"call {number}" if len(scenario.steps) > 1 else "the call"
                yield f"{call} should come to {step.error or _shown(expected.rows)} and comes to {outcome}"
        yield from self._changes(before, after, scenario)

    def _given(self, scenario: Scenario) -> Rows:
        try:
            with self._connection.transaction(), self._connection.pipeline():
                for statement in scenario.given:
                    self._execute(statement)
        except NOT_AN_ANSWER:
            raise
        except psycopg.Error as error:
            if self._connection.broken:
                raise
            why = f"{scenario.name}: what it starts from failed with {error.sqlstate}: {error.diag.message_primary}"
            raise _InTheWayError(why) from error
        return self.look()

    def _outcome(self, step: Step, savepoint: AbstractContextManager[object]) -> _Outcome:
        try:
            with savepoint:
                if step.identity is not None:
                    become(self._session, step.identity)
                try:
                    cursor = self._execute(step.call)
                except psycopg.Error as error:
                    raise _CallError(error) from error
                if step.identity is not None:
                    self._be_oneself(step.identity)
        except _CallError as failed:
            if isinstance(failed.error, NOT_AN_ANSWER) or self._connection.broken:
                raise failed.error from None
            return _Outcome(error=refusal(failed.error), words=failed.error.diag.message_primary or "")
        found = cursor.fetchall() if cursor.description else []
        return _Outcome(tuple(tuple(self._called(value) for value in row) for row in found))

    def _be_oneself(self, identity: Identity) -> None:
        """Give up an identity, and keep what it did: a savepoint that is released keeps its settings too."""
        with self._connection.pipeline():
            self._connection.execute(SET, ("role", self._session.own_role))
            for name in identity.settings_for(self._session.texts):
                self._connection.execute(SET, (name, ""))

    def _changes(self, before: Rows, after: Rows, scenario: Scenario) -> Iterator[str]:
        for name in sorted({*before, *after, *scenario.changes}):
            expected = scenario.changes.get(name)
            if isinstance(expected, Mapping):
                expected = {column: self._filled(value) for column, value in expected.items()}
            found = self._change(before.get(name), after.get(name))
            if found != expected:
                yield f"{name} should be {_told(expected)} and is {_told(found)}"

    def _change(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str | dict[str, str] | None:
        if before == after:
            return None
        if before is None or after is None:
            return INSERTED if before is None else DELETED
        return {c: self._called(after.get(c)) for c in {**before, **after} if before.get(c) != after.get(c)}

    def _execute(self, statement: str) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement.encode(), self._params)

    def _called(self, value: object) -> str:
        """A value as declarations write it: ids by their `$name`, the transaction's time as `now`."""
        if value is None:
            return NULL
        text = value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
        return self._names.get(text, text)

    def _filled(self, text: str) -> str:
        """A declared value with the variables filled in; ids keep their names."""
        return Template(text).safe_substitute(self._variables)


class _CallError(Exception):
    """The call itself failed, and not the taking on of an identity before it."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error


class _Scripts:
    """Each scenario as SQL for psql. The array of all ids is a setting there, or nobody could read it."""

    def __init__(self, session: Session, declared: Scenarios) -> None:
        array = "{" + ",".join(map(str, session.ids.values())) + "}"
        literals = script.quoted({**session.ids, ALL_IDS: array})
        ids = f"select set_config('verify.ids', %({ALL_IDS})s, true) is not null as ids"
        self.preamble = script.preamble(
            "What functions, triggers and cascades do, by the rows that change.", [*declared.fixture, ids], literals
        )
        self._session = session
        self._watch = declared.watch
        self._literals = {**literals, ALL_IDS: "current_setting('verify.ids')::uuid[]"}
        names = {name for scenario in declared.scenarios for step in scenario.steps for name in self._settings(step)}
        self._back = script.setting({**dict.fromkeys(sorted(names), ""), "role": session.own_role})

    def of(self, scenario: Scenario) -> str:
        """The scenario's own part of its script."""
        calls = [
            (script.identity(step.identity.role, self._settings(step)) if step.identity else "", step.call)
            for step in scenario.steps
        ]
        expected = [f"declared: {step.error or _shown(step.result)}" for step in scenario.steps]
        changes = [f"declared: {name} is {_told(change)}" for name, change in scenario.changes.items()]
        return script.story(
            (f"{scenario.subject}: {scenario.name}", *expected, *changes),
            scenario.given,
            calls,
            self._literals,
            watch=self._watch,
            back=self._back,
        )

    def _settings(self, step: Step) -> dict[str, str]:
        return step.identity.settings_for(self._session.texts) if step.identity else {}


def _shown(rows: tuple[tuple[str, ...], ...]) -> str:
    return "; ".join(", ".join(row) for row in rows) or "no row"


def _told(change: str | Mapping[str, str] | None) -> str:
    if change is None:
        return "as it was"
    if isinstance(change, str):
        return change
    return "changed to " + ", ".join(f"{column} = {value}" for column, value in sorted(change.items()))


def _id(scenario: Scenario) -> str:
    return f"{AREA}:{scenario.subject}:{scenario.name}"


def _deviation(scenario: Scenario, deviations: list[str]) -> Finding:
    return Finding(
        id=_id(scenario),
        area=AREA,
        severity=Severity.ERROR,
        object=scenario.subject,
        message=f"{scenario.name}: {'; '.join(deviations)}",
        fix=f"Create {scenario.subject} again as the migration does. `verify --only structure` names what differs.",
    )


def _nothing_there(missing: list[str]) -> Finding:
    return Finding(
        id=f"{AREA}:fixture",
        area=AREA,
        severity=Severity.ERROR,
        object="fixture",
        message=f"{AREA} was not checked: the test rows {', '.join(missing)} are not there after planting them",
        fix=THROWN_AWAY,
    )
