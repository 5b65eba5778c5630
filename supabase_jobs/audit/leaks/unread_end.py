"""Times of a membership or of a link to rows of others that no policy or function reads."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.leaks.facts import Facts, Tried, UnreadTime
from supabase_jobs.audit.leaks.leak import Kind, Question, question
from supabase_jobs.audit.probes.attempt import GROUP, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="unread-end",
    severities=(Severity.QUESTION,),
    sentence="A row opens rows of others, and nothing reads the time in it, which may be its end.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each column."""
    for time in facts.unread_times:
        for group in facts.objects.values():
            for tried in group:
                if not _opens(time, tried) or facts.is_open(tried):
                    continue
                message = (
                    f"{time.table}.{time.column} may be over: no policy or function reads it, and"
                    " a row opens {}. Is that intended?"
                )
                decides = f"{time.table}.{time.column}"
                yield question(KIND, tried, decides, tried.table.label, message)


def _opens(time: UnreadTime, tried: Tried) -> bool:
    """Whether somebody reads another table by a row with this time."""
    if tried.action != SELECT or not tried.reached or tried.actor.kind != MEMBER:
        return False
    membership = tried.actor.membership
    belongs = tried.actor.link if membership is None else membership.table
    return belongs == time.table != tried.table.label and tried.whose == GROUP
