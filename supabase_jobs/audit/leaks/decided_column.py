"""Columns of a row about which others may decide, and which the person in it chooses: the price of
one's own request, the check of one's own papers.

The question is about the policies: that of the person tests none of these columns, and by another
one somebody else changes the row, or something else of the project looks at them. What closes the
row to others, such as an end of one's own, is no decision of theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from supabase_jobs.audit.callers import ANON, NEWCOMER, OWNER, SERVICE, STRANGER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.leak import Asks, Kind, Question, TableColumn, Topic
from supabase_jobs.audit.limits import some
from supabase_jobs.audit.probes.attempt import CHOOSE, GROUP, INSERT, OTHER, OWN, SELECT, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="decided-column",
    order=310,
    severities=(Severity.QUESTION,),
    sentence="Users choose columns of their own row about which others may decide.",
    asks=Asks.DECIDED,
)


# what the question about the columns of all tables is about
_OF_ALL = "what others read"
# the same about new rows
_NEW = "new rows"
# who adds rows without a role
_USERS = (ANON, NEWCOMER, STRANGER, OWNER)

_ROWS = {INSERT: "new", UPDATE: "changed"}


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table about all columns of which others decide, one about those at
    which something else looks, and one about the ends after which the row changes.
    """
    for label, table in facts.tables.items():
        if table.rls and table.rows.owned:
            yield from _of_deciders(facts, label, table)
            yield from _elsewhere(facts, label, table)
            ends = [name for name in table.decided.ends if _is_chosen(facts, table, UPDATE, name)]
            if ends:
                message = (
                    f"Users change their own rows in {label} also once {{}} is set, which the"
                    " project looks at elsewhere. May they?"
                )
                yield _question(label, f"{label}:{UPDATE}", ends, message)
    yield from _shown_to_others(facts)
    yield from _of_new_rows(facts)
    yield from _of_accounts(facts)


def _of_accounts(facts: Facts) -> Iterator[Question]:
    """The addresses of the account in the row that each user has."""
    found = [
        f"{label}.{name}"
        for label, table in facts.tables.items()
        for name in table.persons.accounts
        if table.rls and _is_chosen(facts, table, UPDATE, name)
    ]
    if found:
        message = (
            "Users can change {} of their own row, which stands for the address of their account."
            " May it be that of somebody else?"
        )
        yield _question(found[0].rpartition(".")[0], "addresses", found, message)


def _shown_to_others(facts: Facts) -> Iterator[Question]:
    """All numbers and states that a person chooses in rows which others read: to them it is a
    statement, such as a rating, a level or a plan.
    """
    found = list[tuple[str, str]]()
    for label, table in facts.tables.items():
        known = {*table.decided.chosen, *table.code.managed}
        known |= set() if table.decided.elsewhere is None else {*table.decided.elsewhere.columns}
        if table.rls and table.rows.owned and _is_read(facts, label):
            whose = (OWN, GROUP) if table.rows.is_group else (OWN,)
            names = [name for name in facts.stated.get(label, ()) if name not in known]
            names = [name for name in names if _is_chosen(facts, table, UPDATE, name, whose)]
            found += [(label, name) for name in names]
    if found:
        message = (
            "Users choose {} in rows of their own, which others read. Is none of them for somebody"
            " else to decide?"
        )
        topics = [TableColumn(label, name) for label, name in found]
        question = _question(found[0][0], _OF_ALL, topics, message)
        yield replace(question, of_all=True)


def _of_new_rows(facts: Facts) -> Iterator[Question]:
    """All states of new rows, with the times and persons beside them, that their writers choose and
    cannot change afterwards, so that somebody else or the backend does.
    """
    topics = list[TableColumn]()
    for label, table in facts.tables.items():
        names = [
            name for name in table.decided.waiting if _is_only_chosen_at_first(facts, label, name)
        ]
        topics += [TableColumn(label, name) for name in names]
    if topics:
        message = (
            "Users choose {} of new rows, which they cannot change afterwards. Is none of them for"
            " somebody else to decide?"
        )
        yield replace(_question(topics[0].table, _NEW, topics, message), of_all=True)


def _is_only_chosen_at_first(facts: Facts, label: str, column: str) -> bool:
    """Whether some user adds rows, and none of those who do changes the column later; what was
    tried in a new row has to be accepted.
    """
    tried = [t for t in facts.of_table(label) if t.actor.kind in _USERS and not t.actor.claim]
    added = [t for t in tried if t.action == INSERT and t.reached and t.whose != OTHER]
    chosen = [t for t in tried if t.name == CHOOSE and t.column == column]
    changed = [t for t in tried if t.action == UPDATE and t.column == column and t.reached]
    is_refused = bool(chosen) and not any(t.reached for t in chosen)
    return bool(added) and not is_refused and not changed


def _is_read(facts: Facts, label: str) -> bool:
    """Whether users read rows of others."""
    reads = [t for t in facts.of_table(label) if t.action == SELECT and t.reached]
    return any(t.whose in (GROUP, OTHER) and t.actor.kind != SERVICE for t in reads)


def _of_deciders(facts: Facts, label: str, table: Table) -> Iterator[Question]:
    hiding = facts.hiding(label)
    found: dict[str, list[str]] = {}
    for name, commands in table.decided.chosen.items():
        done = [one for one in commands if _is_chosen(facts, table, one, name)]
        if done and name not in hiding:
            found[name] = done
    if found:
        does = dict.fromkeys(command for done in found.values() for command in done)
        rows = " or ".join(_ROWS[command] for command in does)
        deciders = some([f'"{name}"' for name in table.decided.deciders])
        message = (
            f"Whoever {' or '.join(table.decided.persons)} names can choose {{}} of {rows} rows in"
            f" {label}, which others change by policy {deciders}. Who decides about each?"
        )
        yield _question(label, label, [*found], message)


def _elsewhere(facts: Facts, label: str, table: Table) -> Iterator[Question]:
    """The columns at which something else of the project looks than who changes the row."""
    if table.decided.elsewhere is None:
        return
    names = [
        name
        for name in table.decided.elsewhere.columns
        if name not in table.decided.chosen and _is_chosen(facts, table, UPDATE, name, [OWN, GROUP])
    ]
    looking = dict.fromkeys(one for name in names for one in table.decided.elsewhere.columns[name])
    if names:
        message = (
            f"{_subject(table.decided.elsewhere.persons)} can change {{}} of rows in"
            f" {label}, at which the project looks elsewhere: {some([*looking])}. Who decides"
            " about each?"
        )
        yield _question(label, f"{label}:elsewhere", names, message)


def _subject(persons: Sequence[str]) -> str:
    return f"Whoever {' or '.join(persons)} names" if persons else "Members"


def _question(label: str, decides: str, names: Sequence[Topic], message: str) -> Question:
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=label,
        message=message,
        decides=decides,
        topics=tuple(names),
    )


def _is_chosen(
    facts: Facts, table: Table, command: str, column: str, whose: Sequence[str] = (OWN,)
) -> bool:
    """Whether some user writes the column of a row of their own, and no trigger guards it; of a new
    one, also if it could not be tried, and of a changed one if another column has to change, too.
    """
    if command == UPDATE and column in table.code.frozen:
        return False
    name = CHOOSE if command == INSERT else ""
    chosen = [
        t
        for t in facts.of_table(table.label)
        if (t.action, t.column, t.name) == (command, column, name) and t.whose in whose
    ]
    by_users = [t for t in chosen if t.actor.kind != SERVICE]
    if command == INSERT and not by_users:
        return True
    if command == UPDATE and column in table.tested.beside:
        return True
    return any(t.reached and not t.failed for t in by_users)
