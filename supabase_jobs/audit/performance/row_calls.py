"""Calls in policies that run for each row although they depend on none: `auth.uid()`, `auth.jwt()`,
`current_setting()`, helpers.
"""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.performance.context import Context, altered
from supabase_jobs.audit.performance.hoisting import names
from supabase_jobs.audit.performance.plans import Compared, Planning, Query
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.audit.probes.known import altered_by
from supabase_jobs.database.query_plan import repeated_calls
from supabase_jobs.findings import Severity

KIND = "row-call"


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each policy with such calls, if plans have fewer of them with the rewrite.

    The policies of a table are rewritten together: PostgreSQL joins their conditions.
    """
    for relation in (table for table in context.tables if table.rls):
        rewritten = [(policy, context.hoisted(policy)) for policy in relation.policies]
        changed = [(old, new) for old, new in rewritten if old != new]
        if changed:
            yield from _try(context, relation, changed)


def _try(
    context: Context, relation: Relation, changed: Sequence[tuple[Policy, Policy]]
) -> Iterator[Suggestion]:
    rewrites = [altered(relation, old, new) for old, new in changed]
    queries = {}
    for old, new in changed:
        queries[old.name] = context.reads(relation, (SELECT, UPDATE, DELETE), old)
        if new.checked != old.checked:
            queries[old.name].append(_values(relation, old.checked or "", new.checked or ""))
    every = list(dict.fromkeys(query for some in queries.values() for query in some))
    compared = context.planner.compare(rewrites, every, Planning.ROW_BY_ROW) or {}
    for (old, _), rewrite in zip(changed, rewrites, strict=True):
        if _saves([compared[query] for query in queries[old.name] if query in compared]):
            yield _suggestion(relation, old, rewrite, names(old, context.functions))


def _suggestion(
    relation: Relation, policy: Policy, rewrite: str, calls: Sequence[str]
) -> Suggestion:
    return Suggestion(
        kind=KIND,
        severity=Severity.WARNING,
        relation=relation,
        name=policy.name,
        message=f"a policy calls {', '.join(calls)} again for each row of a statement",
        cause=f'policy "{policy.name}"',
        gain="each call runs once in a statement",
        rewrite=(rewrite,),
        effect=Effect.BETTER,
        policies=(policy,),
        altered=altered_by(relation, policy),
    )


def _values(relation: Relation, old: str, new: str) -> Query:
    """The statement that computes an expression for each row, as a check of new rows does."""
    select = sql.SQL("select ({}) from {}")
    before, after = (
        select.format(sql.SQL(text), relation.identifier).as_string(None) for text in (old, new)
    )
    return Query(before, then=after)


def _saves(compared: Sequence[Compared]) -> bool:
    """Whether plans have fewer calls for each row after a change, and none has others."""
    saved = 0
    for one in compared:
        before, after = repeated_calls(one.before), repeated_calls(one.after)
        if after - before:
            return False
        saved += (before - after).total()
    return saved > 0
