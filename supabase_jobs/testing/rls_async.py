"""The fixture `rls_async`: impersonation on a psycopg.AsyncConnection."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.connection import connect_async
from supabase_jobs.outcomes import DENIED, HIDDEN, VIOLATES
from supabase_jobs.session import caller as session_caller
from supabase_jobs.session.steps import Steps
from supabase_jobs.testing import assertions, impersonation
from supabase_jobs.testing.assertions import Control, Outcome
from supabase_jobs.testing.database import require_embedded, require_local
from supabase_jobs.testing.impersonation import (
    CallerFactory,
    Execution,
    Params,
    Result,
    SavedState,
    UserStatement,
    is_aborted,
)

T = TypeVar("T")


async def run(connection: psycopg.AsyncConnection[Any], steps: Steps[T]) -> T:
    """Execute the statements of each step, and send the results of its groups."""
    __tracebackhide__ = True
    try:
        groups = next(steps)
        while True:
            try:
                results = [await _group(connection, group) for group in groups]
            # an interrupt, so that the generator rolls back
            except BaseException as error:  # noqa: BLE001
                groups = steps.throw(error)
            else:
                groups = steps.send(results)
    except StopIteration as stop:
        return cast(T, stop.value)


async def _group(
    connection: psycopg.AsyncConnection[Any], group: Sequence[Statement]
) -> GroupResult:
    answers: list[Answer] = []
    for statement in group:
        try:
            answers.append(await _execute(connection, statement))
        except psycopg.Error as error:
            return GroupResult(tuple(answers), error)
    return GroupResult(tuple(answers))


async def _execute(connection: psycopg.AsyncConnection[Any], statement: Statement) -> Answer:
    cursor: psycopg.AsyncCursor[Any]
    if not isinstance(statement, UserStatement):
        cursor = psycopg.AsyncRawCursor(connection, row_factory=tuple_row)
    elif statement.as_tuples:
        cursor = connection.cursor(row_factory=tuple_row)
    else:
        cursor = connection.cursor()
    async with cursor:
        await cursor.execute(statement.sql.encode(), statement.params)
        while cursor.nextset():
            pass
        rows = await cursor.fetchall() if cursor.description else []
        return Answer(rows, cursor.rowcount)


class AsyncRls(CallerFactory["AsyncCaller"]):
    """Creates callers on one connection, in a transaction that is rolled back; see the fixture
    `rls_async`.

    Without the fixture, use `async with AsyncRls(connection) as rls:`. Given a URL, it connects in
    the `async with` statement.
    """

    connection: psycopg.AsyncConnection[Any]
    owner: "AsyncCaller"
    """The role of the connection: it inserts fixture rows, and reads all rows of its tables."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any] | str,
        *,
        guest_header: str | Callable[[], str] | None = None,
        allow_remote: bool = False,
    ) -> None:
        super().__init__(guest_header)
        self._source = connection
        if not isinstance(connection, str):
            self.connection = connection
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
            if isinstance(self._source, str):
                require_local(self._source, self._allow_remote)
                self.connection = await stack.enter_async_context(await connect_async(self._source))
            require_local(self.connection.info, self._allow_remote)
            await stack.enter_async_context(self.connection.transaction(force_rollback=True))
            await run(self.connection, require_embedded(self._allow_remote))
            self.owner = self._caller(await run(self.connection, impersonation.begin()))
            yield
            is_aborted(self.connection.info)  # raises an error if the test ended the transaction

    def _caller(self, identity: session_caller.Caller) -> "AsyncCaller":
        return AsyncCaller(self, identity)

    async def new_user(
        self,
        *,
        email: str | None = None,
        is_anonymous: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """Create a user as Auth does at sign-up, as the owner, and return its id; it is rolled back
        after the test.

        A user has an address, made up unless `email` is given; an anonymous user has none.
        `metadata` are keys of raw_user_meta_data in addition to name, full_name, user_name and
        avatar_url. If a trigger or constraint of the project requires other values, these are found
        where possible; otherwise raises SignUpRejectedError.
        """
        steps = impersonation.new_user(self.owner.identity, email, is_anonymous, metadata)
        user, _ = await run(self.connection, steps)
        return user

    def __repr__(self) -> str:
        if isinstance(self._source, str) and self._open is None:
            return "<AsyncRls, not connected: use async with>"
        info = self.connection.info
        return f"<AsyncRls on {info.host}:{info.port}/{info.dbname} as {info.user}>"


class AsyncCaller:
    """Runs statements as one identity.

    `execute`, `rows` and `value` keep their changes until the test ends. The assertions and
    `outcome` roll back their statement. As a context manager it makes the connection itself act as
    this caller, for code that takes a connection.
    """

    def __init__(self, rls: AsyncRls, identity: session_caller.Caller) -> None:
        self._rls = rls
        self.identity = identity
        self._saved: list[SavedState] = []

    @property
    def connection(self) -> psycopg.AsyncConnection[Any]:
        """The connection, which acts as this caller inside `with caller:`."""
        return self._rls.connection

    async def __aenter__(self) -> Self:
        self._saved.append(await self._run(impersonation.impersonate(self.identity)))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # an aborted transaction rolls back the whole block, as it would roll back a whole request
        rollback = is_aborted(self.connection.info) or kind is not None
        await self._run(impersonation.restore(self._saved.pop(), rollback=rollback))

    async def execute(self, sql: str, params: Params = None) -> Result:
        """Run a statement and keep its changes. If it fails, psycopg's error is raised and only it
        is rolled back.
        """
        return await self._run(impersonation.execute(self._execution(sql, params)))

    async def rows(self, sql: str, params: Params = None) -> list[Any]:
        """Run a statement and return its rows."""
        result = await self.execute(sql, params)
        return result.rows

    async def value(self, sql: str, params: Params = None) -> Any:
        """Run a statement and return the first value of its first row; None without a row."""
        rows = await self.rows(sql, params)
        if not rows:
            return None
        return next(iter(rows[0].values() if isinstance(rows[0], dict) else rows[0]))

    async def outcome(self, sql: str, params: Params = None) -> Outcome:
        """The outcome of a statement, which is rolled back. `hidden` has no control here: prefer
        the assertions.
        """
        execution = self._execution(sql, params)
        return await self._run(impersonation.rolled_back(lambda: assertions.outcome(execution)))

    async def assert_allowed(
        self, sql: str, params: Params = None, *, count: int | None = None
    ) -> list[Any]:
        """The statement reaches at least one row, or exactly `count`. Returns its rows."""
        __tracebackhide__ = True
        execution = self._execution(sql, params)
        steps = assertions.expect_rows(self._rls.owner.identity, execution, count)
        result = await self._run(steps)
        return result.rows

    async def assert_hidden(
        self, sql: str, params: Params = None, *, control: Control = None
    ) -> None:
        """A SELECT, UPDATE or DELETE succeeds with no row, and with at least one row for the owner.

        Pass `control`, SQL or a tuple of SQL and its parameters, if the statement itself fails for
        the owner. It must find the row as the owner.
        """
        __tracebackhide__ = True
        await self._expect(HIDDEN, sql, params, control)

    async def assert_denied(self, sql: str, params: Params = None) -> None:
        """The statement fails with 42501: a privilege is missing or a function raised it, not WITH
        CHECK.
        """
        __tracebackhide__ = True
        await self._expect(DENIED, sql, params)

    async def assert_violates(self, sql: str, params: Params = None) -> None:
        """The statement fails with 42501 because a policy's WITH CHECK refuses the row."""
        __tracebackhide__ = True
        await self._expect(VIOLATES, sql, params)

    async def assert_fails(self, sqlstate: str, sql: str, params: Params = None) -> None:
        """The statement fails with this SQLSTATE: `"23514"` for a check constraint."""
        __tracebackhide__ = True
        await self._expect(sqlstate, sql, params)

    async def assert_outcome(
        self, expected: str, sql: str, params: Params = None, *, control: Control = None
    ) -> None:
        """The statement has this outcome: rows, hidden, denied, violates, or an SQLSTATE. For
        tables of test cases.
        """
        __tracebackhide__ = True
        await self._expect(expected, sql, params, control)

    async def assert_untouched(
        self, target: str, target_params: Params = None, *, by: str, params: Params = None
    ) -> None:
        """The owner's result of the query `target` is the same after the statement `by`, which may
        be refused.

        For an UPDATE or DELETE without WHERE, and for functions: their row count does not show
        whose rows they changed. Also fails if the statement would not change the target for the
        owner either.
        """
        __tracebackhide__ = True
        execution = self._execution(by, params)
        await self._run(
            assertions.expect_untouched(
                self._rls.owner.identity, execution, (target, target_params)
            )
        )

    async def _expect(
        self, expected: str, sql: str, params: Params, control: Control = None
    ) -> None:
        __tracebackhide__ = True
        execution = self._execution(sql, params)
        await self._run(
            assertions.expect(self._rls.owner.identity, execution, expected, control=control)
        )

    def _execution(self, sql: str, params: Params) -> Execution:
        return Execution(self.identity, sql, params)

    async def _run(self, steps: Steps[T]) -> T:
        __tracebackhide__ = True
        return await run(self.connection, steps)

    def __repr__(self) -> str:
        return f"<AsyncCaller {self.identity}>"
