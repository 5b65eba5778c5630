"""Check what the platform runs besides requests: sign-up and sign-in as Auth, the access token
hook, the function before each request, and the event triggers of logins.

Each is run as the platform runs it, for a user of this run, and undone.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement, read, run_groups
from supabase_jobs.database.errors import (
    INCONCLUSIVE_ERRORS,
    outermost_function,
    sqlstate_and_message,
)
from supabase_jobs.database.request import REQUEST_SETTINGS, request_settings
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session import script, sign_up
from supabase_jobs.session.frame import FIXTURE, Frame
from supabase_jobs.session.impersonation import CHECK_DEFERRED, Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.access import AREA, reach
from supabase_jobs.verify.access.matrix import Reach
from supabase_jobs.verify.access.reach_values import qualified
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

QUERY = Path(__file__).with_name("platform.sql")

_SIGN_IN = Path(__file__).with_name("sign_in")
_SESSION, _TOKEN, _LAST, _RIGHTS, _OTHER, _OTHER_ALONE, _IDENTITY_ROW = (
    sql_file(_SIGN_IN / f"{name}.sql")
    for name in ("session", "token", "last", "rights", "other", "account", "identity")
)
_AUTH = "supabase_auth_admin"
# the role is set, and the user inserted
_CONFIRMING = 2
_LOGINS = ("authenticator", _AUTH)
_SEARCH_PATH_OF_AUTH = {"search_path": "auth"}
_SEARCH_PATH_OF_REQUESTS = {"search_path": "public, extensions"}
_ROLES = ("anon", "authenticated", "service_role")
_SERVICE = "service_role"
_NO_FUNCTION = "alter role authenticator reset pgrst.db_pre_request; notify pgrst, 'reload config';"
# what headers and metadata may be called besides the literals of a function
_NAMES = ("sub", "id", "uid", "user_id", "email", "x-user-id")
# classes of errors that are no decision of the project about this user: a name, a privilege or a
# syntax; a state of the server; an error of the server
_BROKEN = ("42", "55", "25", "54", "0A", "XX")
# a value that a trigger makes of those of the user
_OF_VALUES = (
    psycopg.errors.NotNullViolation,
    psycopg.errors.UniqueViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.DataError,
)
# what policies and helpers read about a caller, without and with the functions of schema auth
_CALLER = "select current_user::text, " + ", ".join(
    f"coalesce(current_setting('{name}', true), '')" for name in REQUEST_SETTINGS
)
_IDENTITY = f"{_CALLER}, auth.uid()::text"

# kind, name, text, literals: a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class _Function:
    """A function or trigger of the project that the platform runs."""

    name: str
    text: str
    literals: Sequence[str]

    def every(self, value: str, *more: str) -> dict[str, str]:
        """The value under each name that the function may read."""
        return dict.fromkeys([*_NAMES, *more, *self.literals], value)


@dataclass(eq=False)
class _Trial:
    """Statements, and what their result says against them; `problem` once it is known."""

    id: Id
    object: str
    statements: Sequence[Statement]
    judge: Callable[[GroupResult], "_Problem | None"]
    problem: "_Problem | None" = field(default=None, init=False)

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """The statements in one group."""
        [result] = yield [self.statements]
        if isinstance(result.error, INCONCLUSIVE_ERRORS):
            raise result.error
        self.problem = self.judge(result)


@dataclass(frozen=True)
class _Problem:
    """A finding about a trial, without its name."""

    message: str
    fix: str
    severity: Severity = Severity.ERROR
    # the function or constraint of the project that has failed: one finding tells it
    cause: str = ""


class _WithoutMetadata(_Problem):
    """A sign-up that metadata may help."""


class _WithoutRows(_Problem):
    """A sign-up that other addresses, metadata or rows of the project may help."""


@dataclass(frozen=True)
class Written:
    """Objects that hooks may read: the tables that users write (`sources`), the functions that
    write for them, and all tables of the project.
    """

    sources: Sequence[reach.Candidate]
    functions: Sequence[reach.Candidate]
    tables: Sequence[reach.Candidate]


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    written: "Written",
    reached: Reach,
    context: Context,
) -> None:
    """Add a case for each thing that the platform runs, and a finding for each that fails, or that
    makes somebody another caller.

    `rows` are those of `QUERY`, and `reached` says what a user owns. Comes after the fixture
    rows: the server names a function in errors as the first search_path of the session under which
    it ran sees it, and that is PostgREST's. On a database in use nothing is run, because what hooks
    and triggers do outside the transaction is not undone.
    """
    if context.in_use:
        return
    found: dict[str, list[_Function]] = {}
    for kind, name, text, literals in rows:
        found.setdefault(kind, []).append(_Function(name, text, literals))
    as_auth = "acts as Auth" in found
    tables = [table.name for table in found.get("table", ())]
    triggers, hooks = found.get("sign-up trigger", ()), found.get("token hook", ())
    has_triggers = "trigger of Auth" in found
    trials = [
        _sign_in(tables, as_auth=as_auth),
        _same_name(as_auth=as_auth),
        _anonymously(as_auth=as_auth),
        _deletion(as_auth=as_auth),
        *_chosen(triggers, as_auth=as_auth),
        *([_unconfirmed(as_auth=as_auth)] if triggers else ()),
        *_hooks(hooks, triggers, written, as_auth=as_auth),
        *(_beside_others(tables, reached, impersonation, as_auth=as_auth) if has_triggers else ()),
        *_identities(found.get("identity", ()), written.sources, as_auth=as_auth),
        *_before_requests(found.get("function before requests", ())),
        *_logins(found.get("event trigger of logins", ()), as_auth=as_auth),
    ]
    Runner(impersonation, context.deadline, Frame(undo=context.undo)).run(trials)
    failed: set[str] = set()
    for trial in trials:
        case = Case(
            id=trial.id,
            area=AREA,
            object=trial.object,
            name="the platform can run it, and nobody gains",
        )
        if case.id not in {known.id for known in context.cases}:
            context.cases.append(catalog.with_script(case, QUERY, trial.object, context))
        problem = trial.problem
        if problem is None or problem.cause in failed:
            continue
        failed |= {problem.cause} - {""}
        if isinstance(problem, _WithoutMetadata | _WithoutRows):
            problem = _with_any_metadata(impersonation, problem, context)
        if problem is not None and case.id not in {f.id for f in context.findings}:
            context.findings.append(
                Finding(
                    id=case.id,
                    area=AREA,
                    severity=problem.severity,
                    object=trial.object,
                    message=problem.message,
                    fix=problem.fix,
                )
            )


def hooks_of_messages(rows: Sequence[Row]) -> dict[str, str]:
    """The texts of the hooks, among the rows of `QUERY`, that Auth calls with a code or an attempt,
    by their names.
    """
    return {name: text for kind, name, text, _ in rows if kind == "other hook"}


def _become(role: str, settings: Mapping[str, str] | None = None) -> Statement:
    return Statement(script.setting({**(settings or {}), "role": role}))


def _signed_up(as_auth: bool, metadata: Mapping[str, object]) -> tuple[uuid.UUID, list[Statement]]:
    """The id of a new user, and the statements that create it as Auth does."""
    user = NewUser(id=uuid.uuid4(), metadata=metadata)
    role = _become(_AUTH if as_auth else "none", _SEARCH_PATH_OF_AUTH)
    return user.id, [role, *sign_up.statements([user])]


# -------------------------------------------------------------------------------------------------
# sign-up and sign-in


def _sign_in(tables: Sequence[str], *, as_auth: bool) -> _Trial:
    """A sign-up, and the first sign-in."""
    user, created = _signed_up(as_auth, {})
    signed_in = [
        *([_SESSION.statement(user)] if "auth.sessions" in tables else []),
        *(
            [_TOKEN.statement(user)]
            if {"auth.sessions", "auth.refresh_tokens"} <= {*tables}
            else []
        ),
        _LAST.statement(user),
    ]
    statements = [*created, CHECK_DEFERRED, *signed_in, CHECK_DEFERRED]

    def judge(result: GroupResult) -> _Problem | None:
        error = result.error
        if error is None:
            return None
        if _is_constraint_of_auth(error):
            constraint = f"constraint {error.diag.constraint_name} of auth.{error.diag.table_name}"
            return _Problem(
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
                f" the row of a new user, with {sqlstate_and_message(error)}{_in(error)}",
                "Let the trigger allow it: Auth updates the row at each sign-in.",
                cause=outermost_function(error),
            )
        if len(result.answers) == len(created) and not _is_broken(error, as_auth=as_auth):
            return _WithoutRows(
                "nobody can sign up: a check at the commit refuses each new user:"
                f" {sqlstate_and_message(error)}{_in(error)}",
                "Let the triggers of the sign-up insert the row that the check looks for.",
                cause=outermost_function(error),
            )
        if not _is_broken(error, as_auth=as_auth):
            return None
        who = f" as {_AUTH}" if as_auth else ""
        message = (
            f"nobody can {stage}: what Auth runs{who} fails with {sqlstate_and_message(error)}"
        )
        return _Problem(message + _in(error), _fix(error), cause=outermost_function(error))

    return _Trial(Id(AREA, "auth.users", "sign-in"), "auth.users", statements, judge)


def _without_device(error: psycopg.Error) -> _Problem:
    return _Problem(
        "who signs in is refused unless Auth knows the browser, the address or more of the session,"
        f" which may be unknown: {sqlstate_and_message(error)}{_in(error)}",
        "Let the trigger insert another value, or the column be null.",
        cause=outermost_function(error),
    )


def _in(error: psycopg.Error) -> str:
    where = outermost_function(error)
    return f" ({where})" if where else ""


def _without_metadata(error: psycopg.Error) -> _Problem:
    return _WithoutMetadata(
        f"whoever signs up without metadata (with an address alone, or invited) is refused:"
        f" {sqlstate_and_message(error)}{_in(error)}",
        "If that is not meant, let the trigger insert another value.",
        Severity.INFO,
        cause=outermost_function(error),
    )


def _with_any_metadata(
    impersonation: Impersonation, problem: _Problem, context: Context
) -> _Problem | None:
    """The problem of a sign-up without metadata, or that no metadata helps. None if a row of an
    allow-list helps.
    """
    connection, undo = impersonation.connection, context.undo
    begin = [*undo.begin, *undo.rows, *impersonation.setup, FIXTURE.save]
    run_groups(connection, [begin])[0].answer()
    try:
        if isinstance(problem, _WithoutRows):
            # checks fail while a row of an allow-list can still be added
            read(connection, [CHECK_DEFERRED])
            sign_up.run(connection, [NewUser(id=uuid.uuid4())])
            return None
        sign_up.run(connection, [NewUser(id=uuid.uuid4())])
    except SignUpRejectedError as refused:
        if isinstance(problem, _WithoutRows) or not _needs_metadata(refused.cause):
            return problem
        why = f"{sqlstate_and_message(refused.cause)}{_in(refused.cause)}"
        return _Problem(
            f"nobody can sign up, whatever the metadata: a trigger fails with {why}",
            _fix(refused.cause),
        )
    finally:
        if not connection.broken:
            run_groups(connection, [undo.statements])[0].answer()
    return problem


def _same_name(*, as_auth: bool) -> _Trial:
    """Sign-ups with addresses alone that differ only behind the @."""
    name = f"verify{uuid.uuid4().hex[:12]}"
    users = [
        NewUser(id=uuid.uuid4(), email=f"{name}@{domain}", has_names=False)
        for domain in ("example.com", "example.org")
    ]

    def judge(error: psycopg.Error) -> _Problem | None:
        if _needs_metadata(error):
            return _without_metadata(error)
        is_taken = isinstance(error, psycopg.errors.UniqueViolation)
        # an error that a trigger raises itself names no table
        if not is_taken or error.diag.schema_name in (None, "auth") or error.diag.context is None:
            return None
        return _Problem(
            "whoever has the same name before the @ as another user, or signs up after another one"
            f" without metadata, is refused: {sqlstate_and_message(error)}{_in(error)}",
            "Let the trigger make the value different, for example by a part of new.id.",
            cause=outermost_function(error),
        )

    return _sign_ups("same name", users, judge, as_auth=as_auth)


def _anonymously(*, as_auth: bool) -> _Trial:
    """Two anonymous sign-ins, users without address and metadata, after somebody whose address no
    list can have: who raises an error for them alone has not thought of them.
    """
    anybody = NewUser(id=uuid.uuid4(), email=f"a@verify{uuid.uuid4().hex[:12]}.org")
    users = [NewUser(id=uuid.uuid4(), is_anonymous=True) for _ in range(2)]

    def judge(error: psycopg.Error) -> _Problem | None:
        is_of_auth = error.diag.context is None or error.diag.schema_name == "auth"
        is_raised = isinstance(error, psycopg.errors.RaiseException)
        if is_of_auth or not (is_raised or isinstance(error, _OF_VALUES)):
            return None
        return _Problem(
            "who has no address is refused (anonymous sign-ins, or telephone numbers, if the"
            f" project uses them): {sqlstate_and_message(error)}{_in(error)}",
            "If that is not meant, let the trigger allow that new.email is null.",
            Severity.WARNING if is_raised else Severity.INFO,
            cause=outermost_function(error),
        )

    return _sign_ups("anonymous sign-in", users, judge, as_auth=as_auth, before=anybody)


def _sign_ups(
    what: str,
    users: Sequence[NewUser],
    judge: Callable[[psycopg.Error], _Problem | None],
    *,
    as_auth: bool,
    before: NewUser | None = None,
) -> _Trial:
    """Sign-ups one after the other, whose error is judged; that of the user `before` is not."""
    role = _become(_AUTH if as_auth else "none", _SEARCH_PATH_OF_AUTH)
    first = [role, *(sign_up.statements([before]) if before is not None else [])]
    created = [statement for user in users for statement in sign_up.statements([user])]

    def judge_result(result: GroupResult) -> _Problem | None:
        if result.error is None or len(result.answers) < len(first):
            return None
        return judge(result.error)

    return _Trial(
        Id(AREA, "auth.users", what), "auth.users", [*first, *created, CHECK_DEFERRED], judge_result
    )


def _beside_others(
    tables: Sequence[str], reached: Reach, impersonation: Impersonation, *, as_auth: bool
) -> Iterator[_Trial]:
    """Trials of the identity and the rows of a user that signs in and out, and of others."""
    if "auth.identities" in tables:
        yield _identified(as_auth=as_auth)
    if reached.owned:
        yield from _own_stay(tables, reached, impersonation, as_auth=as_auth)
    yield from _others_stay(tables, as_auth=as_auth)


def _identified(*, as_auth: bool) -> _Trial:
    """The identity that Auth inserts for a new user."""
    user, created = _signed_up(as_auth, {})

    def judge(result: GroupResult) -> _Problem | None:
        error = result.error
        is_other = error is None or len(result.answers) < len(created)
        if error is None or is_other or not _is_broken(error, as_auth=as_auth):
            return None
        why = f"{sqlstate_and_message(error)}{_in(error)}"
        message = f"nobody can sign up: the insert into auth.identities fails with {why}"
        return _Problem(message, _fix(error), cause=outermost_function(error))

    statements = [*created, _IDENTITY_ROW.statement(user), CHECK_DEFERRED]
    return _Trial(Id(AREA, "auth.identities", "sign-up"), "auth.identities", statements, judge)


def _own_stay(
    tables: Sequence[str], reached: Reach, impersonation: Impersonation, *, as_auth: bool
) -> Iterator[_Trial]:
    """A user who owns something signs in, and out."""
    user, created = _signed_up(as_auth, {})
    session = [_SESSION.statement(user)] if "auth.sessions" in tables else []
    signed_out = Statement("delete from auth.sessions as s where s.user_id = %s", (user,))
    owner = {**impersonation.ids, reached.owner: user}
    own = [_become("none"), *(Statement(one, owner) for one in reached.owned)]
    look = Statement(reached.belongings, owner)
    auth = _become(_AUTH if as_auth else "none", _SEARCH_PATH_OF_AUTH)
    signed_in = [auth, *session, _LAST.statement(user), CHECK_DEFERRED]
    for what, statements in {
        "sign-in": signed_in,
        "sign-out": [*signed_in, *([signed_out] if session else []), CHECK_DEFERRED],
    }.items():
        yield _changing(
            f"{what} and own jobs",
            [*created, *own],
            look,
            [*statements, _become("none")],
            f"the {what} of a user changes or deletes its own jobs",
        )


def _others_stay(tables: Sequence[str], *, as_auth: bool) -> Iterator[_Trial]:
    """A user signs up and in, and out again, and is deleted, while another one is signed in."""
    other, others = _signed_up(as_auth, {})
    user, created = _signed_up(as_auth, {})
    has_sessions = "auth.sessions" in tables
    session = [_SESSION.statement(user)] if has_sessions else []
    last = [CHECK_DEFERRED, _LAST.statement(user), CHECK_DEFERRED]
    signed_out = Statement("delete from auth.sessions as s where s.user_id = %s", (user,))
    deleted = Statement("delete from auth.users as u where u.id = %s", (user,))
    became = [*created, *session, *last]
    for what, statements in {
        "sign-in": became,
        "sign-out": [*became, *([signed_out] if has_sessions else []), CHECK_DEFERRED],
        "deletion": [*became, deleted, CHECK_DEFERRED],
    }.items():
        before = [*others, *([_SESSION.statement(other)] if has_sessions else [])]
        look = _OTHER.statement(other) if has_sessions else _OTHER_ALONE.statement(other)
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
) -> _Trial:
    """A trial after which a look has to return the same as before."""

    def judge(result: GroupResult) -> _Problem | None:
        if result.error is not None or result.answers[len(before)].rows == result.answer().rows:
            return None
        return _Problem(
            message,
            "Let the triggers on the tables of Auth change only rows of the user of NEW or OLD, and"
            " no jobs.",
            cause="triggers of Auth",
        )

    return _Trial(
        Id(AREA, "auth.users", what), "auth.users", [*before, look, *statements, look], judge
    )


def _chosen(triggers: Sequence[_Function], *, as_auth: bool) -> Iterator[_Trial]:
    """Sign-ups whose metadata have the role of the service, or yes, under each name that a trigger
    may read.
    """
    for trigger in triggers:
        for value in (_SERVICE, "true", True):
            yield _sign_up_with(trigger, value, as_auth=as_auth)


def _unconfirmed(*, as_auth: bool) -> _Trial:
    """A sign-up with an address that nobody has confirmed yet."""
    user = NewUser(id=uuid.uuid4())
    role = _become(_AUTH if as_auth else "none", _SEARCH_PATH_OF_AUTH)
    insert = sign_up.statements([user])[0]
    look = Statement(
        "select u.email_confirmed_at is not null from auth.users as u where u.id = %s", (user.id,)
    )

    def judge(result: GroupResult) -> _Problem | None:
        if result.error is not None or result.answer().rows != [(True,)]:
            return None
        return _Problem(
            "who signs up has every address at once: a trigger confirms it, so that whoever trusts"
            " an address takes the user for somebody else",
            "Let Auth set email_confirmed_at.",
        )

    statements = [role, insert, CHECK_DEFERRED, look]
    return _Trial(Id(AREA, "auth.users", "unconfirmed"), "auth.users", statements, judge)


def _sign_up_with(trigger: _Function, value: object, *, as_auth: bool) -> _Trial:
    metadata = dict.fromkeys([*_NAMES, "role", *trigger.literals], value)
    user, created = _signed_up(as_auth, metadata)
    control, others = _signed_up(as_auth, {})
    statements = [
        *others,
        *created,
        CHECK_DEFERRED,
        _become("none"),
        _RIGHTS.statement(control),
        _RIGHTS.statement(user),
    ]

    def judge(result: GroupResult) -> _Problem | None:
        if result.error is not None:
            return None
        without, chosen = result.answers[-2].rows, result.answers[-1].rows
        if without == chosen:
            return None
        return _Problem(
            "who signs up chooses the role or app_metadata of its tokens, which Auth and policies"
            f" trust: {trigger.name}() takes them from raw_user_meta_data",
            "Let the trigger set a fixed value, and let only the service change it.",
        )

    return _Trial(Id(AREA, trigger.name, "sign-up with a role"), trigger.name, statements, judge)


# -------------------------------------------------------------------------------------------------
# deletion of a user


def _deletion(*, as_auth: bool) -> _Trial:
    """The deletion of a new user."""
    user, before = _signed_up(as_auth, {})
    deleted = Statement("delete from auth.users as u where u.id = %s", (user,))

    def judge(result: GroupResult) -> _Problem | None:
        error = result.error
        if error is None or len(result.answers) < len(before):
            return None
        why = f"{sqlstate_and_message(error)}{_in(error)}"
        is_key = isinstance(error, psycopg.errors.ForeignKeyViolation)
        if is_key and error.diag.table_name:  # not one that a function raises
            table = f"{error.diag.schema_name}.{error.diag.table_name}"
            return _Problem(
                f"a user who has a row in {table} cannot be deleted, nor can its jobs with it:"
                f" {why}",
                "Let the foreign key have ON DELETE CASCADE or SET NULL.",
                Severity.WARNING,
                cause=error.diag.constraint_name or "",
            )
        if not _is_broken(error, as_auth=as_auth):
            return None
        return _Problem(f"no user can be deleted: what Auth runs fails with {why}", _fix(error))

    statements = [*before, deleted, CHECK_DEFERRED]
    return _Trial(Id(AREA, "auth.users", "deletion"), "auth.users", statements, judge)


def _is_constraint_of_auth(error: psycopg.Error) -> bool:
    """Whether a CHECK constraint of a table of Auth refused the row."""
    return isinstance(error, psycopg.errors.CheckViolation) and error.diag.schema_name == "auth"


def _needs_metadata(error: psycopg.Error) -> bool:
    """Whether a trigger has inserted no value into a column that has to have one."""
    is_null = isinstance(error, psycopg.errors.NotNullViolation)
    return is_null and error.diag.context is not None and error.diag.schema_name != "auth"


def _is_broken(error: psycopg.Error, *, as_auth: bool) -> bool:
    """Whether the error is no decision about this user, and not one about the connection's role."""
    sqlstate, in_function = error.sqlstate or "", error.diag.context is not None
    if isinstance(error, psycopg.errors.NotNullViolation):
        return not in_function and error.diag.schema_name == "auth"
    if isinstance(error, psycopg.errors.UniqueViolation):
        return error.diag.schema_name != "auth"
    if sqlstate.startswith(("42703", "428C9")) and not in_function:
        return False  # an image of another age has other columns
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and not as_auth:
        return False
    return sqlstate.startswith(_BROKEN)


