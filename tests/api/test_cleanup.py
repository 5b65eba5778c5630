"""Cleanup over the API: calls with a limit finish before the statement timeout, a call without one
does not.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.fix_api import Api, serve_api
from tests.fix_db import Make
from tests.sql.population import expired

JOBS, GUESTS, LIMIT = 300, 300, 20
# 5 ms per row: all rows take 1.5 s, twice the statement timeout
SLOW = """
create function private.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.005); return old; end $$;
create trigger slow before delete on public.async_jobs for each row execute function private.slow();
create trigger slow before delete on public.guest_users for each row execute function private.slow();
"""
EXPIRED_GUESTS = """
insert into public.guest_users (last_seen_at) select now() - interval '31 days' from generate_series(1, %s)
"""


@pytest.fixture
def short_timeout(make_database: Make) -> Iterator[Api]:
    """An API with a statement timeout of 0.75 s instead of 8 s, on a database with many expired
    rows.
    """
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection:
        expired(connection, JOBS)
        connection.execute(EXPIRED_GUESTS.encode(), (GUESTS,))
        connection.execute(SLOW.encode())
        name = psycopg.sql.Identifier(database.name)
        connection.execute(
            psycopg.sql.SQL(
                "alter role authenticator in database {} set statement_timeout = '750ms'"
            ).format(name)
        )
    with serve_api(database.server, database.name) as api:
        yield api


def call(api: Api, function: str, **arguments: Any) -> Any:
    """Call a function with the service key; return status and body."""
    response = api.request(
        "POST", f"rpc/{function}", headers=api.headers(service=True), json=arguments
    )
    return response.status_code, response.json()


def test_the_statement_timeout_of_the_service_is_eight_seconds(one_api: Api) -> None:
    """It is a setting of authenticator; service_role has none. The fixture short_timeout shortens
    it.
    """
    settings = "select array_to_string(rolconfig, ' ') from pg_roles where rolname = %s"
    assert "statement_timeout=8s" in one_api.sql(settings, "authenticator")[0][0]
    assert "timeout" not in str(one_api.sql(settings, "service_role")[0][0])


@pytest.mark.parametrize(
    ("function", "table", "number"),
    [("cleanup_old_jobs", "async_jobs", JOBS), ("cleanup_inactive_guests", "guest_users", GUESTS)],
)
def test_calls_with_a_limit_do_not_time_out(
    short_timeout: Api, function: str, table: str, number: int
) -> None:
    def remaining() -> int:
        [(count,)] = short_timeout.sql(f"select count(*) from public.{table}")
        return int(count)

    status, body = call(short_timeout, function)
    assert (status, body["code"]) == (500, "57014")  # timed out and rolled back
    assert remaining() == number
    deleted: list[int] = []
    while not deleted or deleted[-1]:
        status, body = call(short_timeout, function, p_limit=LIMIT)
        assert status == 200, body
        [row] = body
        deleted.append(row["deleted_count"])
    assert deleted == [LIMIT] * (number // LIMIT) + [0]
    assert remaining() == 0
