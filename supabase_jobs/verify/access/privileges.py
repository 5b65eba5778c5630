"""Undeclared privileges, exposed schemas, and the functions of schema auth."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.batch import read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.outcomes import DENIED
from supabase_jobs.projects.exposed_schemas import EXPOSED_SCHEMAS
from supabase_jobs.verify.access import AREA, auth_functions, role_settings
from supabase_jobs.verify.access.matrix import AccessDeclaration
from supabase_jobs.verify.access.platform import check as platform
from supabase_jobs.verify.access.platform import trial
from supabase_jobs.verify.access.reach import candidate
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.allowed import pins
from supabase_jobs.verify.context import Context, Trace
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import catalog

_PRIVILEGES = Path(__file__).with_name("privileges.sql")


@dataclass(frozen=True)
class Found:
    """The results of catalog queries for the parts that act: the exposed schemas, and the rows of
    the queries of `auth_functions`, `platform`, `reach` and `role_settings`.
    """

    exposed: Collection[str]
    functions: Sequence[auth_functions.Row]
    of_platform: Sequence[trial.Row]
    reachable: Sequence[Candidate]
    of_roles: Sequence[role_settings.Row]


def check(
    connection: Connection,
    declared: AccessDeclaration,
    tables: set[str],
    expectations: Expectations,
    managed: Collection[str],
    context: Context,
) -> Found:
    """Add a finding for each undeclared privilege on `tables`, and for each exposed schema that
    must not be exposed.

    Also checks the functions of schema auth. The catalog queries of the parts that act share the
    round trip. `managed` are the names of all managed
    objects. An undeclared privilege is an error if a request can have it, and otherwise a warning.
    """
    privileges = declared.privileges
    queries = [
        sql_file(_PRIVILEGES).statement(sorted(tables)),
        sql_file(EXPOSED_SCHEMAS).statement(),
        sql_file(auth_functions.QUERY).statement(),
        sql_file(platform.QUERY).statement(),
        sql_file(candidate.QUERY).statement(sorted(managed)),
        sql_file(role_settings.QUERY).statement(),
    ]
    actual, exposed_rows, functions, of_platform, reachable, of_roles = read(connection, queries)
    auth_functions.check(connection, functions, context)
    for table, role, privilege, by_request, fix in actual:
        id = Id(AREA, table, f"{role} may {privilege}")
        case = Case(id=id, area=AREA, object=table, name=f"{role} may {privilege}: declared")
        context.cases.append(catalog.with_script(case, _PRIVILEGES, table, context))
        if (table, role, privilege) not in privileges:
            severity = Severity.ERROR if by_request else Severity.WARNING
            message = (
                f"undeclared: {role} may {privilege} {table}, but access.toml"
                " neither tests nor lists this"
            )
            context.findings.append(
                Finding(id=id, area=AREA, severity=severity, object=table, message=message, fix=fix)
            )
            context.allowed.candidates[id] = {"object": table, "role": role, "privilege": privilege}
            context.evidence.traces[id] = Trace(
                objects=(table,), role=role, command=privilege.lower(), expected=DENIED
            )
    pins.apply(connection, expectations.allowed, sorted(tables), context)
    exposed = expectations.all_exposed_schemas(exposed_rows)
    for schema in declared.unexposed_schemas:
        id = Id(AREA, schema, "not served")
        case = Case(id=id, area=AREA, object=schema, name="the API does not expose this schema")
        context.cases.append(catalog.with_script(case, EXPOSED_SCHEMAS, schema, context))
        if schema in exposed:
            message = "the API exposes this schema, which holds helpers and definer bodies"
            fix = (
                "Remove it from the API's schemas: supabase/config.toml, or"
                " pgrst.db_schemas of authenticator."
            )
            context.findings.append(
                Finding(
                    id=id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=schema,
                    message=message,
                    fix=fix,
                )
            )
    return Found(
        exposed=exposed,
        functions=functions,
        of_platform=of_platform,
        reachable=candidate.candidates_of(reachable),
        of_roles=of_roles,
    )
