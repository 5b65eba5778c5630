"""Run statements as callers, many in one round trip; every probe undoes the one before.

The work of a probe is a generator (`session.steps`). Needs an open transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Generic, Protocol, TypeVar

import psycopg

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.session import batch_limit
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.frame import Frame, Undo, wait
from supabase_jobs.session.impersonation import Impersonation, caller_statement, check_caller
from supabase_jobs.session.savepoint import Savepoint, run_undone
from supabase_jobs.session.steps import Groups, Steps

# One savepoint before the caller is set and one after it: setting the caller takes longer than most
# probes. A rollback to the first destroys the second, so if a caller cannot be set, its probes fail
# at their rollback.
_OWN_ROLE = Savepoint("own_role")
AS_CALLER = Savepoint("as_caller")
# around the rows of one world, in which a caller tries the same again
WORLD = Savepoint("world")

# a frame without rows
ONLY_PROBES = Frame(undo=Undo(_OWN_ROLE.end))

# the position of the check in the first group of a probe: behind the rollback to the own role
_CHECK = 1

T = TypeVar("T")


class Probe(Protocol):
    """Statements to run, and how to read their results."""

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """Run it. The first group of each step begins as the connection's own role.

        Raises psycopg's error if a result shows nothing about access.
        """
        ...


class Tried(Protocol):
    """Something that a caller tries: statements, and how to read their result."""

    @property
    def caller(self) -> Caller:
        """Who tries it."""
        ...

    @property
    def statements(self) -> Sequence[Statement]:
        """The statements, in order."""
        ...

    def read(self, result: GroupResult) -> None:
        """Read the result of the statements."""
        ...


@dataclass(frozen=True, eq=False)
class CallerProbe:
    """All that one caller tries: each from the same state."""

    caller: Caller
    tried: Sequence[Tried]

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """A group that sets the caller, and one for each."""
        become = [caller_statement(self.caller), AS_CALLER.save]
        groups = [[AS_CALLER.undo, *one.statements] for one in self.tried]
        begun, *results = yield [become, *groups]
        begun.answer()
        check_caller(impersonation, self.caller, begun.answers[0])
        for one, result in zip(self.tried, results, strict=True):
            one.read(replace(result, answers=result.answers[1:]))


def probes_of(tried: Iterable[Tried], most: int) -> list[CallerProbe]:
    """Probes of at most so many, in the order of their callers: a long batch ends between
    two probes.
    """
    probes = []
    for caller, group in groupby(tried, key=lambda one: one.caller):
        while chunk := list(islice(group, most)):
            probes.append(CallerProbe(caller, chunk))
    return probes


class OwnerProbe:
    """Statements of the connection's own role, each from the same state; `results` are theirs."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._statements = statements
        self.results: list[GroupResult] = []

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """A group for each statement."""
        groups = [[AS_CALLER.undo, statement] for statement in self._statements]
        begun, *results = yield [[AS_CALLER.save], *groups]
        begun.answer()
        self.results = [replace(result, answers=result.answers[1:]) for result in results]


@dataclass(eq=False)
class _Running:
    """A probe while it runs: the groups to send next; None once it is complete."""

    probe: Probe
    steps: Steps[None]
    groups: Groups | None

    def advance(self, results: Sequence[GroupResult] | None) -> None:
        """Send the results to the probe."""
        try:
            self.groups = next(self.steps) if results is None else self.steps.send(results)
        except StopIteration:
            self.groups = None


