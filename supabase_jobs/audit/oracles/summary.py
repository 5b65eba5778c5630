"""The matrix in short: for each relation and action, the widest group of callers that may do it."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import ANON, FORMER, MEMBER, NEWCOMER, OWNER, STRANGER
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.oracles.leaks import Leak
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    FORGE,
    GROUP,
    INSERT,
    JOIN,
    NONE,
    OTHER,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.findings import AccessSummary, Severity

ACTIONS = (SELECT, INSERT, UPDATE, DELETE)


def summaries(
    attempts: Sequence[Attempt], relations: Sequence[Relation], leaks: Sequence[Leak]
) -> Iterator[AccessSummary]:
    """One summary for each relation with an attempt."""
    by_relation: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        by_relation.setdefault(attempt.relation.oid, []).append(attempt)
    for relation in relations:
        if relation.oid in by_relation:
            marked = {k.action for k in leaks if k.relation is relation and k.severity is not Severity.INFO}
            access = {action: _widest(by_relation[relation.oid], action) for action in ACTIONS}
            yield AccessSummary(relation.label, access, frozenset(marked))


def _widest(attempts: Sequence[Attempt], action: str) -> str:
    reached = [a for a in attempts if a.action == action and a.reached]
    outside = {a.caller.kind for a in reached if a.whose in (OTHER, NONE) and a.name not in (JOIN, FORGE)}
    if ANON in outside:
        return "all"
    if outside & {NEWCOMER, STRANGER}:
        return "users"
    if any(a.whose == GROUP and a.caller.kind in (MEMBER, OWNER, FORMER) for a in reached):
        return "group"
    return "own" if any(a.whose == OWN for a in reached) else "none"
