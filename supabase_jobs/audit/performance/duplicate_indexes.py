"""Indexes with the definition of another one: each write maintains both."""

from collections.abc import Iterator

from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.plans import CATALOG, Planning
from supabase_jobs.audit.performance.suggestion import Effect, Suggestion
from supabase_jobs.audit.probes.attempt import DELETE, SELECT, UPDATE
from supabase_jobs.database.batch import read
from supabase_jobs.findings import Severity

KIND = "duplicate-index"


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each such index."""
    tables = {relation.oid: relation for relation in context.tables}
    statement = CATALOG["duplicate_indexes"].statement(list(tables))
    [rows] = read(context.planner.acting.connection, [statement])
    for oid, name, kept, dropping in rows:
        relation = tables[oid]
        queries = []
        for policy in relation.policies:
            queries += context.reads(relation, (SELECT, UPDATE, DELETE), policy)
        compared = context.planner.compare([dropping], queries, Planning.BY_INDEX)
        is_needed = compared is None or any(
            one.after["Total Cost"] > one.before["Total Cost"] for one in compared.values()
        )
        yield Suggestion(
            kind=KIND,
            severity=Severity.WARNING,
            relation=relation,
            name=name,
            message=f"index {name} is the same as {kept}: each write maintains both",
            cause=f"index {name}",
            gain="no plan costs more without the index",
            rewrite=(dropping,),
            effect=Effect.EQUAL if is_needed else Effect.BETTER,
        )