def _fix(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"Grant {_AUTH} what the trigger's function uses, or make the function SECURITY DEFINER"
            " with set search_path = ''. FORCE ROW LEVEL SECURITY on a table of Auth has to go."
        )
    return "Correct the trigger, its function or the column that the error names."


# -------------------------------------------------------------------------------------------------
# the access token hook


def _hooks(
    functions: Sequence[_Function],
    triggers: Sequence[_Function],
    written: Written,
    *,
    as_auth: bool,
) -> Iterator[_Trial]:
    """A token for a user who has chosen the metadata, for one who has written a row, or called
    a function that writes one, and for one whom a row names beside another user.
    """
    names = [name for trigger in triggers for name in trigger.literals]
    for function in functions:
        yield _hook(function, None, names, as_auth=as_auth)
        for source in (*written.sources, *written.functions):
            if source.is_read_by(function.text) or source.writes_for(function.text):
                yield _hook(function, source, (), as_auth=as_auth)
        for table in written.tables:
            if table.is_read_by(function.text):
                yield _beside_another(function, table, as_auth=as_auth)


def _hook(
    function: _Function,
    source: reach.Candidate | None,
    names: Sequence[str],
    *,
    as_auth: bool,
) -> _Trial:
    """A token for a new user who has chosen the metadata, also under these names, or written its
    row of a table.
    """
    chosen = function.every(_SERVICE, "role", *names) if source is None else {}
    user, created = _signed_up(as_auth, chosen)
    app_metadata = {"provider": "email", "providers": ["email"]}
    claims = {
        "sub": str(user),
        "role": "authenticated",
        "aud": "authenticated",
        "user_metadata": chosen,
        "app_metadata": app_metadata,
    }
    event = {"user_id": str(user), "claims": claims, "authentication_method": "password"}
    written = [] if source is None else _written(source, user, as_auth=as_auth)
    where = "user_metadata" if source is None else source.object
    name = qualified(function.name)
    call = sql.SQL("select {}({}::jsonb)").format(name, sql.Literal(json.dumps(event)))

    def judge(result: GroupResult) -> _Problem | None:
        error = result.error
        if error is not None:
            reached = len(result.answers) >= len(created)
            if not reached or source is not None or not _is_broken(error, as_auth=as_auth):
                return None
            message = f"Auth issues no token: the hook fails with {sqlstate_and_message(error)}"
            return _Problem(message, f"Grant {_AUTH} what {function.name} uses, or correct it.")
        [(answer,)] = result.answer().rows
        issued = answer.get("claims") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not {"claims", "error"} & answer.keys():
            message = "Auth issues no token: for a new user, the hook returns no claims"
            return _Problem(message, f"Let {function.name} return the event where it adds nothing.")
        if not isinstance(issued, dict):
            return None
        taken = [name for name in ("role", "sub") if issued.get(name) != claims[name]]
        if _SERVICE in json.dumps(issued.get("app_metadata")):
            taken.append("app_metadata")
        for name in taken:
            message = (
                f"a new user chooses the claim {name} of its token: the hook takes it from"
                f" {where}, which every user writes"
            )
            fix = f"Let {function.name} take {name} from the event or app_metadata."
            return _Problem(message, fix)
        return None

    return _Trial(
        Id(AREA, function.name, "token"),
        function.name,
        [*created, *written, Statement(call.as_string(None))],
        judge,
    )


