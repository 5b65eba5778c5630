"""Run SQL files on an embedded server; a statement that fails is left out, and named."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import psycopg

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement
from supabase_jobs.errors import MigrationError
from supabase_jobs.findings import NotTested
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.extensions import UnknownExtension
from supabase_jobs.projects.statements import functions, tables
from supabase_jobs.session.savepoint import AFTER_STEPS, BEFORE_STEPS, keeping
from supabase_jobs.sources.files import Migration

_SETTINGS = [Statement("reset role"), Statement("reset all")]
_BEGIN = [Statement("begin"), *_SETTINGS]
_END = [Statement("set constraints all immediate"), *_SETTINGS, Statement("commit")]
# they make queries fast, document, or change rows, and the audit inserts rows of its own
_HARMLESS = frozenset(
    {
        *("CommentStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "CopyStmt", "MergeStmt"),
        *("AlterPublicationStmt", "CreatePublicationStmt", "VacuumStmt", "ReindexStmt"),
        *("CreateStatsStmt", "AlterSystemStmt", "VariableSetStmt", "NotifyStmt"),
    }
)
# what a statement wants to drop is not there
_UNDEFINED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)
# files with a warning of their own
_SHOWN = 10
_PUSH_FAILS = "`supabase db push` and `db reset` stop there too: correct the file."
_NEEDS_EXTENSION = (
    "Audit a database that has the extension: supabase-jobs audit --db-url URL. Or install a"
    " PostgreSQL that has it."
)


@dataclass(frozen=True)
class Omission:
    """A statement of a file that failed, and the server's reason."""

    migration: Migration
    statement: FileStatement
    error: psycopg.Error

    @property
    def is_decisive(self) -> bool:
        """Whether who can do what may differ without it."""
        nodes: Sequence[syntax.Node] = syntax.parse(self.statement.text) or [{"unknown": {}}]
        for node in nodes:
            kind, fields = next(iter(node.items()))
            is_plain_index = kind == "IndexStmt" and not fields.get("unique")
            is_gone = kind == "DropStmt" and isinstance(self.error, _UNDEFINED)
            if not (is_plain_index or is_gone or kind in _HARMLESS):
                return True
        return False

    @property
    def place(self) -> str:
        """The file and the line."""
        line = self.statement.line_at(self.error.diag.statement_position)
        return f"{Path(self.migration.label).name}:{line}"

    @property
    def objects(self) -> list[str]:
        """The tables, views and functions that it is about; the place, if they are unknown."""
        text = self.statement.text
        return list(dict.fromkeys([*tables(text), *functions(text)])) or [self.place]

    @property
    def why(self) -> str:
        """The place and the server's message."""
        return f"{self.place} {self._failed}"

    def why_of(self, name: str) -> str:
        """The reason for an object, which may have the place as its name."""
        return self._failed if name == self.place else self.why

    @property
    def _failed(self) -> str:
        return f"failed: {sqlstate_and_message(self.error)}"


def load(
    connection: Connection,
    files: Sequence[Migration],
    advance: Callable[[int, int], None] = lambda _number, _total: None,
) -> list[Omission]:
    """Run the files in order, each in a transaction, and return the statements that failed.

    The ledger is created, without rows. Raises psycopg's OperationalError if the connection is
    lost.
    """
    _create_ledger(connection)
    omissions: list[Omission] = []
    for number, migration in enumerate(files, 1):
        advance(number, len(files))
        omissions += _load_file(connection, migration)
    has_order = any(migration.version for migration in files)
    return omissions if has_order else _again(connection, omissions)


def _again(connection: Connection, failed: list[Omission]) -> list[Omission]:
    """Repeat what failed as long as something succeeds: files without a version have no order."""
    while failed:
        groups = [[Statement(o.statement.text, decoded=False)] for o in failed]
        results = run_groups(connection, groups)
        left = [
            replace(omission, error=result.error)
            for omission, result in zip(failed, results, strict=True)
            if result.error is not None
        ]
        if len(left) == len(failed):
            return left
        failed = left
    return []


def warnings(omissions: Sequence[Omission]) -> Iterator[str]:
    """A line for each file that has statements that failed, up to a number that is read."""
    decisive = [omission for omission in omissions if omission.is_decisive]
    if harmless := len(omissions) - len(decisive):
        yield f"note: {harmless} statements failed that decide no access, such as CREATE INDEX"
    files = [list(group) for _, group in groupby(decisive, key=lambda o: o.migration)]
    for first, *others in files[:_SHOWN]:
        more = f" ({len(others)} more of its statements failed)" if others else ""
        yield f"warning: {first.why}{more}; the audit goes on without it"
    if len(files) > _SHOWN:
        yield f"warning: statements of {len(files) - _SHOWN} more files failed"


