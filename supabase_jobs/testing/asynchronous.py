"""Acting as somebody on a psycopg.AsyncConnection: the twin of `synchronous`, word for word."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from supabase_jobs.database.connection import connect_async
from supabase_jobs.testing import assertions, steps
from supabase_jobs.testing.assertions import Control
from supabase_jobs.testing.identity import Identity
from supabase_jobs.testing.outcome import Attempt, Outcome, Params, Result
from supabase_jobs.testing.session import NEW_USER, Session, aborted, refuse_remote
from supabase_jobs.testing.steps import Entered, Step, Steps

T = TypeVar("T")


async def run(connection: psycopg.AsyncConnection[Any], work: Steps[T]) -> T:
    """Carry out steps, and hand psycopg's errors back to them."""
    __tracebackhide__ = True
    try:
        step = next(work)
        while True:
            try:
                answer = await _execute(connection, step)
            except BaseException as error:  # noqa: BLE001  also an interrupt: the steps go back to their savepoint
                step = work.throw(error)
            else:
                step = work.send(answer)
    except StopIteration as stop:
        return cast(T, stop.value)


async def _execute(connection: psycopg.AsyncConnection[Any], step: Step) -> Result:
    cursor: psycopg.AsyncCursor[Any]
    if step.ours:
        cursor = psycopg.AsyncRawCursor(connection, row_factory=tuple_row)
    else:
        cursor = connection.cursor(row_factory=tuple_row) if step.plain else connection.cursor()
    async with cursor:
        await cursor.execute(step.query, step.params)
        while cursor.nextset():
            pass
        return Result(await cursor.fetchall() if cursor.description else [], cursor.rowcount)


