"""Savepoints: the only module that writes these statements."""

from collections.abc import Sequence
from dataclasses import replace

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection


class Savepoint:
    """A savepoint in an open transaction, as statements for a batch.

    `undo` undoes everything since `save`, also an error; `release` forgets the savepoint. `keep`
    moves it behind what was done since, and `end` undoes that and forgets it.
    """

    def __init__(self, name: str) -> None:
        self.save = Statement(f"savepoint {name}")
        self.undo = Statement(f"rollback to savepoint {name}")
        self.release = Statement(f"release savepoint {name}")
        self.keep = (self.release, self.save)
        self.end = (self.undo, self.release)


_KEPT = Savepoint("step")


def kept(
    steps: Sequence[Sequence[Statement]], *, check_deferred: bool = False
) -> list[Sequence[Statement]]:
    """Groups that keep the changes of each step for the next ones, unless it fails.

    With `check_deferred`, for few steps that check deferred constraints, the savepoints lie within
    each other: once one is released, no rollback makes PostgreSQL defer the constraints again.
    """
    keep = [_KEPT.save] if check_deferred else _KEPT.keep
    groups = [[_KEPT.undo, *step, *keep] for step in steps]
    return [[_KEPT.save], *groups, [_KEPT.undo]]


def results_of_kept(results: Sequence[GroupResult]) -> list[GroupResult]:
    """The result of each step, of the groups of `kept`."""
    return [replace(result, answers=result.answers[1:]) for result in results[1:-1]]


def run_kept(connection: Connection, steps: Sequence[Sequence[Statement]]) -> list[GroupResult]:
    """Run steps in one round trip; a step that fails is undone, and no other."""
    return results_of_kept(run_groups(connection, kept(steps)))


def run_undone(
    connection: Connection,
    groups: Sequence[Sequence[Statement]],
    *,
    first: Sequence[Statement] = (),
) -> list[GroupResult]:
    """Run groups in one round trip, each from the same state; everything is undone.

    The statements `first` run once before that. Raises psycopg's error if they fail.
    """
    savepoint = Savepoint("before_group")
    sent = [[savepoint.undo, *group] for group in groups]
    begun, *results, ended = run_groups(
        connection, [[*first, savepoint.save], *sent, [*savepoint.end]]
    )
    begun.answer()
    ended.answer()
    return [replace(result, answers=result.answers[1:]) for result in results]