class Task(Generic[T]):
    """A probe of its steps only; `results` has what they return, once they are complete."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.results: list[T] = []

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """The steps, which cannot begin again: not for a frame that releases its locks."""
        self.results.append((yield from self._steps))


class Runner:
    """Runs probes on one connection, in batches that leave nothing.

    A frame has the statements around each part of a batch. A subclass may add others: `prepare` and
    `forget` run once in each batch, `first` in each part.
    """

    def __init__(
        self, impersonation: Impersonation, deadline: Deadline, frame: Frame = ONLY_PROBES
    ) -> None:
        self.impersonation = impersonation
        self._deadline = deadline
        self._frame = frame

    def prepare(self) -> Sequence[Statement]:
        """The statements after the first rows of the frame."""
        return ()

    def first(self) -> Sequence[Statement]:
        """The statements after the rows of the frame; see `begun`."""
        return ()

    def forget(self) -> Sequence[Statement]:
        """The statements after a batch, which undo what `prepare` did and a rollback keeps."""
        return ()

    def begun(self, answers: Sequence[Answer]) -> None:
        """Read the answers to `first`, before the probes of the part read their results."""

    def run(self, probes: Sequence[Probe]) -> None:
        """Run the probes in order; one round trip suffices unless one of them fails, has several
        steps or takes long.

        A batch that another session blocks is repeated, if its frame releases its locks. Raises
        DeadlineError, and the error of a probe whose results cannot be read, once those before it
        are complete.
        """
        stopped: psycopg.Error | SupabaseJobsError | None = None
        pauses = self._frame.pauses()
        running = [self._started_anew(probe) for probe in probes]
        while running := [one for one in running if one.groups is not None]:
            self._deadline.check()
            try:
                read, error = self._run_batch(running)
            except LOCK_ERRORS:  # of the statements around the batch
                if not wait(pauses):
                    raise
                continue
            if error is None:
                continue
            if isinstance(error, LOCK_ERRORS) and wait(pauses):
                running[read] = self._started_anew(running[read].probe)
                continue
            stopped, running = error, running[:read]
        if stopped is not None:
            raise stopped

    def _started_anew(self, probe: Probe) -> _Running:
        one = _Running(probe, probe.steps(self.impersonation), None)
        one.advance(None)
        return one

    def query(self, statements: Sequence[Statement]) -> GroupResult:
        """Run statements as the connection's own role, without fixture rows, and undo them."""
        [result] = run_undone(self.impersonation.connection, [statements])
        return result

    def _run_batch(
        self, running: Sequence[_Running]
    ) -> tuple[int, psycopg.Error | SupabaseJobsError | None]:
        """Run and read probes; returns how many were read, and the error of the one behind them."""
        for one, results in self._send(running):
            try:
                one.advance(results)
            except (psycopg.Error, SupabaseJobsError) as error:
                return running.index(one), error
        return len(running), None

    def _send(
        self, running: Sequence[_Running]
    ) -> Iterator[tuple[_Running, Sequence[GroupResult]]]:
        """Run the groups of these probes in one round trip; yield their results, except those that
        were skipped.
        """
        first, rest = [*self.first(), _OWN_ROLE.save], iter(running)
        parts = self._frame.parts([one.groups or () for one in running])
        results = self._frame.run(
            self.impersonation.connection,
            self._deadline,
            [list(self._checked(part)) for part in parts],
            prepare=self.prepare(),
            begin=first,
            forget=self.forget(),
        )
        for part, (begun, *others) in zip(parts, results, strict=True):
            begun.answer()
            self.begun(begun.answers[:-1])
            yield from self._read(list(islice(rest, len(part))), others)

    def _checked(self, part: Sequence[Groups]) -> Iterator[Sequence[Statement]]:
        """The groups of the probes of a part, each behind a check whether there is time for it."""
        check = self._frame.first_check
        for first, *others in part:
            yield [_OWN_ROLE.undo, check, *first]
            yield from others
            check = self._frame.check

    def _read(
        self, running: Sequence[_Running], results: Sequence[GroupResult]
    ) -> Iterator[tuple[_Running, Sequence[GroupResult]]]:
        """The results of the probes of a part, except those that were skipped."""
        rest = iter(results)
        for one in running:
            first_result, *other_results = islice(rest, len(one.groups or ()))
            if batch_limit.was_skipped(first_result, _CHECK):
                continue
            if len(first_result.answers) <= _CHECK:
                first_result.answer()
            own = replace(first_result, answers=first_result.answers[_CHECK + 1 :])
            yield one, [own, *other_results]
