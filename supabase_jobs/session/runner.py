"""Run statements as identities, many in one round trip; every probe undoes the one before.

Needs an open transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.session import batch_limit
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation

# One savepoint before the identity is set and one after it: setting the identity takes longer than
# most probes. A rollback to the first destroys the second, so if an identity cannot be set, its
# probes fail at their rollback.
_SAVE_OWN_ROLE = Statement("savepoint own_role")
RESET_ROLE = Statement("rollback to savepoint own_role")
_RELEASE_OWN_ROLE = Statement("release savepoint own_role")
SAVE_IDENTITY = Statement("savepoint identity")
UNDO_PROBE = Statement("rollback to savepoint identity")

_BEGIN = [RESET_ROLE, batch_limit.CHECK]

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
    """Runs probes on one connection. It leaves a savepoint, so the caller must roll back to a point
    before it.
    """

    def __init__(self, impersonation: Impersonation, deadline: Deadline) -> None:
        self.impersonation = impersonation
        self._deadline = deadline
        self._started = False

    def run(self, probes: Sequence[Probe]) -> None:
        """Run the probes in order; one round trip suffices unless one of them fails or takes long.

        Raises DeadlineError, and the error of a probe whose results cannot be read, once those
        before it are complete.
        """
        stopped: psycopg.Error | None = None
        while pending := [probe for probe in probes if not probe.complete]:
            self._deadline.check()
            for probe, results in self._send(pending):
                try:
                    probe.read(self.impersonation, results)
                except psycopg.Error as error:
                    stopped, probes = error, pending[: pending.index(probe)]
                    break
        if stopped is not None:
            raise stopped

    def _send(self, probes: Sequence[Probe]) -> Iterator[tuple[Probe, Sequence[GroupResult]]]:
        """Run the groups of these probes in one round trip; yield their results, except those that
        were skipped.
        """
        begin = [RESET_ROLE, _RELEASE_OWN_ROLE] if self._started else []
        begin += [batch_limit.begin(self._deadline), _SAVE_OWN_ROLE]
        groups = [probe.groups(self.impersonation) for probe in probes]
        sent = [
            begin,
            *(group for first, *others in groups for group in ([*_BEGIN, *first], *others)),
        ]
        first_result, *results = run_groups(self.impersonation.connection, sent)
        first_result.answer()
        self._started = True
        rest = iter(results)
        for probe, probe_groups in zip(probes, groups, strict=True):
            first, *others = islice(rest, len(probe_groups))
            if batch_limit.was_skipped(first, _BEGIN.index(batch_limit.CHECK)):
                continue
            if len(first.answers) < len(_BEGIN):
                first.answer()
            yield probe, [replace(first, answers=first.answers[len(_BEGIN) :]), *others]
