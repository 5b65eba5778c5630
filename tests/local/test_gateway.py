"""The gateway: keys, paths, CORS, bodies, malformed requests, clients that disconnect."""

import http.client
import json
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from tests.fix_api import Api, serve_api
from tests.fix_db import Make

Connect = Callable[[], http.client.HTTPConnection]


def port(api: Api) -> int:
    return int(api.url.rsplit(":", 1)[1])


@pytest.fixture
def connection(one_api: Api) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port(one_api), timeout=20)) as opened:
        yield opened


def exchange(api: Api, request: bytes) -> bytes:
    """Send raw bytes and read until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port(api)), timeout=20) as opened:
        opened.sendall(request)
        return b"".join(iter(lambda: opened.recv(65536), b""))


def head(api: Api, method: bytes, *lines: bytes, path: bytes = b"/rest/v1/async_jobs") -> bytes:
    """The head of an anonymous request with these header lines."""
    fixed = (b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"apikey: " + api.keys.anon.encode())
    return b"\r\n".join([*fixed, *lines, b"", b""])


def metadata(size: int) -> dict[str, str]:
    return {"filler": "ñ" * (size // 2)}


# ---------------------------------------------------------------------------------- keys


def test_a_request_without_a_key_is_rejected(one_api: Api) -> None:
    response = one_api.request("GET", "async_jobs")
    assert (response.status_code, response.json()["message"]) == (
        401,
        "No API key found in request",
    )


def test_a_key_other_than_anon_and_service_role_is_rejected(one_api: Api) -> None:
    key = one_api.keys.user_token(uuid.uuid4())
    response = one_api.request(
        "POST", "async_jobs", headers={"apikey": key}, content=b"x" * 300_000
    )
    assert (response.status_code, response.json()["message"]) == (401, "Invalid API key")


def test_the_key_is_the_token_of_a_request_without_one(one_api: Api) -> None:
    guest = one_api.new_guest()
    one_api.new_job(guest=guest)
    path = f"async_jobs?guest_id=eq.{guest}"
    assert (
        len(one_api.request("GET", path, headers={"apikey": one_api.keys.service_role}).json()) == 1
    )
    assert one_api.request("GET", path, headers={"apikey": one_api.keys.anon}).json() == []
    both = {"apikey": one_api.keys.service_role, "Authorization": f"Bearer {one_api.keys.anon}"}
    assert one_api.request("GET", path, headers=both).json() == []


def test_a_key_in_the_url_is_accepted_and_not_forwarded(one_api: Api) -> None:
    guest = one_api.new_guest()
    one_api.new_job(guest=guest)
    key = one_api.keys.service_role
    for query in (
        f"apikey={key}&guest_id=eq.{guest}",
        f"guest_id=eq.{guest}&apikey={key}&select=id",
    ):
        assert len(one_api.request("GET", f"async_jobs?{query}").json()) == 1


# ---------------------------------------------------------------------------------- paths and CORS


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/auth/v1/signup", 501, "Auth"),
        ("/storage/v1/object/x", 501, "Storage"),
        ("/realtime/v1/websocket", 501, "Realtime"),
        ("/functions/v1/x", 501, "Edge Functions"),
        ("/", 404, "Route"),
        ("/rest/v2/x", 404, "Route"),
        ("/rest/v1x", 404, "Route"),
    ],
)
def test_other_paths_are_not_served(one_api: Api, path: str, status: int, word: str) -> None:
    response = one_api.http.post(one_api.url + path, content=b"{}")
    assert response.status_code == status
    assert word in response.json()["message"]


def test_the_root_path_works_with_and_without_a_slash(one_api: Api) -> None:
    headers = one_api.headers()
    bare = one_api.http.get(one_api.info.rest_url, headers=headers)
    assert bare.status_code == 200
    assert bare.json()["paths"] == one_api.request("GET", "", headers=headers).json()["paths"]


def test_a_browser_may_send_the_guest_header(one_api: Api) -> None:
    preflight = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "apikey,authorization,content-type,prefer,x-guest-id",
    }
    response = one_api.request("OPTIONS", "async_jobs", headers=preflight)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert "x-guest-id" in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize("with_key", [True, False])
def test_a_browser_may_read_the_response(one_api: Api, with_key: bool) -> None:
    headers = (one_api.headers() if with_key else {}) | {"Origin": "http://localhost:3000"}
    response = one_api.request("GET", "async_jobs", headers=headers)
    assert response.headers.get_list("access-control-allow-origin") == ["*"]
    assert "Content-Range" in response.headers["access-control-expose-headers"]


# ---------------------------------------------------------------------------------- bodies and
# connections


def test_one_connection_serves_many_requests(
    one_api: Api, connection: http.client.HTTPConnection
) -> None:
    for method, path in [
        ("GET", "async_jobs"),
        ("HEAD", "async_jobs"),
        ("GET", "nope"),
        ("GET", "async_jobs?limit=1"),
    ]:
        connection.request(method, f"/rest/v1/{path}", headers=one_api.headers())
        opened = connection.sock
        response = connection.getresponse()
        response.read()
        assert response.status in (200, 404)
        assert connection.sock is opened


def test_a_head_response_has_headers_and_no_body(one_api: Api) -> None:
    user = one_api.new_user()
    one_api.new_job(user=user)
    response = one_api.request(
        "HEAD", "async_jobs", headers={**one_api.headers(user=user), "Prefer": "count=exact"}
    )
    assert (response.status_code, response.headers["content-range"], response.content) == (
        200,
        "0-0/1",
        b"",
    )


@pytest.mark.parametrize("chunked", [True, False])
def test_large_bodies_pass_in_both_directions(
    one_api: Api, connection: http.client.HTTPConnection, chunked: bool
) -> None:
    user = one_api.new_user()
    sent = [{"url": "https://x.com/1", "user_id": str(user), "metadata": metadata(60_000)}] * 50
    body = json.dumps(sent, ensure_ascii=False).encode()
    pieces = (body[start : start + 100_001] for start in range(0, len(body), 100_001))
    headers = {
        **one_api.headers(user=user),
        "Content-Type": "application/json",
        "Prefer": "return=representation",
    }
    connection.request(
        "POST", "/rest/v1/async_jobs", pieces if chunked else body, headers, encode_chunked=chunked
    )
    response = connection.getresponse()
    received = json.loads(response.read())
    assert response.status == 201
    assert [row["metadata"] for row in received] == [row["metadata"] for row in sent]


def test_expect_100_continue_is_answered(one_api: Api) -> None:
    body = b'{"url":"https://x.com/1"}'
    lines = [
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]
    with socket.create_connection(("127.0.0.1", port(one_api)), timeout=5) as opened:
        opened.sendall(head(one_api, b"POST", b"Expect: 100-continue", *lines))
        assert opened.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(body)
        assert opened.recv(12) == b"HTTP/1.1 401"


def test_concurrent_clients_get_their_own_rows(one_api: Api) -> None:
    users = [one_api.new_user() for _ in range(40)]
    for user in users:
        one_api.new_job(user=user)

    def visible_owners(user: uuid.UUID) -> list[str]:
        with httpx.Client(timeout=20) as client:
            found = client.get(
                f"{one_api.info.rest_url}/async_jobs?select=user_id",
                headers=one_api.headers(user=user),
            )
        return [row["user_id"] for row in found.json()]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(visible_owners, users)) == [[str(user)] for user in users]


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Content-Length: -1"],
        [b"Content-Length: 1_0"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"X-Guest-Id"],
        [b"Content-Length : 5"],
    ],
)
def test_request_smuggling_is_rejected(one_api: Api, lines: list[bytes]) -> None:
    hidden = head(one_api, b"GET", b"Connection: close")
    answer = exchange(one_api, head(one_api, b"POST", *lines) + b"0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("body", [b"zz\r\n", b"\r\n", b"2\r\nabc\r\n", b"fffffffffffffffff\r\n"])
def test_invalid_chunks_are_rejected(one_api: Api, body: bytes) -> None:
    answer = exchange(one_api, head(one_api, b"POST", b"Transfer-Encoding: chunked") + body)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_url_that_is_too_long_is_rejected_with_json(one_api: Api) -> None:
    answer = exchange(
        one_api, head(one_api, b"GET", path=b"/rest/v1/async_jobs?url=eq." + b"a" * 70_000)
    )
    assert answer.startswith(b"HTTP/1.1 414")
    assert "message" in json.loads(answer.partition(b"\r\n\r\n")[2])


def test_non_ascii_bytes_in_the_url_reach_postgrest(one_api: Api) -> None:
    answer = exchange(
        one_api,
        head(one_api, b"GET", b"Connection: close", path="/rest/v1/async_jobs?url=eq.ñ".encode()),
    )
    assert answer.startswith(b"HTTP/1.1 200")


def test_clients_that_disconnect_change_nothing(one_api: Api) -> None:
    before = one_api.sql("select count(*) from public.async_jobs")
    for request in (
        head(one_api, b"POST", b"Content-Length: 1000000") + b'{"url":',
        head(one_api, b"POST", b"Transfer-Encoding: chunked") + b"5\r\nab",
        head(one_api, b"GET"),
        b"GET /rest/v1/async_jobs HT",
        b"",
    ):
        with socket.create_connection(("127.0.0.1", port(one_api)), timeout=5) as opened:
            opened.sendall(request)
            opened.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # reset, not just close
    assert one_api.request("GET", "async_jobs", headers=one_api.headers()).status_code == 200
    assert one_api.sql("select count(*) from public.async_jobs") == before


def test_the_log_contains_no_request_and_no_error(one_api: Api) -> None:
    """After all requests of the test session."""
    log = one_api.info.processes.gateway_config.with_name("gateway.log")
    assert log.read_text() == f"listening on port {port(one_api)}\n"


def test_a_crashed_postgrest_results_in_502(make_database: Make) -> None:
    database = make_database("applied")
    with serve_api(database.server, database.name) as api:
        os.kill(api.info.processes.postgrest, signal.SIGKILL)
        response = api.request("POST", "async_jobs", headers=api.headers(), content=b"{}")
        assert response.status_code == 502
        assert "PostgREST" in response.json()["message"]
