"""Actions in one group that a role in another group allows."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import MEMBER
from supabase_jobs.audit.facts.actors import Membership
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, ShownLeak, shown
from supabase_jobs.audit.probes.attempt import GROUP
from supabase_jobs.findings import Severity

KIND = Kind(
    code="two-groups",
    order=340,
    severities=(Severity.ERROR,),
    sentence="A role in one group allows its member the same in another group.",
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and action."""
    for group in facts.objects.values():
        members = [t for t in group if t.actor.kind == MEMBER]
        for tried in members:
            membership = tried.actor.membership
            if membership is None or not membership.in_both or not tried.reached:
                continue
            if tried.whose != GROUP or tried.name:
                continue
            if tried.column in tried.table.above.key_columns:
                continue  # a row may move between groups of which one is a member
            if facts.is_open(tried):
                continue  # to people of no group, too: that is the leak
            if _is_refused_alone(tried, membership, members):
                message = (
                    f"A {membership.role} of one group who is {membership.strongest} of another"
                    f" can {DOES[tried.action]} rows as {membership.strongest}"
                )
                yield shown(KIND, Severity.ERROR, tried, message)


def _is_refused_alone(tried: Tried, membership: Membership, members: Sequence[Tried]) -> bool:
    """Whether members with the same role, and no other, were refused the same."""
    same = [
        t
        for t in members
        if _has_only(t, membership)
        and (t.action, t.column, t.row, t.name) == (tried.action, tried.column, tried.row, "")
    ]
    return bool(same) and not any(t.reached for t in same)


def _has_only(tried: Tried, membership: Membership) -> bool:
    other = tried.actor.membership
    if other is None or other.in_both:
        return False
    return (other.table, other.role) == (membership.table, membership.role)