def _beside_another(function: _Function, table: reach.Candidate, *, as_auth: bool) -> _Trial:
    """A token for a user whom a row of a table names beside another one."""
    other, others = _signed_up(as_auth, {})
    user, created = _signed_up(as_auth, {})
    rows = [one for text in reach.rows_of(table, user, other) for one in reach.attempt(text)]
    claims = {"sub": str(user), "role": "authenticated", "aud": "authenticated"}
    event = {"user_id": str(user), "claims": claims, "authentication_method": "password"}
    name = qualified(function.name)
    call = sql.SQL("select {}({}::jsonb)").format(name, sql.Literal(json.dumps(event)))

    def judge(result: GroupResult) -> _Problem | None:
        if result.error is not None:
            return None
        [(answer,)] = result.answer().rows
        issued = answer.get("claims") if isinstance(answer, dict) else None
        if not isinstance(issued, dict) or issued.get("sub") != str(other):
            return None
        return _Problem(
            "the token of a user becomes that of another one: the hook takes the claim sub from"
            f" {table.object}",
            f"Let {function.name} keep sub, and add a claim of its own.",
        )

    back = _become(_AUTH if as_auth else "none", _SEARCH_PATH_OF_AUTH)
    statements = [
        *others,
        *created,
        _become("none"),
        *rows,
        back,
        Statement(call.as_string(None)),
    ]
    return _Trial(
        Id(AREA, function.name, f"token beside {table.object}"), function.name, statements, judge
    )


