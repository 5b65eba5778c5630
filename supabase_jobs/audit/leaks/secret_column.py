"""Secrets in the rows of a group, which members without its strongest role read, and what looks
like one in rows that everybody reads.
"""

import re
from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, MEMBER, NEWCOMER
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, TableColumn, Topic, question, who
from supabase_jobs.audit.probes.attempt import GROUP, NONE, OTHER, OWN, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="secret-column",
    order=110,
    severities=(Severity.QUESTION,),
    sentence="Members of a group, or everybody, read what looks like a secret.",
)


def find(facts: Facts) -> Iterator[Question]:
    """A question for each column: one for all columns that the members of a table read, or that
    everybody reads.
    """
    asked = set[Topic]()  # the columns that more general callers read
    members = list[Tried]()
    for group in facts.objects.values():
        for tried in group:
            if tried.table.is_storage or tried.action != SELECT or not tried.reached:
                continue  # the columns of Storage are those of the platform
            is_of_group = tried.whose == GROUP and tried.actor.kind == MEMBER
            if is_of_group and not tried.is_state and not _is_for_reader(facts, tried):
                members.append(tried)
            if tried.whose == OWN and facts.is_outdone(tried.actor) and not tried.is_state:
                yield from _of_claim(facts, tried)
            if tried.whose == OWN and len(tried.table.persons.users) > 1 and not tried.is_state:
                yield from _of_persons(tried)
            if tried.whose in (OTHER, NONE) and tried.actor.kind in (ANON, NEWCOMER):
                made = _of_everybody if tried.whose == OTHER else _of_settings
                found = [q for q in made(facts, tried) if asked.isdisjoint(q.topics)]
                asked |= {topic for one in found for topic in one.topics}
                yield from found
    yield from _of_members(facts, members)


def _is_for_reader(facts: Facts, read: Tried) -> bool:
    """Whether a member works with the rows, they are below the row that names the member, or
    everybody reads them.
    """
    actor, table = read.actor, read.table
    is_below = bool(actor.link) and actor.link in table.above.parents
    return facts.manages(actor, table) or is_below or facts.is_open(read)


def _of_members(facts: Facts, reads: Sequence[Tried]) -> Iterator[Question]:
    """The columns of a group, each with the weakest of its members who reads it."""
    lowest: dict[tuple[str, str, str], Tried] = {}
    for tried in sorted(reads, key=lambda one: (_is_in_both(one.actor), facts.rights[one.actor])):
        membership = tried.actor.membership
        if membership is not None and membership.role and membership.role == membership.strongest:
            continue
        label = tried.table.label
        decides = label if membership is None else membership.table
        secrets = list(_secrets(facts, tried))
        for name in secrets:
            lowest.setdefault((decides, label, name), tried)
        for name in tried.table.values.confidential:
            if name not in secrets and tried.table.may(tried.actor.role, "SELECT", name):
                lowest.setdefault(("members", label, name), tried)
    for (decides, label, name), tried in lowest.items():
        actors = {one.actor for (other, *_), one in lowest.items() if other == decides}
        topic = f"{label}.{name}" + (f" ({tried.actor.label})" if len(actors) > 1 else "")
        who_reads = who(tried.actor) if len(actors) == 1 else "Members can"
        is_for_some = decides == "members"
        what = ", which may be for some members only" if is_for_some else " of their group"
        message = f"{who_reads} read {{}}{what}. Is that intended?"
        yield question(KIND, tried, decides, topic, message)


def _is_in_both(actor: Actor) -> bool:
    return actor.membership is not None and actor.membership.in_both


def _secrets(facts: Facts, tried: Tried) -> Iterator[str]:
    for name in facts.sensitive_columns(tried.table, tried.actor.role):
        is_set = tried.actor.membership is None and _sets(facts, tried, name)
        if facts.words.unknown_values.matches(name) and not is_set:
            yield name


def _of_claim(facts: Facts, tried: Tried) -> Iterator[Question]:
    """The secrets of a group, read by a role of the JWT with fewer rights than another one."""
    table = tried.table
    if table.persons.users or table.rows.per_user:
        return  # of the caller's own row
    for name in facts.sensitive_columns(table, tried.actor.role):
        if facts.words.unknown_values.matches(name):
            message = f"{who(tried.actor)} read {{}} of their group. Is that intended?"
            yield question(KIND, tried, tried.actor.claim, TableColumn(table.label, name), message)


def _of_persons(tried: Tried) -> Iterator[Question]:
    """The columns that say that not everybody may read them who reads the row."""
    for name in tried.table.values.confidential:
        if tried.table.may(tried.actor.role, "SELECT", name):
            message = (
                "All persons whom a row names read {}, which may be for some of them only. Is that"
                " intended?"
            )
            yield question(KIND, tried, "persons", TableColumn(tried.table.label, name), message)


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
        is_told = facts.words.is_sensitive(name) or name in table.values.numbers
        is_secret = _names_a_secret(facts, name) and not is_told
        if is_secret and table.may(tried.actor.role, "SELECT", name):
            decides = "anyone" if tried.actor.kind == ANON else "signed-in users"
            message = f"{who(tried.actor)} read {{}} of others. Is that intended?"
            yield question(KIND, tried, decides, TableColumn(table.label, name), message)


def _of_settings(facts: Facts, tried: Tried) -> Iterator[Question]:
    """The rows of settings that the project's own code selects by the name of a secret."""
    for column in tried.conditions:
        if column.is_own and _names_a_secret(facts, column.value):
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
