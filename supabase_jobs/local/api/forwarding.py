"""One request to PostgREST, and its response, without the headers of a single connection. Imports
only the standard library and modules of this package that do the same.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse

from supabase_jobs.local.api.framing import MalformedError
from supabase_jobs.local.ports import HOST

# opaque keys begin so; they are no bearer tokens
_OPAQUE = "bearer sb_"
# hop-by-hop headers, which are not forwarded
_HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
}


class NoAnswerError(Exception):
    """PostgREST does not answer."""


@dataclass(frozen=True)
class Forwarded:
    """A request as it is forwarded: `token` is for one without a token of its own."""

    method: str
    target: str
    headers: Message
    body: bytes
    token: str

    def send(self, upstream: HTTPConnection) -> None:
        """Send the request. Raises MalformedError for headers that no request can have."""
        try:
            upstream.putrequest(self.method, self.target, skip_host=True, skip_accept_encoding=True)
            dropped = _of_connection(self.headers)
            for name, value in self.headers.items():
                if name.lower() not in dropped and not _is_opaque_bearer(name, value):
                    upstream.putheader(name, value.strip(" \t"))
            bearer = self.headers.get("authorization")
            if bearer is None or _is_opaque_bearer("authorization", bearer):
                upstream.putheader("Authorization", f"Bearer {self.token}")
            if "transfer-encoding" in self.headers:
                upstream.putheader("Content-Length", str(len(self.body)))
        except (ValueError, HTTPException) as error:
            raise MalformedError(f"invalid headers ({error})") from None
        # PostgREST may have answered without reading the rest
        with suppress(BrokenPipeError, ConnectionResetError):
            upstream.endheaders(self.body or None)


@dataclass(frozen=True)
class Answer:
    """The response of PostgREST for the client."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    content: bytes


def forward(request: Forwarded, port: int) -> Answer:
    """Send a request to PostgREST. Raises NoAnswerError, and MalformedError."""
    upstream = HTTPConnection(HOST, port, timeout=60)
    try:
        request.send(upstream)
        response = upstream.getresponse()
        content = response.read()
    except (TimeoutError, HTTPException, ConnectionError):
        raise NoAnswerError from None
    finally:
        upstream.close()
    headers = _headers(response, content, of_head=request.method == "HEAD")
    return Answer(response.status, response.reason, headers, content)


def _headers(response: HTTPResponse, content: bytes, *, of_head: bool) -> list[tuple[str, str]]:
    """The headers of a response, without those that the gateway sends itself."""
    bodiless = of_head or response.status in (204, 304)
    dropped = _of_connection(response.headers)
    dropped |= set() if bodiless else {"content-length"}
    kept = []
    for name, value in response.getheaders():
        if name.lower() not in dropped and not name.lower().startswith("access-control-"):
            kept.append((name, value))
    return kept if bodiless else [*kept, ("Content-Length", str(len(content)))]


def _of_connection(headers: Message) -> set[str]:
    """The names of the headers of this connection alone, in lower case: those that the header
    Connection lists, too.
    """
    listed = headers.get_all("connection", [])
    return _HOP_BY_HOP | {name.strip().lower() for value in listed for name in value.split(",")}


def _is_opaque_bearer(name: str, value: str) -> bool:
    """Whether a header sends an opaque key as a token, as clients without a session do."""
    return name.lower() == "authorization" and value.strip(" \t").lower().startswith(_OPAQUE)
