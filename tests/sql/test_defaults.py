"""`verify` and connections on a database with unusual default settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from supabase_jobs.database.connection import connect, connect_async, second_connection
from supabase_jobs.verify.run import AREAS, verify
from tests.fix_db import EXPECTATIONS, Make


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quote_all_identifiers", "on"),
        ("standard_conforming_strings", "off"),
        ("intervalstyle", "iso_8601"),
        ("extra_float_digits", "-10"),
    ],
)
def test_database_settings_cause_no_finding(make_database: Make, name: str, value: str) -> None:
    assert findings_with_setting(make_database, name, value) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("row_security", "off"),
        ("request.headers", '{"x-guest-id": "00000000-0000-4000-8000-000000000000"}'),
        ("request.jwt.claims", '{"sub": "00000000-0000-4000-8000-000000000000", "role": "service_role"}'),
        ("request.jwt.claim.sub", "00000000-0000-4000-8000-000000000000"),
    ],
)
def test_unsafe_database_settings_cause_one_finding(make_database: Make, name: str, value: str) -> None:
    found = findings_with_setting(make_database, name, value)
    assert found == [f"structure:lint:unsafe_setting:database:{name}"]


def findings_with_setting(make_database: Make, name: str, value: str) -> list[str]:
    """The ids of the findings of all areas while the database has this default; verify leaves the setting unchanged."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        parts = sql.Identifier(database.name), sql.SQL(".").join(map(sql.Identifier, name.split("."))), value
        connection.execute(sql.SQL("alter database {} set {} = {}").format(*parts))
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert connection.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
        result = verify(connection, EXPECTATIONS)
        assert connection.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
    assert {case.area for case in result.cases} == set(AREAS)
    return [finding.id for finding in result.findings]


@pytest.mark.parametrize(("name", "value"), [("request.jwt.claim.sub", "somebody"), ("role", "postgres")])
def test_settings_of_a_sign_up_trigger_cause_no_finding(make_database: Make, name: str, value: str) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.greet() returns trigger language plpgsql as"
            f" $$ begin perform set_config('{name}', '{value}', true); return new; end $$;"
            "create trigger greet after insert on auth.users for each row execute function public.greet()".encode()
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS)
    assert result.findings == ()
    assert {case.area for case in result.cases} == set(AREAS)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_text_is_utf8_whatever_the_database_encoding(make_database: Make, encoding: str) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        parts = sql.Identifier(database.name), encoding
        connection.execute(sql.SQL("alter database {} set client_encoding = {}").format(*parts))
        connection.execute("comment on table public.async_jobs is 'Aufträge … ✓'")
    query = b"select obj_description('public.async_jobs'::regclass)"

    async def comment() -> object:
        async with await connect_async(database.url) as connection:
            return await (await connection.execute(query)).fetchone()

    with connect(database.url) as first, second_connection(first) as second:
        for connection in (first, second):
            assert connection.execute(query).fetchone() == ("Aufträge … ✓",)
    with ThreadPoolExecutor(1) as thread:  # other tests leave an event loop running in this thread
        assert thread.submit(asyncio.run, comment()).result() == ("Aufträge … ✓",)
