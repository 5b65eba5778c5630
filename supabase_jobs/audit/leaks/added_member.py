"""Other people whom a member adds to the own group, without being asked."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown
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
        for tried in group:
            if tried.name != ADD or not tried.reached or tried.failed:
                continue
            if tried.table.has_invitations:
                message = "Members can add other people to their own group as if they had accepted"
                yield shown(KIND, Severity.WARNING, tried, message)
            else:
                message = "Members can add any other person to their own group in {}. May they?"
                yield question(KIND, tried, tried.table.label, tried.table.label, message)
            break
