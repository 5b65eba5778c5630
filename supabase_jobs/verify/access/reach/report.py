"""The case and the finding about a candidate."""

from collections.abc import Mapping

from supabase_jobs.findings import Case, Finding, Id
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach.candidate import QUERY, Candidate, Kind
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

_TITLE = "what requests can do with it reaches nobody else"
_CALLED = (
    "{who} can call it, and it {problem}",
    "revoke execute on function {object} from public, anon, authenticated;",
)
_WRITTEN = (
    "{who} can write to it, and its rows, triggers or rules: {problem}",
    "revoke insert, update, delete on {object} from anon, authenticated;",
)
# the message, and a fix unless the problem has one
_SENTENCES: Mapping[Kind, tuple[str, str]] = {
    Kind.FUNCTION: _CALLED,
    Kind.COMPUTED_COLUMN: _CALLED,
    Kind.JOB: (
        "it {problem} ({tables}), as the role of the job",
        "Let the job run fixed statements, and read only values from the table.",
    ),
    Kind.RELATION: (
        "{who} can read it, and it {problem}",
        "revoke all on table {object} from public, anon, authenticated;",
    ),
    Kind.MESSAGES: (
        "on public topics, which everybody can join, Realtime {problem}",
        "Send to a private topic (the fourth argument of realtime.send), with a policy.",
    ),
    Kind.STATE: (
        "as a trigger of a managed table, it {problem}",
        "Drop the triggers that call {object}.",
    ),
    Kind.SIGN_UP: (
        "whoever signs up chooses metadata, and a trigger {problem}",
        "Let the trigger use only the id of the new user, and what Auth has confirmed.",
    ),
    Kind.PARENT: (
        "{who} can delete its rows of others, and that {problem}",
        "revoke delete on table {object} from anon, authenticated;",
    ),
}
# what a file of allowed findings may name
_ALLOWED = (Kind.FUNCTION, Kind.COMPUTED_COLUMN, Kind.RELATION)


def report(candidate: Candidate, problem: Problem | None, context: Context) -> None:
    """Add a case, and a finding if there is a problem."""
    id = Id(AREA, candidate.object, "reach")
    case = Case(id=id, area=AREA, object=candidate.object, name=_TITLE)
    context.cases.append(catalog.with_script(case, QUERY, candidate.object, context))
    if problem is None or id in {finding.id for finding in context.findings}:
        return
    message, fix = (
        sentence.format(
            who=" and ".join(sorted(candidate.callers)),
            problem=problem.message,
            object=candidate.object,
            tables=", ".join(sorted({*(candidate.names or ())})),
        )
        for sentence in _SENTENCES.get(candidate.kind, _WRITTEN)
    )
    context.findings.append(
        Finding(
            id=id,
            area=AREA,
            severity=problem.severity,
            object=candidate.object,
            message=message,
            fix=problem.fix or fix,
        )
    )
    if candidate.kind in _ALLOWED:
        context.allowed.candidates[id] = {"name": candidate.object}
