"""The attempts of a run so far, and how more of them are run."""

from collections.abc import Iterable, Sequence

from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import INSERT, Attempt
from supabase_jobs.audit.probes.known import Known
from supabase_jobs.outcomes import DENIED
from supabase_jobs.session.runner import Runner, probes_of


class Record:
    """Runs attempts in batches; `attempts` keeps those whose outcomes are access.

    `known` are the outcomes of an earlier run on the same rows, `tried` all attempts that were
    run.
    """

    def __init__(self, runner: Runner, known: Known) -> None:
        self._runner, self._known = runner, known
        self.tried: list[Attempt] = []
        self.attempts: list[Attempt] = []

    @property
    def inserted(self) -> list[Attempt]:
        """The new rows that were accepted."""
        return [a for a in self.attempts if a.action == INSERT and a.reached]

    def send(self, attempts: Sequence[Attempt]) -> None:
        """Run attempts and keep them; those that need a privilege that the role lacks are denied
        without a statement.
        """
        waiting = []
        for attempt in attempts:
            is_possible = attempt.sent is not None and attempt.relation.may(
                attempt.caller.role, attempt.action.upper(), attempt.column or None
            )
            if is_possible:
                waiting.append(attempt)
            else:
                attempt.outcome = DENIED
        try:
            self._try(waiting)
        finally:  # those that the time limit left out have no outcome
            self.attempts += [attempt for attempt in attempts if attempt.outcome]

    def send_controls(self, attempts: Iterable[Attempt]) -> None:
        """Run attempts that are not kept: they are compared with those that are."""
        self._try(sorted(attempts, key=lambda one: id(one.caller)))

    def _try(self, attempts: Iterable[Attempt]) -> None:
        """Run the attempts whose outcome is not known."""
        unknown = [attempt for attempt in attempts if not self._known.tells(attempt)]
        self.tried += unknown
        self._runner.run(probes_of(unknown, LIMITS.attempts_in_batch))
