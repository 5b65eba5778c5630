"""Attempts on rows that several kinds of leak look for."""

from collections.abc import Iterator, Sequence

from psycopg import errors

from supabase_jobs.audit.callers import ANON, CLAIM, NEWCOMER, SERVICE, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.policies.visitors import Shown
from supabase_jobs.audit.probes.attempt import (
    CHOOSE,
    GROUP,
    INSERT,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
)
from supabase_jobs.outcomes import VIOLATES

# a foreign key has refused the new value, after the policies have accepted it
_NO_SUCH_ROW = errors.ForeignKeyViolation.sqlstate


def reads_of_others(group: Sequence[Tried]) -> list[Tried]:
    """The reads of rows of others by outsiders, by the most general one first."""
    return [
        t
        for t in group
        if t.action == SELECT and t.whose == OTHER and t.reached and t.actor.is_outsider
    ]


def only_anon(group: Sequence[Tried]) -> bool:
    """Whether requests without a user read rows of others, and newcomers were refused."""
    tried = {t.actor.kind for t in group if t.action == SELECT and t.whose == OTHER}
    reached = {t.actor.kind for t in reads_of_others(group)}
    return ANON in reached and NEWCOMER in tried and NEWCOMER not in reached


def shows_visitors(group: Sequence[Tried]) -> bool:
    """Whether requests without a user read rows as a policy means them to, which names them and
    asks nothing about the request: those of a shop, or those that their author has published.
    """
    table = group[0].table
    if not only_anon(group) or table.persons.headers:
        return False
    is_of_person = bool(table.persons.users) and not table.persons.names_rows
    shown = table.policies.visitors
    return shown is Shown.BY_CHOICE or (shown is Shown.UNLESS_HIDDEN and not is_of_person)


def first_write(group: Sequence[Tried], action: str) -> Tried | None:
    """The write of the most general outsider to a row of another, or by everybody to one that
    belongs to nobody; by who was a member, or is not yet, if nobody else does.
    """
    for tried in sorted(group, key=lambda one: one.actor.is_inactive):
        if tried.action != action or not tried.reached or not tried.actor.is_outsider:
            continue
        if tried.whose == OTHER:
            return tried
        if tried.whose == NONE and tried.actor.kind in (ANON, NEWCOMER):
            return tried
    return None


def writes_of_other_tenants(facts: Facts, group: Sequence[Tried]) -> Iterator[Tried]:
    """Writes of users with a claim to rows that they cannot read.

    Where a claim names the tenant, an admin of one tenant is a stranger to the others.
    """
    if not group[0].table.persons.claims:
        return
    for tried in group:
        is_claim = tried.actor.kind == CLAIM and not tried.actor.is_outsider
        if not is_claim or tried.name or not tried.reached:
            continue
        is_write = tried.action != SELECT and tried.whose == OTHER
        if is_write and not facts.reads_other(tried):
            yield tried


def inserts_of_outsiders(group: Sequence[Tried]) -> list[Tried]:
    """The rows that outsiders have inserted."""
    return [t for t in group if t.action == INSERT and t.reached and t.actor.is_outsider]


def changes_own(tried: Tried) -> bool:
    """Whether any signed-in user changes a row of their own, without an error."""
    is_own = tried.action == UPDATE and tried.whose == OWN and tried.reached and not tried.failed
    return is_own and tried.actor.kind in (NEWCOMER, STRANGER)


def sets_refused(facts: Facts, tried: Tried) -> bool:
    """Whether an UPDATE sets a value that a policy refuses in new rows of the same caller."""
    role, is_named = tried.actor.role, bool(tried.name)
    is_accepted = (tried.reached and not tried.failed) or tried.outcome == _NO_SUCH_ROW
    if tried.action != UPDATE or not is_accepted or is_named:
        return False
    is_of_party = tried.whose in (OWN, GROUP) and tried.actor.kind != SERVICE
    if not is_of_party or f"{role} UPDATE" not in tried.table.granted:
        return False
    accepted = tried.table.tested.untested.get(role, {}).get(tried.column)
    return _was_refused(facts, tried) if accepted is None else tried.value not in accepted


def _was_refused(facts: Facts, update: Tried) -> bool:
    """Whether a policy has refused the value in a new row of any signed-in user, none refuses
    another one in a changed row, and the person who changes a row may be the one who inserts it.
    """
    table = update.table
    if not changes_own(update) or not table.compared.updating:
        return False
    if table.compared.checked and not set(table.compared.updating) & set(table.compared.checked):
        return False
    tried = [
        t
        for t in facts.of_table(table.label)
        if t.actor is update.actor and t.column == update.column and not t.is_state
    ]
    if update.column in table.tested.kept.get(update.actor.role, ()):
        return False  # who passes by another policy is another caller
    updates = [t for t in tried if t.action == UPDATE and t.row == update.row]
    if any(t.outcome == VIOLATES for t in updates):
        return False
    return any(
        t.name == CHOOSE and t.value == update.value and t.outcome == VIOLATES for t in tried
    )
