"""What the API shows of the schema, how long it lets a caller work, and headers that no client library sends."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fix_api import Api

TABLES = {"/async_jobs", "/guest_users"}
FUNCTIONS = {
    *("/rpc/migrate_guest_jobs", "/rpc/cleanup_old_jobs", "/rpc/cleanup_inactive_guests", "/rpc/requeue_stale_jobs"),
    *("/rpc/claim_jobs", "/rpc/heartbeat_job", "/rpc/complete_job", "/rpc/fail_job"),
}
USER = "5a1f0000-0000-4000-8000-000000000000"
VISIBLE = {
    "nobody": ({}, TABLES),
    "user": ({"user": USER}, {"/async_jobs", "/rpc/migrate_guest_jobs"}),
    "service": ({"service": True}, TABLES | FUNCTIONS),
}


@pytest.mark.parametrize("who", VISIBLE)
def test_the_root_names_what_the_role_may_use(api: Api, who: str) -> None:
    identity, paths = VISIBLE[who]
    response = api.request("GET", "", headers=api.headers(**identity))  # type: ignore[arg-type]
    assert response.status_code == 200
    shown = response.json()
    assert set(shown["paths"]) - {"/"} == paths
    assert "private" not in response.text
    assert "request_guest_id" not in response.text
    assert set(shown["definitions"]) == {path.strip("/") for path in paths & TABLES}


def test_the_root_holds_no_rows(api: Api) -> None:
    guest = api.new_guest()
    assert str(guest) not in api.request("GET", "", headers=api.headers(service=True)).text


@pytest.fixture
def nap(one_api: Api) -> Iterator[Api]:
    """An API with a function that takes its time, as any slow query."""
    one_api.sql("create function public.nap(seconds float8) returns void language sql as 'select pg_sleep(seconds)'")
    deadline = time.monotonic() + 10
    while one_api.request("GET", "rpc/nap?seconds=0", headers=one_api.headers()).status_code == 404:
        assert time.monotonic() < deadline, "a new function does not show in the API by itself"
        time.sleep(0.05)
    yield one_api
    one_api.sql("drop function public.nap")


def test_guests_are_cut_off_after_three_seconds(nap: Api) -> None:
    started = time.monotonic()
    response = nap.request("GET", "rpc/nap?seconds=6", headers=nap.headers())
    assert (response.status_code, response.json()["code"]) == (500, "57014")
    assert 2.5 < time.monotonic() - started < 5.5


def test_users_have_longer(nap: Api) -> None:
    response = nap.request("GET", "rpc/nap?seconds=3.3", headers=nap.headers(user=USER))
    assert response.status_code == 204


# What is sent as it is, past every client library. X-Guest-Id of guest A is %(a)s, of guest B %(b)s.
Raw = Callable[[bytes], tuple[int, Any]]


@pytest.fixture
def raw(one_api: Api) -> Iterator[Callable[..., tuple[int, Any]]]:
    """`raw(b"X-Guest-Id: %(a)s")`: status and JSON of GET async_jobs?select=guest_id with these header lines."""
    a, b = one_api.new_guest(), one_api.new_guest()
    one_api.new_job(guest=a)
    one_api.new_job(guest=b)
    ids = {b"a": str(a).encode(), b"b": str(b).encode()}

    def send(lines: bytes) -> tuple[int, Any]:
        head = b"GET /rest/v1/async_jobs?select=guest_id HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", int(one_api.url.rsplit(":", 1)[1])), timeout=10) as connection:
            connection.sendall(b"%bapikey: %b\r\n%b\r\n\r\n" % (head, one_api.keys.anon.encode(), lines % ids))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = b"".join(body.split(b"\r\n")[1::2])
        status = int(head.split(b" ")[1])
        text = body.decode()
        for name, value in ids.items():
            text = text.replace(value.decode(), name.decode())
        return status, [row["guest_id"] for row in json.loads(text)] if status == 200 else text

    yield send
    one_api.sql("delete from public.guest_users where guest_id = any(%s)", [a, b])


@pytest.mark.parametrize(
    ("lines", "sees"),
    [
        (b"X-Guest-Id: %(a)s", ["a"]),
        (b"X-Guest-Id:%(a)s", ["a"]),
        (b"X-Guest-Id: \t  %(a)s \t ", ["a"]),
        (b"X-Guest-Id:", []),
        (b"X-Guest-Id: %(a)s\xc2\xa0", []),
        (b"X-Guest-Id: %(a)s\x00", []),
        (b"X-Guest-Id: %(a)s;b=1", []),
        (b"X-Guest-Id: urn:uuid:%(a)s", []),
        (b"X-Guest-Id: null", []),
        (b"X-Guest-Id: %(a)s\r\nX-Guest-Id: %(a)s", ["a"]),
        (b"Connection: x-guest-id\r\nX-Guest-Id: %(a)s", []),
        (b"X-Other: x\r\nX-Guest-Idd: %(a)s", []),
    ],
)
def test_a_header_as_no_library_sends_it(raw: Raw, lines: bytes, sees: list[str]) -> None:
    assert raw(lines) == (200, sees)


@pytest.mark.parametrize("value", [b"\xf1", b"%(a)s\xff"])
def test_bytes_that_are_no_text_get_no_further_than_postgrest(raw: Raw, value: bytes) -> None:
    assert raw(b"X-Guest-Id: " + value) == (500, "Something went wrong")


@pytest.mark.parametrize("order", [(b"a", b"b"), (b"b", b"a"), (b"x", b"a"), (b"a", b"")])
def test_the_header_twice_is_one_guest_at_most(raw: Raw, order: tuple[bytes, bytes]) -> None:
    one, other = (b"%(" + name + b")s" if name in (b"a", b"b") else name for name in order)
    status, seen = raw(b"X-Guest-Id: " + one + b"\r\nX-Guest-Id: " + other)
    assert status == 200
    assert len(seen) <= 1


@pytest.mark.parametrize("lines", [b"X-Guest-Id : %(a)s", b"X-Guest-Id %(a)s", b"X-A: 1\r\n X-Guest-Id: %(a)s"])
def test_a_line_that_is_no_header_is_refused_or_nobody(raw: Raw, lines: bytes) -> None:
    status, seen = raw(lines)
    assert status == 400 or (status, seen) == (200, [])
