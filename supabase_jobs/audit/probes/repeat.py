"""The actions of the audit to repeat by hand: SQL for psql, and requests to the API as curl
commands.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.bypasses import Bypass
from supabase_jobs.audit.probes.topics import SETTING, TopicAttempt
from supabase_jobs.session import script
from supabase_jobs.session.action import Call, Change

_METHODS = {INSERT: "POST", UPDATE: "PATCH", DELETE: "DELETE"}
_STORAGE_METHODS = {INSERT: "POST", UPDATE: "PUT", DELETE: "DELETE"}


def become(caller: Persona) -> str:
    """The statement that makes the rest of a transaction a request of the caller."""
    return script.caller(caller)


def attempt_sql(attempt: Attempt) -> str:
    """The statement of an attempt, after the cursor on its row if it needs one; '' if it was denied
    without one.
    """
    if attempt.sent is None:
        return ""
    text = script.numbered(attempt.sent.statement)
    cursor = attempt.sent.cursor if isinstance(attempt.sent, Change) else None
    if cursor is None:
        return text
    opened = "".join(map(script.numbered, cursor.opening()))
    return (
        "-- As the owner, before the caller is set: a cursor on the row.\n"
        f"{opened}-- As the caller:\n{text}"
    )


def bypass_sql(bypass: Bypass) -> str:
    """The statement on a view or function; '' if it was denied without one."""
    return script.numbered(bypass.sent[0].statement) if bypass.sent else ""


def topic_sql(attempt: TopicAttempt) -> str:
    """The statements by which Realtime asks the policies about a topic."""
    topic = script.setting({SETTING: attempt.topic.name})
    return topic + script.numbered(attempt.sent.statement)


@dataclass(frozen=True)
class Request:
    """A request to the API. `path` begins with the service, and `body` is '' if there is none."""

    method: str
    path: str
    caller: Persona
    profile: str = ""
    body: str = ""
    content: str = "application/json"

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
        if self.caller.role == "service_role":
            key = bearer = "$SUPABASE_SERVICE_ROLE_KEY"
        headers = [f'-H "apikey: {key}"']
        if self.caller.role != "anon":
            headers.append(f'-H "Authorization: Bearer {bearer}"')
        headers += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        headers += [f"-d {shlex.quote(self.body)}"] if self.body else []
        method = [] if self.method == "GET" else ["-X", self.method]
        return " ".join(["curl", *method, f'"$SUPABASE_URL/{self.path}"', *headers])


def attempt_request(attempt: Attempt, default_schema: str) -> Request:
    """The request of an attempt; the row is selected by its key."""
    if attempt.relation.is_storage:
        return _storage(attempt)
    body = _body(attempt.relation, attempt.written) if attempt.action in (INSERT, UPDATE) else ""
    query = "" if attempt.action == INSERT else f"?{_filter(attempt)}"
    if attempt.action == SELECT:
        query += _selected(attempt.relation, attempt.caller.role)
    path = f"rest/v1/{_escaped(attempt.relation.name)}{query}"
    profile = attempt.relation.schema if attempt.relation.schema != default_schema else ""
    return Request(_METHODS.get(attempt.action, "GET"), path, attempt.caller, profile, body)


def bypass_request(bypass: Bypass, default_schema: str) -> Request | None:
    """The request that calls a function, or reads a view; None for writes to a view, whose rows
    have no known key.
    """
    target = bypass.object
    profile = target.schema if target.schema != default_schema else ""
    if isinstance(target, Function):
        [call, *_] = bypass.sent
        values = [argument.text for argument in call.arguments] if isinstance(call, Call) else []
        arguments = dict(zip(target.argument_names, values, strict=False))
        body = json.dumps(arguments, ensure_ascii=False)
        return Request("POST", f"rest/v1/rpc/{_escaped(target.name)}", bypass.caller, profile, body)
    if bypass.action != SELECT:
        return None
    return Request("GET", f"rest/v1/{_escaped(target.name)}", bypass.caller, profile)


def _storage(attempt: Attempt) -> Request:
    bucket, name = (attempt.row.values.get(column) or "" for column in ("bucket_id", "name"))
    path = f"storage/v1/object/{_escaped(bucket)}/{quote(name)}"
    data = "content" if attempt.action in (INSERT, UPDATE) else ""
    return Request(
        _STORAGE_METHODS.get(attempt.action, "GET"), path, attempt.caller, "", data, "text/plain"
    )


def _filter(attempt: Attempt) -> str:
    """The row's key as a filter; without a readable key, the columns that the role may read."""
    row, role = attempt.row, attempt.caller.role
    columns: Sequence[str] = row.key
    if not columns or (attempt.action == SELECT and not statements.may_read(row, columns, role)):
        columns = statements.known_columns(row, role)
    return "&".join(
        f"{_escaped(column)}=eq.{_escaped(row.values[column] or '')}" for column in columns
    )


def _selected(relation: Relation, role: str) -> str:
    """The columns to read, if a role may read only some of them."""
    readable = [c.name for c in relation.columns if relation.may(role, "SELECT", c.name)]
    if not readable or len(readable) == len(relation.columns):
        return ""
    return f"&select={','.join(map(_escaped, readable))}"


def _body(relation: Relation, written: Mapping[str, str | None]) -> str:
    """The columns as JSON; PostgreSQL converts texts to the types of the columns."""
    body: dict[str, Any] = {}
    for name, value in written.items():
        is_json = relation.by_name[name].base in ("json", "jsonb") and value is not None
        body[name] = json.loads(value or "") if is_json else value
    return json.dumps(body, ensure_ascii=False)


def _escaped(text: str) -> str:
    return quote(text, safe="")
