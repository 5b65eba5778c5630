"""The requests that the sender sends for a caller, and how it reads the responses."""

from collections.abc import Callable

import httpx
import pytest

from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.api.keys import new_keys
from supabase_jobs.api.sender import Sender
from supabase_jobs.errors import ConfigError, ConnectError
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.request import COUNTED, Request, equal

ENDPOINT = Endpoint("http://localhost:1", new_keys())
ANON = Caller("anon", {"role": "anon"}, {"x-guest-id": "g"})
USER = Caller("authenticated", {"sub": "u", "role": "authenticated"})
SERVICE = Caller("service_role", {"role": "service_role"})
Answer = Callable[[httpx.Request], httpx.Response]


def sender(answer: Answer) -> Sender:
    return Sender(ENDPOINT, httpx.Client(transport=httpx.MockTransport(answer)))


def answering(*arguments: int, **response: object) -> Sender:
    return sender(lambda _: httpx.Response(*arguments, **response))  # type: ignore[arg-type]


def sent(request: Request) -> httpx.Request:
    """The request as a server gets it."""
    seen: list[httpx.Request] = []

    def answer(received: httpx.Request) -> httpx.Response:
        seen.append(received)
        return httpx.Response(200, json=[])

    sender(answer).send(request)
    return seen[0]


def test_request_is_sent_as_it_is_printed() -> None:
    query = (("select", "id,name"), equal("id", "a,b&c"), equal("owner", None))
    request = Request("GET", "rest/v1/things", ANON, query, profile="extra")
    received = sent(request)
    assert str(received.url) == f"http://localhost:1/{request.address}"
    assert request.address == "rest/v1/things?select=id,name&id=eq.a%2Cb%26c&owner=is.null"
    assert received.headers["accept-profile"] == "extra"
    assert received.headers["x-guest-id"] == "g"
    assert list(request.lines()) == [
        "GET /rest/v1/things?select=id,name&id=eq.a,b&c&owner=is.null",
        "apikey: $SUPABASE_ANON_KEY",
        'Authorization: Bearer (a token with the claims {"role": "anon"})',
        "x-guest-id: g",
    ]


def test_body_has_its_type_and_the_schema_of_what_is_written() -> None:
    received = sent(
        Request("POST", "rest/v1/things", USER, profile="extra", prefer=COUNTED, body='{"a": 1}')
    )
    assert received.content == b'{"a": 1}'
    assert received.headers["content-type"] == "application/json"
    assert received.headers["content-profile"] == "extra"
    assert received.headers["prefer"] == COUNTED


@pytest.mark.parametrize(
    ("caller", "key", "is_token"),
    [(ANON, "anon", False), (SERVICE, "service_role", False), (USER, "anon", True)],
)
def test_callers_have_a_key_of_the_project_and_a_token_only_for_claims(
    caller: Caller, key: str, is_token: bool
) -> None:
    received = sent(Request("GET", "rest/v1/things", caller))
    assert received.headers["apikey"] == getattr(ENDPOINT.keys, key)
    bearer = received.headers.get("authorization", "").removeprefix("Bearer ")
    assert (bearer not in ("", ENDPOINT.keys.anon, ENDPOINT.keys.service_role)) == is_token


@pytest.mark.parametrize(
    ("body", "outcome"),
    [("[]", "hidden"), ('[{"id": 1}]', "rows"), ("0", "hidden"), ("", "hidden"), ("<p>", "rows")],
)
def test_rows_of_a_response_are_the_outcome(body: str, outcome: str) -> None:
    reply = answering(200, text=body).send(Request("GET", "rest/v1/things", ANON))
    assert (reply.outcome, reply.text) == (outcome, body)


@pytest.mark.parametrize(("counted", "outcome"), [("*/0", "hidden"), ("*/2", "rows")])
def test_number_of_written_rows_is_the_outcome(counted: str, outcome: str) -> None:
    request = Request("PATCH", "rest/v1/things", ANON, prefer=COUNTED, body="{}")
    assert answering(204, headers={"Content-Range": counted}).send(request).outcome == outcome


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        ("42501", "permission denied for table things", "denied"),
        ("42501", 'new row violates row-level security policy for table "things"', "violates"),
        ("23505", "duplicate key", "23505"),
    ],
)
def test_error_of_the_database_is_the_outcome(code: str, message: str, outcome: str) -> None:
    refusing = answering(403, json={"code": code, "message": message})
    assert refusing.send(Request("GET", "rest/v1/things", ANON)).outcome == outcome


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "PGRST301", ConfigError),
        (401, None, ConfigError),
        (404, "PGRST125", ConfigError),
        (404, None, ConfigError),
        (503, "PGRST001", ConnectError),
        (502, None, ConnectError),
    ],
)
def test_response_that_shows_nothing_is_an_error(
    status: int, code: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answering(status, json={"code": code}).send(Request("GET", "rest/v1/things", ANON))
