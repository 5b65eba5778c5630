"""The fixture `rls`: impersonation on a psycopg.Connection."""

# Made of rls_async.py by scripts/twin.py: edit that file.

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Self, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from supabase_jobs.database.batch import Answer, GroupResult, Statement
from supabase_jobs.database.connection import connect_plain
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


def run(connection: psycopg.Connection[Any], steps: Steps[T]) -> T:
    """Execute the statements of each step, and send the results of its groups."""
    __tracebackhide__ = True
    try:
        groups = next(steps)
        while True:
            try:
                results = [_group(connection, group) for group in groups]
            # an interrupt, so that the generator rolls back
            except BaseException as error:  # noqa: BLE001
                groups = steps.throw(error)
            else:
                groups = steps.send(results)
    except StopIteration as stop:
        return cast(T, stop.value)


def _group(connection: psycopg.Connection[Any], group: Sequence[Statement]) -> GroupResult:
    answers: list[Answer] = []
    for statement in group:
        try:
            answers.append(_execute(connection, statement))
        except psycopg.Error as error:
            return GroupResult(tuple(answers), error)
    return GroupResult(tuple(answers))


def _execute(connection: psycopg.Connection[Any], statement: Statement) -> Answer:
    cursor: psycopg.Cursor[Any]
    if not isinstance(statement, UserStatement):
        cursor = psycopg.RawCursor(connection, row_factory=tuple_row)
    elif statement.as_tuples:
        cursor = connection.cursor(row_factory=tuple_row)
    else:
        cursor = connection.cursor()
    with cursor:
        cursor.execute(statement.sql.encode(), statement.params)
        while cursor.nextset():
            pass
        rows = cursor.fetchall() if cursor.description else []
        return Answer(rows, cursor.rowcount)


