"""Statement timeouts of the API: 3 s for guests, 8 s for users."""

import time
from collections.abc import Iterator

import pytest

from tests.fix_api import Api

USER = "5a1f0000-0000-4000-8000-000000000000"


@pytest.fixture
def sleeping_api(one_api: Api) -> Iterator[Api]:
    """An API with a function that sleeps."""
    one_api.sql("create function public.nap(seconds float8) returns void language sql as 'select pg_sleep(seconds)'")
    deadline = time.monotonic() + 10
    while one_api.request("GET", "rpc/nap?seconds=0", headers=one_api.headers()).status_code == 404:
        assert time.monotonic() < deadline, "PostgREST did not reload the schema"
        time.sleep(0.05)
    yield one_api
    one_api.sql("drop function public.nap")


def test_statements_of_guests_time_out_after_three_seconds(sleeping_api: Api) -> None:
    started = time.monotonic()
    response = sleeping_api.request("GET", "rpc/nap?seconds=6", headers=sleeping_api.headers())
    assert (response.status_code, response.json()["code"]) == (500, "57014")
    assert 2.5 < time.monotonic() - started < 5.5


def test_statements_of_users_run_longer_than_three_seconds(sleeping_api: Api) -> None:
    response = sleeping_api.request("GET", "rpc/nap?seconds=3.3", headers=sleeping_api.headers(user=USER))
    assert response.status_code == 204
