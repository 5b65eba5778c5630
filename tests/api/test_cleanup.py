"""The cleanup through the API: in calls that each end before the role's time is up, and not in one that does not."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.fix_api import Api, serve_api
from tests.fix_db import Make
from tests.sql.population import expired

JOBS, GUESTS, LIMIT = 300, 300, 20
# a row takes 5 ms, so that all of them take 1.5 s, twice as long as a call may
SLOW = """
create function private.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.005); return old; end $$;
create trigger slow before delete on public.async_jobs for each row execute function private.slow();
create trigger slow before delete on public.guest_users for each row execute function private.slow();
"""
OLD_GUESTS = """
insert into public.guest_users (last_seen_at) select now() - interval '31 days' from generate_series(1, %s)
"""


@pytest.fixture
def short_of_time(make_database: Make) -> Iterator[Api]:
    """An API whose calls end after 0.75 s instead of 8, on a database where much has expired."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url) as connection:
        expired(connection, JOBS)
        connection.execute(OLD_GUESTS.encode(), (GUESTS,))
        connection.execute(SLOW.encode())
        name = psycopg.sql.Identifier(database.name)
        connection.execute(
            psycopg.sql.SQL("alter role authenticator in database {} set statement_timeout = '750ms'").format(name)
        )
    with serve_api(database.server, database.name) as api:
        yield api


def call(api: Api, function: str, **arguments: Any) -> Any:
    """The status and body of a call with the service's key."""
    answer = api.request("POST", f"rpc/{function}", headers=api.headers(service=True), json=arguments)
    return answer.status_code, answer.json()


def test_a_call_of_the_service_may_take_eight_seconds(one_api: Api) -> None:
    """What the test below shortens: the time is authenticator's, for service_role has none of its own."""
    settings = "select array_to_string(rolconfig, ' ') from pg_roles where rolname = %s"
    assert "statement_timeout=8s" in one_api.sql(settings, "authenticator")[0][0]
    assert "timeout" not in str(one_api.sql(settings, "service_role")[0][0])


@pytest.mark.parametrize(
    ("function", "table", "number"),
    [("cleanup_old_jobs", "async_jobs", JOBS), ("cleanup_inactive_guests", "guest_users", GUESTS)],
)
def test_a_limit_ends_each_call_in_time(short_of_time: Api, function: str, table: str, number: int) -> None:
    def left() -> int:
        [(count,)] = short_of_time.sql(f"select count(*) from public.{table}")
        return int(count)

    status, body = call(short_of_time, function)
    assert (status, body["code"]) == (500, "57014")  # cut off, and all of it rolled back
    assert left() == number
    deleted: list[int] = []
    while not deleted or deleted[-1]:
        status, body = call(short_of_time, function, p_limit=LIMIT)
        assert status == 200, body
        [row] = body
        deleted.append(row["deleted_count"])
    assert deleted == [LIMIT] * (number // LIMIT) + [0]
    assert left() == 0
