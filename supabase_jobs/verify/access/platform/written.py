"""Trials of what Auth writes: a trigger may discard or change it, and no statement fails."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.findings import Id
from supabase_jobs.session import sign_up
from supabase_jobs.session.impersonation import CHECK_DEFERRED
from supabase_jobs.session.sign_up import NewUser
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import LAST, SESSION, TOKEN, Auth, reason
from supabase_jobs.verify.access.platform.trial import Trial
from supabase_jobs.verify.access.problem import Problem

_USERS = "auth.users"
_SESSIONS, _REFRESH = "auth.sessions", "auth.refresh_tokens"

# each returns a row if what was written is there
_IS_THERE = "select 1 from auth.users where id = %(user)s"
_IS_CONFIRMED = "select 1 from auth.users where id = %(user)s and email_confirmed_at is not null"
_IS_IN = "select 1 from auth.sessions where id = %(user)s"
_MAY_STAY = "select 1 from auth.refresh_tokens where id = -1 and session_id = %(user)s"
_STAYS = "select 1 from auth.refresh_tokens where id = -2 and session_id = %(user)s"
_WAS_HERE = "select 1 from auth.users where id = %(user)s and last_sign_in_at is not null"
_IS_CHANGED = "select 1 from auth.users where id = %(user)s and encrypted_password = 'verify'"
_IS_OUT = "select 1 where not exists (select from auth.sessions where user_id = %(user)s)"

_REVOKE = "update auth.refresh_tokens set revoked = true where session_id = %(user)s"
_RENEW = """
insert into auth.refresh_tokens (id, token, user_id, session_id, revoked, created_at, updated_at)
values (-2, 'verify again', %(user)s, %(user)s, false, now(), now())
"""
_CHANGE = "update auth.users set encrypted_password = 'verify' where id = %(user)s"
_END = "delete from auth.sessions where user_id = %(user)s"


@dataclass(frozen=True)
class _Step:
    """Statements of Auth, the query that returns a row if their result is there, and what fails
    otherwise. An error counts only if it `must_work`: elsewhere another trial judges it, or the
    project decides.
    """

    statements: Sequence[Statement]
    look: Statement
    fails: str
    must_work: bool = False

    @property
    def all(self) -> list[Statement]:
        """The statements, what a commit checks, and the query."""
        return [*self.statements, CHECK_DEFERRED, self.look]


def written(tables: Collection[str], auth: Auth) -> Trial:
    """A user signs up and in, changes the password, stays signed in by another refresh token, and
    signs out. `tables` are those of Auth that are there.
    """
    steps = list(_steps(tables))
    statements = [auth.become()]
    for step in steps:
        statements += step.all

    def judge(result: GroupResult) -> Problem | None:
        end = 1
        for step in steps:
            end += len(step.all)
            if len(result.answers) < end:
                return _failed(step, result)
            if not result.answers[end - 1].rows:
                return _problem(f"{step.fails}: a trigger or rule discards or changes it")
        return None

    return Trial(Id(AREA, _USERS, "what Auth writes"), _USERS, statements, judge)


def _failed(step: _Step, result: GroupResult) -> Problem | None:
    if result.error is None or not step.must_work:
        return None
    return _problem(f"{step.fails}: it fails with {reason(result.error)}")


def _problem(message: str) -> Problem:
    return Problem(
        message,
        "Let the triggers and rules on the tables of Auth return NEW (OLD for a delete), with the"
        " values that Auth has written.",
    )


def _steps(tables: Collection[str]) -> Iterator[_Step]:
    user = uuid.uuid4()
    insert, confirm = sign_up.statements([NewUser(id=user)])

    def own(text: str) -> Statement:
        return Statement(text, {"user": user})

    yield _Step([insert], own(_IS_THERE), "nobody can sign up")
    yield _Step([confirm], own(_IS_CONFIRMED), "nobody can confirm an address")
    if _SESSIONS in tables:
        yield _Step([SESSION.statement(user)], own(_IS_IN), "nobody can sign in")
    if {_SESSIONS, _REFRESH} <= {*tables}:
        yield _Step([TOKEN.statement(user)], own(_MAY_STAY), "nobody can sign in")
        renewed = [own(_REVOKE), own(_RENEW)]
        yield _Step(renewed, own(_STAYS), "nobody can stay signed in", must_work=True)
    yield _Step([LAST.statement(user)], own(_WAS_HERE), "no sign-in is noted in last_sign_in_at")
    yield _Step([own(_CHANGE)], own(_IS_CHANGED), "nobody can change a password")
    if _SESSIONS in tables:
        yield _Step([own(_END)], own(_IS_OUT), "nobody can sign out", must_work=True)
