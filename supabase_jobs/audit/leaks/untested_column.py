"""Columns that policies test in the new rows of a caller, and not when the same caller changes the
row afterwards: its place in a queue, the day of an entry, the verdict of somebody else.

The evidence is the project's own: a policy for INSERT refuses a value, and an UPDATE sets it. A
privilege of UPDATE on some columns means them; a trigger that reads the column may test it.
"""

from collections.abc import Iterator

from psycopg import errors

from supabase_jobs.audit.callers import SERVICE
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, Repair, ShownLeak, question, shown, who
from supabase_jobs.audit.leaks.privileged_column import changes_own
from supabase_jobs.audit.probes.attempt import CHOOSE, GROUP, OWN, UPDATE
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import VIOLATES

KIND = Kind(
    code="untested-column",
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Users set by UPDATE what a policy refuses in their new rows.",
    repair=Repair.SOME_COLUMNS,
)

# a foreign key has refused the new value, after the policies have accepted it
_NO_SUCH_ROW = errors.ForeignKeyViolation.sqlstate


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table, with all of its columns; a question about those that triggers
    read.
    """
    for label, table in facts.tables.items():
        if table.is_storage or not table.rls:
            continue
        tried = [t for t in facts.of_table(label) if sets_refused(facts, t)]
        tried.sort(key=lambda one: one.whose != OWN)  # first, who adds rows
        found = {t.column: t for t in reversed(tried)}
        columns = sorted(found, key=[*table.columns].index)
        certain = [name for name in columns if name not in table.read_by_triggers]
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


def sets_refused(facts: Facts, tried: Tried) -> bool:
    """Whether an UPDATE sets a value that a policy refuses in new rows of the same caller."""
    role, is_named = tried.actor.role, bool(tried.name)
    is_accepted = (tried.reached and not tried.failed) or tried.outcome == _NO_SUCH_ROW
    if tried.action != UPDATE or not is_accepted or is_named:
        return False
    is_of_party = tried.whose in (OWN, GROUP) and tried.actor.kind != SERVICE
    if not is_of_party or f"{role} UPDATE" not in tried.table.granted:
        return False
    accepted = tried.table.untested.get(role, {}).get(tried.column)
    return _was_refused(facts, tried) if accepted is None else tried.value not in accepted


def _was_refused(facts: Facts, update: Tried) -> bool:
    """Whether a policy has refused the value in a new row of any signed-in user, none refuses
    another one in a changed row, and the person who changes a row may be the one who inserts it.
    """
    table = update.table
    if not changes_own(update) or not table.updating:
        return False
    if table.checked and not set(table.updating) & set(table.checked):
        return False
    tried = [
        t
        for t in facts.of_table(table.label)
        if t.actor is update.actor and t.column == update.column and not t.is_state
    ]
    if update.column in table.kept.get(update.actor.role, ()):
        return False  # who passes by another policy is another caller
    updates = [t for t in tried if t.action == UPDATE and t.row == update.row]
    if any(t.outcome == VIOLATES for t in updates):
        return False
    return any(
        t.name == CHOOSE and t.value == update.value and t.outcome == VIOLATES for t in tried
    )
