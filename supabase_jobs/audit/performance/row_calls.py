"""Calls in policies that run for each row although they depend on none: `auth.uid()`, `auth.jwt()`,
`current_setting()`, helpers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.performance.context import Context, altered
from supabase_jobs.audit.performance.hoisting import names
from supabase_jobs.audit.performance.plans import Change, Compared, Planning, Query
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.audit.probes.known import altered_by
from supabase_jobs.database.query_plan import repeated_calls
from supabase_jobs.findings import Severity

KIND = "row-call"


@dataclass(frozen=True)
class _Rewritten:
    """The policies of a table that change, with their rewrites, and what is planned for each."""

    relation: Relation
    policies: Sequence[tuple[Policy, str]]
    queries: Mapping[str, Sequence[Query]]

    @property
    def change(self) -> Change:
        """All of them together: PostgreSQL joins their conditions."""
        every = [query for some in self.queries.values() for query in some]
        return Change([rewrite for _, rewrite in self.policies], list(dict.fromkeys(every)))


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each policy with such calls, if plans have fewer of them with the
    rewrite.
    """
    tried = []
    for relation in (table for table in context.tables if table.rls):
        rewritten = [(policy, context.hoisted(policy)) for policy in relation.policies]
        changed = [(old, new) for old, new in rewritten if old != new]
        if changed:
            tried.append(_rewritten(context, relation, changed))
    plans = context.planner.compare([one.change for one in tried], Planning.ROW_BY_ROW)
    for one, compared in zip(tried, plans, strict=True):
        yield from _suggestions(context, one, compared or {})


def _rewritten(
    context: Context, relation: Relation, changed: Sequence[tuple[Policy, Policy]]
) -> _Rewritten:
    queries = {}
    for old, new in changed:
        queries[old.name] = context.reads(relation, (SELECT, UPDATE, DELETE), old)
        if new.checked != old.checked:
            queries[old.name].append(_values(relation, old.checked or "", new.checked or ""))
    policies = [(old, altered(relation, old, new)) for old, new in changed]
    return _Rewritten(relation, policies, queries)


def _suggestions(
    context: Context, one: _Rewritten, compared: Mapping[Query, Compared]
) -> Iterator[Suggestion]:
    for policy, rewrite in one.policies:
        if _saves([compared[query] for query in one.queries[policy.name] if query in compared]):
            calls = names(policy, context.functions)
            yield _suggestion(one.relation, policy, rewrite, calls)


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
