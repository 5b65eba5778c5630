"""Privileges that no cell and no line declares, and schemas that must not be exposed."""

from dataclasses import replace

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make

JOBS = "public.async_jobs"


def errors(connection: Connection, **changes: object) -> dict[str, Finding]:
    """Id → the errors of the access area, with changed expectations."""
    findings = verify(connection, replace(EXPECTATIONS, **changes), ("access",)).findings  # type: ignore[arg-type]
    return {f.id: f for f in findings if f.severity is Severity.ERROR}


def test_privilege_of_a_cell_is_reported_by_the_cell_only(rolled_back: Connection) -> None:
    rolled_back.execute(f"grant delete on {JOBS} to anon".encode())
    ids = set(errors(rolled_back))
    assert all(":anon may " not in id for id in ids)
    assert any(id.endswith(":delete") for id in ids)


def test_maintain_is_a_privilege_since_17(rolled_back: Connection, each_major: int) -> None:
    cases = {case.id for case in verify(rolled_back, EXPECTATIONS, ("access",)).cases}
    assert (f"access:{JOBS}:service_role may MAINTAIN" in cases) is (each_major >= 17)


def test_unexposed_schema_that_config_toml_exposes_is_an_error(rolled_back: Connection) -> None:
    assert errors(rolled_back) == {}
    [(id, finding)] = errors(rolled_back, exposed_schemas=("public", "private")).items()
    assert (id, finding.object) == ("access:private:not served", "private")


def test_unexposed_schema_that_a_database_setting_exposes_is_an_error(make_database: Make) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL(
                "alter role authenticator in database {} set pgrst.db_schemas = 'public, private'"
            ).format(psycopg.sql.Identifier(database.name))
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert set(errors(connection)) == {"access:private:not served"}
