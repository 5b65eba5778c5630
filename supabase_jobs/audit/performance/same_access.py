"""Suggestions whose rewrites are tried: who can do what is the same with them."""

from collections.abc import Collection, Iterator, Sequence

from supabase_jobs.audit.performance.suggestion import FAMILY, Effect, Suggestion
from supabase_jobs.audit.probes.known import Altered
from supabase_jobs.audit.repairs.trials import Trials
from supabase_jobs.findings import AuditFinding, as_comment
from supabase_jobs.session.deadline import DeadlineError


def findings(
    trials: Trials, suggestions: Sequence[Suggestion], repaired: Collection[tuple[str, str]]
) -> Iterator[AuditFinding]:
    """The findings for suggestions; SQL only of those that a plan shows to be better, and that
    leave the access as it is. `repaired` are the tables and names of the policies that a leak is
    about: its repair comes first.
    """
    free = [one for one in suggestions if not _names(one) & set(repaired)]
    tried = [one for one in free if one.rewrite and one.effect is Effect.BETTER]
    refused = "-- Tried: it would change who can do what."
    kept = list[Suggestion]()
    try:
        kept = _keeping_access(trials, tried)
    except DeadlineError:
        refused = "-- Not tried: the time of the audit is over."
    for one in suggestions:
        if one in kept:
            same = "access is the same, and " if one.altered else ""
            text = f"-- Tried: {same}{one.gain}.\n{_statements(one)}"
        elif one not in free:
            text = "-- A leak has to do with this policy: repair it, and audit again."
        elif one in tried:
            text = refused
        elif one.effect is Effect.EQUAL:
            text = as_comment(f"Tried: {one.gain}. The SQL would be:\n{_statements(one)}")
        else:
            text = as_comment("\n".join([one.gain, *([_statements(one)] if one.rewrite else [])]))
        yield _finding(one, text, is_proven=one in kept)


def _keeping_access(trials: Trials, tried: Sequence[Suggestion]) -> list[Suggestion]:
    """Those with which each caller's actions have the outcomes that they had: all of them at once,
    or each half alone.
    """
    if not tried:
        return []
    altered = frozenset[Altered]().union(*(one.altered for one in tried))
    if trials.keeps_outcomes("\n".join(map(_statements, tried)), altered):
        return list(tried)
    if len(tried) == 1:
        return []
    half = len(tried) // 2
    return [*_keeping_access(trials, tried[:half]), *_keeping_access(trials, tried[half:])]


def _names(one: Suggestion) -> set[tuple[str, str]]:
    return {(one.relation.label, policy.name) for policy in one.policies if one.altered}


def _statements(one: Suggestion) -> str:
    return "\n".join(one.rewrite)


def _finding(one: Suggestion, fix: str, *, is_proven: bool) -> AuditFinding:
    return AuditFinding(
        id=one.id,
        severity=one.severity,
        object=one.relation.label,
        message=one.message,
        fix=fix,
        cause=one.cause,
        policies=tuple(policy.name for policy in one.policies),
        proven=is_proven,
        kind=FAMILY,
    )