def _written(source: reach.Candidate, user: uuid.UUID, *, as_auth: bool) -> list[Statement]:
    """A row of the user in a table, into which the user writes the role of the service."""
    claims = {"role": "authenticated", "sub": str(user)}
    own, chosen = reach.writes_of(source, user, _SERVICE)
    without = dict.fromkeys(REQUEST_SETTINGS, "")
    return [
        _become("none"),
        *reach.attempt(own),
        _become("authenticated", request_settings(claims, {})),
        *(statement for change in chosen for statement in reach.attempt(change)),
        _become(_AUTH if as_auth else "none", {**without, **_SEARCH_PATH_OF_AUTH}),
    ]


# -------------------------------------------------------------------------------------------------
# the functions that say who a request is


def _identities(
    functions: Sequence[_Function], sources: Sequence[reach.Candidate], *, as_auth: bool
) -> Iterator[_Trial]:
    """The identity of a user that has written another one beside its own into a table."""
    for function in functions:
        for source in sources:
            if source.is_read_by(function.text):
                yield _identity(function, source, as_auth=as_auth)


def _identity(function: _Function, source: reach.Candidate, *, as_auth: bool) -> _Trial:
    other, others = _signed_up(as_auth, {})
    user, created = _signed_up(as_auth, {})
    _, chosen = reach.writes_of(source, other, str(user))
    settings = request_settings({"role": "authenticated", "sub": str(user)}, {})
    name = qualified(function.name)
    call = Statement(sql.SQL("select {}()::text").format(name).as_string(None))
    before = [*others, *created, _become("authenticated", settings), call]
    written = [statement for change in chosen for statement in reach.attempt(change)]

    def judge(result: GroupResult) -> _Problem | None:
        if result.error is not None:
            return None
        if result.answers[len(before) - 1].rows == result.answer().rows:
            return None
        return _Problem(
            f"{function.name}() returns another user once a user has written it into"
            f" {source.object}: whoever writes a row there becomes whom it names",
            f"Let only Auth and the service write to {source.object}.",
        )

    return _Trial(
        Id(AREA, function.name, source.object), function.name, [*before, *written, call], judge
    )


