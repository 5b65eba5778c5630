"""The accounts and rows of users, beside others who sign in and out and are deleted."""

from collections.abc import Iterator, Sequence

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import outermost_function
from supabase_jobs.findings import Id, Severity
from supabase_jobs.session.impersonation import CHECK_DEFERRED, Impersonation
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import Reach
from supabase_jobs.verify.access.platform.auth import (
    ACCOUNT,
    IDENTITY,
    LAST,
    OTHER,
    SESSION,
    Auth,
    become,
    reason,
    repair_of,
)
from supabase_jobs.verify.access.platform.trial import Trial
from supabase_jobs.verify.access.problem import Problem


def beside_others(
    tables: Sequence[str], reached: Reach, impersonation: Impersonation, auth: Auth
) -> Iterator[Trial]:
    """Trials of the identity and the rows of a user that signs in and out, and of others."""
    if "auth.identities" in tables:
        yield _identified(auth)
    if reached.owned:
        yield from _own_stay(tables, reached, impersonation, auth)
    yield from _others_stay(tables, auth)


def deletion(auth: Auth) -> Trial:
    """The deletion of a new user."""
    user, before = auth.signed_up()
    deleted = Statement("delete from auth.users as u where u.id = %s", (user,))

    def judge(result: GroupResult) -> Problem | None:
        error = result.error
        if error is None or len(result.answers) < len(before):
            return None
        why = reason(error)
        is_key = isinstance(error, psycopg.errors.ForeignKeyViolation)
        if is_key and error.diag.table_name:  # not one that a function raises
            table = f"{error.diag.schema_name}.{error.diag.table_name}"
            return Problem(
                f"a user who has a row in {table} cannot be deleted, nor can its jobs with it:"
                f" {why}",
                "Let the foreign key have ON DELETE CASCADE or SET NULL.",
                Severity.WARNING,
                cause=error.diag.constraint_name or "",
            )
        if not auth.is_stopped_by(error):
            return None
        return Problem(f"no user can be deleted: what Auth runs fails with {why}", repair_of(error))

    statements = [*before, deleted, CHECK_DEFERRED]
    return Trial(Id(AREA, "auth.users", "deletion"), "auth.users", statements, judge)


def _identified(auth: Auth) -> Trial:
    """The identity that Auth inserts for a new user."""
    user, created = auth.signed_up()

    def judge(result: GroupResult) -> Problem | None:
        error = result.error
        is_other = error is None or len(result.answers) < len(created)
        if error is None or is_other or not auth.is_stopped_by(error):
            return None
        why = reason(error)
        message = f"nobody can sign up: the insert into auth.identities fails with {why}"
        return Problem(message, repair_of(error), cause=outermost_function(error))

    statements = [*created, IDENTITY.statement(user), CHECK_DEFERRED]
    return Trial(Id(AREA, "auth.identities", "sign-up"), "auth.identities", statements, judge)


def _own_stay(
    tables: Sequence[str], reached: Reach, impersonation: Impersonation, auth: Auth
) -> Iterator[Trial]:
    """A user who owns something signs in, and out."""
    user, created = auth.signed_up()
    session = [SESSION.statement(user)] if "auth.sessions" in tables else []
    signed_out = Statement("delete from auth.sessions as s where s.user_id = %s", (user,))
    owner = {**impersonation.ids, reached.owner: user}
    own = [become("none"), *(Statement(one, owner) for one in reached.owned)]
    look = Statement(reached.belongings, owner)
    signed_in = [auth.become(), *session, LAST.statement(user), CHECK_DEFERRED]
    for what, statements in {
        "sign-in": signed_in,
        "sign-out": [*signed_in, *([signed_out] if session else []), CHECK_DEFERRED],
    }.items():
        yield _changing(
            f"{what} and own jobs",
            [*created, *own],
            look,
            [*statements, become("none")],
            f"the {what} of a user changes or deletes its own jobs",
        )


def _others_stay(tables: Sequence[str], auth: Auth) -> Iterator[Trial]:
    """A user signs up and in, and out again, and is deleted, while another one is signed in."""
    other, others = auth.signed_up()
    user, created = auth.signed_up()
    has_sessions = "auth.sessions" in tables
    session = [SESSION.statement(user)] if has_sessions else []
    last = [CHECK_DEFERRED, LAST.statement(user), CHECK_DEFERRED]
    signed_out = Statement("delete from auth.sessions as s where s.user_id = %s", (user,))
    deleted = Statement("delete from auth.users as u where u.id = %s", (user,))
    became = [*created, *session, *last]
    for what, statements in {
        "sign-in": became,
        "sign-out": [*became, *([signed_out] if has_sessions else []), CHECK_DEFERRED],
        "deletion": [*became, deleted, CHECK_DEFERRED],
    }.items():
        before = [*others, *([SESSION.statement(other)] if has_sessions else [])]
        look = OTHER.statement(other) if has_sessions else ACCOUNT.statement(other)
        message = (
            f"the {what} of one user changes or ends the account or the sessions of another one"
        )
        yield _changing(f"{what} beside others", before, look, statements, message)


def _changing(
    what: str,
    before: Sequence[Statement],
    look: Statement,
    statements: Sequence[Statement],
    message: str,
) -> Trial:
    """A trial after which a look has to return the same as before."""

    def judge(result: GroupResult) -> Problem | None:
        if result.error is not None or result.answers[len(before)].rows == result.answer().rows:
            return None
        return Problem(
            message,
            "Let the triggers on the tables of Auth change only rows of the user of NEW or OLD, and"
            " no jobs.",
            cause="triggers of Auth",
        )

    return Trial(
        Id(AREA, "auth.users", what), "auth.users", [*before, look, *statements, look], judge
    )
