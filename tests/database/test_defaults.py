"""`verify` on a database whose own settings change how definitions are written, read, or what a request begins with."""

import psycopg
import pytest
from psycopg import sql

from supabase_jobs.verify.areas import AREAS, verify
from tests.fix_db import PROMISE, Make


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quote_all_identifiers", "on"),
        ("standard_conforming_strings", "off"),
        ("intervalstyle", "iso_8601"),
        ("extra_float_digits", "-10"),
        ("row_security", "off"),
        ("request.headers", '{"x-guest-id": "00000000-0000-4000-8000-000000000000"}'),
        ("request.jwt.claims", '{"sub": "00000000-0000-4000-8000-000000000000", "role": "service_role"}'),
        ("request.jwt.claim.sub", "00000000-0000-4000-8000-000000000000"),
    ],
)
def test_settings_of_a_database_are_no_finding(make_database: Make, name: str, value: str) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        parts = sql.Identifier(database.name), sql.SQL(".").join(map(sql.Identifier, name.split("."))), value
        connection.execute(sql.SQL("alter database {} set {} = {}").format(*parts))
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert connection.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
        result = verify(connection, PROMISE)
        assert connection.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
    assert result.findings == ()
    assert {case.area for case in result.cases} == set(AREAS)