# -------------------------------------------------------------------------------------------------
# the function before each request


def _before_requests(functions: Sequence[_Function]) -> Iterator[_Trial]:
    """A request of each role, and one whose headers name another user everywhere."""
    for function in functions:
        other = function.every(str(uuid.uuid4()))
        for role in _ROLES:
            for headers in ({}, other):
                yield _before_request(function, role, headers)


def _before_request(function: _Function, role: str, headers: Mapping[str, str]) -> _Trial:
    user = str(uuid.uuid4())
    claims = {"role": role, "sub": user} if role == "authenticated" else {"role": role}
    settings = {**request_settings(claims, headers), **_SEARCH_PATH_OF_REQUESTS}
    name = qualified(function.name)
    statements = [
        _become(role, settings),
        Statement(_IDENTITY),
        Statement(sql.SQL("select {}()").format(name).as_string(None)),
        Statement(_IDENTITY),
    ]

    def judge(result: GroupResult) -> _Problem | None:
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
            return _Problem(message, allowed if is_refused else _NO_FUNCTION)
        _, before, _, after = result.answers
        if before.rows == after.rows:
            return None
        message = (
            f"{function.name} runs before every request, and changes its role, claims or headers:"
            " a request becomes that of another caller"
        )
        return _Problem(message, _NO_FUNCTION)

    return _Trial(Id(AREA, function.name, "before requests"), function.name, statements, judge)


