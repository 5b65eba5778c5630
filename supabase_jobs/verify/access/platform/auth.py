"""Auth, as it acts on the database: its role, its sign-ups, and the errors that stop it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.errors import outermost_function, sqlstate_and_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session import script, sign_up
from supabase_jobs.session.sign_up import NewUser

ROLE = "supabase_auth_admin"
SEARCH_PATH = {"search_path": "auth"}

_SIGN_IN = Path(__file__).with_name("sign_in")
SESSION, TOKEN, LAST, RIGHTS, OTHER, ACCOUNT, IDENTITY = (
    sql_file(_SIGN_IN / f"{name}.sql")
    for name in ("session", "token", "last", "rights", "other", "account", "identity")
)
# classes of errors that are no decision of the project about this user: a name, a privilege or a
# syntax; a state of the server; an error of the server
_BROKEN = ("42", "55", "25", "54", "0A", "XX")


@dataclass(frozen=True)
class Auth:
    """Auth on this database. `has_role`: this connection can become its role; else the own role
    does what Auth does.
    """

    has_role: bool

    def become(self, settings: Mapping[str, str] | None = None) -> Statement:
        """Becomes Auth, with its search_path and these settings."""
        return become(ROLE if self.has_role else "none", {**(settings or {}), **SEARCH_PATH})

    def signed_up(
        self, metadata: Mapping[str, object] | None = None
    ) -> tuple[uuid.UUID, list[Statement]]:
        """The id of a new user, and the statements that create it as Auth does."""
        user = NewUser(id=uuid.uuid4(), metadata=metadata or {})
        return user.id, [self.become(), *sign_up.statements([user])]

    def is_stopped_by(self, error: psycopg.Error) -> bool:
        """Whether an error is no decision about this user, and not one about the connection's
        role.
        """
        sqlstate, in_function = error.sqlstate or "", error.diag.context is not None
        if isinstance(error, psycopg.errors.NotNullViolation):
            return not in_function and error.diag.schema_name == "auth"
        if isinstance(error, psycopg.errors.UniqueViolation):
            return error.diag.schema_name != "auth"
        if sqlstate.startswith(("42703", "428C9")) and not in_function:
            return False  # an image of another age has other columns
        if isinstance(error, psycopg.errors.InsufficientPrivilege) and not self.has_role:
            return False
        return sqlstate.startswith(_BROKEN)


def become(role: str, settings: Mapping[str, str] | None = None) -> Statement:
    """Becomes a role, with these settings; `none` is the own one."""
    return Statement(script.setting({**(settings or {}), "role": role}))


def reason(error: psycopg.Error) -> str:
    """An error in words, with the function of the project that it comes from."""
    function = outermost_function(error)
    return sqlstate_and_message(error) + (f" ({function})" if function else "")


def repair_of(error: psycopg.Error) -> str:
    """The repair of an error that stops Auth."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"Grant {ROLE} what the trigger's function uses, or make the function SECURITY DEFINER"
            " with set search_path = ''. FORCE ROW LEVEL SECURITY on a table of Auth has to go."
        )
    return "Correct the trigger, its function or the column that the error names."
