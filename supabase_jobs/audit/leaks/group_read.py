"""Rows of others in one's group that members read, although the project limits what they read: a
policy shows persons their own, most tables are closed to their role, or policies of other tables
demand that what links them is in another state.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM, MEMBER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, OWN, SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="group-read",
    order=120,
    severities=(Severity.QUESTION,),
    sentence="Members read rows of others in their group, although something limits that.",
)


def find(facts: Facts) -> Iterator[Question]:
    """A question for each table of memberships, for each role that a claim has, and for each table
    of links.
    """
    for group in facts.objects.values():
        for tried in group:
            if _is_of_person(facts, tried):
                membership = tried.actor.membership
                decides = tried.table.label if membership is None else membership.table
                message = (
                    f"{who(tried.actor)} read rows of {{}} that name others, although a policy"
                    " shows persons their own. Is that intended?"
                )
                yield question(KIND, tried, decides, tried.table.label, message)
                break
    for actor in dict.fromkeys(tried.actor for tried in facts.tried):
        if actor.kind == CLAIM and facts.is_outdone(actor):
            yield from _of_weak_role(facts, actor)
    for state in facts.link_states:
        demanded = " or ".join(state.demanded)
        message = (
            f"Users can read rows of {{}} by a row of {state.link} with {state.column} ="
            f" {state.start}, with which it starts; policies of {state.other} demand {demanded}. Is"
            " that intended?"
        )
        yield Question(
            kind=KIND,
            severity=Severity.QUESTION,
            object=state.table,
            message=message,
            decides=f"{state.link}.{state.column} = {state.start}",
            topics=(state.table,),
        )


def _is_of_person(facts: Facts, tried: Tried) -> bool:
    """Whether a member without the most powerful role reads a row that names another, and that some
    condition of its policies shows to this person only.
    """
    table, membership = tried.table, tried.actor.membership
    if tried.action != SELECT or not tried.reached or tried.whose != GROUP:
        return False
    if tried.actor.kind != MEMBER or (membership and membership.role == membership.strongest):
        return False
    if not table.compared.personal or _is_of_group(table) or facts.is_open(tried):
        return False
    # a policy says which members read the row
    return not any(
        t.row == tried.row and t.action == SELECT and t.whose == GROUP and not t.reached
        for t in facts.of_table(table.label)
        if t.actor.kind == MEMBER
    )


def _is_of_group(table: Table) -> bool:
    """Whether its rows say who belongs to a group, which its members may know."""
    return table.rows.is_membership or table.rows.is_group or table.rows.per_user


def _of_weak_role(facts: Facts, actor: Actor) -> Iterator[Question]:
    """A question about each table that a role reads and only other roles write. The role must be a
    weak one: less than half of the tables of its group are open to it.
    """
    reads = [
        tried
        for tried in facts.tried
        if tried.actor is actor and tried.action == SELECT and tried.whose == OWN
        if not tried.is_state and not _is_of_group(tried.table)
    ]
    open_ = [tried for tried in reads if tried.reached]
    if 2 * len(open_) >= len(reads):
        return
    for tried in open_:
        if tried.table.rls and _only_others_add(facts, tried):
            message = (
                f"{who(actor)} read rows of {{}}, which only other roles add, although most tables"
                " are closed to them. Is that intended?"
            )
            yield question(KIND, tried, actor.label, tried.table.label, message)


def _only_others_add(facts: Facts, read: Tried) -> bool:
    """Whether a role adds no row of a table, and another value of its claim does."""
    inserts = [t for t in facts.of_table(read.table.label) if t.action == INSERT and t.reached]
    adding = [t.actor for t in inserts if t.actor.claim == read.actor.claim]
    return bool(adding) and read.actor not in adding
