"""The guest header in raw HTTP requests, in forms that client libraries do not send."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fix_api import Api

# sends header lines unchanged; %(a)s and %(b)s are the ids of two guests
Raw = Callable[[bytes], tuple[int, Any]]


@pytest.fixture
def raw(one_api: Api) -> Iterator[Callable[..., tuple[int, Any]]]:
    """`raw(b"X-Guest-Id: %(a)s")`: status and JSON of GET async_jobs?select=guest_id with these
    header lines.
    """
    a, b = one_api.new_guest(), one_api.new_guest()
    one_api.new_job(guest=a)
    one_api.new_job(guest=b)
    ids = {b"a": str(a).encode(), b"b": str(b).encode()}

    def send(lines: bytes) -> tuple[int, Any]:
        head = (
            b"GET /rest/v1/async_jobs?select=guest_id HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        )
        with socket.create_connection(
            ("127.0.0.1", int(one_api.url.rsplit(":", 1)[1])), timeout=10
        ) as connection:
            connection.sendall(
                b"%bapikey: %b\r\n%b\r\n\r\n" % (head, one_api.keys.anon.encode(), lines % ids)
            )
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = response.partition(b"\r\n\r\n")
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
    ("lines", "guests"),
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
def test_unusual_header_lines_are_a_guest_or_anon(
    raw: Raw, lines: bytes, guests: list[str]
) -> None:
    assert raw(lines) == (200, guests)


@pytest.mark.parametrize("value", [b"\xf1", b"%(a)s\xff"])
def test_invalid_utf8_is_rejected_by_postgrest(raw: Raw, value: bytes) -> None:
    assert raw(b"X-Guest-Id: " + value) == (500, "Something went wrong")


@pytest.mark.parametrize("order", [(b"a", b"b"), (b"b", b"a"), (b"x", b"a"), (b"a", b"")])
def test_a_repeated_header_is_at_most_one_guest(raw: Raw, order: tuple[bytes, bytes]) -> None:
    one, other = (b"%(" + name + b")s" if name in (b"a", b"b") else name for name in order)
    status, guests = raw(b"X-Guest-Id: " + one + b"\r\nX-Guest-Id: " + other)
    assert status == 200
    assert len(guests) <= 1


@pytest.mark.parametrize(
    "lines", [b"X-Guest-Id : %(a)s", b"X-Guest-Id %(a)s", b"X-A: 1\r\n X-Guest-Id: %(a)s"]
)
def test_a_malformed_header_line_is_rejected_or_anon(raw: Raw, lines: bytes) -> None:
    status, guests = raw(lines)
    assert status == 400 or (status, guests) == (200, [])
