"""Repeat attempts on recorded rows: each from the same state, and all rolled back."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from supabase_jobs.audit.emit.recording import RowText
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.outcomes import HIDDEN, REFUSALS, ROWS, is_constraint_violation
from supabase_jobs.session import impersonation
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import NO_LIMIT
from supabase_jobs.session.impersonation import Impersonation, caller_statement, reset_statement
from supabase_jobs.session.outcome import outcome_of_group
from supabase_jobs.session.runner import Probe, Runner
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.steps import Steps

TOUCHED, UNTOUCHED, INCONCLUSIVE = "touched", "untouched", "inconclusive"
_NOT_RUN = GroupResult(())


@dataclass(frozen=True)
class Trial:
    """A statement of a caller. With `target`, its effect on that query counts.

    With `counts` False, a statement that succeeds has reached its target: TRUNCATE counts no rows.
    """

    caller: Caller
    sql: str
    target: str = ""
    counts: bool = True


def outcomes(
    connection: Connection,
    rows: Sequence[RowText],
    trials: Sequence[Trial],
    cursors: Sequence[Cursor] = (),
) -> list[str]:
    """The outcome of each trial: rows, hidden, denied, violates, an SQLSTATE; touched or untouched
    with a target.

    It is inconclusive if a row cannot be inserted, or if the owner does not reach the target
    either.
    """
    probes = [(_TrialProbe(trial), _ControlProbe(trial)) for trial in trials]
    if not _run(connection, rows, cursors, [probe for pair in probes for probe in pair]):
        return [INCONCLUSIVE] * len(trials)
    return [_outcome(tried, control) for tried, control in probes]


def _run(
    connection: Connection,
    rows: Sequence[RowText],
    cursors: Sequence[Cursor],
    probes: Sequence[Probe],
) -> bool:
    """Run probes on the rows; False if a row cannot be inserted."""
    with rolled_back(connection):
        acting = impersonation.begin(connection, "audit", (), (), {})
        start = [s for row in rows for s in row.statements]
        start += [s for cursor in cursors for s in cursor.opening()]
        if start and run_groups(connection, [start])[0].error is not None:
            return False
        runner = Runner(acting, NO_LIMIT)
        for first in range(0, len(probes), LIMITS.replayed_in_batch):
            runner.run(probes[first : first + LIMITS.replayed_in_batch])
    return True


@dataclass(eq=False)
class _TrialProbe:
    """The target before the statement of a caller, the statement, and the target after it."""

    trial: Trial
    before: GroupResult = _NOT_RUN
    called: GroupResult = _NOT_RUN
    after: GroupResult = _NOT_RUN

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """All in one step; the owner reads the target."""
        trial, target = self.trial, _rows_of(self.trial.target or "select 1")
        self.before, self.called, self.after = yield [
            [target],
            [caller_statement(trial.caller), Statement(trial.sql, decoded=False)],
            [reset_statement(impersonation, trial.caller), target],
        ]


@dataclass(eq=False)
class _ControlProbe:
    """The statement of a trial as the owner, and the target after it."""

    trial: Trial
    called: GroupResult = _NOT_RUN
    after: GroupResult = _NOT_RUN

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """All in one step."""
        target = _rows_of(self.trial.target or "select 1")
        self.called, self.after = yield [[Statement(self.trial.sql, decoded=False)], [target]]


@dataclass(eq=False)
class _ShownProbe:
    """The rows that a statement returns to its caller, as sorted lines; None if it fails."""

    trial: Trial
    lines: str | None = None

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """One group."""
        [result] = yield [[caller_statement(self.trial.caller), _rows_of(self.trial.sql)]]
        if result.error is None:
            self.lines = "\n".join(sorted(text for (text,) in result.answer().rows))


def _rows_of(query: str) -> Statement:
    """The rows of a query as text."""
    text = sql.SQL("select r::text from ({}) as r").format(sql.SQL(query))
    return Statement(text.as_string(None))


def _outcome(tried: _TrialProbe, control: _ControlProbe) -> str:
    if tried.before.error is not None:
        return INCONCLUSIVE
    outcome = outcome_of_group(tried.called)
    if not tried.trial.target:
        if outcome != HIDDEN:
            return outcome
        if not tried.trial.counts:
            return ROWS
        as_owner = outcome_of_group(control.called)
        return HIDDEN if as_owner == ROWS or is_constraint_violation(as_owner) else INCONCLUSIVE
    rows = tried.before.answer().rows
    if tried.called.error is not None and outcome not in REFUSALS:
        return outcome
    if tried.called.error is None and (
        tried.after.error is not None or tried.after.answer().rows != rows
    ):
        return TOUCHED
    changes = control.after.error is None and control.after.answer().rows != rows
    return UNTOUCHED if rows and changes else INCONCLUSIVE


def shown(
    connection: Connection, rows: Sequence[RowText], trials: Sequence[Trial]
) -> list[str | None]:
    """The rows that each statement returns to its caller, as sorted lines; None if it fails."""
    probes = [_ShownProbe(trial) for trial in trials]
    _run(connection, rows, (), probes)
    return [probe.lines for probe in probes]
