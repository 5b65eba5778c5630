"""The attempts of the audit in other forms: SQL for psql, and requests to the API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from supabase_jobs.api.request import (
    Request,
    as_json,
    equal,
    function_path,
    quoted,
    table_path,
)
from supabase_jobs.api.sender import COUNTED
from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.bypass import Bypass
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


def attempt_request(attempt: Attempt, default_schema: str) -> Request:
    """The request of an attempt; the row is selected by its key."""
    if attempt.relation.is_storage:
        return _storage(attempt)
    writes = attempt.action in (INSERT, UPDATE)
    query = [] if attempt.action == INSERT else _filter(attempt)
    if attempt.action == SELECT:
        query += _selected(attempt.relation, attempt.caller.role)
    return Request(
        _METHODS.get(attempt.action, "GET"),
        table_path(attempt.relation.name),
        attempt.caller,
        tuple(query),
        profile=_profile(attempt.relation, default_schema),
        prefer="" if attempt.action == SELECT else COUNTED,
        body=as_json(_written(attempt.relation, attempt.written)) if writes else "",
    )


def bypass_request(bypass: Bypass, default_schema: str) -> Request | None:
    """The request that calls a function, or reads a view; None for writes to a view, whose rows
    have no known key.
    """
    target = bypass.object
    profile = _profile(target, default_schema)
    if isinstance(target, Function):
        [call, *_] = bypass.sent
        values = [argument.text for argument in call.arguments] if isinstance(call, Call) else []
        arguments = dict(zip(target.argument_names, values, strict=False))
        path, body = function_path(target.name), as_json(arguments)
        return Request("POST", path, bypass.caller, profile=profile, body=body)
    if bypass.action != SELECT:
        return None
    return Request("GET", table_path(target.name), bypass.caller, profile=profile)


def _profile(target: Relation | Function, default_schema: str) -> str:
    return target.schema if target.schema != default_schema else ""


def _storage(attempt: Attempt) -> Request:
    bucket, name = (attempt.row.values.get(column) or "" for column in ("bucket_id", "name"))
    path = f"storage/v1/object/{quoted(bucket)}/{quote(name)}"
    data = "content" if attempt.action in (INSERT, UPDATE) else ""
    method = _STORAGE_METHODS.get(attempt.action, "GET")
    return Request(method, path, attempt.caller, body=data, content="text/plain")


def _filter(attempt: Attempt) -> list[tuple[str, str]]:
    """The row's key as a filter; without a readable key, the columns that the role may read."""
    row, role = attempt.row, attempt.caller.role
    columns: Sequence[str] = row.key
    if not columns or (attempt.action == SELECT and not statements.may_read(row, columns, role)):
        columns = statements.known_columns(row, role)
    return [equal(column, row.values[column] or "") for column in columns]


def _selected(relation: Relation, role: str) -> list[tuple[str, str]]:
    """The columns to read, if a role may read only some of them."""
    readable = [c.name for c in relation.columns if relation.may(role, "SELECT", c.name)]
    if not readable or len(readable) == len(relation.columns):
        return []
    return [("select", ",".join(readable))]


def _written(relation: Relation, written: Mapping[str, str | None]) -> dict[str, Any]:
    """The columns for JSON; PostgreSQL converts texts to the types of the columns."""
    body: dict[str, Any] = {}
    for name, value in written.items():
        is_json = relation.by_name[name].base in ("json", "jsonb") and value is not None
        body[name] = json.loads(value or "") if is_json else value
    return body
