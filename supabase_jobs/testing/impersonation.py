"""Impersonation of an identity on a connection, for both kinds of psycopg connection.

Functions that run queries are generators: they yield a DriverQuery and are sent its Result, or
psycopg's error is thrown into them. `rls.run` and `rls_async.run` execute the queries, inside the
transaction of the test.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar, cast
from uuid import UUID, uuid4

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import Composed

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.session import sign_up
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.session.sign_up import NewUser, SignedUp

T = TypeVar("T")
C = TypeVar("C")
Params = Sequence[Any] | Mapping[str, Any] | None

_READ_SETTINGS = (
    b"select s.name, coalesce(current_setting(s.name, true), '') from"
    b" unnest($1::text[]) as s (name)"
)
_SET_SETTINGS = (
    b"select set_config(s.name, s.value, true) from unnest($1::text[],"
    b" $2::text[]) as s (name, value)"
)
# the lock timeout limits how long a test waits for another session
_BEGIN = b"""
select current_user::text, set_config(
  'lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '10s'), true
)
"""
DELETE_USER = "delete from auth.users where id = %s"

_savepoint_numbers = count(1)


@dataclass(frozen=True)
class Result:
    """The rows that a statement returned, and how many it affected; `count` is -1 for a statement
    without a count.
    """

    rows: list[Any] = field(default_factory=list)
    count: int = -1


@dataclass(frozen=True)
class Attempt:
    """A statement and the identity that runs it."""

    identity: Caller
    sql: str
    params: Params = None


@dataclass(frozen=True)
class DriverQuery:
    """One query for psycopg.

    `internal`: $1 parameters and tuples, for the plugin's own queries. A query of the user has %s
    parameters and the connection's row factory, or tuples with `as_tuples`.
    """

    query: bytes | Composed
    params: Params = None
    internal: bool = True
    as_tuples: bool = False


QueryGenerator = Generator[DriverQuery, Result, T]


@dataclass(frozen=True)
class SavedState:
    """The settings before an impersonation and the savepoint at its start, for `restore`."""

    savepoint: Savepoint
    settings: dict[str, str]


def begin() -> QueryGenerator[Caller]:
    """The identity of the connection itself, at the start of the test's transaction: its role,
    without a request.
    """
    result = yield DriverQuery(_BEGIN)
    return Caller(result.rows[0][0])


def impersonate(identity: Caller) -> QueryGenerator[SavedState]:
    """Set the role and the settings of an identity, until `restore`."""
    settings = _settings(identity)
    result = yield DriverQuery(_READ_SETTINGS, (list(settings),))
    saved = SavedState((yield from _savepoint()), dict(result.rows))
    try:
        yield DriverQuery(_SET_SETTINGS, (list(settings), list(settings.values())))
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


def restore(saved: SavedState, *, rollback: bool) -> QueryGenerator[None]:
    """Restore the role and the settings from before an impersonation; `rollback` also rolls back
    all changes since.
    """
    if rollback:
        yield from _rollback_to(saved.savepoint)
    else:
        yield DriverQuery(_SET_SETTINGS, (list(saved.settings), list(saved.settings.values())))
        yield from _release(saved.savepoint)


def execute(attempt: Attempt) -> QueryGenerator[Result]:
    """Run a statement as its identity and keep its changes; if it fails, only this statement is
    rolled back.
    """
    saved = yield from impersonate(attempt.identity)
    try:
        result = yield DriverQuery(attempt.sql.encode(), attempt.params, internal=False)
    except BaseException:
        yield from restore(saved, rollback=True)
        raise
    yield from restore(saved, rollback=False)
    return result


def new_user(
    owner: Caller | None,
    email: str | None,
    is_anonymous: bool,
    metadata: Mapping[str, object] | None,
) -> QueryGenerator[tuple[UUID, SignedUp]]:
    """Create a user as Auth does, as the owner if there is one; return its id and what was
    inserted.

    Raises SignUpRejectedError if a trigger or constraint rejects the user whatever its metadata and
    address.
    """
    saved = None if owner is None else (yield from impersonate(owner))
    user = NewUser(uuid4(), email=email, is_anonymous=is_anonymous, metadata=metadata or {})
    attempts = sign_up.sign_up([user])
    try:
        signed_up = yield from _drive(attempts)
    except BaseException:
        if saved is not None:
            yield from restore(saved, rollback=True)
        raise
    if saved is not None:
        yield from restore(saved, rollback=False)
    return user.id, signed_up


def _drive(attempts: Generator[Sequence[Statement], GroupResult, T]) -> QueryGenerator[T]:
    """Run the groups of statements of a generator; an error ends its group only."""
    try:
        group = next(attempts)
        while True:
            answers: list[Answer] = []
            failed: psycopg.Error | None = None
            for statement in group:
                try:
                    result = yield DriverQuery(statement.sql.encode(), statement.params)
                except psycopg.Error as error:
                    failed = error
                    break
                answers.append(Answer(result.rows, result.count))
            group = attempts.send(GroupResult(tuple(answers), failed))
    except StopIteration as stop:
        return cast(T, stop.value)


def rolled_back(work: Callable[[], QueryGenerator[T]]) -> QueryGenerator[T]:
    """Run queries, then roll back their changes."""
    savepoint = yield from _savepoint()
    try:
        return (yield from work())
    finally:
        yield from _rollback_to(savepoint)


def _savepoint() -> QueryGenerator[Savepoint]:
    savepoint = Savepoint(f"rls_{next(_savepoint_numbers)}")
    yield DriverQuery(savepoint.save.sql.encode())
    return savepoint


def _release(savepoint: Savepoint) -> QueryGenerator[None]:
    yield DriverQuery(savepoint.release.sql.encode())


def _rollback_to(savepoint: Savepoint) -> QueryGenerator[None]:
    for statement in savepoint.end:
        yield DriverQuery(statement.sql.encode())


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
        return self._caller(Caller("anon", {"role": "anon"}, headers or {}))

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
        return self._caller(Caller("authenticated", {**standard, **(claims or {})}, headers or {}))

    def as_service(self, *, headers: Mapping[str, str] | None = None) -> C:
        """The backend, which holds the service key."""
        return self._caller(Caller("service_role", {"role": "service_role"}, headers or {}))

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
            Caller(role, {"role": role, **(claims or {})}, headers or {}, settings or {})
        )
