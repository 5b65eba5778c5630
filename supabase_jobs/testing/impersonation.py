"""Impersonation of an identity on a connection, for both kinds of psycopg connection.

Functions that run statements are the steps of a generator (`session.steps`). `rls.run` and
`rls_async.run` execute them one by one, inside the transaction of the test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.pq import TransactionStatus

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.session import sign_up
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.savepoint import Savepoint, numbered
from supabase_jobs.session.sign_up import NewUser, SignedUp
from supabase_jobs.session.steps import Steps, answered

T = TypeVar("T")
C = TypeVar("C")
Params = Sequence[Any] | Mapping[str, Any] | None

_READ_SETTINGS = (
    "select s.name, coalesce(current_setting(s.name, true), '') from unnest($1::text[]) as s (name)"
)
_SET_SETTINGS = (
    "select set_config(s.name, s.value, true) from unnest($1::text[],"
    " $2::text[]) as s (name, value)"
)
# the lock timeout limits how long a test waits for another session
_BEGIN = """
select current_user::text, set_config(
  'lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '10s'), true
)
"""
DELETE_USER = "delete from auth.users where id = %s"


@dataclass(frozen=True)
class Result:
    """The rows that a statement returned, and how many it affected; `count` is -1 for a statement
    without a count.
    """

    rows: list[Any] = field(default_factory=list)
    count: int = -1


@dataclass(frozen=True)
class Execution:
    """One execution of a statement of a test, and the identity that runs it."""

    identity: Caller
    sql: str
    params: Params = None


@dataclass(frozen=True)
class UserStatement(Statement):
    """A statement of the user's test: with %s parameters, and the row factory of the connection
    unless `as_tuples`.
    """

    as_tuples: bool = False


@dataclass(frozen=True)
class SavedState:
    """The settings before an impersonation and the savepoint at its start, for `restore`."""

    savepoint: Savepoint
    settings: dict[str, str]


def begin() -> Steps[Caller]:
    """The identity of the connection itself, at the start of the test's transaction: its role,
    without a request.
    """
    answer = yield from answered(Statement(_BEGIN))
    return Caller(role=answer.rows[0][0])


def impersonate(identity: Caller) -> Steps[SavedState]:
    """Set the role and the settings of an identity, until `restore`."""
    settings = _settings(identity)
    read = yield from answered(Statement(_READ_SETTINGS, (list(settings),), numbered=True))
    saved = SavedState((yield from _savepoint()), dict(read.rows))
    try:
        yield from answered(_set(settings))
    except psycopg.Error as error:
        yield from _rollback_to(saved.savepoint)
        if error.sqlstate in ("22023", "42501"):  # set role: unknown role, or not a member
            raise SupabaseJobsError(
                f"cannot act as the role {identity.role}: {error.diag.message_primary}",
                hint="Connect as a member of this role. In a Supabase project postgres is a member"
                " of the API roles.",
                sqlstate=error.sqlstate,
            ) from None
        raise
    return saved


def _settings(caller: Caller) -> dict[str, str]:
    """The role, and every setting of a request; those that the caller does not have are empty."""
    request = dict.fromkeys(REQUEST_SETTINGS, "")
    return {**request, **caller.all_settings(), "role": caller.role}


def restore(saved: SavedState, *, rollback: bool) -> Steps[None]:
    """Restore the role and the settings from before an impersonation; `rollback` also rolls back
    all changes since.
    """
    if rollback:
        yield from _rollback_to(saved.savepoint)
    else:
        yield from answered(_set(saved.settings))
        yield from answered(saved.savepoint.release)


def execute(execution: Execution) -> Steps[Result]:
    """Run a statement as its identity and keep its changes; if it fails, only this statement is
    rolled back.
    """
    saved = yield from impersonate(execution.identity)
    try:
        answer = yield from answered(UserStatement(sql=execution.sql, params=execution.params))
    except BaseException:
        yield from restore(saved, rollback=True)
        raise
    yield from restore(saved, rollback=False)
    return Result(list(answer.rows), answer.count)


def new_user(
    owner: Caller | None,
    email: str | None,
    is_anonymous: bool,
    metadata: Mapping[str, object] | None,
) -> Steps[tuple[UUID, SignedUp]]:
    """Create a user as Auth does, as the owner if there is one; return its id and what was
    inserted.

    Raises SignUpRejectedError if a trigger or constraint rejects the user whatever its metadata and
    address.
    """
    saved = None if owner is None else (yield from impersonate(owner))
    user = NewUser(id=uuid4(), email=email, is_anonymous=is_anonymous, metadata=metadata or {})
    try:
        signed_up = yield from sign_up.sign_up([user])
    except BaseException:
        if saved is not None:
            yield from restore(saved, rollback=True)
        raise
    if saved is not None:
        yield from restore(saved, rollback=False)
    return user.id, signed_up


def rolled_back(work: Callable[[], Steps[T]]) -> Steps[T]:
    """Run queries, then roll back their changes."""
    savepoint = yield from _savepoint()
    try:
        return (yield from work())
    finally:
        yield from _rollback_to(savepoint)


def _set(settings: Mapping[str, str]) -> Statement:
    return Statement(_SET_SETTINGS, (list(settings), list(settings.values())), numbered=True)


def _savepoint() -> Steps[Savepoint]:
    savepoint = numbered()
    yield from answered(savepoint.save)
    return savepoint


def _rollback_to(savepoint: Savepoint) -> Steps[None]:
    for statement in savepoint.end:
        yield from answered(statement)


def is_aborted(info: psycopg.ConnectionInfo) -> bool:
    """Whether an error has aborted the transaction. Raises SupabaseJobsError if the transaction has
    ended.
    """
    if info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
        raise SupabaseJobsError(
            "the transaction of the test ended inside the test (commit, rollback, or a lost"
            " connection)",
            hint="Committed rows are still in the database: remove them. Test code that commits"
            " over the API, or on a"
            " database of its own.",
        )
    return info.transaction_status == TransactionStatus.INERROR


class CallerFactory(Generic[C]):
    """Creates a caller for each identity: a `Caller`, an `AsyncCaller`, or a client of the API."""

    def __init__(self, guest_header: str | Callable[[], str] | None) -> None:
        self._guest_header = guest_header

    def _caller(self, identity: Caller) -> C:
        raise NotImplementedError

    def as_anon(self, *, headers: Mapping[str, str] | None = None) -> C:
        """A caller with the anonymous key and no guest id."""
        return self._caller(Caller(role="anon", claims={"role": "anon"}, headers=headers or {}))

    def as_guest(self, guest_id: object, *, headers: Mapping[str, str] | None = None) -> C:
        """A guest, identified by the request header of the ini option `supabase_guest_header`."""
        header = self._guest_header() if callable(self._guest_header) else self._guest_header
        if not header:
            raise ConfigError(
                "the name of the guest header is not configured",
                hint="Set supabase_guest_header in pytest's configuration, or use"
                " as_anon(headers={…}).",
            )
        return self.as_anon(headers={**(headers or {}), header: str(guest_id)})

    def as_user(
        self,
        user_id: object,
        *,
        claims: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> C:
        """A signed-in user. `claims` add to the claims of its JWT or replace them:
        `{"is_anonymous": True}`.
        """
        standard = {"sub": str(user_id), "role": "authenticated", "aud": "authenticated"}
        return self._caller(
            Caller(
                role="authenticated", claims={**standard, **(claims or {})}, headers=headers or {}
            )
        )

    def as_service(self, *, headers: Mapping[str, str] | None = None) -> C:
        """The backend, which holds the service key."""
        return self._caller(
            Caller(role="service_role", claims={"role": "service_role"}, headers=headers or {})
        )

    def as_role(
        self,
        role: str,
        *,
        claims: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> C:
        """A request with any role that the connection may set; `settings` are set literally."""
        return self._caller(
            Caller(
                role=role,
                claims={"role": role, **(claims or {})},
                headers=headers or {},
                settings=settings or {},
            )
        )
