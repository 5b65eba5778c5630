"""Rows of other users that an outsider changes, deletes or takes over."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.attempts import first_write, writes_of_other_tenants
from supabase_jobs.audit.leaks.leak import DOES, Kind, ShownLeak, shown, who, who_outside
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    INSERT,
    OTHER,
    SELECT,
    TAKE_OVER,
    UPDATE,
)
from supabase_jobs.findings import Severity

KIND = Kind(
    code="write",
    order=150,
    severities=(Severity.ERROR, Severity.WARNING),
    sentence="Users change, delete or take over rows of others.",
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and action, and for users with a claim of another tenant."""
    for group in facts.objects.values():
        for action in (UPDATE, DELETE):
            first = first_write(group, action)
            if first is not None and first.whose == OTHER:
                yield _of_outsider(first, group)
        for tried in writes_of_other_tenants(facts, group):
            if tried.action != INSERT:
                message = (
                    f"{who(tried.actor)} {DOES[tried.action]} other users' {tried.table.noun},"
                    " without being able to read them"
                )
                yield shown(KIND, Severity.ERROR, tried, message)


def _of_outsider(tried: Tried, group: Sequence[Tried]) -> ShownLeak:
    verb = "take over" if tried.name == TAKE_OVER else DOES[tried.action]
    message = f"{who_outside(tried.actor)} {verb} other users' {tried.table.noun}"
    for read in group:
        if read.actor is tried.actor and read.action == SELECT and read.whose == OTHER:
            if not read.reached:
                message += ", without being able to read them"
            break
    severity = Severity.WARNING if tried.actor.is_inactive else Severity.ERROR
    return shown(KIND, severity, tried, message)