class AsyncRls(Session["AsyncCaller"]):
    """One test's session on a connection: everybody it can act as. See the fixture `rls_async`.

    `async with AsyncRls(connection) as rls:` does without the fixture; given a URL, it connects by itself, in the event
    loop that it is entered in. Everything done inside is rolled back.
    """

    connection: psycopg.AsyncConnection[Any]
    owner: "AsyncCaller"
    """The connection's own role: plants rows, sees them all where it owns the tables."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any] | str,
        *,
        guest_header: str | Callable[[], str] | None = None,
        allow_remote: bool = False,
    ) -> None:
        super().__init__(guest_header)
        self._given = connection
        self._allow_remote = allow_remote
        self._open: AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> Self:
        self._open = self._transaction()
        await self._open.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        assert self._open is not None  # noqa: S101  __aenter__ was before
        await self._open.__aexit__(*error)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if isinstance(self._given, str):
                refuse_remote(self._given, self._allow_remote)
                self.connection = await stack.enter_async_context(await connect_async(self._given))
            else:
                self.connection = self._given
            refuse_remote(self.connection.info, self._allow_remote)
            await stack.enter_async_context(self.connection.transaction(force_rollback=True))
            self.owner = self._caller(await run(self.connection, steps.begin()))
            yield
            aborted(self.connection.info)

    def _caller(self, identity: Identity) -> "AsyncCaller":
        return AsyncCaller(self, identity)

    async def new_user(self, *, email: str | None = None, is_anonymous: bool = False) -> UUID:
        """The id of a new row in auth.users, made as the owner; gone after the test like everything else."""
        return cast(UUID, await self.owner.value(NEW_USER, (email, is_anonymous)))

    def __repr__(self) -> str:
        if self._open is None:
            return "<AsyncRls, to be entered with async with>"
        info = self.connection.info
        return f"<AsyncRls on {info.host}:{info.port}/{info.dbname} as {info.user}>"


class AsyncCaller:
    """Somebody to act as.

    `execute`, `rows` and `value` keep what they do until the test ends. The assertions and `outcome` undo what they
    try. As a context manager it makes the connection itself act as this caller, for code that takes a connection.
    """

    def __init__(self, rls: AsyncRls, identity: Identity) -> None:
        self._rls = rls
        self.identity = identity
        self._entered: list[Entered] = []

    @property
    def connection(self) -> psycopg.AsyncConnection[Any]:
        """The connection, which acts as this caller inside `with caller:`."""
        return self._rls.connection

    async def __aenter__(self) -> Self:
        self._entered.append(await self._run(steps.enter(self.identity)))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # after an error that aborted the transaction, all of the block is undone, as all of a request would be
        undo = aborted(self.connection.info) or kind is not None
        await self._run(steps.leave(self._entered.pop(), undo=undo))

    async def execute(self, sql: str, params: Params = None) -> Result:
        """Run a statement and keep what it did. Where it fails, psycopg's error is raised and only it is undone."""
        return await self._run(steps.execute(self._attempt(sql, params)))

    async def rows(self, sql: str, params: Params = None) -> list[Any]:
        """The rows that a statement returns."""
        return (await self.execute(sql, params)).rows

    async def value(self, sql: str, params: Params = None) -> Any:
        """The first value of the first row; None where there is no row."""
        rows = (await self.execute(sql, params)).rows
        if not rows:
            return None
        return next(iter(rows[0].values() if isinstance(rows[0], dict) else rows[0]))

    async def outcome(self, sql: str, params: Params = None) -> Outcome:
        """What a statement comes to, undone. Its `hidden` has no control: prefer the assertions."""
        attempt = self._attempt(sql, params)
        return await self._run(steps.undone(lambda: steps.outcome(attempt)))

    async def assert_allowed(self, sql: str, params: Params = None, *, count: int | None = None) -> list[Any]:
        """A statement reaches at least one row, or exactly `count`; returns the rows that it returned."""
        __tracebackhide__ = True
        attempt = self._attempt(sql, params)
        return (await self._run(assertions.expect_rows(self._rls.owner.identity, attempt, count))).rows

    async def assert_hidden(self, sql: str, params: Params = None, *, control: Control = None) -> None:
        """A SELECT, UPDATE or DELETE runs and reaches no row, although the owner reaches one with it.

        `control` is SQL (or SQL and its parameters) that finds the row as the owner, where the statement itself
        would fail for the owner.
        """
        __tracebackhide__ = True
        await self._expect("hidden", sql, params, control)

    async def assert_denied(self, sql: str, params: Params = None) -> None:
        """A privilege is missing, or a function refuses: 42501, and no policy's WITH CHECK."""
        __tracebackhide__ = True
        await self._expect("denied", sql, params)

    async def assert_violates(self, sql: str, params: Params = None) -> None:
        """A policy's WITH CHECK refuses the new row."""
        __tracebackhide__ = True
        await self._expect("violates", sql, params)

    async def assert_fails(self, sqlstate: str, sql: str, params: Params = None) -> None:
        """A statement fails with an SQLSTATE: `"23514"` for a check constraint."""
        __tracebackhide__ = True
        await self._expect(sqlstate, sql, params)

    async def assert_untouched(
        self, target: str, target_params: Params = None, *, by: str, params: Params = None
    ) -> None:
        """What `target` selects as the owner is the same after the statement `by`, allowed or not.

        For an UPDATE or DELETE without WHERE, and for functions: their count does not say whose rows they reached.
        Fails also where the owner's own try of the statement would leave the target as it is.
        """
        __tracebackhide__ = True
        attempt = self._attempt(by, params)
        await self._run(assertions.expect_untouched(self._rls.owner.identity, attempt, (target, target_params)))

    async def _expect(self, expected: str, sql: str, params: Params, control: Control = None) -> None:
        __tracebackhide__ = True
        attempt = self._attempt(sql, params)
        await self._run(assertions.expect(self._rls.owner.identity, attempt, expected, control=control))

    def _attempt(self, sql: str, params: Params) -> Attempt:
        return Attempt(self.identity, sql, params)

    async def _run(self, work: Steps[T]) -> T:
        __tracebackhide__ = True
        return await run(self.connection, work)

    def __repr__(self) -> str:
        return f"<AsyncCaller {self.identity}>"
