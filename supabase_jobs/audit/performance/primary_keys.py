"""Tables without a primary key."""

from collections.abc import Iterator

from supabase_jobs.audit.performance.context import Context
from supabase_jobs.audit.performance.plans import CATALOG
from supabase_jobs.audit.performance.suggestion import Suggestion
from supabase_jobs.database.batch import read
from supabase_jobs.findings import Severity

KIND = "primary-key"


def find(context: Context) -> Iterator[Suggestion]:
    """A suggestion for each table."""
    tables = {relation.oid: relation for relation in context.tables}
    [rows] = read(
        context.planner.acting.connection, [CATALOG["no_primary_key"].statement(list(tables))]
    )
    for oid, statement in rows:
        yield Suggestion(
            kind=KIND,
            severity=Severity.INFO,
            relation=tables[oid],
            name="none",
            message="no primary key: requests and replication cannot name one row",
            cause=f"table {tables[oid].label}",
            gain="Not tried: no plan shows what a primary key is for.",
            rewrite=(statement,),
        )
