"""States of one's own row that only others set, and that its owner ends: the refunded entry that is
active again, the hidden post that is shown.

The evidence is the project's own: the policy by which the owner changes the row accepts some values
of a column only, so somebody else sets the others; and it does not look at the old row. The state
closes something: the row is hidden from others, or functions and other tables demand another value.
An admin who is one no more, or an article that is a draft again, has only lost.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Repair, ShownLeak, shown, who_writes
from supabase_jobs.audit.probes.attempt import LEAVE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="left-state",
    order=300,
    severities=(Severity.WARNING,),
    sentence="Users end a state of their own row that only others set.",
    repair=Repair.OLD_ROW,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each table, with all of its columns."""
    for label, table in facts.tables.items():
        tried = [t for t in reversed(facts.of_table(label)) if _has_ended(t)]
        closing = {*table.tested.required, *facts.hiding(label)} if tried else set()
        tried = [one for one in tried if one.column in closing]
        by_column = {t.column: t for t in tried}
        columns = sorted(by_column, key=[*table.columns].index)
        if columns:
            one = by_column[columns[0]]
            ended = [f"{name} = {_values(by_column[name])}" for name in columns]
            message = (
                f"{who_writes(one)} end a state of their own rows in {table.name} that they cannot"
                f" set: {', '.join(ended)}"
            )
            yield shown(KIND, Severity.WARNING, one, message, columns)


def _has_ended(tried: Tried) -> bool:
    """Whether the owner of a row ended a state that only others set."""
    is_ended = tried.name == LEAVE and tried.reached and not tried.failed
    return is_ended and tried.table.rls and bool(_values(tried))


def _values(ended: Tried) -> str:
    return " or ".join(ended.table.tested.left.get(ended.actor.role, {}).get(ended.column, ()))
