"""Indexes with the definition of another one: each write maintains both."""

from collections.abc import Iterator

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.plans import CATALOG, Change, Planning, Query
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
    changes = [
        Change([dropping], _reads(context, tables[oid])) for oid, _name, _kept, dropping in rows
    ]
    every = context.planner.compare(changes, Planning.BY_INDEX)
    for (oid, name, kept, dropping), compared in zip(rows, every, strict=True):
        is_needed = compared is None or any(
            one.after["Total Cost"] > one.before["Total Cost"] for one in compared.values()
        )
        yield Suggestion(
            kind=KIND,
            severity=Severity.WARNING,
            relation=tables[oid],
            name=name,
            message=f"index {name} is the same as {kept}: each write maintains both",
            cause=f"index {name}",
            gain="no plan costs more without the index",
            rewrite=(dropping,),
            effect=Effect.EQUAL if is_needed else Effect.BETTER,
        )


def _reads(context: Context, relation: Relation) -> list[Query]:
    """The statements that the policies of a table are planned for."""
    found: list[Query] = []
    for policy in relation.policies:
        found += context.reads(relation, (SELECT, UPDATE, DELETE), policy)
    return found
