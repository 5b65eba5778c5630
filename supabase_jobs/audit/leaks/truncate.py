"""TRUNCATE of tables, which no policy limits.

The API has no request for it, but a function that runs statements of its caller does it.
"""

from collections.abc import Collection, Iterator

from psycopg import sql

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.leaks.schemas import able_roles, of_schema
from supabase_jobs.audit.limits import some
from supabase_jobs.findings import Severity

KIND = Kind(
    code="truncate",
    order=660,
    severities=(Severity.INFO,),
    sentence="API roles may empty tables; no policy limits that.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each schema."""
    schemas: dict[str, dict[str, Collection[str]]] = {}
    for table in facts.tables.values():
        roles = [role for role in API_USERS if table.may(role, "TRUNCATE")]
        is_of_project = table.is_selected and not table.is_foreign and not table.is_storage
        if roles and is_of_project:
            schemas.setdefault(table.schema, {})[table.name] = roles
    for schema, tables in schemas.items():
        able = able_roles(tables)
        message = (
            f"{' and '.join(able)} may empty tables without a policy: {some(list(tables))}; the"
            " API has no request for it"
        )
        revoke = sql.SQL("revoke truncate on all tables in schema {} from {};")
        yield of_schema(KIND, schema, message, revoke, able)
