"""Leaks of views: their cause and repair."""

from collections.abc import Sequence

from psycopg import sql

from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.views import View, ViewTried
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind, who, without_ended
from supabase_jobs.findings import Explanation, Severity


def explanation(view: View, actor: Actor) -> Explanation:
    """Why a view shows the rows, and the statement that ends it."""
    if view.is_materialized:
        return Explanation(
            cause="a materialized view has no row level security", fix=_revoke(view, actor)
        )
    if view.is_invoker:
        fix = without_ended(view.label, actor) if actor.remedy else _revoke(view, actor)
        return Explanation(cause="a function that the view calls", fix=fix)
    alter = sql.SQL("alter view {} set (security_invoker = true);").format(view.identifier)
    cause = "the view runs with the privileges of its owner"
    return Explanation(cause=cause, fix=alter.as_string(None))


def leak(
    kind: Kind, severity: Severity, tried: ViewTried, effect: str, tables: Sequence[str]
) -> ExplainedLeak:
    """A leak about rows of these tables, which refuse what the view does."""
    refusing = ", ".join(tables)
    return ExplainedLeak(
        kind=kind,
        severity=severity,
        object=tried.view.label,
        message=f"{who(tried.actor)} {effect} by the view, which {refusing} refuses",
        name=tried.view.label,
        explanation=explanation(tried.view, tried.actor),
    )


def _revoke(view: View, actor: Actor) -> str:
    """Revoke SELECT from the role of a caller, and from authenticated too if anon has it."""
    roles = ("anon", "authenticated") if actor.role == "anon" else (actor.role,)
    revoke = sql.SQL("revoke select on {} from {};").format(
        view.identifier, sql.SQL(", ").join(map(sql.Identifier, roles))
    )
    return revoke.as_string(None)
