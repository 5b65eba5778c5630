"""Apply a file that cannot run in a transaction (`--! transaction:false`): one statement, then its ledger row.

Only one runner may be at it. The lock belongs to a transaction of a second connection, which stays open
meanwhile: a session lock would get lost in a transaction-mode pooler, and an open transaction of this
connection is just what the statement cannot have. It holds no snapshot, so nobody waits for it.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from supabase_jobs import ledger, syntax
from supabase_jobs.blockers import Blocker
from supabase_jobs.database import Connection, twin
from supabase_jobs.errors import MigrationError
from supabase_jobs.runner import Patience, TakenError, patiently, record, told_when_lost
from supabase_jobs.sqlfiles import Migration
from supabase_jobs.statements import Statement, split

# an idle transaction holds the lock for as long as the statement takes
_STAY = "select pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)"

_INVALID = """
select n.nspname, i.relname
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where not x.indisvalid and i.relkind = 'i'
"""
_INVALID_ON = """
select n.nspname, i.relname
from pg_catalog.pg_index as x
inner join pg_catalog.pg_class as i on x.indexrelid = i.oid
inner join pg_catalog.pg_namespace as n on i.relnamespace = n.oid
where not x.indisvalid
  and i.relname = %s
  and x.indrelid = pg_catalog.to_regclass(
    pg_catalog.concat_ws('.', pg_catalog.quote_ident(%s), pg_catalog.quote_ident(%s))
  )
"""


@dataclass(frozen=True)
class _Index:
    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return self.identifier.as_string(None)


def apply_untransacted(connection: Connection, migration: Migration, patience: Patience) -> list[str]:
    """Apply a file of one statement outside a transaction; returns lines about what it cleared away first.

    A `create index concurrently` that failed before has left an INVALID index of its name: it is dropped,
    so that running the file again goes on. Raises TakenError, BusyError (5), ConnectError (7), and MigrationError (6),
    which names the indexes that the failure left INVALID.
    """
    [statement] = [s for s in split(migration.text) if syntax.parse(s.text) != []]

    def work(_seen: list[Blocker]) -> list[str]:
        keeper.execute(_STAY)
        if any(row.version == migration.version for row in ledger.read(connection)):
            raise TakenError
        connection.execute("reset all")
        said = _clear_leftover(connection, statement)
        _run(connection, migration, statement)
        record(connection, migration, split(migration.text))
        return said

    with told_when_lost(connection, migration), twin(connection) as keeper:
        return patiently(keeper, patience, migration.file_name, work)


def _clear_leftover(connection: Connection, statement: Statement) -> list[str]:
    said = []
    for node in syntax.parse(statement.text) or []:
        index = syntax.concurrent_index(node)
        if index is None or index[2] is None:
            continue
        schema, table, name = index
        for left in [_Index(*row) for row in connection.execute(_INVALID_ON, (name, schema, table))]:
            connection.execute(sql.SQL("drop index concurrently {}").format(left.identifier))
            said.append(f"dropped {left}, which an earlier attempt had left INVALID")
    return said


def _run(connection: Connection, migration: Migration, statement: Statement) -> None:
    before = _invalid(connection)
    try:
        connection.execute(statement.text.encode())
    except psycopg.errors.LockNotAvailable:
        raise
    except psycopg.Error as error:
        if connection.broken:
            raise
        left = sorted(map(str, _invalid(connection) - before))
        position = error.diag.statement_position
        half = f"it left INVALID: {', '.join(left)}" if left else "it left no INVALID index"
        raise MigrationError(
            f"{migration.file_name} failed outside a transaction: {error.diag.message_primary or error}; {half}",
            hint="Mend the cause and run apply again: an INVALID index of the file's own name is dropped first,"
            " any other (…_ccnew) drop with: drop index concurrently NAME;",
            sqlstate=error.sqlstate,
            file=migration.label,
            line=statement.line_at(int(position)) if position else statement.line,
        ) from None


def _invalid(connection: Connection) -> set[_Index]:
    return {_Index(*row) for row in connection.execute(_INVALID)}
