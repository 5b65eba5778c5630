"""Rows that everybody reads: a decision, unless they hold addresses, secrets or private files."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, NEWCOMER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.attempts import only_anon, reads_of_others, shows_visitors
from supabase_jobs.audit.leaks.leak import Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import NONE, SELECT
from supabase_jobs.findings import Holds, Severity

KIND = Kind(
    code="public",
    order=30,
    severities=(Severity.WARNING, Severity.INFO, Severity.QUESTION),
    sentence="Everybody, or every signed-in user, reads rows.",
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object; a question for all objects that the same callers read."""
    for group in facts.objects.values():
        if group[0].table.rows.owned:
            yield from _of_others(facts, group)
        else:
            yield from _of_nobody(facts, group)


def _of_others(facts: Facts, group: Sequence[Tried]) -> Iterator[ShownLeak | Question]:
    general = [t for t in reads_of_others(group) if t.actor.kind in (ANON, NEWCOMER)]
    is_for_visitors = shows_visitors(group)
    if not general or (only_anon(group) and not is_for_visitors):
        return
    # signed-in users may read more columns than anon
    sensitive: list[str] = []
    first = general[0]
    for tried in general:
        if sensitive := _sensitive(facts, tried):
            first = tried
            break
    message = f"{who(first.actor)} read other users' {first.table.noun}"
    unset = _unset(first)
    if sensitive:
        yield shown(KIND, Severity.WARNING, first, f"{message}, with {', '.join(sensitive)}")
    elif unset:
        message += f", by a request without the value that {unset[0]} is compared with"
        yield shown(KIND, Severity.WARNING, first, message)
    elif first.table.is_storage:
        # a file may hold anything, as a column of secrets does, unless the bucket is public
        is_public = first.on.bucket in facts.public_buckets
        yield shown(KIND, Severity.INFO if is_public else Severity.WARNING, first, message)
    elif first.table.policies.limited and not first.is_state:
        message += ", although each policy compares them with the caller"
        yield shown(KIND, Severity.WARNING, first, message)
    elif is_for_visitors:
        message = (
            f"{who(first.actor)} read rows of others in {{}}, by a policy for requests without a"
            " user; signed-in users cannot. Is that intended?"
        )
        yield question(KIND, first, "visitors", _with_columns(first), message)
    elif not first.is_state and not _is_directory(facts, first):
        decides = "anyone" if first.actor.kind == ANON else "signed-in users"
        message = f"{who(first.actor)} read all rows of {{}}. Is that intended?"
        yield question(KIND, first, decides, _with_columns(first), message)
    elif first.actor.kind != ANON and _is_of_group(facts, first.table):
        message = f"{who(first.actor)} read rows of every group in {{}}. Is that intended?"
        yield question(KIND, first, "signed-in users, of every group", first.object, message)


def _is_directory(facts: Facts, read: Tried) -> bool:
    """Whether a policy shows every row on purpose: rows of other tables refer to it, as to those
    of a catalogue, or it belongs to a group that everybody sees, and it names no person; or others
    decide by it. What a table has about each person may have columns for some, a second policy may
    be too wide, and whoever may not read the rows above may be meant to read none of these.
    """
    table = read.table
    is_shown = read.actor.role in table.policies.shown_to
    if not is_shown or table.rows.per_user or table.policies.overruled:
        return False
    if _is_below_hidden(facts, read):
        return False
    if facts.is_deciding(table):
        return True
    is_public = all("anon" in parent.policies.shown_to for parent in facts.parents(table))
    is_for_all = (read.actor.kind == ANON and is_public) or facts.is_referred(table)
    return is_for_all and not table.persons.names_some


def _is_below_hidden(facts: Facts, read: Tried) -> bool:
    """Whether the rows refer to others of which the caller reads none, other than persons."""
    for parent in facts.parents(read.table):
        above = [t for t in facts.of_actor(parent.label, read.actor) if t.action == SELECT]
        is_person = parent.rows.per_user or not parent.rows.owned
        if above and not is_person and not any(t.reached for t in above):
            return True
    return False


def _with_columns(read: Tried) -> str:
    """A table and what its rows say, other than which rows they refer to."""
    table = read.table
    keys = {"id", *table.above.key_columns, *table.persons.users}
    readable = [name for name in table.columns if table.may(read.actor.role, "SELECT", name)]
    names = [name for name in readable if name not in keys]
    return f"{table.label} ({some(names)})" if names else table.label


def _of_nobody(facts: Facts, group: Sequence[Tried]) -> Iterator[ShownLeak | Question]:
    """Rows without an owner, such as those of a newsletter, with addresses or secrets.

    A telephone number there may be that of a shop or the prefix of a country. Rows that a policy
    leaves out, such as drafts, are a question if another policy lets everybody read them.
    """
    for tried in group:
        is_read = tried.action == SELECT and tried.whose == NONE and tried.reached
        if not is_read or tried.actor.kind not in (ANON, NEWCOMER):
            continue
        sensitive = facts.sensitive_columns(tried.table, tried.actor.role)
        names = [n for n in sensitive if not facts.words.telephone_columns.matches(n)]
        if names:
            message = f"{who(tried.actor)} read rows, with {', '.join(names)}"
            yield shown(KIND, Severity.WARNING, tried, message)
        elif tried.actor.role in tried.table.policies.overruled:
            message = (
                f"{who(tried.actor)} read all rows of {{}}, although another policy selects some."
                " Is that intended?"
            )
            decides = "anyone, by a second policy"
            if tried.actor.kind != ANON:
                decides = "signed-in users, by a second policy"
            yield question(KIND, tried, decides, tried.table.label, message)
        return


def _is_of_group(facts: Facts, table: Table) -> bool:
    """Whether the rows of a table are those of a group which has members."""
    above = [facts.tables[label] for label in table.above.parents if label in facts.tables]
    return any(parent.rows.is_group for parent in above) and not table.rows.is_group


def _unset(tried: Tried) -> list[str]:
    """The columns that are null in a row, which a request without a value of its own matches."""
    nulls = {column.name for column in tried.conditions if column.holds is Holds.NULL}
    return [name for name in tried.table.compared.without_value if name in nulls]


def _sensitive(facts: Facts, tried: Tried) -> list[str]:
    """The columns with addresses or secrets. The telephone number of a group is no person's."""
    if tried.table.is_storage:
        return []
    found = facts.sensitive_columns(tried.table, tried.actor.role)
    if not (tried.table.rows.is_group or tried.table.rows.per_group):
        return found
    return [name for name in found if not facts.words.telephone_columns.matches(name)]
