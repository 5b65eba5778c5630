"""TRUNCATE of tables, which no policy limits.

The API has no request for it, but a function that runs statements of its caller does it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from psycopg import sql

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.limits import some
from supabase_jobs.findings import Explanation, Severity

KIND = Kind(
    code="truncate",
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


def able_roles(objects: Mapping[str, Collection[str]]) -> list[str]:
    """The roles that have the privilege on any object."""
    able = set().union(*objects.values())
    return [role for role in API_USERS if role in able]


def of_schema(
    kind: Kind, schema: str, message: str, revoke: sql.SQL, roles: Sequence[str]
) -> ExplainedLeak:
    """The leak of a privilege on objects of a schema."""
    fix = revoke.format(sql.Identifier(schema), sql.SQL(", ").join(map(sql.Identifier, roles)))
    return ExplainedLeak(
        kind=kind,
        severity=Severity.INFO,
        object=schema,
        message=message,
        name=schema,
        explanation=Explanation(
            cause="a grant, probably by the default privileges of the schema",
            fix=fix.as_string(None),
        ),
    )
