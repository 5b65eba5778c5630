"""The function before each request."""

import uuid
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.request import request_settings
from supabase_jobs.findings import Id
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import become
from supabase_jobs.verify.access.platform.trial import (
    CALLER,
    SEARCH_PATH_OF_REQUESTS,
    Function,
    Trial,
)
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach.values import qualified

_ROLES = ("anon", "authenticated", "service_role")
_NO_FUNCTION = "alter role authenticator reset pgrst.db_pre_request; notify pgrst, 'reload config';"
_IDENTITY = f"{CALLER}, auth.uid()::text"


def before_requests(functions: Sequence[Function]) -> Iterator[Trial]:
    """A request of each role, and one whose headers name another user everywhere."""
    for function in functions:
        other = function.every(str(uuid.uuid4()))
        for role in _ROLES:
            for headers in ({}, other):
                yield _before_request(function, role, headers)


def _before_request(function: Function, role: str, headers: Mapping[str, str]) -> Trial:
    user = str(uuid.uuid4())
    claims = {"role": role, "sub": user} if role == "authenticated" else {"role": role}
    settings = {**request_settings(claims, headers), **SEARCH_PATH_OF_REQUESTS}
    name = qualified(function.name)
    statements = [
        become(role, settings),
        Statement(_IDENTITY),
        Statement(sql.SQL("select {}()").format(name).as_string(None)),
        Statement(_IDENTITY),
    ]

    def judge(result: GroupResult) -> Problem | None:
        error = result.error
        if error is not None:
            if len(result.answers) != 2 or not (error.sqlstate or "").startswith(("42", "3F")):
                return None
            message = (
                f"every request of {role} fails: {function.name} runs before it, and fails with"
                f" {sqlstate_and_message(error)}"
            )
            allowed = f"grant execute on function {function.name}() to {', '.join(_ROLES)};"
            is_refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
            return Problem(message, allowed if is_refused else _NO_FUNCTION)
        _, before, _, after = result.answers
        if before.rows == after.rows:
            return None
        message = (
            f"{function.name} runs before every request, and changes its role, claims or headers:"
            " a request becomes that of another caller"
        )
        return Problem(message, _NO_FUNCTION)

    return Trial(Id(AREA, function.name, "before requests"), function.name, statements, judge)
