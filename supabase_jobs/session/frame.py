"""The statements around a batch: the fixture rows before it, and the end of their locks after it.

A batch with its frame is one round trip, so locks are held for the time of the server only.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.limits import limits
from supabase_jobs.session import batch_limit
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.savepoint import Savepoint

# the limits of a transaction that has fixture rows, with which other sessions may collide
TIMEOUTS = limits(statement_timeout=1_000, lock_timeout=500, transaction_timeout=5_000)
# for the probes of a batch; the others follow in the next one
SECONDS = 0.3
# before the fixture rows of a batch that is part of a transaction
FIXTURE = Savepoint("fixture")
_PAUSES = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Undo:
    """The statements that undo what a batch has done: by default, back to `savepoint fixture`.

    `releases_locks`: they end the transaction, and begin the next one. Otherwise the batch is part
    of the caller's transaction, which holds its locks anyway.
    """

    statements: tuple[Statement, ...] = (FIXTURE.undo,)
    releases_locks: bool = False

    @property
    def begin(self) -> tuple[Statement, ...]:
        """The statements before the first that writes: a transaction as short as the batch."""
        return (*self.statements, TIMEOUTS) if self.releases_locks else ()


@dataclass(frozen=True)
class Frame:
    """The statements around each batch: `before` inserts its rows, `undo` undoes everything.

    If other sessions wait for the locks of a batch, it gives way: its first probe runs, the others
    follow in the next batch.
    """

    before: tuple[Statement, ...] = ()
    undo: Undo = field(default_factory=Undo)

    @property
    def first_check(self) -> Statement:
        """The check before the first probe of a batch; see `check`."""
        return batch_limit.NO_CHECK if self.undo.releases_locks else batch_limit.CHECK

    @property
    def check(self) -> Statement:
        """The check before each other probe: a probe that fails it is skipped."""
        return batch_limit.CHECK_WAITING if self.undo.releases_locks else batch_limit.CHECK

    def run(
        self,
        connection: Connection,
        deadline: Deadline,
        begin: Sequence[Statement],
        groups: Sequence[Sequence[Statement]],
        end: Sequence[Statement] = (),
    ) -> list[GroupResult]:
        """Run a batch: `begin` after the rows are inserted, the groups, and `end`.

        Returns the results of `begin` and of the groups. Raises psycopg's error if the rows cannot
        be inserted.
        """
        seconds = SECONDS if self.undo.releases_locks else None
        first = [
            *self.undo.begin,
            *self.before,
            batch_limit.begin(deadline, seconds),
            *begin,
        ]
        sent = [first, *groups, *([end] if end else []), self.undo.statements]
        begun, *results = run_groups(connection, sent)
        begun.answer()
        results[-1].answer()
        answers = begun.answers[len(first) - len(begin) :]
        return [GroupResult(answers), *results[: len(groups)]]

    def pauses(self) -> Iterator[float]:
        """The pauses after which a batch is repeated that another session has blocked."""
        for pause in _PAUSES if self.undo.releases_locks else ():
            yield pause * random.uniform(0.5, 1.5)  # noqa: S311  not a secret


def wait(pauses: Iterator[float]) -> bool:
    """Wait for the next pause; False if there is none left."""
    pause = next(pauses, None)
    if pause is None:
        return False
    time.sleep(pause)
    return True