# -------------------------------------------------------------------------------------------------
# event triggers of logins


def _logins(triggers: Sequence[_Function], *, as_auth: bool) -> Iterator[_Trial]:
    """The function of each trigger, as a function of its own, for the logins of API and Auth."""
    for trigger in triggers:
        for login in _LOGINS if as_auth else _LOGINS[:1]:
            yield _login(trigger, login)


def _login(trigger: _Function, login: str) -> _Trial:
    replaced = sql.Literal(login).as_string(None) + "::name"
    body = re.sub(r"\b(session_user|current_user)\b", replaced, trigger.text, flags=re.IGNORECASE)
    for name, value in (("tg_event", "'login'"), ("tg_tag", "''")):
        body = re.sub(rf"\b{name}\b", value, body, flags=re.IGNORECASE)
    create = "create function pg_temp.verify_login() returns void language plpgsql as "
    statements = [
        Statement(script.setting(dict.fromkeys(REQUEST_SETTINGS, ""))),
        Statement(create + sql.Literal(body).as_string(None)),
        _become(login, _SEARCH_PATH_OF_AUTH if login == _AUTH else _SEARCH_PATH_OF_REQUESTS),
        Statement(_CALLER),
        Statement("select pg_temp.verify_login()"),
        Statement(_CALLER),
    ]

    def judge(result: GroupResult) -> _Problem | None:
        fix = f"alter event trigger {sql.Identifier(trigger.name).as_string(None)} disable;"
        if result.error is not None:
            if len(result.answers) != 4:
                return None
            why = sqlstate_and_message(result.error)
            return _Problem(f"{login} cannot log in: the event trigger fails with {why}", fix)
        if result.answers[3].rows == result.answers[5].rows:
            return None
        message = (
            f"the sessions of {login} begin as another caller: the event trigger sets the role or"
            " a request setting"
        )
        return _Problem(message, fix)

    return _Trial(Id(AREA, trigger.name, "login"), trigger.name, statements, judge)
