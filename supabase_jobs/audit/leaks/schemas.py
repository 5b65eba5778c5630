"""Leaks of privileges on the objects of a schema."""

from collections.abc import Collection, Mapping, Sequence

from psycopg import sql

from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Explanation, Severity


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
