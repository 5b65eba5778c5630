"""Run statements as identities, many in one round trip; every probe undoes the one before.

Needs an open transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.session import batch_limit
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.frame import Frame, wait
from supabase_jobs.session.impersonation import Impersonation

# One savepoint before the identity is set and one after it: setting the identity takes longer than
# most probes. A rollback to the first destroys the second, so if an identity cannot be set, its
# probes fail at their rollback.
_SAVE_OWN_ROLE = Statement("savepoint own_role")
RESET_ROLE = Statement("rollback to savepoint own_role")
_RELEASE_OWN_ROLE = Statement("release savepoint own_role")
SAVE_IDENTITY = Statement("savepoint identity")
UNDO_PROBE = Statement("rollback to savepoint identity")

# the position of the check in the first group of a probe: behind RESET_ROLE
_CHECK = 1

Groups = list[list[Statement]]


class Probe(Protocol):
    """Statements to run, and how to read their results. The first group begins as the connection's
    own role.
    """

    @property
    def complete(self) -> bool:
        """Whether all results are known."""
        ...

    def groups(self, impersonation: Impersonation) -> Groups:
        """The groups of statements to send next."""
        ...

    def read(self, impersonation: Impersonation, results: Sequence[GroupResult]) -> None:
        """Read the results of `groups`. Raises psycopg's error if it shows nothing about access."""
        ...


class Runner:
    """Runs probes on one connection.

    With a frame, each batch has its statements around it, and leaves nothing. Without, a savepoint
    is left, so the caller must roll back to a point before it.
    """

    def __init__(
        self, impersonation: Impersonation, deadline: Deadline, frame: Frame | None = None
    ) -> None:
        self.impersonation = impersonation
        self._deadline = deadline
        self._frame = frame
        self._started = False

    def run(self, probes: Sequence[Probe]) -> None:
        """Run the probes in order; one round trip suffices unless one of them fails or takes long.

        A batch that another session blocks is repeated, if its frame releases its locks. Raises
        DeadlineError, and the error of a probe whose results cannot be read, once those before it
        are complete.
        """
        stopped: psycopg.Error | None = None
        pauses = iter(()) if self._frame is None else self._frame.pauses()
        while pending := [probe for probe in probes if not probe.complete]:
            self._deadline.check()
            try:
                read, error = self._run_batch(pending)
            except LOCK_ERRORS:  # of the statements around the batch
                if not wait(pauses):
                    raise
                continue
            if error is None or (isinstance(error, LOCK_ERRORS) and wait(pauses)):
                continue
            stopped, probes = error, pending[:read]
        if stopped is not None:
            raise stopped

    def query(self, statements: Sequence[Statement]) -> GroupResult:
        """Run statements as the connection's own role, without fixture rows, and undo them."""
        undo = [RESET_ROLE] if self._frame is None else self._frame.undo.statements
        begin = [RESET_ROLE] if self._frame is None else []
        answered, ended = run_groups(self.impersonation.connection, [[*begin, *statements], undo])
        ended.answer()
        return replace(answered, answers=answered.answers[len(begin) :])

    def reset_role(self) -> None:
        """Act as the connection's own role again; a batch with a frame ends so."""
        if self._frame is None:
            self.impersonation.connection.execute(RESET_ROLE.sql)

    def _run_batch(self, probes: Sequence[Probe]) -> tuple[int, psycopg.Error | None]:
        """Run and read probes; returns how many were read, and the error of the one behind them."""
        for probe, results in self._send(probes):
            try:
                probe.read(self.impersonation, results)
            except psycopg.Error as error:
                return probes.index(probe), error
        return len(probes), None

    def _send(self, probes: Sequence[Probe]) -> Iterator[tuple[Probe, Sequence[GroupResult]]]:
        """Run the groups of these probes in one round trip; yield their results, except those that
        were skipped.
        """
        groups = [probe.groups(self.impersonation) for probe in probes]
        checks = [batch_limit.CHECK] * len(groups)
        if self._frame is not None:
            checks = [self._frame.first_check, *[self._frame.check] * (len(groups) - 1)]
        sent: Groups = []
        for check, (first, *others) in zip(checks, groups, strict=True):
            sent += [[RESET_ROLE, check, *first], *others]
        rest = iter(self._exchange(sent))
        for probe, probe_groups in zip(probes, groups, strict=True):
            first_result, *other_results = islice(rest, len(probe_groups))
            if batch_limit.was_skipped(first_result, _CHECK):
                continue
            if len(first_result.answers) <= _CHECK:
                first_result.answer()
            own = replace(first_result, answers=first_result.answers[_CHECK + 1 :])
            yield probe, [own, *other_results]

    def _exchange(self, groups: Groups) -> list[GroupResult]:
        """The results of the groups, which run between the beginning and the end of a batch."""
        connection = self.impersonation.connection
        if self._frame is not None:
            _, *results = self._frame.run(connection, self._deadline, [_SAVE_OWN_ROLE], groups)
            return results
        begin = [RESET_ROLE, _RELEASE_OWN_ROLE] if self._started else []
        begin += [batch_limit.begin(self._deadline), _SAVE_OWN_ROLE]
        begun, *results = run_groups(connection, [begin, *groups])
        begun.answer()
        self._started = True
        return results
