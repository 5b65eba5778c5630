"""Apply a file that cannot run in a transaction (`--! transaction:false`): one statement, then its ledger row.

Only one runner may be at it. The lock belongs to a transaction of a second connection, which stays open
meanwhile: a session lock would get lost in a transaction-mode pooler, and an open transaction of this
connection is just what the statement cannot have. Between its statements it holds no snapshot (it is READ
COMMITTED), so `create index concurrently` does not wait for it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import IsolationLevel, sql

from supabase_jobs.database.connection import Connection, second_connection
from supabase_jobs.errors import BusyError, MigrationError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.locks import BlockingSession, LockOptions, with_runner_lock
from supabase_jobs.migrations.runner import AlreadyAppliedError, explain_lost_connection, record
from supabase_jobs.parser import syntax
from supabase_jobs.parser.statements import Statement, split
from supabase_jobs.sources.files import Migration

# an idle transaction holds the lock for as long as the statement takes; the second setting is PostgreSQL 17's
_STAY = """
select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings
where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
# what another session is building just now is INVALID too, and none of our business
_INVALID = """
select n.nspname, i.relname
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where not x.indisvalid
  and i.relkind = 'i'
  and not exists (select from pg_catalog.pg_stat_progress_create_index as p where p.index_relid = x.indexrelid)
"""
_OF_NAME = """
select n.nspname, i.relname, x.indisvalid, pg_catalog.pg_get_indexdef(x.indexrelid)
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where i.relname = %s
  and x.indrelid = pg_catalog.to_regclass(
    pg_catalog.concat_ws('.', pg_catalog.quote_ident(%s), pg_catalog.quote_ident(%s))
  )
"""
_HALF = "it may be half done: an index of its name that is INVALID is dropped by the next run"


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
    connection: Connection, migration: Migration, lock_options: LockOptions, narrate: Callable[[str], None]
) -> None:
    """Apply a file of one statement outside a transaction.

    Running it again goes on: a `create index concurrently` that failed has left an INVALID index of its name, which is
    dropped; one that was cut off before its ledger row has left a good one, which is recorded. Raises
    AlreadyAppliedError, BusyError (5), ConnectError (7), and MigrationError (6), which names the indexes left INVALID.
    """
    [statement] = [s for s in split(migration.text) if syntax.parse(s.text) != []]

    def work(_seen: list[BlockingSession]) -> None:
        keeper.execute(_STAY)
        with _second_connection(connection, migration):
            rows = ledger.read(connection)
        if any(row.version == migration.version for row in rows):
            raise AlreadyAppliedError
        with _half_done(connection, migration, narrate):
            connection.execute("reset all")
            if not _built_before(connection, statement, narrate):
                _run(connection, migration, statement)
            connection.execute("reset all")
            record(connection, migration, split(migration.text))

    with second_connection(connection) as keeper:
        keeper.isolation_level = IsolationLevel.READ_COMMITTED
        with_runner_lock(keeper, lock_options, migration.file_name, work)


def _second_connection(connection: Connection, migration: Migration) -> AbstractContextManager[None]:
    """Say what it means when a pooler has no server connection left beside the one that holds the lock."""
    return explain_lost_connection(
        connection,
        migration,
        f"{migration.file_name} needs two connections at once, and the second was not to be had; nothing was done",
        "Give the pooler a larger pool, or connect to the session pooler or the database itself (port 5432).",
    )


@contextmanager
def _half_done(connection: Connection, migration: Migration, narrate: Callable[[str], None]) -> Iterator[None]:
    """Say that a file may be half done where its connection is lost or it is interrupted."""
    what = f"the connection was lost while applying {migration.file_name}, outside a transaction; {_HALF}"
    try:
        with explain_lost_connection(connection, migration, what, "Run `supabase-jobs apply` again."):
            yield
    except KeyboardInterrupt:
        narrate(f"{migration.file_name} ran outside a transaction; {_HALF}")
        raise


def _built_before(connection: Connection, statement: Statement, narrate: Callable[[str], None]) -> bool:
    """Whether an earlier attempt has built the index; drops what one has left INVALID."""
    for node in syntax.parse(statement.text) or []:
        index = syntax.concurrent_index(node)
        if index is None:
            continue
        schema, table, name = index
        for found_schema, found_name, valid, definition in connection.execute(
            _OF_NAME, (name, schema, table)
        ).fetchall():
            found = _Index(found_schema, found_name)
            if not valid:
                connection.execute(sql.SQL("drop index concurrently {}").format(found.identifier))
                narrate(f"dropped {found}, which an earlier attempt had left INVALID")
            elif syntax.same_index(statement.text, definition):
                narrate(f"{found} is there already, built by an attempt that was cut off; it is recorded as applied")
                return True
    return False


def _run(connection: Connection, migration: Migration, statement: Statement) -> None:
    before = _invalid(connection)
    try:
        connection.execute(statement.text.encode(), binary=True)
    except psycopg.Error as error:
        if connection.broken:
            raise
        left = sorted(map(str, _invalid(connection) - before))
        half = f"it left INVALID: {', '.join(left)}" if left else "it left no INVALID index"
        what = f"{migration.file_name} failed outside a transaction: {error.diag.message_primary or error}; {half}"
        hint = (
            "Mend the cause and run apply again: an INVALID index of the file's own name is dropped first, any other"
            " (…_ccnew) drop with: drop index concurrently NAME; where an earlier run was cut off after its work,"
            " write if [not] exists."
        )
        if isinstance(error, psycopg.errors.LockNotAvailable):
            raise BusyError(what, hint=hint, sqlstate=error.sqlstate, file=migration.label) from None
        position = error.diag.statement_position
        raise MigrationError(
            what,
            hint=hint,
            sqlstate=error.sqlstate,
            file=migration.label,
            line=statement.line_at(int(position)) if position else statement.line,
        ) from None


def _invalid(connection: Connection) -> set[_Index]:
    return {_Index(*row) for row in connection.execute(_INVALID)}
