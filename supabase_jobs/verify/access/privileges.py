"""What no line of the access matrix speaks of: a privilege that somebody holds, a schema that the API serves.

An undeclared privilege is never a passed one. Only reads catalogs; knows no table.
"""

from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.verify.access.declaration import Declaration
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import catalog

_PRIVILEGES = Path(__file__).with_name("privileges.sql")
_SERVED = Path(__file__).parents[1] / "served.sql"


def check(
    connection: Connection,
    area: str,
    declared: Declaration,
    tables: set[str],
    expectations: Expectations,
    result: Context,
) -> None:
    """A finding for each privilege on `tables` that is undeclared, an error where a request can act as its holder."""
    known = declared.privileges
    rows = sql_file(_PRIVILEGES).rows(connection, sorted(tables))
    for object, role, privilege, reachable, fix in rows:
        id = f"{area}:{object}:{role} may {privilege}"
        case = Case(id, area, object, f"{role} may {privilege}: declared")
        result.cases.append(catalog.with_script(case, _PRIVILEGES, object, result))
        if (object, role, privilege) not in known:
            severity = Severity.ERROR if reachable else Severity.WARNING
            message = f"undeclared: {role} may {privilege} {object}, and no cell or line says so"
            result.findings.append(Finding(id, area, severity, object, message, fix))
    served = {
        *expectations.exposed_schemas,
        *(schema for (schema,) in sql_file(_SERVED).rows(connection)),
    }
    for schema in declared.unexposed_schemas:
        id = f"{area}:{schema}:not served"
        case = Case(id, area, schema, "the API does not serve this schema")
        result.cases.append(catalog.with_script(case, _SERVED, schema, result))
        if schema in served:
            message = "the API serves this schema, in which helpers and definer bodies stand"
            fix = "Take it out of the API's schemas: supabase/config.toml, or pgrst.db_schemas of authenticator."
            result.findings.append(Finding(id, area, Severity.ERROR, schema, message, fix))
