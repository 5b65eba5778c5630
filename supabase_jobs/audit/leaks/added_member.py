"""Other people whom a member adds to the own group, without being asked, or with a role above the
own one.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import ADD
from supabase_jobs.findings import Severity

KIND = Kind(
    code="added-member",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Members add other people to their own group.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table of memberships that knows an invitation which is skipped; otherwise
    a question.
    """
    for group in facts.objects.values():
        added = [t for t in group if t.name == ADD and t.reached and not t.failed]
        promoted = [t for t in added if t.actor.kind == MEMBER]
        for tried in promoted[:1]:
            message = (
                f"{who(tried.actor)} add other people with a role above their own:"
                f" {tried.column} = {tried.value}"
            )
            yield shown(KIND, Severity.WARNING, tried, message)
        for tried in [t for t in added if t not in promoted][:1]:
            if tried.table.has_invitations:
                message = "Members can add other people to their own group as if they had accepted"
                yield shown(KIND, Severity.WARNING, tried, message)
            else:
                message = "Members can add any other person to their own group in {}. May they?"
                yield question(KIND, tried, tried.table.label, tried.table.label, message)
