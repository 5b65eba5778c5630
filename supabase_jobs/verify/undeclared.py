"""What no line of the access matrix speaks of: a privilege that somebody holds, a schema that the API serves.

An undeclared privilege is never a passed one. Only reads catalogs; knows no table.
"""

from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database import Connection
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.project import Promise
from supabase_jobs.verify import questions
from supabase_jobs.verify.collected import Collected
from supabase_jobs.verify.declaration import Declaration

_SCOPE = Path(__file__).parent / "scope"


def check(
    connection: Connection, area: str, declared: Declaration, tables: set[str], promise: Promise, result: Collected
) -> None:
    """A finding for each privilege on `tables` that is undeclared, an error where a request can act as its holder."""
    known = declared.privileges
    for object, role, privilege, reachable, fix in _rows(connection, "privileges.sql", [sorted(tables)]):
        id = f"{area}:{object}:{role} may {privilege}"
        case = Case(id, area, object, f"{role} may {privilege}: declared")
        result.cases.append(questions.scope(case, "privileges.sql", object, result))
        if (object, role, privilege) not in known:
            severity = Severity.ERROR if reachable else Severity.WARNING
            message = f"undeclared: {role} may {privilege} {object}, and no cell or line says so"
            result.findings.append(Finding(id, area, severity, object, message, fix))
    served = {*promise.exposed, *(schema for (schema,) in _rows(connection, "served.sql"))}
    for schema in declared.hidden:
        id = f"{area}:{schema}:not served"
        case = Case(id, area, schema, "the API does not serve this schema")
        result.cases.append(questions.scope(case, "served.sql", schema, result))
        if schema in served:
            message = "the API serves this schema, in which helpers and definer bodies stand"
            fix = "Take it out of the API's schemas: supabase/config.toml, or pgrst.db_schemas of authenticator."
            result.findings.append(Finding(id, area, Severity.ERROR, schema, message, fix))


def _rows(connection: Connection, name: str, *params: object) -> list[tuple[Any, ...]]:
    with psycopg.RawCursor(connection) as cursor:
        return cursor.execute((_SCOPE / name).read_bytes(), params or None).fetchall()
