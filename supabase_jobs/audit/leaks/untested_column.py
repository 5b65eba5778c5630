"""Columns that policies test in the new rows of a caller, and not when the same caller changes the
row afterwards: its place in a queue, the day of an entry, the verdict of somebody else. Or the
reverse: an offer that nobody may change into an accepted one is accepted from the start.

The evidence is the project's own: a policy for INSERT refuses a value, and an UPDATE sets it, or a
policy for UPDATE refuses what a new row has. A privilege of UPDATE on some columns means them; a
trigger that reads the column may test it.
"""

from collections.abc import Iterator

from supabase_jobs.audit.callers import CLAIM, MEMBER, OWNER, SERVICE, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.attempts import sets_refused
from supabase_jobs.audit.leaks.leak import Kind, Question, Repair, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import CHOOSE, GROUP, INSERT, OWN, UPDATE
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import VIOLATES

KIND = Kind(
    code="untested-column",
    order=290,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence=(
        "Users set by UPDATE what a policy refuses in their new rows, or choose in a new row what"
        " policies refuse in changed ones."
    ),
    of_adder=True,
    repair=Repair.SOME_COLUMNS,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table, with all of its columns; a question about those that triggers
    read.
    """
    for label, table in facts.tables.items():
        if table.is_storage or not table.rls:
            continue
        tried = [t for t in facts.of_table(label) if sets_refused(facts, t)]
        tried = [t for t in tried if not _is_of_a_role(facts, t)]
        tried.sort(key=lambda one: one.whose != OWN)  # first, who adds rows
        found = {t.column: t for t in reversed(tried)}
        columns = sorted(found, key=[*table.columns].index)
        certain = [name for name in columns if name not in table.code.read_by_triggers]
        if certain:
            message = (
                f"{who(found[certain[0]].actor)} change {', '.join(certain)} of rows in"
                f" {table.name}, which a policy tests in new rows and none in changed ones"
            )
            yield shown(KIND, Severity.WARNING, found[certain[0]], message, certain)
        for name in columns if not certain else ():
            message = f"{who(found[name].actor)} change {{}} of rows in {label}, which a policy"
            message += " tests in new rows, and a trigger in changed ones. May they?"
            yield question(KIND, found[name], label, name, message)
        yield from _of_new_rows(facts, label, table)


def _is_of_a_role(facts: Facts, update: Tried) -> bool:
    """Whether a member changes the column by a role, and who adds rows without it does not: then
    it is up to this role.
    """
    if update.actor.kind not in (MEMBER, CLAIM):
        return False
    tried = facts.of_table(update.table.label)
    own = [t for t in tried if t.whose == OWN and t.actor.kind in (OWNER, STRANGER)]
    adding = {t.actor for t in own if t.action == INSERT and t.reached and not t.failed}
    changes = [t for t in own if t.action == UPDATE and t.column == update.column]
    changing = {t.actor for t in changes if t.reached}
    return bool(adding & {t.actor for t in changes}) and not changing


def _of_new_rows(facts: Facts, label: str, table: Table) -> Iterator[ShownLeak | Question]:
    """The columns that each policy for changed rows tests, and none for new ones: a leak if
    functions or other users give them the value that the writer of a new row has chosen.
    """
    found = {
        one.column: one
        for one in reversed(facts.of_table(label))
        if one.name == CHOOSE and one.reached and not one.failed
        if one.actor.kind in (STRANGER, CLAIM, MEMBER)
        if one.column in table.tested.later.get(one.actor.role, ())
        and _is_refused_later(facts, one)
    }
    columns = sorted(found, key=[*table.columns].index)
    decided = [n for n in columns if n in table.code.managed or _is_set_by_others(facts, found[n])]
    if decided:
        message = (
            f"{who(found[decided[0]].actor)} choose {', '.join(decided)} of a new row, which"
            f" policies refuse in changed rows: INSERT into {table.name}"
        )
        yield shown(KIND, Severity.WARNING, found[decided[0]], message, decided)
    for name in columns if not decided else ():
        message = (
            f"{who(found[name].actor)} choose {{}} of new rows in {label}, which policies refuse in"
            " changed rows. May they?"
        )
        yield question(KIND, found[name], f"{label}:{INSERT}", name, message)


def _is_refused_later(facts: Facts, insert: Tried) -> bool:
    """Whether policies refuse the value in a changed row of the writer of a new one, and no user
    with the same rights sets it.
    """
    updates = [t for t in _updates(facts, insert) if not t.name and not t.is_state]
    same = [t for t in updates if t.actor.kind == insert.actor.kind and t.whose in (OWN, GROUP)]
    return any(t.outcome == VIOLATES for t in same) and not any(t.reached for t in same)


def _is_set_by_others(facts: Facts, insert: Tried) -> bool:
    """Whether another kind of user gives rows the value."""
    setting = {t.actor.kind for t in _updates(facts, insert) if t.reached and not t.failed}
    return bool(setting - {insert.actor.kind, SERVICE})


def _updates(facts: Facts, insert: Tried) -> Iterator[Tried]:
    """The changes of existing rows that give the column the value of a new row."""
    for one in facts.of_table(insert.table.label):
        if (one.action, one.column, one.value) == (UPDATE, insert.column, insert.value):
            yield one
