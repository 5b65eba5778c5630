"""The event triggers of logins."""

import re
from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.findings import Id
from supabase_jobs.session import script
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import ROLE, SEARCH_PATH, Auth, become
from supabase_jobs.verify.access.platform.trial import (
    CALLER,
    SEARCH_PATH_OF_REQUESTS,
    Function,
    Trial,
)
from supabase_jobs.verify.access.problem import Problem

_AUTHENTICATOR = "authenticator"


def logins(triggers: Sequence[Function], auth: Auth) -> Iterator[Trial]:
    """The function of each trigger, as a function of its own, for the logins of API and Auth."""
    for trigger in triggers:
        for login in (_AUTHENTICATOR, *([ROLE] if auth.has_role else [])):
            yield _login(trigger, login)


def _login(trigger: Function, login: str) -> Trial:
    replaced = sql.Literal(login).as_string(None) + "::name"
    body = re.sub(r"\b(session_user|current_user)\b", replaced, trigger.text, flags=re.IGNORECASE)
    for name, value in (("tg_event", "'login'"), ("tg_tag", "''")):
        body = re.sub(rf"\b{name}\b", value, body, flags=re.IGNORECASE)
    create = "create function pg_temp.verify_login() returns void language plpgsql as "
    statements = [
        Statement(script.setting(dict.fromkeys(REQUEST_SETTINGS, ""))),
        Statement(create + sql.Literal(body).as_string(None)),
        become(login, SEARCH_PATH if login == ROLE else SEARCH_PATH_OF_REQUESTS),
        Statement(CALLER),
        Statement("select pg_temp.verify_login()"),
        Statement(CALLER),
    ]

    def judge(result: GroupResult) -> Problem | None:
        fix = f"alter event trigger {sql.Identifier(trigger.name).as_string(None)} disable;"
        if result.error is not None:
            if len(result.answers) != 4:
                return None
            why = sqlstate_and_message(result.error)
            return Problem(f"{login} cannot log in: the event trigger fails with {why}", fix)
        if result.answers[3].rows == result.answers[5].rows:
            return None
        message = (
            f"the sessions of {login} begin as another caller: the event trigger sets the role or"
            " a request setting"
        )
        return Problem(message, fix)

    return Trial(Id(AREA, trigger.name, "login"), trigger.name, statements, judge)
