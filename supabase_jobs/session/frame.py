"""The statements around a batch: the fixture rows before it, and the end of their locks after it.

A batch with its frame is one round trip, so locks are held for the time of the server only. Where
others may wait for them, it is several transactions, which are short.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.time_limits import time_limits
from supabase_jobs.session import batch_limit, repeated
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.repeated import Repeatable
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.session.steps import Groups

# the limits of a transaction that has fixture rows, with which other sessions may collide
TIMEOUTS = time_limits(statement_timeout=1_000, lock_timeout=500, transaction_timeout=5_000)
# for the probes of a part of a batch; the others follow in the next batch
SECONDS = 0.3
# statements of the probes of a transaction for which others may wait: they take milliseconds
SHORT = 40
# of them, around each probe: the rollback to the own role, and the check before it
_AROUND = 2
# of a transaction that may hold locks: before the fixture rows, and behind them for its batches
FIXTURE = Savepoint("fixture")
_NO_STATEMENT = psycopg.errors.InvalidSqlStatementName
_PAUSES = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Undo:
    """The statements that undo what a batch has done: by default, back to `savepoint fixture`.

    `releases_locks`: they end the transaction, and begin the next one, which inserts the fixture
    rows again. Otherwise the batch is part of a transaction that may hold locks: nobody waits for
    it, or it is the caller's. `rows` are the statements that undo the fixture rows too.
    """

    statements: tuple[Statement, ...] = (FIXTURE.undo,)
    releases_locks: bool = False
    rows: tuple[Statement, ...] = ()

    @property
    def begin(self) -> tuple[Statement, ...]:
        """The statements before the first that writes: a transaction as short as the batch."""
        return (*self.statements, TIMEOUTS) if self.releases_locks else ()


@dataclass(frozen=True)
class Frame:
    """The statements around each part of a batch: `before` inserts its rows, `undo` undoes
    everything.

    If other sessions wait for the locks of a part, it gives way: its first probe runs, the others
    follow in the next batch.
    """

    before: tuple[Statement, ...] = ()
    undo: Undo = field(default_factory=Undo)

    @property
    def first_check(self) -> Statement:
        """The check before the first probe of a part; see `check`."""
        return batch_limit.NO_CHECK if self.undo.releases_locks else batch_limit.CHECK

    @property
    def check(self) -> Statement:
        """The check before each other probe: a probe that fails it is skipped."""
        return batch_limit.CHECK_WAITING if self.undo.releases_locks else batch_limit.CHECK

    def parts(self, groups: Sequence[Groups]) -> list[list[Groups]]:
        """The groups of probes, split into the parts of a batch: all, or so many that the locks of
        their rows are held for a moment.
        """
        found: list[list[Groups]] = []
        size = 0
        for of_probe in groups:
            more = _AROUND + sum(map(len, of_probe))
            if not found or (self.undo.releases_locks and size + more > SHORT):
                found.append([])
                size = 0
            found[-1].append(of_probe)
            size += more
        return found

    def run(
        self,
        connection: Connection,
        deadline: Deadline,
        parts: Sequence[Groups],
        *,
        prepare: Sequence[Statement] = (),
        begin: Sequence[Statement] = (),
        forget: Sequence[Statement] = (),
    ) -> Iterator[list[GroupResult]]:
        """Run the groups of each part of a batch, all in one round trip.

        `begin` runs after the rows of each part, `prepare` before it in the first one, and `forget`
        at the end. Yields for each part the result of `begin`, which has the error if the rows
        cannot be inserted, and those of its groups. Raises psycopg's error of the first part.
        """
        seconds = SECONDS if self.undo.releases_locks else None
        rows = [*self.undo.begin, *self.before, batch_limit.begin(deadline, seconds)]
        prepared = repeated.repeated([*chain.from_iterable(parts)])
        results = run_groups(connection, self._sent(parts, rows, prepare, begin, forget, prepared))
        if prepared and any(isinstance(one.error, _NO_STATEMENT) for one in results):
            # a trigger of the project has deallocated them
            again = self._sent(parts, rows, prepare, begin, forget, {})
            results = run_groups(connection, [self.undo.statements, *again])[1:]
        *results, ended = results
        results[0].answer()
        ended.answer()
        rest = iter(results)
        for groups in parts:
            begun, *others = islice(rest, len(groups) + 1)
            own = begun.answers[len(begun.answers) - len(begin) :]
            yield [replace(begun, answers=own), *others]

    def _sent(
        self,
        parts: Sequence[Groups],
        rows: Sequence[Statement],
        prepare: Sequence[Statement],
        begin: Sequence[Statement],
        forget: Sequence[Statement],
        prepared: Mapping[str, Repeatable],
    ) -> list[Sequence[Statement]]:
        """The groups of a batch, which runs the statements that it repeats as `prepared` ones."""
        statements = [*prepared.values()]
        at_first = [*prepare, *repeated.prepare(statements)]
        at_end = [*forget, *repeated.deallocate(statements)]
        sent: list[Sequence[Statement]] = []
        for number, groups in enumerate(parts):
            sent.append([*rows, *(() if number else at_first), *begin])
            sent += [repeated.executed(group, prepared) for group in groups]
        return [*sent, [*self.undo.statements, *at_end]]

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
