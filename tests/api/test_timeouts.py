"""Statement timeouts of the API: 3 s for guests, 8 s for users."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx
import pytest

from tests.fix_api import Api
from tests.programs import DEFAULT_MAJOR

USER = "5a1f0000-0000-4000-8000-000000000000"


class Nap(NamedTuple):
    """The response to a function that sleeps, and its seconds."""

    response: httpx.Response
    seconds: float


@pytest.fixture(scope="module")
def naps(api_on: Callable[[int], Api]) -> dict[str, Nap]:
    """A guest calls a function that sleeps for 6 s, and a user one for 3.3 s, at the same time."""
    api = api_on(DEFAULT_MAJOR)

    def nap(seconds: float, headers: dict[str, str]) -> Nap:
        started = time.monotonic()
        response = api.request("GET", f"rpc/nap?seconds={seconds}", headers=headers)
        return Nap(response, time.monotonic() - started)

    api.sql(
        "create function public.nap(seconds float8) returns void language sql as 'select"
        " pg_sleep(seconds)'"
    )
    try:
        deadline = time.monotonic() + 10
        while nap(0, api.headers()).response.status_code == 404:
            assert time.monotonic() < deadline, "PostgREST did not reload the schema"
            time.sleep(0.05)
        with ThreadPoolExecutor(2) as pool:
            guest = pool.submit(nap, 6, api.headers())
            user = pool.submit(nap, 3.3, api.headers(user=USER))
            return {"guest": guest.result(), "user": user.result()}
    finally:
        api.sql("drop function public.nap")


def test_statements_of_guests_time_out_after_three_seconds(naps: dict[str, Nap]) -> None:
    response, seconds = naps["guest"]
    assert (response.status_code, response.json()["code"]) == (500, "57014")
    assert 2.5 < seconds < 5.5


def test_statements_of_users_run_longer_than_three_seconds(naps: dict[str, Nap]) -> None:
    assert naps["user"].response.status_code == 204
