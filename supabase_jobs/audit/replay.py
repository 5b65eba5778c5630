"""Repeat attempts on recorded rows: each from the same state, and all rolled back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from psycopg import sql

from supabase_jobs.audit.recording import RowText
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.outcomes import HIDDEN, REFUSALS, ROWS, is_constraint_violation
from supabase_jobs.session.action import Cursor
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.outcome import outcome_of_group
from supabase_jobs.session.savepoint import Savepoint

TOUCHED, UNTOUCHED, INCONCLUSIVE = "touched", "untouched", "inconclusive"
_SET = "select set_config(%s, %s, true)"
_POINT = Savepoint("attempt")
# trials in one round trip
_BATCH = 100
# of a trial
_GROUPS = 5


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
    own_role = connection.info.user
    with connection.transaction(force_rollback=True):
        start = [s for row in rows for s in _insertion(row)]
        start += [s for cursor in cursors for s in cursor.opening()]
        if run_groups(connection, [[*start, _POINT.save]])[0].error is not None:
            return [INCONCLUSIVE] * len(trials)
        found = []
        for first in range(0, len(trials), _BATCH):
            batch = trials[first : first + _BATCH]
            results = iter(
                run_groups(
                    connection, [group for trial in batch for group in _groups(trial, own_role)]
                )
            )
            found += [_outcome(trial, list(islice(results, _GROUPS))) for trial in batch]
    return found


def _groups(trial: Trial, own_role: str) -> list[list[Statement]]:
    settings = trial.caller.all_settings()
    owner = [Statement(_SET, ("role", own_role))]
    owner += [Statement(_SET, (name, "")) for name in settings]
    caller = [Statement(_SET, pair) for pair in settings.items()]
    caller.append(Statement(_SET, ("role", trial.caller.role)))
    action = Statement(trial.sql, decoded=False)
    query = sql.SQL("select r::text from ({}) as r").format(sql.SQL(trial.target or "select 1"))
    target = Statement(query.as_string(None))
    return [
        [_POINT.undo, target],
        [*caller, action],
        [*owner, target],
        [_POINT.undo, action],
        [target],
    ]


def _insertion(row: RowText) -> Iterator[Statement]:
    yield from (Statement(_SET, pair) for pair in row.settings)
    yield Statement(row.sql, decoded=False)
    yield from (Statement(_SET, (name, "")) for name, _ in row.settings)


def _outcome(trial: Trial, results: Sequence[GroupResult]) -> str:
    before, called, after, control, controlled = results
    if before.error is not None:
        return INCONCLUSIVE
    outcome = outcome_of_group(called)
    if not trial.target:
        if outcome != HIDDEN:
            return outcome
        if not trial.counts:
            return ROWS
        as_owner = outcome_of_group(control)
        return HIDDEN if as_owner == ROWS or is_constraint_violation(as_owner) else INCONCLUSIVE
    rows = before.answers[-1].rows
    if called.error is not None and outcome not in REFUSALS:
        return outcome
    if called.error is None and (after.error is not None or after.answers[-1].rows != rows):
        return TOUCHED
    changes = controlled.error is None and controlled.answers[0].rows != rows
    return UNTOUCHED if rows and changes else INCONCLUSIVE


def shown(
    connection: Connection, rows: Sequence[RowText], trials: Sequence[Trial]
) -> list[str | None]:
    """The rows that each statement returns to its caller, as sorted lines; None if it fails."""
    own_role = connection.info.user
    with connection.transaction(force_rollback=True):
        start = [s for row in rows for s in _insertion(row)]
        if run_groups(connection, [[*start, _POINT.save]])[0].error is not None:
            return [None] * len(trials)
        results = run_groups(connection, [_shown(trial, own_role) for trial in trials])
    return [_lines(result) for result in results]


def _lines(result: GroupResult) -> str | None:
    if result.error is not None:
        return None
    return "\n".join(sorted(text for (text,) in result.answers[-1].rows))


def _shown(trial: Trial, own_role: str) -> list[Statement]:
    _, [*caller, _], *_ = _groups(trial, own_role)
    query = sql.SQL("select r::text from ({}) as r").format(sql.SQL(trial.sql))
    return [_POINT.undo, *caller, Statement(query.as_string(None))]
