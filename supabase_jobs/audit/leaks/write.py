"""Rows of other users that an outsider changes, deletes or takes over."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, CLAIM, NEWCOMER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, ShownLeak, shown, who, who_outside
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    INSERT,
    NONE,
    OTHER,
    SELECT,
    TAKE_OVER,
    UPDATE,
)
from supabase_jobs.findings import Severity

KIND = Kind(
    code="write",
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


def first_write(group: Sequence[Tried], action: str) -> Tried | None:
    """The write of the most general outsider to a row of another, or by everybody to one that
    belongs to nobody; by who was a member, or is not yet, if nobody else does.
    """
    for tried in sorted(group, key=lambda one: one.actor.is_inactive):
        if tried.action != action or not tried.reached or not tried.actor.is_outsider:
            continue
        if tried.whose == OTHER:
            return tried
        if tried.whose == NONE and tried.actor.kind in (ANON, NEWCOMER):
            return tried
    return None


def writes_of_other_tenants(facts: Facts, group: Sequence[Tried]) -> Iterator[Tried]:
    """Writes of users with a claim to rows that they cannot read.

    Where a claim names the tenant, an admin of one tenant is a stranger to the others.
    """
    if not group[0].table.persons.claims:
        return
    for tried in group:
        is_claim = tried.actor.kind == CLAIM and not tried.actor.is_outsider
        if not is_claim or tried.name or not tried.reached:
            continue
        is_write = tried.action != SELECT and tried.whose == OTHER
        if is_write and not facts.reads_other(tried):
            yield tried


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
