"""`verify` and connections on a database with unusual default settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from supabase_jobs.database.connection import Connection, connect, connect_async, second_connection
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make

SAFE = {
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "-10",
}
UNSAFE = {
    "row_security": "off",
    "request.headers": '{"x-guest-id": "00000000-0000-4000-8000-000000000000"}',
    "request.jwt.claims": '{"sub": "00000000-0000-4000-8000-000000000000", "role": "service_role"}',
    "request.jwt.claim.sub": "00000000-0000-4000-8000-000000000000",
}


@pytest.mark.parametrize("settings", [SAFE, UNSAFE], ids=["safe", "unsafe"])
def test_database_settings_change_no_result_and_unsafe_ones_are_reported(
    make_database: Make, settings: dict[str, str]
) -> None:
    """All of them are defaults of the database, and verify leaves them unchanged."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        for name, value in settings.items():
            parts = (
                sql.Identifier(database.name),
                sql.SQL(".").join(map(sql.Identifier, name.split("."))),
                value,
            )
            connection.execute(sql.SQL("alter database {} set {} = {}").format(*parts))
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert current(connection, settings) == settings
        result = verify(connection, EXPECTATIONS)
        assert current(connection, settings) == settings
    assert {case.area for case in result.cases} == set(AREAS)
    expected = settings if settings is UNSAFE else ()
    assert {f.id for f in result.findings} == {
        f"structure:lint:unsafe_setting:database:{name}" for name in expected
    }


def current(connection: Connection, settings: dict[str, str]) -> dict[str, str]:
    """The values of the settings in this session."""
    names = list(settings)
    row = connection.execute(
        "select array_agg(current_setting(n)) from unnest(%s::text[]) n", (names,)
    ).fetchone()
    return dict(zip(names, row[0] if row else (), strict=True))


@pytest.mark.parametrize(
    ("name", "value"), [("request.jwt.claim.sub", "somebody"), ("role", "postgres")]
)
def test_settings_of_a_sign_up_trigger_cause_no_finding(
    make_database: Make, name: str, value: str
) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.greet() returns trigger language plpgsql as"
            f" $$ begin perform set_config('{name}', '{value}', true); return new; end $$;"
            "create trigger greet after insert on auth.users for each row execute function"
            " public.greet()".encode()
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
