"""Rows of one group that members of another one read, because a table lists both groups."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question
from supabase_jobs.audit.probes.attempt import GROUP, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="listed-group",
    order=90,
    severities=(Severity.QUESTION,),
    sentence="Members of a group that a row lists read rows that name another group.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table that lists groups, about all tables that it opens."""
    for group in facts.objects.values():
        for tried in group:
            if _is_of_another(facts, tried) and not facts.is_open(tried):
                listing = tried.actor.listing
                message = (
                    f"Members of a group that {listing} lists read rows of {{}} that name another"
                    " group. May they?"
                )
                yield question(KIND, tried, listing, tried.table.label, message)


def _is_of_another(facts: Facts, tried: Tried) -> bool:
    """Whether a member of a listed group reads a row of the owner's group, which names it: not the
    row that groups are listed for.
    """
    actor = tried.actor
    if actor.kind != MEMBER or not actor.listing or tried.whose != GROUP:
        return False
    if tried.action != SELECT or not tried.reached or tried.is_state:
        return False
    label = tried.table.label
    listing = facts.tables.get(actor.listing)
    known = [actor.listing, actor.listed, *([] if listing is None else listing.above.parents)]
    return actor.listed in tried.table.above.parents and label not in known