class Rls(CallerFactory["Caller"]):
    """Creates callers on one connection, in a transaction that is rolled back; see the fixture
    `rls`.

    Without the fixture, use `with Rls(connection) as rls:`. Given a URL, it connects in
    the `with` statement.
    """

    connection: psycopg.Connection[Any]
    owner: "Caller"
    """The role of the connection: it inserts fixture rows, and reads all rows of its tables."""

    def __init__(
        self,
        connection: psycopg.Connection[Any] | str,
        *,
        guest_header: str | Callable[[], str] | None = None,
        allow_remote: bool = False,
    ) -> None:
        super().__init__(guest_header)
        self._source = connection
        if not isinstance(connection, str):
            self.connection = connection
        self._allow_remote = allow_remote
        self._open: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        self._open = self._transaction()
        self._open.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        assert self._open is not None  # noqa: S101  __enter__ was before
        self._open.__exit__(*error)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with ExitStack() as stack:
            if isinstance(self._source, str):
                require_local(self._source, self._allow_remote)
                self.connection = stack.enter_context(connect_plain(self._source))
            require_local(self.connection.info, self._allow_remote)
            stack.enter_context(self.connection.transaction(force_rollback=True))
            run(self.connection, require_embedded(self._allow_remote))
            self.owner = self._caller(run(self.connection, impersonation.begin()))
            yield
            is_aborted(self.connection.info)  # raises an error if the test ended the transaction

    def _caller(self, identity: session_caller.Caller) -> "Caller":
        return Caller(self, identity)

    def new_user(
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
        user, _ = run(self.connection, steps)
        return user

    def __repr__(self) -> str:
        if isinstance(self._source, str) and self._open is None:
            return "<Rls, not connected: use with>"
        info = self.connection.info
        return f"<Rls on {info.host}:{info.port}/{info.dbname} as {info.user}>"


class Caller:
    """Runs statements as one identity.

    `execute`, `rows` and `value` keep their changes until the test ends. The assertions and
    `outcome` roll back their statement. As a context manager it makes the connection itself act as
    this caller, for code that takes a connection.
    """

    def __init__(self, rls: Rls, identity: session_caller.Caller) -> None:
        self._rls = rls
        self.identity = identity
        self._saved: list[SavedState] = []

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, which acts as this caller inside `with caller:`."""
        return self._rls.connection

    def __enter__(self) -> Self:
        self._saved.append(self._run(impersonation.impersonate(self.identity)))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # an aborted transaction rolls back the whole block, as it would roll back a whole request
        rollback = is_aborted(self.connection.info) or kind is not None
        self._run(impersonation.restore(self._saved.pop(), rollback=rollback))

    def execute(self, sql: str, params: Params = None) -> Result:
        """Run a statement and keep its changes. If it fails, psycopg's error is raised and only it
        is rolled back.
        """
        return self._run(impersonation.execute(self._execution(sql, params)))

    def rows(self, sql: str, params: Params = None) -> list[Any]:
        """Run a statement and return its rows."""
        result = self.execute(sql, params)
        return result.rows

    def value(self, sql: str, params: Params = None) -> Any:
        """Run a statement and return the first value of its first row; None without a row."""
        rows = self.rows(sql, params)
        if not rows:
            return None
        return next(iter(rows[0].values() if isinstance(rows[0], dict) else rows[0]))

    def outcome(self, sql: str, params: Params = None) -> Outcome:
        """The outcome of a statement, which is rolled back. `hidden` has no control here: prefer
        the assertions.
        """
        execution = self._execution(sql, params)
        return self._run(impersonation.rolled_back(lambda: assertions.outcome(execution)))

    def assert_allowed(
        self, sql: str, params: Params = None, *, count: int | None = None
    ) -> list[Any]:
        """The statement reaches at least one row, or exactly `count`. Returns its rows."""
        __tracebackhide__ = True
        execution = self._execution(sql, params)
        steps = assertions.expect_rows(self._rls.owner.identity, execution, count)
        result = self._run(steps)
        return result.rows

    def assert_hidden(self, sql: str, params: Params = None, *, control: Control = None) -> None:
        """A SELECT, UPDATE or DELETE succeeds with no row, and with at least one row for the owner.

        Pass `control`, SQL or a tuple of SQL and its parameters, if the statement itself fails for
        the owner. It must find the row as the owner.
        """
        __tracebackhide__ = True
        self._expect(HIDDEN, sql, params, control)

    def assert_denied(self, sql: str, params: Params = None) -> None:
        """The statement fails with 42501: a privilege is missing or a function raised it, not WITH
        CHECK.
        """
        __tracebackhide__ = True
        self._expect(DENIED, sql, params)

    def assert_violates(self, sql: str, params: Params = None) -> None:
        """The statement fails with 42501 because a policy's WITH CHECK refuses the row."""
        __tracebackhide__ = True
        self._expect(VIOLATES, sql, params)

    def assert_fails(self, sqlstate: str, sql: str, params: Params = None) -> None:
        """The statement fails with this SQLSTATE: `"23514"` for a check constraint."""
        __tracebackhide__ = True
        self._expect(sqlstate, sql, params)

    def assert_outcome(
        self, expected: str, sql: str, params: Params = None, *, control: Control = None
    ) -> None:
        """The statement has this outcome: rows, hidden, denied, violates, or an SQLSTATE. For
        tables of test cases.
        """
        __tracebackhide__ = True
        self._expect(expected, sql, params, control)

    def assert_untouched(
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
        self._run(
            assertions.expect_untouched(
                self._rls.owner.identity, execution, (target, target_params)
            )
        )

    def _expect(self, expected: str, sql: str, params: Params, control: Control = None) -> None:
        __tracebackhide__ = True
        execution = self._execution(sql, params)
        self._run(assertions.expect(self._rls.owner.identity, execution, expected, control=control))

    def _execution(self, sql: str, params: Params) -> Execution:
        return Execution(self.identity, sql, params)

    def _run(self, steps: Steps[T]) -> T:
        __tracebackhide__ = True
        return run(self.connection, steps)

    def __repr__(self) -> str:
        return f"<Caller {self.identity}>"
