"""Run each scheduled job among people and jobs of now, who must still be there after it.

A job cleans up what nobody needs. Who has just signed up, has no address or comes back after years
is needed, and so is a job that has been queued or that a worker holds. Each job runs alone, and is
undone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import CHECK_DEFERRED, Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import Kept
from supabase_jobs.verify.context import Context

_FIX = "Let the job leave what is in use: compare the time at which somebody was last there."


@dataclass(eq=False)
class _Run:
    """A run of a job, or of nothing, and what is kept after it; None if the job failed."""

    name: str
    statements: Sequence[Statement]
    looks: Sequence[Statement]
    seen: list[object] | None = field(default=None, init=False)

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """The job, and each query after it."""
        [result] = yield [[*self.statements, *self.looks]]
        self.seen = self._seen(result)

    def _seen(self, result: GroupResult) -> list[object] | None:
        if isinstance(result.error, (*LOCK_ERRORS, psycopg.errors.QueryCanceled)):
            raise result.error
        if result.error is not None:
            return None
        return [answer.rows for answer in result.answers[len(self.statements) :]]


def check(
    impersonation: Impersonation,
    jobs: Mapping[str, str],
    before: Sequence[Statement],
    kept: Sequence[Kept],
    context: Context,
) -> Collection[str]:
    """Add a case for each of the `jobs`, the commands by the names of their objects, and a finding
    for the worst that it does. Returns those that do something.

    `before` are the rows among which they run.
    """
    looks = [Statement(one.sql, impersonation.ids) for one in kept]
    nothing = _Run("", [], looks)
    runs = [_Run(name, [Statement(text), CHECK_DEFERRED], looks) for name, text in jobs.items()]
    frame = Frame(tuple(before), context.undo)
    Runner(impersonation, context.deadline, frame).run([nothing, *runs])
    found = set()
    for run in runs:
        id = Id(AREA, run.name, "what is in use")
        case = Case(id=id, area=AREA, object=run.name, name="it leaves what is in use")
        context.cases.append(case)
        does = _done(kept, nothing, run)
        if not does:
            continue
        found.add(run.name)
        severities = [one.severity for one in does]
        error = Severity.ERROR in severities
        context.findings.append(
            Finding(
                id=id,
                area=AREA,
                severity=Severity.ERROR if error else Severity.WARNING,
                object=run.name,
                message="it " + ", and ".join(one.does for one in does),
                fix=_FIX,
            )
        )
    return found


def _done(kept: Sequence[Kept], nothing: _Run, run: _Run) -> list[Kept]:
    """The things that a job does. Where nothing can be looked at, or is there, it does none."""
    if nothing.seen is None or run.seen is None:
        return []
    pairs = zip(kept, nothing.seen, run.seen, strict=True)
    return [one for one, before, after in pairs if before and before != after]
