"""Asks which rows a caller can read, many callers in one round trip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.catalog import Catalog
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import Impersonation, caller_statement, check_caller
from supabase_jobs.session.runner import AS_CALLER
from supabase_jobs.session.steps import Steps

# the rows of each table, and the query for them
Queries = Sequence[tuple[Sequence[Row], Statement]]


@dataclass(eq=False)
class Reads:
    """Asks which rows a caller can read, table by table."""

    caller: Caller
    tables: Queries
    readable: set[int] = field(default_factory=set)  # id() of rows
    unknown: set[int] = field(default_factory=set)  # oids of tables whose policies fail

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """One query for each table."""
        groups = [[AS_CALLER.undo, query] for _, query in self.tables]
        begun, *results = yield [[caller_statement(self.caller), AS_CALLER.save], *groups]
        begun.answer()
        check_caller(impersonation, self.caller, begun.answers[0])
        for (rows, _), result in zip(self.tables, results, strict=True):
            if result.error is not None:
                self.unknown.add(rows[0].relation.oid)
                continue
            seen = zip(rows, result.answer().rows[0], strict=True)
            self.readable.update(id(row) for row, is_seen in seen if is_seen)


def queries(catalog: Catalog, role: str, rows: Iterable[Row]) -> Queries:
    """The rows of each table that policies open to a role, and the query for them."""
    found: list[tuple[Sequence[Row], Statement]] = []
    for group in by_table(rows):
        relation = group[0].relation
        if catalog.policies_open(relation, role):
            found.append((group, statements.exists((row, role) for row in group)))
    return found


def by_table(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each table."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.relation.oid, []).append(row)
    return list(found.values())
