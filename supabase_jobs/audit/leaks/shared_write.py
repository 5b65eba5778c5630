"""Rows that belong to nobody and that everybody writes."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import ANON
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import first_write
from supabase_jobs.audit.leaks.leak import DOES, Kind, Question, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, NONE, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="shared-write",
    order=160,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence=(
        "Everybody, or every signed-in user, adds, changes or deletes rows that belong to nobody."
    ),
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object and action. New rows may be intended, such as those of a form."""
    for group in facts.objects.values():
        for action in (UPDATE, DELETE):
            first = first_write(group, action)
            if first is not None and first.whose == NONE:
                severity = Severity.ERROR if first.actor.kind == ANON else Severity.WARNING
                yield shown(KIND, severity, first, f"{who(first.actor)} {DOES[action]} rows")
        for tried in group:
            is_insert = tried.action == INSERT and tried.reached
            is_of_nobody = tried.whose == NONE or tried.written.names_nobody
            if is_insert and is_of_nobody and facts.is_received(tried.table):
                break
            if is_insert and is_of_nobody and tried.actor.kind == ANON:
                message = f"{who(tried.actor)} add rows to {{}}. Is that intended?"
                yield question(KIND, tried, "anyone", tried.table.label, message)
                break
