"""Run scenarios against the fixture rows, in an open transaction, and describe each deviation."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import psycopg

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.errors import (
    INCONCLUSIVE_ERRORS,
    LOCK_ERRORS,
    public_message,
    sqlstate_and_message,
)
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import DENIED, VIOLATES, is_constraint_violation
from supabase_jobs.session.deadline import NO_LIMIT, Deadline
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import (
    NULL,
    Impersonation,
    caller_statement,
    check_caller,
    committed,
    reset_statement,
)
from supabase_jobs.session.outcome import outcome_of_error
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.savepoint import kept, results_of_kept
from supabase_jobs.session.script import quoted
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify import other_values, ownership, row_by_row
from supabase_jobs.verify.fixture import SEARCH_PATH
from supabase_jobs.verify.functions.columns import TABLE, ComparedColumns, Row, Rows
from supabase_jobs.verify.functions.scenarios import (
    ALL_IDS,
    DELETED,
    INSERTED,
    VERSIONS,
    Scenario,
    Scenarios,
    ScenarioStep,
)
from supabase_jobs.verify.ownership import ManagedTables

NOW = "now"

_USER_TRIGGERS = sql_file(Path(__file__).with_name("user_triggers.sql"))
_COMPARED = sql_file(Path(__file__).with_name("compared_by_policies.sql"))
_NO_TABLES = ManagedTables()

_RUN_WATCH = Statement("execute supabase_jobs_watch")
_FORGET_WATCH = Statement("deallocate supabase_jobs_watch")
_NOW = Statement("select to_jsonb(now())")
# of the rows of the fixture, whose values are known
NO_VERSIONS = "'{}'::text[]"
_KNOWN_VERSIONS = "(select nullif(current_setting('verify.versions', true), ''))::text[]"
_WATCHED = "from (\n{watch}\n) as watched (key, value, version)"
_PREPARE_WATCH = f"prepare supabase_jobs_watch as select key, value {_WATCHED}"
_SET_VERSIONS = f"""\
select set_config('verify.versions', coalesce(array_agg(distinct version)::text, '{{{{}}}}'), true)
{_WATCHED}"""


class UncheckedError(Exception):
    """Something outside the managed objects prevents the check of a scenario; `fix` is the hint,
    `refusing` the texts of the user objects.
    """

    def __init__(
        self, message: str, fix: str = "Connect as postgres.", refusing: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.fix, self.refusing = fix, refusing


class RefusedError(UncheckedError):
    """A user object refuses what a managed function or foreign key writes."""


class NotRunError(UncheckedError):
    """A scenario would make others wait on a database in use, or the project refuses its rows."""


class LeftOutError(UncheckedError):
    """A scenario needs a row that the project refuses."""


@dataclass(frozen=True)
class Deviation:
    """A difference from the declaration. `narrower`: the caller saw or changed less, and nothing
    else. `raised` is the server's message, if it refused the call, and `is_denied` if for want of a
    privilege.
    """

    text: str
    narrower: bool
    raised: str = ""
    is_denied: bool = False


@dataclass(frozen=True)
class _Result:
    """The rows that a step returned, or its error: as declarations name it (`error`), and psycopg's
    (`cause`).
    """

    rows: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    cause: psycopg.Error | None = None

    def __str__(self) -> str:
        if self.cause is None:
            return format_rows(self.rows)
        return f"{self.error} ({public_message(self.cause)})"


def scenario_runner(
    impersonation: Impersonation,
    declared: Scenarios,
    variables: Mapping[str, object],
    frame: Frame,
    deadline: Deadline = NO_LIMIT,
    managed: Collection[str] = (),
    tables: ManagedTables = _NO_TABLES,
) -> "ScenarioRunner":
    """A runner for scenarios on the fixture rows, which the frame of each batch inserts.

    `variables` fill the placeholders of declared values. A constraint of a table that is not among
    `managed` is a user object. User columns of the managed `tables` are not compared.
    """
    literals = quoted({**impersonation.ids, ALL_IDS: list(impersonation.ids.values())})
    runner = ScenarioRunner(
        impersonation,
        deadline,
        frame,
        literals,
        variables,
        managed,
        tables,
        declared.watch,
    )
    unchanging = [Statement(statement % literals) for statement in declared.unchanging]
    triggers = _USER_TRIGGERS.statement(list(tables.columns), list(tables.triggers))
    compared = _COMPARED.statement(list(tables.columns))
    runner.run([_Unchanging(runner, [triggers, compared, *unchanging, _RUN_WATCH])])
    return runner


class ScenarioRunner(Runner):
    """Runs scenarios on a connection; compares results and changed rows with the declaration.

    The transaction of each batch has another time, and the fixture rows other times.
    """

    def __init__(
        self,
        impersonation: Impersonation,
        deadline: Deadline,
        frame: Frame,
        literals: Mapping[str, str],
        variables: Mapping[str, object],
        managed: Collection[str],
        tables: ManagedTables,
        watch: str,
    ) -> None:
        super().__init__(impersonation, deadline, frame)
        self._managed = managed
        self._variables = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in variables.items()
        }
        self._literals = literals
        self._names = {str(id): f"${name}" for name, id in impersonation.ids.items()}
        self.columns = ComparedColumns(tables.columns)
        # by their text, because a scenario changes few of the watched rows
        self._decoded: dict[str, Row] = {}
        self._compared: dict[str, Row] = {}
        self._watch = watch
        self._begun = Answer()
        self._texts: dict[str, str] = {}
        self.fixture_rows: Rows = {}

    def without_fixture(self) -> "ScenarioRunner":
        """A runner of batches without the rows of the fixture, which compares the same columns."""
        rows = [*self.impersonation.setup, Statement(SEARCH_PATH)]
        other = ScenarioRunner(
            self.impersonation,
            self._deadline,
            Frame(tuple(rows), self._frame.undo),
            self._literals,
            self._variables,
            self._managed,
            _NO_TABLES,
            self._watch,
        )
        other.columns = self.columns
        return other

    def prepare(self) -> Sequence[Statement]:
        """The query for the watched rows: planning it takes longer than running it."""
        watch = self._watch % {**self._literals, VERSIONS: _KNOWN_VERSIONS}
        return [Statement(_PREPARE_WATCH.format(watch=watch))]

    def first(self) -> Sequence[Statement]:
        """The time, the watched rows, and their versions."""
        watch = self._watch % {**self._literals, VERSIONS: NO_VERSIONS}
        return [_NOW, _RUN_WATCH, Statement(_SET_VERSIONS.format(watch=watch))]

    def forget(self) -> Sequence[Statement]:
        """The statement that forgets the prepared query, which a rollback keeps."""
        return [_FORGET_WATCH]

    def begun(self, answers: Sequence[Answer]) -> None:
        """Read the time and the watched rows of a part of a batch."""
        now, self._begun, _versions = answers
        self._texts = dict(self._begun.rows)
        self._names |= {now.rows[0][0]: NOW}
        self.fixture_rows = self._rows(self._begun)

    def leave_out_changed(self, touched: Answer, triggers: Sequence[str]) -> None:
        """Leave out the columns that user triggers change; `touched` are the rows after the
        `unchanging` statements.
        """
        self.columns.leave_out_changed(self._watched(self._begun), self._watched(touched), triggers)

    def groups(self, scenario: Scenario) -> list[Sequence[Statement]]:
        """The statements of a scenario. The next scenario undoes the changes, and so does the end
        of the batch.
        """
        if _is_one_group(scenario):
            return [[*self._step(scenario.steps[0]), _RUN_WATCH]]
        given = [Statement(statement % self._literals) for statement in scenario.given]
        begin = [*given, reset_statement(self.impersonation), _RUN_WATCH] if given else []
        steps = kept([self._step(step) for step in scenario.steps], check_deferred=True)
        return [begin, *steps, [_RUN_WATCH]]

    def _step(self, step: ScenarioStep) -> list[Statement]:
        caller = step.identity and step.identity.filled(self.impersonation.texts)
        become = [caller_statement(caller)] if caller else []
        reset = reset_statement(self.impersonation, caller)
        call = Statement(step.call % self._literals)
        return [*become, call, *committed(self.impersonation), reset]

    def deviations(self, scenario: Scenario, groups: Sequence[GroupResult]) -> Iterator[Deviation]:
        """How the results of a scenario differ from the declaration.

        Raises UncheckedError if a user object prevents the scenario, and psycopg's errors if a
        statement fails that is not a call.
        """
        results, before, after = self._results(scenario, groups)
        for number, (step, result) in enumerate(zip(scenario.steps, results, strict=True), 1):
            if self._is_refused_by_user_object(scenario, step, result):
                continue
            # whatever else a documented call returns, the project may have added
            if scenario.documented and (not step.result or result.cause is not None):
                continue
            expected = _Result(
                tuple(tuple(map(self._fill, row)) for row in step.result), step.error
            )
            if (result.rows, result.error) != (expected.rows, expected.error):
                call = f"call {number}" if len(scenario.steps) > 1 else "the call"
                wanted = step.error or format_rows(expected.rows)
                is_less = not result.rows and result.error in (None, VIOLATES, DENIED)
                yield Deviation(
                    f"{call} should result in {wanted}, but results in {result}",
                    is_less,
                    "" if result.cause is None else public_message(result.cause),
                    is_denied=result.error == DENIED,
                )
        if not scenario.documented:
            yield from self._deviating_changes(before, after, scenario)

    def _results(
        self, scenario: Scenario, groups: Sequence[GroupResult]
    ) -> tuple[list[_Result], Rows, Rows]:
        """The result of each step, and the watched rows before and after the steps."""
        if _is_one_group(scenario):
            [group] = groups
            result = self._result(scenario.steps[0], group)
            return (
                [result],
                self.fixture_rows,
                self.fixture_rows if result.cause else self._rows(group.answer()),
            )
        begun, *steps, watched = groups
        before = self._given_rows(scenario, begun) if scenario.given else self.fixture_rows
        results = [
            self._result(step, group)
            for step, group in zip(scenario.steps, results_of_kept(steps), strict=True)
        ]
        return results, before, self._rows(watched.answer())

    def _given_rows(self, scenario: Scenario, group: GroupResult) -> Rows:
        error = group.error
        if error is None:
            return self._rows(group.answer())
        if isinstance(error, INCONCLUSIVE_ERRORS):
            raise error
        if scenario.documented:
            why = f"not tried: {scenario.name}: its rows fail with {sqlstate_and_message(error)}"
            raise NotRunError(why, "") from error
        self._refuse_if_conflict(scenario, error)
        reason = f"`given` failed with {sqlstate_and_message(error)}"
        raise UncheckedError(f"{scenario.name}: {reason}") from error

    def _result(self, step: ScenarioStep, group: GroupResult) -> _Result:
        """The result of a step."""
        call, error = 0, group.error
        if isinstance(error, INCONCLUSIVE_ERRORS):
            raise error
        if step.identity is not None:
            call = 1
            if error is not None and not group.answers:
                raise SupabaseJobsError(f"could not set the role {step.identity.role}") from error
            check_caller(self.impersonation, step.identity, group.answers[0])
        if error is not None:
            # the call itself, or the check of what it deferred
            if len(group.answers) not in (
                (call, call + 1) if self.impersonation.deferred else (call,)
            ):
                raise error
            return _Result(error=outcome_of_error(error), cause=error)
        rows = group.answers[call].rows
        return _Result(tuple(tuple(map(self._declared, row)) for row in rows))

    def _is_refused_by_user_object(
        self, scenario: Scenario, step: ScenarioStep, result: _Result
    ) -> bool:
        """Whether a user object refused a step that it may refuse. Raises UncheckedError if it may
        not.

        A user trigger may refuse what a constraint of the migrations would refuse after it.
        """
        if result.cause is None:
            return False
        if result.error in scenario.unchecked_errors:
            raise UncheckedError(f"{scenario.name}: it failed with {result}")
        if (
            step.error is not None
        ):  # a call that got past the expected error deviates with a later one
            return (
                is_constraint_violation(step.error)
                and result.error != step.error
                and bool(result.cause.diag.context)
                and bool(
                    other_values.refusing(
                        self.impersonation.connection, result.cause, self._managed
                    )
                )
            )
        is_value = not isinstance(result.cause, psycopg.errors.ForeignKeyViolation)
        if scenario.documented and step.identity is None and is_value:  # it prepares the next one
            raise NotRunError(f"not tried: {scenario.name}: it failed with {result}", "")
        return self._refuse_if_conflict(scenario, result.cause, allowed=step.may_be_refused)

    def _refuse_if_conflict(
        self, scenario: Scenario, error: psycopg.Error, *, allowed: bool = False
    ) -> bool:
        """Whether a user object raised the error. Raises RefusedError if production cannot work
        with it, or if it refuses a documented call, whatever rows the project has. Otherwise raises
        UncheckedError, unless it is `allowed`.
        """
        # of a documented call, any error of an object of the project counts
        find = row_by_row.conflict_of if scenario.documented else ownership.user_object_conflict
        conflict = find(self.impersonation.connection, error, self._managed)
        if conflict is None:
            return False
        why = f"{scenario.name}: {conflict.why}"
        # the rows that refer to those of a documented call are made by triggers of the project
        is_refused = not conflict.of_rows or conflict.of_children
        if conflict.severity is Severity.ERROR or (scenario.documented and is_refused):
            raise RefusedError(why, conflict.fix, conflict.texts)
        if not allowed:
            raise UncheckedError(why, conflict.fix, conflict.texts)
        return True

    def _deviating_changes(
        self, before: Rows, after: Rows, scenario: Scenario
    ) -> Iterator[Deviation]:
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        for name in sorted(changed | set(scenario.changes)):
            expected = scenario.changes.get(name)
            if isinstance(expected, Mapping):
                expected = {column: self._fill(value) for column, value in expected.items()}
                # with other values in the fixture, a row may have a declared value before
                had = {
                    column: self._declared(value) for column, value in before.get(name, {}).items()
                }
                expected = {
                    column: value for column, value in expected.items() if had.get(column) != value
                }
            actual = self._change(before.get(name), after.get(name))
            if isinstance(actual, dict):
                declared = expected if isinstance(expected, Mapping) else {}
                compared = {
                    c: v
                    for c, v in actual.items()
                    if c in declared or not self.columns.is_left_out(name, c)
                }
                actual = compared or (None if actual else actual)
            if actual != expected:
                text = f"{name} should be {format_change(expected)}, but is {format_change(actual)}"
                yield Deviation(text, narrower=actual is None)

    def _change(
        self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> str | dict[str, str] | None:
        if before == after:
            return None
        if before is None or after is None:
            return INSERTED if before is None else DELETED
        return {
            c: self._declared(after.get(c))
            for c in {**before, **after}
            if before.get(c) != after.get(c)
        }

    def _rows(self, watched: Answer) -> Rows:
        """The columns to compare of each watched row."""
        rows = self._values(watched)
        for text in rows.values():
            if text not in self._compared:
                self._compared[text] = self.columns.of(self._row(text))
        return {self._name(key): self._compared[text] for key, text in rows.items()}

    def _watched(self, watched: Answer) -> Rows:
        """The result of the watch query: each row by the name of its id, or by its key if the id
        has no name.
        """
        return {self._name(key): self._row(text) for key, text in self._values(watched).items()}

    def _values(self, watched: Answer) -> dict[str, str]:
        """The JSON object of each row by its key: a row without one has that of the fixture."""
        return {key: self._texts[key] if text is None else text for key, text in watched.rows}

    def _name(self, key: str) -> str:
        return self._names.get(key, key).removeprefix("$")

    def _row(self, text: str) -> Row:
        if text not in self._decoded:
            self._decoded[text] = _flat(json.loads(text))
        return self._decoded[text]

    def _declared(self, value: object) -> str:
        """A value as in declarations: an id as `$name`, the time of the transaction as `now`."""
        if value is None:
            return NULL
        text = value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
        return self._names.get(text, text)

    def _fill(self, text: str) -> str:
        """A declared value with the variables filled in; the names of ids stay."""
        return Template(text).safe_substitute(self._variables)


@dataclass(eq=False)
class ScenarioProbe:
    """A scenario as a probe; `outcome` are its deviations, or why it was not checked."""

    runner: ScenarioRunner
    scenario: Scenario
    outcome: list[Deviation] | UncheckedError | None = None

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """All groups in one step."""
        results = yield self.runner.groups(self.scenario)
        try:
            self.outcome = list(self.runner.deviations(self.scenario, results))
        except UncheckedError as error:
            self.outcome = error


@dataclass(eq=False)
class _Unchanging:
    """Statements that change no value, except through triggers: the columns that user triggers
    change are not compared.
    """

    runner: ScenarioRunner
    statements: Sequence[Statement]

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """One group. If it fails, the scenarios show what fails."""
        [touched] = yield [self.statements]
        if isinstance(touched.error, LOCK_ERRORS):
            raise touched.error
        if touched.error is None:
            texts = [text for (text,) in touched.answers[0].rows]
            self.runner.columns.compared_by_policies = {*touched.answers[1].rows}
            self.runner.leave_out_changed(touched.answer(), texts)


def _flat(row: Row) -> Row:
    """A watched row in which the keys of each object whose name ends in a dot are columns."""
    flat: dict[str, Any] = {}
    for column, value in row.items():
        if column.endswith(".") and column != TABLE:
            flat |= {column + key: each for key, each in (value or {}).items()}
        else:
            flat[column] = value
    return flat


def _is_one_group(scenario: Scenario) -> bool:
    """Whether one step is all, so that no error of a step precedes other statements."""
    return len(scenario.steps) == 1 and not scenario.given


def format_rows(rows: tuple[tuple[str, ...], ...]) -> str:
    """The rows of a result as text."""
    return "; ".join(", ".join(row) for row in rows) or "no row"


def format_change(change: str | Mapping[str, str] | None) -> str:
    """The change of a row as text."""
    if change is None:
        return "unchanged"
    if isinstance(change, str):
        return change
    return "changed to " + ", ".join(
        f"{column} = {value}" for column, value in sorted(change.items())
    )
