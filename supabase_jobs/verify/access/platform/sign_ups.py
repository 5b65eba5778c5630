"""Sign-ups and sign-ins, as Auth runs them."""

import uuid
from collections.abc import Callable, Iterator, Sequence

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, read, run_groups
from supabase_jobs.database.errors import outermost_function, sqlstate_and_message
from supabase_jobs.findings import Id, Severity
from supabase_jobs.session import sign_up
from supabase_jobs.session.frame import FIXTURE
from supabase_jobs.session.impersonation import CHECK_DEFERRED, Impersonation
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.accounts import deletion
from supabase_jobs.verify.access.platform.auth import (
    LAST,
    RIGHTS,
    ROLE,
    SESSION,
    TOKEN,
    Auth,
    become,
    reason,
    repair_of,
)
from supabase_jobs.verify.access.platform.trial import NAMES, Function, Trial
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.context import Context

_SERVICE = "service_role"
# the role is set, and the user inserted
_CONFIRMING = 2
# a value that a trigger makes of those of the user
_OF_VALUES = (
    psycopg.errors.NotNullViolation,
    psycopg.errors.UniqueViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.DataError,
)


class _WithoutMetadata(Problem):
    """A sign-up that metadata may help."""


class _WithoutRows(Problem):
    """A sign-up that other addresses, metadata or rows of the project may help."""


def trials(tables: Sequence[str], triggers: Sequence[Function], auth: Auth) -> Iterator[Trial]:
    """Trials of new users. `tables` are those of Auth, `triggers` those that a sign-up fires."""
    yield _sign_in(tables, auth)
    yield _same_name(auth)
    yield _anonymously(auth)
    yield deletion(auth)
    for trigger in triggers:
        # the role of the service, or yes, under each name that the trigger may read
        for value in (_SERVICE, "true", True):
            yield _sign_up_with(trigger, value, auth)
    if triggers:
        yield _unconfirmed(auth)


def _sign_in(tables: Sequence[str], auth: Auth) -> Trial:
    """A sign-up, and the first sign-in."""
    user, created = auth.signed_up()
    signed_in = [
        *([SESSION.statement(user)] if "auth.sessions" in tables else []),
        *([TOKEN.statement(user)] if {"auth.sessions", "auth.refresh_tokens"} <= {*tables} else []),
        LAST.statement(user),
    ]
    statements = [*created, CHECK_DEFERRED, *signed_in, CHECK_DEFERRED]

    def judge(result: GroupResult) -> Problem | None:
        error = result.error
        if error is None:
            return None
        if _is_constraint_of_auth(error):
            constraint = f"constraint {error.diag.constraint_name} of auth.{error.diag.table_name}"
            return Problem(
                f"{constraint} refuses an ordinary sign-up: {sqlstate_and_message(error)}",
                "Drop the constraint, or check addresses in a hook of Auth, which says why.",
                Severity.WARNING,
            )
        is_new = len(result.answers) <= len(created)
        stage = "sign up" if is_new else "sign in"
        if _needs_metadata(error):
            return _without_metadata(error) if is_new else _without_device(error)
        is_refused = isinstance(error, psycopg.errors.RaiseException)
        at_commit = len(result.answers) == len(created)
        if is_refused and not at_commit and len(result.answers) >= _CONFIRMING:
            return _WithoutRows(
                "nobody can confirm an address or sign in: a trigger refuses what Auth changes in"
                f" the row of a new user, with {reason(error)}",
                "Let the trigger allow it: Auth updates the row at each sign-in.",
                cause=outermost_function(error),
            )
        if len(result.answers) == len(created) and not auth.is_stopped_by(error):
            return _WithoutRows(
                f"nobody can sign up: a check at the commit refuses each new user: {reason(error)}",
                "Let the triggers of the sign-up insert the row that the check looks for.",
                cause=outermost_function(error),
            )
        if not auth.is_stopped_by(error):
            return None
        who = f" as {ROLE}" if auth.has_role else ""
        message = f"nobody can {stage}: what Auth runs{who} fails with {reason(error)}"
        return Problem(message, repair_of(error), cause=outermost_function(error))

    return Trial(Id(AREA, "auth.users", "sign-in"), "auth.users", statements, judge)


def _same_name(auth: Auth) -> Trial:
    """Sign-ups with addresses alone that differ only behind the @."""
    name = f"verify{uuid.uuid4().hex[:12]}"
    users = [
        NewUser(id=uuid.uuid4(), email=f"{name}@{domain}", has_names=False)
        for domain in ("example.com", "example.org")
    ]

    def judge(error: psycopg.Error) -> Problem | None:
        if _needs_metadata(error):
            return _without_metadata(error)
        is_taken = isinstance(error, psycopg.errors.UniqueViolation)
        # an error that a trigger raises itself names no table
        if not is_taken or error.diag.schema_name in (None, "auth") or error.diag.context is None:
            return None
        return Problem(
            "whoever has the same name before the @ as another user, or signs up after another one"
            f" without metadata, is refused: {reason(error)}",
            "Let the trigger make the value different, for example by a part of new.id.",
            cause=outermost_function(error),
        )

    return _sign_ups("same name", users, judge, auth)


