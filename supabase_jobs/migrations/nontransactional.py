"""Apply a file that cannot run in a transaction (`--! transaction:false`): one statement, or
several that create and drop indexes, then its ledger row.

The runner lock belongs to a transaction of a second connection, which stays open meanwhile: a
session lock would be lost in a transaction-mode pooler, and the connection that runs the statement
must have no open transaction. The second transaction is READ COMMITTED and holds no snapshot
between its statements, so `create index concurrently` does not wait for it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import IsolationLevel, sql

from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.database.errors import explain_lost_connection, public_message
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.errors import BusyError, MigrationError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.ledger import LedgerChangedError
from supabase_jobs.migrations.locks import LockOptions, with_runner_lock
from supabase_jobs.sources.files import Migration

# the transaction that holds the lock is idle while the statement runs; transaction_timeout is new
# in PostgreSQL 17
_DISABLE_TIMEOUTS = """
select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings
where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
# without the indexes that other sessions are building, which are INVALID too
_INVALID_INDEXES = """
select n.nspname, i.relname
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where not x.indisvalid
  and i.relkind = 'i'
  and not exists (
    select from pg_catalog.pg_stat_progress_create_index as p where p.index_relid = x.indexrelid
  )
"""
_INDEXES_BY_NAME = """
select n.nspname, i.relname, x.indisvalid, pg_catalog.pg_get_indexdef(x.indexrelid)
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where i.relname = %s
  and x.indrelid = pg_catalog.to_regclass(
    pg_catalog.concat_ws('.', pg_catalog.quote_ident(%s), pg_catalog.quote_ident(%s))
  )
"""
_HALF_DONE = "it may be half done; the next run drops an INVALID index of the same name"


@dataclass(frozen=True)
class _Index:
    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return self.identifier.as_string(None)


def apply_nontransactional(
    connection: Connection,
    migration: Migration,
    digests: dict[str, str | None],
    lock_options: LockOptions,
    narrate: Callable[[str], None],
) -> None:
    """Apply a file outside a transaction.

    A second run resumes: it drops the INVALID index that a failed `create index concurrently` has
    left, and does not build a valid one again. Raises
    LedgerChangedError if the ledger no longer has these `digests`, BusyError (5), ConnectError (7),
    and MigrationError (6), which names the indexes left INVALID.
    """
    statements = [s for s in migration.statements if syntax.parse(s.text) != []]

    def work() -> None:
        lock_holder.execute(_DISABLE_TIMEOUTS)
        with _explain_exhausted_pool(connection, migration):
            current = ledger.digests(connection)
        if current != digests:
            raise LedgerChangedError
        with _explain_half_done(connection, migration, narrate):
            for statement in statements:
                connection.execute("reset all")
                if not _built_before(connection, statement, narrate):
                    _run(connection, migration, statement)
            connection.execute("reset all")
            ledger.insert(connection, migration)

    with second_connection(connection) as lock_holder:
        lock_holder.isolation_level = IsolationLevel.READ_COMMITTED
        with_runner_lock(lock_holder, lock_options, migration.file_name, work)


def _explain_exhausted_pool(
    connection: Connection, migration: Migration
) -> AbstractContextManager[None]:
    return explain_lost_connection(
        connection,
        f"{migration.file_name} needs two connections at once, but the second one was refused;"
        " nothing was changed",
        hint="Increase the size of the pool, or connect to the session pooler or directly to the"
        " database (port 5432).",
        file=migration.label,
    )


@contextmanager
def _explain_half_done(
    connection: Connection, migration: Migration, narrate: Callable[[str], None]
) -> Iterator[None]:
    """Report that a file may be half done if the connection is lost or the run is interrupted."""
    message = (
        f"the connection was lost while applying {migration.file_name}, outside a"
        f" transaction; {_HALF_DONE}"
    )
    try:
        with explain_lost_connection(
            connection, message, hint="Run `supabase-jobs apply` again.", file=migration.label
        ):
            yield
    except KeyboardInterrupt:
        narrate(f"{migration.file_name} ran outside a transaction; {_HALF_DONE}")
        raise


def _built_before(
    connection: Connection, statement: FileStatement, narrate: Callable[[str], None]
) -> bool:
    """Whether an earlier run has built the index; drops one that it has left INVALID."""
    for node in syntax.parse(statement.text) or []:
        wanted = syntax.concurrent_index(node)
        if wanted is None:
            continue
        schema, table, name = wanted
        existing = connection.execute(_INDEXES_BY_NAME, (name, schema, table)).fetchall()
        for index_schema, index_name, valid, definition in existing:
            index = _Index(index_schema, index_name)
            if not valid:
                connection.execute(sql.SQL("drop index concurrently {}").format(index.identifier))
                narrate(f"dropped {index}, which an earlier run had left INVALID")
            elif syntax.same_index(statement.text, definition):
                narrate(f"{index} exists already: an earlier run has built it")
                return True
    return False


def _run(connection: Connection, migration: Migration, statement: FileStatement) -> None:
    before = _invalid_indexes(connection)
    try:
        connection.execute(statement.text.encode(), binary=True)
    except psycopg.Error as error:
        if connection.broken or isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            raise
        invalid = sorted(map(str, _invalid_indexes(connection) - before))
        state = f"it left INVALID: {', '.join(invalid)}" if invalid else "it left no INVALID index"
        message = (
            f"{migration.file_name} failed outside a transaction:"
            f" {public_message(error) or error}; {state}"
        )
        hint = (
            "Fix the cause and run apply again: it first drops an INVALID index of the file's own"
            " name. Drop any other"
            " (…_ccnew) with: drop index concurrently NAME. If an earlier run was interrupted after"
            " the statement had succeeded, add if [not] exists to it."
        )
        if isinstance(error, psycopg.errors.LockNotAvailable):
            raise BusyError(
                message, hint=hint, sqlstate=error.sqlstate, file=migration.label
            ) from None
        raise MigrationError(
            message,
            hint=hint,
            sqlstate=error.sqlstate,
            file=migration.label,
            line=statement.line_at(error.diag.statement_position),
        ) from None


def _invalid_indexes(connection: Connection) -> set[_Index]:
    return {_Index(*row) for row in connection.execute(_INVALID_INDEXES)}
