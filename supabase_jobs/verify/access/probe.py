"""The statements of access matrices, as probes of `session.runner`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import (
    CHECK_DEFERRED,
    Impersonation,
    caller_statement,
    check_caller,
    own_role,
)
from supabase_jobs.session.outcome import outcome_of_conclusive_error, outcome_of_count
from supabase_jobs.session.runner import AS_CALLER, ONLY_PROBES, Runner
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify import ownership, row_by_row
from supabase_jobs.verify.access.matrix import DeclaredAction, MatrixRow

_LEGACY_SETTING = "request.jwt.claim.sub"
_HAS_NO_USER = Statement("select auth.uid() is null")

Literals = Mapping[str, str]

# the statements of a request that the same connection has served before
_PER_SERVED = 3


@dataclass(eq=False)
class RowProbe:
    """Actions to run as the caller of a matrix row. `results` has the outcome of each, by name, and
    its error if it failed.

    The actions `together` should not fail: they share a group, which takes less time. If one fails,
    those behind it run again, each in a group of its own. `literals` are the values of the
    parameters.
    """

    row: MatrixRow
    actions: Sequence[DeclaredAction]
    literals: Literals
    together: Collection[str]
    results: dict[str, tuple[str, psycopg.Error | None]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every action has a result."""
        return len(self.results) == len(self.actions)

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """Run the actions until each has a result: behind one that fails, those of its group run
        again.

        If the statement of a request before fails, this is the outcome of every action.
        """
        while not self.complete:
            caller, parts = self._caller(impersonation), self._parts()
            groups = [self._group(impersonation, part) for part in parts]
            begun, *results = yield [[*caller, AS_CALLER.save], *groups]
            if begun.error is not None:
                outcome = outcome_of_conclusive_error(begun.error)
                if len(begun.answers) >= len(caller) - 1:
                    raise begun.error
                names = (action.name for action in self.actions)
                self.results = dict.fromkeys(names, (outcome, None))
                return
            self._check_callers(impersonation, begun)
            for part, result in zip(parts, results, strict=True):
                self._read_part(impersonation, part, result)
            self.together = ()

    def _check_callers(self, impersonation: Impersonation, begun: GroupResult) -> None:
        callers = [*(served.caller for served in self.row.served), self.row.identity]
        for number, caller in enumerate(callers):
            answer = begun.answers[number * _PER_SERVED]
            check_caller(impersonation, caller, answer, is_first=number == 0)

    def _caller(self, impersonation: Impersonation) -> list[Statement]:
        """The statements that make the caller, after the requests before."""
        statements = []
        for served in self.row.served:
            statements += [
                caller_statement(served.caller),
                Statement(served.statement),
                own_role(impersonation),
            ]
        return [*statements, caller_statement(self.row.identity)]

    def _parts(self) -> list[list[DeclaredAction]]:
        """The actions without a result: those of each group."""
        left = [action for action in self.actions if action.name not in self.results]
        together = [action for action in left if action.name in self.together]
        return [
            *([together] if together else []),
            *([a] for a in left if a.name not in self.together),
        ]

    def outcomes(self, names: Sequence[str]) -> tuple[str, ...]:
        """The outcomes of actions by their names."""
        return tuple(self.results[name][0] for name in names)

    def _group(
        self, impersonation: Impersonation, part: Sequence[DeclaredAction]
    ) -> list[Statement]:
        return [s for action in part for s in self._run(impersonation, action)]

    def _run(self, impersonation: Impersonation, action: DeclaredAction) -> list[Statement]:
        statements = [AS_CALLER.undo, Statement(action.sql % self.literals)]
        if impersonation.deferred:
            statements.append(CHECK_DEFERRED)
        if action.reached is not None:
            statements += [own_role(impersonation), Statement(action.reached % self.literals)]
        return statements

    def _read_part(
        self, impersonation: Impersonation, part: Sequence[DeclaredAction], result: GroupResult
    ) -> None:
        answers = iter(result.answers)
        for action in part:
            expected = len(self._run(impersonation, action))
            read = tuple(islice(answers, expected))
            if (
                len(read) == expected
            ):  # the count of rows shows whether the action reached its target
                reached = read[1 if action.reached is None else -1]
                self.results[action.name] = (outcome_of_count(reached.count), None)
                continue
            error = result.error
            assert error is not None  # noqa: S101  otherwise every statement has an answer
            outcome = outcome_of_conclusive_error(error)
            self.results[action.name] = (
                ROWS if error.sqlstate in action.row_limit_errors else outcome,
                error,
            )
            return


@dataclass(eq=False)
class GuardProbe:
    """The `unrestricted_if` queries of actions, run as a caller; each returns a boolean."""

    caller: Caller
    queries: Sequence[str]
    answers: tuple[bool, ...] = ()

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """One group: the caller and the queries. Every error is raised."""
        caller = caller_statement(self.caller)
        [result] = yield [[caller, *map(Statement, self.queries)]]
        result.answer()
        became, *answers = result.answers
        check_caller(impersonation, self.caller, became)
        self.answers = tuple(bool(answer.rows[0][0]) for answer in answers)


@dataclass(eq=False)
class ControlProbe:
    """The control statement of an action, run as the owner."""

    statement: str
    result: GroupResult | None = None

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """One group: the statement."""
        [result] = yield [[Statement(self.statement)]]
        if result.error is not None:
            outcome_of_conclusive_error(result.error)
        self.result = result


class Prober(Runner):
    """Runs probes, and finds the reasons of unexpected outcomes.

    A plan that the owner has made by inserting the rows would hide that a caller may not use a
    schema: PostgreSQL looks that up when it reads the statement.
    """

    def __init__(
        self, impersonation: Impersonation, deadline: Deadline, frame: Frame = ONLY_PROBES
    ) -> None:
        super().__init__(impersonation, deadline, frame)
        self._ignores_legacy: bool | None = None

    def first(self) -> Sequence[Statement]:
        """The statement that forgets the plans of functions."""
        return [Statement("discard plans")]

    def conflict(
        self, error: psycopg.Error, managed: Collection[str]
    ) -> ownership.UserObjectConflict | None:
        """The user object that raised the error of a probe, if any."""
        return ownership.user_object_conflict(self.impersonation.connection, error, managed)

    def trigger_conflict(
        self, error: psycopg.Error, managed: Collection[str]
    ) -> ownership.UserObjectConflict | None:
        """The user trigger whose function raised the error of a probe, if any."""
        if not ownership.functions_of(error):
            return None
        return row_by_row.conflict_of(self.impersonation.connection, error, managed)

    def ignores_legacy_settings(self, identity: Caller) -> bool:
        """Whether auth.uid() returns no user to an identity that has one only by the settings of an
        old PostgREST.
        """
        if not identity.settings or not identity.settings.get(_LEGACY_SETTING):
            return False
        if self._ignores_legacy is None:
            caller = identity.filled(self.impersonation.texts)
            answered = self.query([caller_statement(caller), _HAS_NO_USER])
            # an error of auth.uid() is reported by the check of the functions of schema auth
            self._ignores_legacy = answered.error is None and answered.answer().rows == [(True,)]
        return self._ignores_legacy

    def control_failure(self, probe: ControlProbe, managed: Collection[str]) -> str | None:
        """None if the control statement reached its target; otherwise how it fails."""
        assert probe.result is not None  # noqa: S101  it was run
        error = probe.result.error
        if error is None:
            return None if probe.result.answer().count else "finds nothing either"
        # a user object that refers to the target shows that the target exists
        if self.conflict(error, managed):
            return None
        return f"fails with {sqlstate_and_message(error)}"
