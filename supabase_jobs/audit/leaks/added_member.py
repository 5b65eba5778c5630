"""Other people whom a member adds to the own group, without being asked, or with a role above the
own one.
"""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import ADD, GROUP, INSERT, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="added-member",
    order=230,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Members add other people to their own group.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table of memberships that knows an invitation which is skipped, unless
    only the head of a group adds members; otherwise a question.
    """
    for group in facts.objects.values():
        added = [t for t in group if t.name == ADD and t.reached and not t.failed]
        promoted = [t for t in added if t.actor.kind == MEMBER and not facts.is_known_weaker(t)]
        for tried in promoted[:1]:
            message = (
                f"{who(tried.actor)} add other people with a role above their own:"
                f" {tried.column} = {tried.value}"
            )
            yield shown(KIND, Severity.WARNING, tried, message)
        for tried in [t for t in added if t not in promoted][:1]:
            if tried.table.rows.has_invitations and _is_for_heads(facts, tried):
                message = "The head of a group can add other people in {} as if they had accepted."
                message += " May they?"
                yield question(KIND, tried, tried.table.label, tried.table.label, message)
                continue
            if tried.table.rows.has_invitations:
                message = "Members can add other people to their own group as if they had accepted"
                yield shown(KIND, Severity.WARNING, tried, message)
                continue
            for weak in [t for t in group if _adds_without_power(facts, t)][:1]:
                message = f"{who(weak.actor)} add any other person to a group in {{}}. May they?"
                yield question(KIND, weak, weak.table.label, weak.table.label, message)
        yield from _of_raised(facts, group)


def _of_raised(facts: Facts, group: Sequence[Tried]) -> Iterator[Question]:
    """The values in the row of a colleague that let who has them do more than the caller."""
    for one in group:
        is_changed = one.action == UPDATE and one.whose == GROUP and one.name == ""
        is_member = one.actor.kind == MEMBER and one.table.rows.per_user
        if is_changed and is_member and one.reached and not one.failed and facts.gives_more(one):
            message = (
                f"{who(one.actor)} give others {{}} in {one.table.label}, with which somebody does"
                " more than they do. May they?"
            )
            topic = f"{one.column} = {one.value}"
            yield question(KIND, one, f"{one.table.label}:{UPDATE}", topic, message)


def _is_for_heads(facts: Facts, added: Tried) -> bool:
    """Whether each member who is not the head of the group is refused to add others, and a new row
    opens nothing: then it is told already.
    """
    opening = {o.write.table.label for o in facts.opened if o.write.action == INSERT}
    adding = [t for t in facts.objects[added.object] if _is_added(t)]
    is_refused = bool(adding) and not any(t.reached for t in adding)
    return is_refused and added.table.label not in opening


def _adds_without_power(facts: Facts, tried: Tried) -> bool:
    """Whether a member adds another person without one of the roles that are for this: one of the
    same table that others lack, or one with power over others.
    """
    membership = tried.actor.membership
    if not _is_added(tried) or not tried.reached or membership is None:
        return False
    role = membership.role or ""
    if role and (role == membership.strongest or facts.words.powerful_roles.matches(role)):
        return False
    same = [t for t in facts.objects[tried.object] if t.name == "" and t.action == INSERT]
    refused = [t for t in same if not t.reached and _is_of_group(t, membership.table)]
    return membership.table != tried.table.label or not refused


def _is_added(tried: Tried) -> bool:
    """Whether a member adds another person to a group."""
    is_insert = tried.action == INSERT and tried.whose == GROUP and tried.name == ""
    return is_insert and tried.actor.kind == MEMBER


def _is_of_group(tried: Tried, table: str) -> bool:
    """Whether a caller adds a row to the own group as its owner, or with a role in it."""
    if tried.actor.kind == OWNER:
        return tried.whose == OWN
    membership = tried.actor.membership
    return _is_added(tried) and membership is not None and membership.table == table
