"""An action as a request to an API: as it is sent, as a curl command, and as lines to read."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from supabase_jobs.session.action import Call, Delete, Insert, Select, Update
from supabase_jobs.session.caller import Caller

SERVICE = "service_role"
_ANON = "anon"
# of requests to tables and views; all others are sent with POST
_METHODS = {action.kind: action.method for action in (Select, Update, Delete)}
_METHODS_OF_FILES = {"insert": "POST", "update": "PUT", "delete": "DELETE"}
# the header by which a request that writes asks for the number of rows instead of the rows
COUNTED = "return=minimal,count=exact"


@dataclass(frozen=True)
class Request:
    """A request of a caller. `path` begins with the service, and `body` is '' if there is none.

    `query` are the parameters, which are not quoted yet. `profile` is the schema, if it is not the
    first that the API serves, and `prefer` the header of that name.
    """

    method: str
    path: str
    caller: Caller
    query: tuple[tuple[str, str], ...] = ()
    profile: str = ""
    prefer: str = ""
    body: str = ""
    content: str = "application/json"

    @property
    def address(self) -> str:
        """The path with its parameters, as a URL has them."""
        texts = [f"{quoted(name)}={_quoted_value(name, value)}" for name, value in self.query]
        return f"{self.path}?{'&'.join(texts)}" if texts else self.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the caller, the schema and the body; none with a key or a token."""
        found = dict(self.caller.headers or {})
        if self.profile:
            found["Accept-Profile" if self.method == "GET" else "Content-Profile"] = self.profile
        return found | ({"Content-Type": self.content} if self.body else {})

    @property
    def command(self) -> str:
        """A curl command with the project's address and key, and the caller's token, from the
        environment.
        """
        key, bearer = "$SUPABASE_ANON_KEY", "$TOKEN"
        if self.caller.role == SERVICE:
            key = bearer = "$SUPABASE_SERVICE_ROLE_KEY"
        headers = [f'-H "apikey: {key}"']
        if self.caller.role != _ANON:
            headers.append(f'-H "Authorization: Bearer {bearer}"')
        headers += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        headers += [f"-d {shlex.quote(self.body)}"] if self.body else []
        method = [] if self.method == "GET" else ["-X", self.method]
        return " ".join(["curl", *method, f'"$SUPABASE_URL/{self.address}"', *headers])

    def lines(self) -> Iterator[str]:
        """The request as a reader sees it: without quotes in its address, and without the headers
        that each client adds.
        """
        service = self.caller.role == SERVICE
        query = "&".join(f"{name}={value}" for name, value in self.query)
        yield f"{self.method} /{self.path}{'?' if query else ''}{query}"
        yield f"apikey: {'$SUPABASE_SERVICE_ROLE_KEY' if service else '$SUPABASE_ANON_KEY'}"
        if self.caller.claims is not None and not service:
            claims = json.dumps(dict(self.caller.claims))
            yield f"Authorization: Bearer (a token with the claims {claims})"
        for name, value in (self.caller.headers or {}).items():
            yield f"{name}: {value}"
        if self.prefer:
            yield f"Prefer: {self.prefer}"
        if self.body:
            yield self.body


def to_table(
    verb: str,
    name: str,
    caller: Caller,
    *,
    query: Iterable[tuple[str, str]] = (),
    profile: str = "",
    prefer: str = COUNTED,
    values: Mapping[str, Any] | None = None,
) -> Request:
    """The request for an action on rows of a table or view, which may write `values`."""
    return Request(
        method=_METHODS.get(verb, Insert.method),
        path=f"rest/v1/{quoted(name)}",
        caller=caller,
        query=tuple(query),
        profile=profile,
        prefer="" if verb == "select" else prefer,
        body="" if values is None else _as_json(values),
    )


def to_function(
    name: str,
    caller: Caller,
    arguments: Mapping[str, Any],
    *,
    query: Iterable[tuple[str, str]] = (),
    profile: str = "",
) -> Request:
    """The request that calls a function; the query selects among the rows of its result."""
    return Request(
        method=Call.method,
        path=f"rest/v1/rpc/{quoted(name)}",
        caller=caller,
        query=tuple(query),
        profile=profile,
        body=_as_json(arguments),
    )


def to_file(verb: str, bucket: str, name: str, caller: Caller) -> Request:
    """The request for a file of Storage, with a text as the content of a new one."""
    return Request(
        method=_METHODS_OF_FILES.get(verb, "GET"),
        path=f"storage/v1/object/{quoted(bucket)}/{quote(name)}",
        caller=caller,
        body="content" if verb in ("insert", "update") else "",
        content="text/plain",
    )


def equal(column: str, value: object) -> tuple[str, str]:
    """The parameter that selects the rows with a value."""
    return column, "is.null" if value is None else f"eq.{value}"


def _as_json(values: Mapping[str, Any]) -> str:
    """The body of a request that writes or calls."""
    return json.dumps(values, ensure_ascii=False)


def quoted(text: str) -> str:
    """A text as a part of a URL."""
    return quote(text, safe="")


def _quoted_value(name: str, value: str) -> str:
    return quote(value, safe=",*" if name == "select" else "")
