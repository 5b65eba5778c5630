"""Savepoints and their statements, which no other module writes.

Other modules use what it offers: steps that are kept for the next ones, groups that each run from
the same state, and work that is undone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

from psycopg.pq import TransactionStatus

from supabase_jobs.database.batch import Answer, GroupResult, Statement, run_groups
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

    def as_text(self) -> tuple[str, str]:
        """The statements `save` and `undo` for a script."""
        return f"{self.save.sql};", f"{self.undo.sql};"


# Each use has a name of its own: if a statement before `save` fails, `undo` must not find the
# savepoint of another use.
_KEPT = Savepoint("step")
_GROUP = Savepoint("before_group")
_STATE = Savepoint("same_state")
_WORK = Savepoint("before_work")
_RUN, _PART = Savepoint("run"), Savepoint("part")
# around each pgTAP test of a generated file
MISSING_TEST = Savepoint("missing_test")

_numbers = count(1)


def numbered() -> Savepoint:
    """A savepoint of its own, for work that may be nested."""
    return Savepoint(f"rls_{next(_numbers)}")


# -------------------------------------------------------------------------------------------------
# steps that are kept

# before the first step; it stays until the transaction ends
BEFORE_STEPS = _KEPT.save
# undoes the last step if it has failed
AFTER_STEPS = _KEPT.undo


def keeping(*statements: Statement) -> list[Statement]:
    """A group that is kept for the next ones, unless it fails. Needs BEFORE_STEPS before it; the
    answer to the first statement is the second of the group.
    """
    return [_KEPT.undo, *statements, *_KEPT.keep]


def trying(*statements: Statement) -> list[Statement]:
    """A group that the next one undoes."""
    return [_KEPT.undo, *statements]


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


# -------------------------------------------------------------------------------------------------
# work that is undone


def from_same_state(
    groups: Sequence[Sequence[Statement]], *, first: Sequence[Statement] = ()
) -> list[Sequence[Statement]]:
    """A group with the statements `first`, and the groups: each undoes the one before."""
    return _from(_STATE, groups, first)


def _from(
    savepoint: Savepoint, groups: Sequence[Sequence[Statement]], first: Sequence[Statement]
) -> list[Sequence[Statement]]:
    return [[*first, savepoint.save], *([savepoint.undo, *group] for group in groups)]


def run_undone(
    connection: Connection,
    groups: Sequence[Sequence[Statement]],
    *,
    first: Sequence[Statement] = (),
    last: Sequence[Statement] = (),
) -> list[GroupResult]:
    """Run groups in one round trip, each from the same state; everything is undone.

    The statements `first` run once before that, and `last` after it. Raises psycopg's error if they
    fail.
    """
    ends = [[*_GROUP.end], *([last] if last else ())]
    results = run_groups(connection, [*_from(_GROUP, groups, first), *ends])
    for result in (results[0], *results[len(groups) + 1 :]):
        result.answer()
    own = results[1 : len(groups) + 1]
    return [replace(result, answers=result.answers[1:]) for result in own]


@contextmanager
def undone(connection: Connection, *first: Statement) -> Iterator[None]:
    """Undo everything that happens inside, also an error; the statements `first` remain."""
    run_groups(connection, [[*first, _WORK.save]])[0].answer()
    try:
        yield
    finally:
        if not connection.broken:
            run_groups(connection, [[*_WORK.end]])[0].answer()


@dataclass(frozen=True)
class Around:
    """The statements around work that is rolled back: of a transaction, or of a savepoint in the
    caller's. `again` undoes the work and begins the next part of it.
    """

    begin: tuple[Statement, ...]
    again: tuple[Statement, ...]
    end: tuple[Statement, ...]
    is_transaction: bool


def _around(
    connection: Connection, *settings: Statement, of_transaction: Sequence[Statement] = ()
) -> Around:
    """The statements for this connection. They make the `settings`, and those `of_transaction` in
    a transaction of their own.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        begin = (Statement("begin"), *settings, *of_transaction)
        rollback = Statement("rollback")
        return Around(begin, (rollback, *begin), (rollback,), is_transaction=True)
    begin = (_RUN.save, *settings, _PART.save)
    return Around(begin, (_PART.undo,), _RUN.end, is_transaction=False)


@contextmanager
def rolled_back(
    connection: Connection,
    *settings: Statement,
    of_transaction: Sequence[Statement] = (),
    last: Sequence[Statement] = (),
) -> Iterator[tuple[Around, Answer]]:
    """A transaction, or a savepoint in an open one, that is rolled back.

    Its beginning is one round trip: it makes the `settings`, those `of_transaction` in a
    transaction of its own, and runs the statements `last`. Yields the statements around the work,
    and the answer to the last one of the beginning.
    """
    statements = _around(connection, *settings, of_transaction=of_transaction)
    try:
        [result] = run_groups(connection, [[*statements.begin, *last]])
        yield statements, result.answer()
    finally:
        if not connection.broken:
            run_groups(connection, [statements.end])