def raise_decisive(omissions: Sequence[Omission]) -> None:
    """Raise MigrationError (6) for the first statement that decides access."""
    raise_first([omission for omission in omissions if omission.is_decisive])


def raise_first(omissions: Sequence[Omission]) -> None:
    """Raise MigrationError (6) for the first statement, if there is one."""
    for omission in omissions:
        error = omission.error
        raise MigrationError(
            f"{omission.migration.file_name} failed: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or _PUSH_FAILS,
            sqlstate=error.sqlstate,
            file=omission.migration.label,
            line=omission.statement.line_at(error.diag.statement_position),
        )


def not_tested(
    omissions: Sequence[Omission], unknown: Sequence[UnknownExtension]
) -> Iterator[NotTested]:
    """The objects that an audit lacks because of statements that failed; one entry for each."""
    for extension in unknown:
        place = f"{Path(extension.migration.label).name}:{extension.statement.line}"
        why = f"it is not installed, and there is no stand-in for it ({place})"
        yield NotTested(f"extension {extension.name}", why, _NEEDS_EXTENSION)
    help_ = _NEEDS_EXTENSION if unknown else _PUSH_FAILS
    reasons: dict[str, list[str]] = {}
    places = {omission.place for omission in omissions}
    for omission in omissions:
        for name in omission.objects if omission.is_decisive else ():
            reasons.setdefault(name, []).append(omission.why_of(name))
    for name, whys in reasons.items():
        more = "" if len(whys) == 1 else f"; {len(whys) - 1} more statements about it failed"
        yield NotTested(name, whys[0] + more, help_, fails=name in places)


def _create_ledger(connection: Connection) -> None:
    statements = ledger.create_statements()
    [result] = run_groups(connection, [[Statement("begin"), *statements, Statement("commit")]])
    result.answer()


def _load_file(connection: Connection, migration: Migration) -> list[Omission]:
    statements = [s for s in migration.statements if not _is_control(s)]
    if any(_needs_no_transaction(s) for s in statements):
        return _run_each(connection, migration, statements)
    run = [Statement(s.text, decoded=False) for s in statements]
    [result] = run_groups(connection, [[*_BEGIN, *run, *_END]])
    if result.error is None:
        return []
    _raise_if_lost(connection, result.error)
    connection.rollback()
    return _run_with_savepoints(connection, migration, statements)


def _run_with_savepoints(
    connection: Connection, migration: Migration, statements: Sequence[FileStatement]
) -> list[Omission]:
    """Run the statements in one transaction, without those that fail."""
    groups = [keeping(Statement(s.text, decoded=False)) for s in statements]
    begin, last = [*_BEGIN, BEFORE_STEPS], [AFTER_STEPS, *_END]
    _, *results, end = run_groups(connection, [begin, *groups, last])
    omissions = []
    for statement, result in zip(statements, results, strict=True):
        if result.error is not None:
            _raise_if_lost(connection, result.error)
            omissions.append(Omission(migration, statement, result.error))
    if end.error is not None:  # of a deferred constraint: the rows of the file are wrong
        connection.rollback()
        omissions.append(Omission(migration, statements[-1], end.error))
    return omissions


def _run_each(
    connection: Connection, migration: Migration, statements: Sequence[FileStatement]
) -> list[Omission]:
    """Run the statements of a file that cannot run in one transaction."""
    groups = [[Statement(s.text, decoded=False)] for s in statements]
    _, *results, _ = run_groups(connection, [_SETTINGS, *groups, _SETTINGS])
    return [
        Omission(migration, statement, result.error)
        for statement, result in zip(statements, results, strict=True)
        if result.error is not None
    ]


def _raise_if_lost(connection: Connection, error: psycopg.Error) -> None:
    if connection.broken:
        raise error


def _is_control(statement: FileStatement) -> bool:
    """Whether a statement begins or ends a transaction, or is none: each file is a transaction."""
    nodes = syntax.parse(statement.text)
    return nodes == [] or any(map(syntax.ends_transaction, nodes or ()))


def _needs_no_transaction(statement: FileStatement) -> bool:
    nodes = syntax.parse(statement.text) or ()
    return any(syntax.needs_no_transaction(node) is not None for node in nodes)