def _anonymously(auth: Auth) -> Trial:
    """Two anonymous sign-ins, users without address and metadata, after somebody whose address no
    list can have: who raises an error for them alone has not thought of them.
    """
    anybody = NewUser(id=uuid.uuid4(), email=f"a@verify{uuid.uuid4().hex[:12]}.org")
    users = [NewUser(id=uuid.uuid4(), is_anonymous=True) for _ in range(2)]

    def judge(error: psycopg.Error) -> Problem | None:
        is_of_auth = error.diag.context is None or error.diag.schema_name == "auth"
        is_raised = isinstance(error, psycopg.errors.RaiseException)
        if is_of_auth or not (is_raised or isinstance(error, _OF_VALUES)):
            return None
        return Problem(
            "who has no address is refused (anonymous sign-ins, or telephone numbers, if the"
            f" project uses them): {reason(error)}",
            "If that is not meant, let the trigger allow that new.email is null.",
            Severity.WARNING if is_raised else Severity.INFO,
            cause=outermost_function(error),
        )

    return _sign_ups("anonymous sign-in", users, judge, auth, before=anybody)


def _unconfirmed(auth: Auth) -> Trial:
    """A sign-up with an address that nobody has confirmed yet."""
    user = NewUser(id=uuid.uuid4())
    insert = sign_up.statements([user])[0]
    look = Statement(
        "select u.email_confirmed_at is not null from auth.users as u where u.id = %s", (user.id,)
    )

    def judge(result: GroupResult) -> Problem | None:
        if result.error is not None or result.answer().rows != [(True,)]:
            return None
        return Problem(
            "who signs up has every address at once: a trigger confirms it, so that whoever trusts"
            " an address takes the user for somebody else",
            "Let Auth set email_confirmed_at.",
        )

    statements = [auth.become(), insert, CHECK_DEFERRED, look]
    return Trial(Id(AREA, "auth.users", "unconfirmed"), "auth.users", statements, judge)


def with_any_metadata(
    impersonation: Impersonation, problem: Problem, context: Context
) -> Problem | None:
    """The problem of a sign-up that other metadata or rows of the project may help: the same, or
    that no metadata helps. None if a row of an allow-list helps.
    """
    if not isinstance(problem, _WithoutMetadata | _WithoutRows):
        return problem
    connection, undo = impersonation.connection, context.undo
    begin = [*undo.begin, *undo.rows, *impersonation.setup, FIXTURE.save]
    run_groups(connection, [begin])[0].answer()
    try:
        if isinstance(problem, _WithoutRows):
            # checks fail while a row of an allow-list can still be added
            read(connection, [CHECK_DEFERRED])
            user = NewUser(id=uuid.uuid4())
            sign_up.run(connection, [user])
            read(connection, [LAST.statement(user.id)])
            return None
        sign_up.run(connection, [NewUser(id=uuid.uuid4())])
    except psycopg.errors.RaiseException:
        return problem
    except SignUpRejectedError as refused:
        if isinstance(problem, _WithoutRows) or not _needs_metadata(refused.cause):
            return problem
        why = reason(refused.cause)
        return Problem(
            f"nobody can sign up, whatever the metadata: a trigger fails with {why}",
            repair_of(refused.cause),
        )
    finally:
        if not connection.broken:
            run_groups(connection, [undo.statements])[0].answer()
    return problem


def _sign_ups(
    what: str,
    users: Sequence[NewUser],
    judge: Callable[[psycopg.Error], Problem | None],
    auth: Auth,
    before: NewUser | None = None,
) -> Trial:
    """Sign-ups one after the other, whose error is judged; that of the user `before` is not."""
    first = [auth.become(), *(sign_up.statements([before]) if before is not None else [])]
    created = [statement for user in users for statement in sign_up.statements([user])]

    def judge_result(result: GroupResult) -> Problem | None:
        if result.error is None or len(result.answers) < len(first):
            return None
        return judge(result.error)

    return Trial(
        Id(AREA, "auth.users", what), "auth.users", [*first, *created, CHECK_DEFERRED], judge_result
    )


def _sign_up_with(trigger: Function, value: object, auth: Auth) -> Trial:
    """A sign-up whose metadata have a value under each name that a trigger may read."""
    metadata = dict.fromkeys([*NAMES, "role", *trigger.literals], value)
    user, created = auth.signed_up(metadata)
    control, others = auth.signed_up()
    statements = [
        *others,
        *created,
        CHECK_DEFERRED,
        become("none"),
        RIGHTS.statement(control),
        RIGHTS.statement(user),
    ]

    def judge(result: GroupResult) -> Problem | None:
        if result.error is not None:
            return None
        without, chosen = result.answers[-2].rows, result.answers[-1].rows
        if without == chosen:
            return None
        return Problem(
            "who signs up chooses the role or app_metadata of its tokens, which Auth and policies"
            f" trust: {trigger.name}() takes them from raw_user_meta_data",
            "Let the trigger set a fixed value, and let only the service change it.",
        )

    return Trial(Id(AREA, trigger.name, "sign-up with a role"), trigger.name, statements, judge)


def _needs_metadata(error: psycopg.Error) -> bool:
    """Whether a trigger has inserted no value into a column that has to have one."""
    is_null = isinstance(error, psycopg.errors.NotNullViolation)
    return is_null and error.diag.context is not None and error.diag.schema_name != "auth"


def _without_metadata(error: psycopg.Error) -> Problem:
    return _WithoutMetadata(
        "whoever signs up without metadata (with an address alone, or invited) is refused:"
        f" {reason(error)}",
        "If that is not meant, let the trigger insert another value.",
        Severity.INFO,
        cause=outermost_function(error),
    )


def _without_device(error: psycopg.Error) -> Problem:
    return Problem(
        "who signs in is refused unless Auth knows the browser, the address or more of the session,"
        f" which may be unknown: {reason(error)}",
        "Let the trigger insert another value, or the column be null.",
        cause=outermost_function(error),
    )


def _is_constraint_of_auth(error: psycopg.Error) -> bool:
    """Whether a CHECK constraint of a table of Auth refused the row."""
    return isinstance(error, psycopg.errors.CheckViolation) and error.diag.schema_name == "auth"
