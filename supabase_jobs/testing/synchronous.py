"""Acting as somebody on a psycopg.Connection."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from supabase_jobs.testing import assertions, steps
from supabase_jobs.testing.assertions import Control
from supabase_jobs.testing.identity import Identity
from supabase_jobs.testing.outcome import Attempt, Outcome, Params, Result
from supabase_jobs.testing.session import NEW_USER, Session, aborted, refuse_remote
from supabase_jobs.testing.steps import Entered, Step, Steps

T = TypeVar("T")


def run(connection: psycopg.Connection[Any], work: Steps[T]) -> T:
    """Carry out steps, and hand psycopg's errors back to them."""
    __tracebackhide__ = True
    try:
        step = next(work)
        while True:
            try:
                answer = _execute(connection, step)
            except BaseException as error:  # noqa: BLE001  also an interrupt: the steps go back to their savepoint
                step = work.throw(error)
            else:
                step = work.send(answer)
    except StopIteration as stop:
        return cast(T, stop.value)


def _execute(connection: psycopg.Connection[Any], step: Step) -> Result:
    cursor: psycopg.Cursor[Any]
    if step.ours:
        cursor = psycopg.RawCursor(connection, row_factory=tuple_row)
    else:
        cursor = connection.cursor(row_factory=tuple_row) if step.plain else connection.cursor()
    with cursor:
        cursor.execute(step.query, step.params)
        while cursor.nextset():
            pass
        return Result(cursor.fetchall() if cursor.description else [], cursor.rowcount)


class Rls(Session["Caller"]):
    """One test's session on a connection: everybody it can act as. See the fixture `rls`.

    `with Rls(connection) as rls:` does without the fixture; everything done inside is rolled back.
    """

    owner: "Caller"
    """The connection's own role: plants rows, sees them all where it owns the tables."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        guest_header: str | Callable[[], str] | None = None,
        allow_remote: bool = False,
    ) -> None:
        super().__init__(guest_header)
        self.connection = connection
        self._allow_remote = allow_remote
        self._open: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        refuse_remote(self.connection.info, self._allow_remote)
        self._open = self._transaction()
        self._open.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        assert self._open is not None  # noqa: S101  __enter__ was before
        self._open.__exit__(*error)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.connection.transaction(force_rollback=True):
            self.owner = self._caller(run(self.connection, steps.begin()))
            yield
            aborted(self.connection.info)

    def _caller(self, identity: Identity) -> "Caller":
        return Caller(self, identity)

    def new_user(self, *, email: str | None = None, is_anonymous: bool = False) -> UUID:
        """The id of a new row in auth.users, made as the owner; gone after the test like everything else."""
        return cast(UUID, self.owner.value(NEW_USER, (email, is_anonymous)))

    def __repr__(self) -> str:
        info = self.connection.info
        return f"<Rls on {info.host}:{info.port}/{info.dbname} as {info.user}>"


class Caller:
    """Somebody to act as.

    `execute`, `rows` and `value` keep what they do until the test ends. The assertions and `outcome` undo what they
    try. As a context manager it makes the connection itself act as this caller, for code that takes a connection.
    """

    def __init__(self, rls: Rls, identity: Identity) -> None:
        self._rls = rls
        self.identity = identity
        self._entered: list[Entered] = []

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, which acts as this caller inside `with caller:`."""
        return self._rls.connection

    def __enter__(self) -> Self:
        self._entered.append(self._run(steps.enter(self.identity)))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # after an error that aborted the transaction, all of the block is undone, as all of a request would be
        undo = aborted(self.connection.info) or kind is not None
        self._run(steps.leave(self._entered.pop(), undo=undo))

    def execute(self, sql: str, params: Params = None) -> Result:
        """Run a statement and keep what it did. Where it fails, psycopg's error is raised and only it is undone."""
        return self._run(steps.execute(self._attempt(sql, params)))

    def rows(self, sql: str, params: Params = None) -> list[Any]:
        """The rows that a statement returns."""
        return self.execute(sql, params).rows

    def value(self, sql: str, params: Params = None) -> Any:
        """The first value of the first row; None where there is no row."""
        rows = self.execute(sql, params).rows
        if not rows:
            return None
        return next(iter(rows[0].values() if isinstance(rows[0], dict) else rows[0]))

    def outcome(self, sql: str, params: Params = None) -> Outcome:
        """What a statement comes to, undone. Its `hidden` has no control: prefer the assertions."""
        attempt = self._attempt(sql, params)
        return self._run(steps.undone(lambda: steps.outcome(attempt)))

    def assert_allowed(self, sql: str, params: Params = None, *, count: int | None = None) -> list[Any]:
        """A statement reaches at least one row, or exactly `count`; returns the rows that it returned."""
        __tracebackhide__ = True
        attempt = self._attempt(sql, params)
        return self._run(assertions.expect_rows(self._rls.owner.identity, attempt, count)).rows

    def assert_hidden(self, sql: str, params: Params = None, *, control: Control = None) -> None:
        """A SELECT, UPDATE or DELETE runs and reaches no row, although the owner reaches one with it.

        `control` is SQL (or SQL and its parameters) that finds the row as the owner, where the statement itself
        would fail for the owner.
        """
        __tracebackhide__ = True
        self._expect("hidden", sql, params, control)

    def assert_denied(self, sql: str, params: Params = None) -> None:
        """A privilege is missing, or a function refuses: 42501, and no policy's WITH CHECK."""
        __tracebackhide__ = True
        self._expect("denied", sql, params)

    def assert_violates(self, sql: str, params: Params = None) -> None:
        """A policy's WITH CHECK refuses the new row."""
        __tracebackhide__ = True
        self._expect("violates", sql, params)

    def assert_fails(self, sqlstate: str, sql: str, params: Params = None) -> None:
        """A statement fails with an SQLSTATE: `"23514"` for a check constraint."""
        __tracebackhide__ = True
        self._expect(sqlstate, sql, params)

    def assert_untouched(self, target: str, target_params: Params = None, *, by: str, params: Params = None) -> None:
        """What `target` selects as the owner is the same after the statement `by`, allowed or not.

        For an UPDATE or DELETE without WHERE, and for functions: their count does not say whose rows they reached.
        Fails also where the owner's own try of the statement would leave the target as it is.
        """
        __tracebackhide__ = True
        attempt = self._attempt(by, params)
        self._run(assertions.expect_untouched(self._rls.owner.identity, attempt, (target, target_params)))

    def _expect(self, expected: str, sql: str, params: Params, control: Control = None) -> None:
        __tracebackhide__ = True
        attempt = self._attempt(sql, params)
        self._run(assertions.expect(self._rls.owner.identity, attempt, expected, control=control))

    def _attempt(self, sql: str, params: Params) -> Attempt:
        return Attempt(self.identity, sql, params)

    def _run(self, work: Steps[T]) -> T:
        __tracebackhide__ = True
        return run(self.connection, work)

    def __repr__(self) -> str:
        return f"<Caller {self.identity}>"
