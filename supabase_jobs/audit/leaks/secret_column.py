"""Secrets in the rows of a group, which members without its strongest role read, and what looks
like one in rows that everybody reads.
"""

import re
from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who
from supabase_jobs.audit.policies.usage import columns_of_state
from supabase_jobs.audit.probes.attempt import GROUP, NONE, OTHER, OWN, SELECT, UPDATE
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
            is_of_group = tried.whose == GROUP and tried.actor.kind == MEMBER
            if is_of_group and not tried.is_state and not _is_for_reader(facts, tried):
                yield from _of_group(facts, tried)
                yield from _confidential(facts, tried, "Members of a group", "members")
            if tried.whose == OWN and facts.is_outdone(tried.actor) and not tried.is_state:
                yield from _of_claim(facts, tried)
            if tried.whose == OWN and len(tried.table.users) > 1 and not tried.is_state:
                yield from _confidential(facts, tried, "All persons whom a row names", "persons")
            if tried.whose in (OTHER, NONE) and tried.actor.kind in (ANON, NEWCOMER):
                made = _of_everybody if tried.whose == OTHER else _of_settings
                found = [q for q in made(facts, tried) if asked.isdisjoint(q.topics)]
                asked |= {topic for one in found for topic in one.topics}
                yield from found


def _is_for_reader(facts: Facts, read: Tried) -> bool:
    """Whether a member works with the rows, or they are below the row that names the member."""
    actor, table = read.actor, read.table
    return facts.manages(actor, table) or (bool(actor.link) and actor.link in table.parents)


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


def _of_claim(facts: Facts, tried: Tried) -> Iterator[Question]:
    """The secrets of a group, read by a role of the JWT with fewer rights than another one."""
    table = tried.table
    if table.users or table.per_user:
        return  # of the caller's own row
    for name in facts.sensitive_columns(table, tried.actor.role):
        if facts.words.unknown_values.matches(name):
            message = f"{who(tried.actor)} read {{}} of their group. Is that intended?"
            yield question(KIND, tried, tried.actor.claim, f"{table.label}.{name}", message)


def _confidential(facts: Facts, tried: Tried, readers: str, decides: str) -> Iterator[Question]:
    """The columns that say that not everybody may read them who reads the row, unless the caller
    has the most powerful role in the group.
    """
    membership = tried.actor.membership
    if membership is not None and membership.role == membership.strongest:
        return
    for name in tried.table.confidential:
        if readers.startswith("Members") and facts.words.unknown_values.matches(name):
            continue  # a secret, as of which a group is asked
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
    table = tried.table
    for name in table.columns:
        is_told = facts.words.is_sensitive(name) or name in table.numbers
        is_secret = _names_a_secret(facts, name) and not is_told
        if is_secret and table.may(tried.actor.role, "SELECT", name):
            decides = "anyone" if tried.actor.kind == ANON else "signed-in users"
            message = f"{who(tried.actor)} read {{}} of others. Is that intended?"
            yield question(KIND, tried, decides, f"{table.label}.{name}", message)


def _of_settings(facts: Facts, tried: Tried) -> Iterator[Question]:
    """The rows of settings that the project's own code selects by the name of a secret."""
    _, _, state = tried.object.removesuffix(")").partition(" (")
    for column in columns_of_state(state):
        if not column.table and _names_a_secret(facts, column.value):
            decides = "settings that anyone reads"
            if tried.actor.kind != ANON:
                decides = "settings that signed-in users read"
            message = f"{who(tried.actor)} read {{}}. Is that intended?"
            topic = f"{tried.table.label} with {column.name} = {column.value}"
            yield question(KIND, tried, decides, topic, message)


def _names_a_secret(facts: Facts, name: str) -> bool:
    """Whether the last word of a name is one of a secret."""
    [*_, last] = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name) or [name]
    is_secret = last.lower() in facts.words.unknown_values.words
    return is_secret and not facts.words.insensitive_endings.matches(name)
