"""The test that a suite lacks: a statement of a caller whose outcome differs with the fault, and
the rows it needs.

Each test is tried on a copy without the fault and on one with it, before it is suggested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from supabase_jobs.audit.emit.recording import (
    Generated,
    RecordedAttempt,
    RecordedRow,
    Recording,
    Showing,
)
from supabase_jobs.audit.emit.replay import INCONCLUSIVE, TOUCHED, Trial, outcomes
from supabase_jobs.audit.emit.titles import title
from supabase_jobs.database.connection import Connection
from supabase_jobs.session.action import printed

_UNTESTABLE = (INCONCLUSIVE, TOUCHED)
# more rows are left in a test as they are
_MAX_MINIMIZED = 80
# the claims that every user has
_PLAIN_CLAIMS = ("sub", "role", "aud")


@dataclass(frozen=True)
class MissingTest:
    """A statement of a caller with its rows. `outcome` is that without the fault. The `generated`
    values differ in each run.
    """

    rows: tuple[RecordedRow, ...]
    attempt: RecordedAttempt
    showing: Showing
    outcome: str
    with_fault: str
    generated: Generated

    @property
    def title(self) -> str:
        """The statement of the test: `stranger cannot read a row of another in notes`."""
        return title(self.attempt, self.outcome)


class Replay:
    """Runs the statement of a test on a connection, and rolls back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, rows: Sequence[RecordedRow], attempt: RecordedAttempt, showing: Showing) -> str:
        """The outcome of the statement, see `outcomes`."""
        counts = attempt.verb != "truncate"
        target = "" if showing.target is None else printed(showing.target)
        trial = Trial(attempt.caller, showing.action.test(), target, counts)
        return outcomes(self._connection, [row.text() for row in rows], [trial])[0]


def find(
    reference: Replay, mutated: Replay, recording: Recording, attempt: RecordedAttempt
) -> MissingTest | None:
    """The test that passes without the fault and fails with it, with as few rows as possible; None
    if none does.
    """
    rows = recording.rows
    for showing in attempt.showings:
        outcome = reference.run(rows, attempt, showing)
        if outcome in _UNTESTABLE:
            continue
        with_fault = mutated.run(rows, attempt, showing)
        if with_fault not in (outcome, INCONCLUSIVE):
            test = MissingTest(
                rows=rows,
                attempt=attempt,
                showing=showing,
                outcome=outcome,
                with_fault=with_fault,
                generated=recording.generated,
            )
            return _minimized(reference, mutated, test)
    return None


def _minimized(reference: Replay, mutated: Replay, test: MissingTest) -> MissingTest:
    """The test without the claims, rows and columns that it does not need."""
    found = test

    def holds(candidate: MissingTest) -> bool:
        parts = candidate.rows, candidate.attempt, candidate.showing
        return reference.run(*parts) == test.outcome and mutated.run(*parts) == test.with_fault

    claims = dict(test.attempt.caller.claims or {})
    plain = {name: claims[name] for name in _PLAIN_CLAIMS if name in claims}
    caller = replace(test.attempt.caller, claims=plain)
    candidate = replace(found, attempt=replace(test.attempt, caller=caller))
    if plain != claims and holds(candidate):
        found = candidate
    if len(test.rows) <= _MAX_MINIMIZED:
        for row in reversed(test.rows):
            candidate = replace(found, rows=tuple(kept for kept in found.rows if kept is not row))
            if holds(candidate):
                found = candidate
    for row in [row for row in found.rows if row.short is not None]:
        shorter = row.shortened()
        candidate = replace(
            found, rows=tuple(shorter if kept is row else kept for kept in found.rows)
        )
        if holds(candidate):
            found = candidate
    return found
