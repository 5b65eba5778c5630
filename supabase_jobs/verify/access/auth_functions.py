"""Check that the functions of schema auth return the caller of the token, whatever the headers and
the metadata are.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS, sqlstate_and_message
from supabase_jobs.database.request import REQUEST_SETTINGS, request_settings
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.outcomes import DENIED
from supabase_jobs.session import script
from supabase_jobs.session.savepoint import run_undone
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.context import Change, Context
from supabase_jobs.verify.structure import catalog

QUERY = Path(__file__).with_name("auth_functions.sql")

# the claim that a function returns; auth.jwt() returns all of them
_CLAIMS = {"uid": "sub", "role": "role", "email": "email"}
_CALLS = {
    "uid": "select auth.uid()::text",
    "role": "select auth.role()::text",
    "email": "select auth.email()::text",
    "jwt": "select auth.jwt()::jsonb",
}

_USER = {
    "sub": "10000000-0000-4000-8000-000000000001",
    "role": "authenticated",
    "email": "user@example.com",
}
_GUEST = {"role": "anon"}
_OTHER = "20000000-0000-4000-8000-000000000002"
# What a function could read besides the literals of its body. Whoever makes a request chooses the
# headers and, for user_metadata, the values; app_metadata is for authorization, and not for the
# identity.
_NAMES = ("sub", "role", "email", "id", "uid", "user_id", "x-user-id", "x-role", "x-email")
# the name of a setting of the project
_SETTING = re.compile(r"(?!request\.)[a-z_]\w*(\.[a-z_]\w*)+", re.IGNORECASE)

# name, is_known, literals, refused: a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class _Request:
    """A request that is made to call a function; `how` describes it after "for a request"."""

    how: str
    claims: Mapping[str, object]
    headers: Mapping[str, str]
    left_behind: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """The role and the settings that PostgREST would make, and its search_path."""
        return {
            **self.left_behind,
            **request_settings(self.claims, self.headers),
            "request.cookies": json.dumps(self.headers),
            "search_path": "public, extensions",
            "role": str(self.claims["role"]),
        }


def check(connection: Connection, rows: Sequence[Row], context: Context) -> None:
    """Add a case for each function, and a finding for each that returns another caller than the
    token.

    `rows` are those of `QUERY`. A body that Supabase ships is not called. Takes one round trip if
    there is another.
    """
    calls = [
        (name, request)
        for name, is_known, literals, _ in rows
        if not is_known
        for request in _requests(literals)
    ]
    deviations: dict[str, str] = {}
    for (name, request), result in zip(calls, _run(connection, calls), strict=True):
        if name not in deviations and (deviation := _deviation(name, request, result)):
            deviations[name] = deviation
    for name, *_ in rows:
        function = f"auth.{name}()"
        case = Case(
            id=Id(AREA, function, "caller"),
            area=AREA,
            object=function,
            name="the function returns the caller of the token",
        )
        context.cases.append(catalog.with_script(case, QUERY, function, context))
        if name in deviations:
            fix = (
                f"Create {function} again as Supabase ships it: it must read nothing"
                " but the claims of the token."
            )
            context.findings.append(
                Finding(
                    id=case.id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=function,
                    message=deviations[name],
                    fix=fix,
                )
            )


def report_refused(rows: Sequence[Row], context: Context) -> None:
    """Add a finding for each function that a role may not execute, if cells were refused for that.

    `rows` are those of `QUERY`.
    """
    for name, _, _, roles in rows:
        function, word = f"auth.{name}()", re.compile(rf"\b{name}\b")
        refused = {
            trace.role
            for trace in context.evidence.traces.values()
            if trace.actual == DENIED and word.search(trace.raised)
        }
        for role in refused.intersection(roles):
            finding = Finding(
                id=Id(AREA, function, "execute", role),
                area=AREA,
                severity=Severity.ERROR,
                object=function,
                message=f"{role} may not execute it, and policies call it for each of its requests",
                fix=f"grant execute on function {function} to {role};",
            )
            change = Change(
                object=function,
                kind="execute",
                name=f"execute to {role}",
                expected="EXECUTE",
                actual="",
            )
            context.add_change(finding, change)


def _requests(literals: Sequence[str]) -> Iterator[_Request]:
    other = dict.fromkeys([*_NAMES, *literals], _OTHER)
    metadata = {"user_metadata": other, "app_metadata": other}
    yield _Request("of a signed-in user", _USER, {})
    yield _Request("of a signed-in user with the headers of another", _USER, other)
    yield _Request(
        "of a signed-in user with another user in user_metadata",
        {**_USER, "user_metadata": other},
        {},
    )
    yield _Request(
        "of a signed-in user with another user in app_metadata",
        {**_USER, "app_metadata": other},
        {},
    )
    yield _Request(
        "without a user, with the headers and metadata of one", {**_GUEST, **metadata}, other
    )
    # another function may set it, for the next request of the connection too
    names = [name for name in literals if _SETTING.fullmatch(name)]
    names = [name for name in names if name not in REQUEST_SETTINGS]
    if names:
        left = dict.fromkeys(names, _OTHER)
        how = f"on a connection with the setting {' or '.join(names)} of another user"
        yield _Request(f"of a signed-in user {how}", _USER, {}, left)
        yield _Request(f"without a user {how}", _GUEST, {}, left)


def _run(connection: Connection, calls: Sequence[tuple[str, _Request]]) -> list[GroupResult]:
    if not calls:
        return []
    groups = [
        [Statement(script.setting(request.settings())), Statement(_CALLS[name])]
        for name, request in calls
    ]
    return run_undone(connection, groups)


def _deviation(name: str, request: _Request, result: GroupResult) -> str | None:
    """How the result of a call differs from the caller of the token; None if it does not."""
    if isinstance(result.error, INCONCLUSIVE_ERRORS):
        raise result.error
    if result.error is not None:
        return f"for a request {request.how}, it fails with {sqlstate_and_message(result.error)}"
    [(value,)] = result.answer().rows
    expected = request.claims.get(_CLAIMS[name]) if name in _CLAIMS else request.claims
    if value == expected:
        return None
    if name not in _CLAIMS:
        return f"for a request {request.how}, it returns other claims than those of the token"
    return (
        f"for a request {request.how}, it returns {value or 'null'}; expected: {expected or 'null'}"
    )
