"""Rows that decide access and belong to no user: of the migrations, or of the original."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supabase_jobs.database.batch import Statement, read, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.findings import NotTested
from supabase_jobs.session.savepoint import run_undone
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.sources.files import Migration

_QUERIES = sql_files(Path(__file__).with_name("reference"))
# a table with more rows than a person writes is no reference
MAX_ROWS = 1000
_HELP = "Run it where the project's migrations are: their own statements insert rows."


@dataclass(frozen=True)
class _Table:
    """Statements for one table: see tables.sql."""

    name: str
    has_rows: str
    query: str
    statement: str
    texts: str
    may_be_single: bool

    def is_copied(self, rows: Sequence[str]) -> bool:
        """Whether the rows are a reference. A single row of settings is not: the audit makes its
        own, in each state.
        """
        return 0 < len(rows) <= MAX_ROWS and not (self.may_be_single and len(rows) == 1)


def insert_of_migrations(owner: Connection, migrations: Iterable[Migration]) -> None:
    """Run the statements of the migrations that insert rows; those that fail depend on rows that
    only the original has.
    """
    inserts = [
        statement.text
        for migration in migrations
        for statement in migration.statements
        if _inserts(statement.text)
    ]
    run_groups(owner, [[Statement(text)] for text in inserts])


@dataclass
class CopiedRows:
    """The texts in the rows, which no report may print, and the tables whose rows are missing."""

    texts: list[str] = field(default_factory=list)
    lacking: list[NotTested] = field(default_factory=list)


def copy_rows(original: Connection, superuser: Connection, owner: Connection) -> CopiedRows:
    """Copy the reference rows that the copy lacks.

    The owner inserts them, because checks and types run code of the project. One round trip to the
    original, in a transaction that only reads. Tables with more than MAX_ROWS
    rows are left out, and those that the role may not read.
    """
    tables = [_Table(*row) for row in _QUERIES["tables"].rows(superuser, MAX_ROWS)]
    filled = read(superuser, [Statement(table.has_rows) for table in tables]) if tables else []
    missing = [t for t, [(has_rows,)] in zip(tables, filled, strict=True) if not has_rows]
    copied = CopiedRows()
    if not missing:
        return copied
    # neither triggers nor foreign keys
    owner.execute("set session_replication_role = replica")
    for table, rows in zip(missing, _read(original, missing), strict=True):
        if not table.is_copied(rows):
            continue
        insert = Statement(table.statement, (rows,), numbered=True)
        [result] = run_groups(owner, [[insert, Statement(table.texts)]])
        if result.error is None:
            copied.texts += [text for (text,) in result.answer().rows]
        else:
            why = f"its rows were not copied: SQLSTATE {result.error.sqlstate}"
            copied.lacking.append(NotTested(table.name, why, _HELP))
    owner.execute("reset session_replication_role")
    return copied


def advance_sequences(owner: Connection) -> None:
    """Let the sequences go on behind the rows: the rows of an audit must not repeat their numbers.
    Those that the owner may not set stay.
    """
    statements = [text for (text,) in _QUERIES["sequences"].rows(owner)]
    run_groups(owner, [[Statement(text)] for text in statements])


def _read(original: Connection, tables: Sequence[_Table]) -> list[list[str]]:
    """The rows of each table as texts; none of a table that the role may not read."""
    results = run_undone(
        original,
        [[Statement(table.query)] for table in tables],
        first=[Statement("begin read only"), Statement(SETTINGS)],
        last=[Statement("rollback")],
    )
    texts: list[list[str]] = []
    for result in results:
        rows = [] if result.error is not None else result.answer().rows
        texts.append([text for (text,) in rows])
    return texts


def _inserts(text: str) -> bool:
    nodes = syntax.parse(text) if "insert" in text.lower() else None
    return bool(nodes) and all("InsertStmt" in node for node in nodes or ())
