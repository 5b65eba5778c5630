"""Secrets in the rows of a group, which members without its strongest role read, and what looks
like one in rows that everybody reads.
"""

import re
from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.probes.attempt import GROUP, OTHER, OWN, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="secret-column",
    severities=(Severity.QUESTION,),
    sentence="Members of a group, or everybody, read what looks like a secret.",
)


def find(facts: Facts) -> Iterator[Question]:
    """A question for each column: one for all columns that the members of a table read, or that
    everybody reads.
    """
    asked = set[str]()  # the columns that more general callers read
    for group in facts.objects.values():
        for tried in group:
            if tried.table.is_storage or tried.action != SELECT or not tried.reached:
                continue  # the columns of Storage are those of the platform
            if tried.whose == GROUP and tried.actor.kind == MEMBER and not tried.is_state:
                yield from _of_group(facts, tried)
                yield from _confidential(tried, "Members of a group", "members")
            if tried.whose == OWN and len(tried.table.users) > 1 and not tried.is_state:
                yield from _confidential(tried, "All persons whom a row names", "persons")
            if tried.whose == OTHER and tried.actor.kind in (ANON, NEWCOMER):
                found = [q for q in _of_everybody(facts, tried) if asked.isdisjoint(q.topics)]
                asked |= {topic for one in found for topic in one.topics}
                yield from found


def _of_group(facts: Facts, tried: Tried) -> Iterator[Question]:
    membership = tried.actor.membership
    role = None if membership is None else membership.role
    if membership is not None and role is not None and role == membership.strongest:
        return
    decides = tried.table.label if membership is None else membership.table
    for name in facts.sensitive_columns(tried.table, tried.actor.role):
        is_set = membership is None and _sets(facts, tried, name)
        if facts.words.unknown_values.matches(name) and not is_set:
            message = f"{who(tried.actor)} read {{}} of their group. Is that intended?"
            yield question(KIND, tried, decides, f"{tried.table.label}.{name}", message)


def _confidential(tried: Tried, readers: str, decides: str) -> Iterator[Question]:
    """The columns that say that not everybody may read them who reads the row, unless the caller
    has the most powerful role in the group.
    """
    membership = tried.actor.membership
    if membership is not None and membership.role == membership.strongest:
        return
    for name in tried.table.confidential:
        if tried.table.may(tried.actor.role, "SELECT", name):
            message = f"{readers} read {{}}, which may be for some of them only. Is that intended?"
            yield question(KIND, tried, decides, f"{tried.table.label}.{name}", message)


def _sets(facts: Facts, read: Tried, column: str) -> bool:
    """Whether the reader of a row changes its secret, too."""
    return any(
        t.actor is read.actor and t.action == UPDATE and t.column == column and t.reached
        for t in facts.of_table(read.table.label)
    )


def _of_everybody(facts: Facts, tried: Tried) -> Iterator[Question]:
    """The columns whose last word is one of a secret: those with a known one are a warning."""
    table, secrets = tried.table, facts.words.unknown_values.words
    for name in table.columns:
        [*_, last] = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name) or [name]
        is_told = facts.words.is_sensitive(name) or name in table.numbers
        is_secret = last.lower() in secrets and not facts.words.insensitive_endings.matches(name)
        if is_secret and not is_told and table.may(tried.actor.role, "SELECT", name):
            decides = "anyone" if tried.actor.kind == ANON else "signed-in users"
            message = f"{who(tried.actor)} read {{}} of others. Is that intended?"
            yield question(KIND, tried, decides, f"{table.label}.{name}", message)
