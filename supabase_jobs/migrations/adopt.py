"""Make migration files and ledger agree where they hold the same migrations. Runs no DDL.

Files are renamed or written, ledger rows are updated or inserted, in one transaction under the
runner lock; nothing is deleted. The files change inside the open transaction: a run that is killed
leaves the ledger as it was, and the next run finds what is left to do.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import psycopg

from supabase_jobs.database.batch import Answer, Statement
from supabase_jobs.database.blocking import BlockingSession
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import explain_lost_connection
from supabase_jobs.errors import BusyError, ConfigError, DriftError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.drift import text_of, whole_statements
from supabase_jobs.migrations.ledger import Ledger, LedgerRow
from supabase_jobs.migrations.locks import (
    LOCK_KEY,
    TRY_LOCK,
    LockOptions,
    RunnerBusyError,
    retry_while_locked,
)
from supabase_jobs.migrations.plan import MigrationPlan, MigrationStatus, State
from supabase_jobs.migrations.squashes import squashed_as
from supabase_jobs.migrations.transaction import BEGIN, Command, Step, send, setup_commands
from supabase_jobs.sources.files import Migration, read_sql, write_sql

_VERSION = re.compile(r"[0-9]+")
_UNSAFE_IN_NAME = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST_NAME = 150
_NOT_PROVEN = "its effect in the database is not proven"
_IN_DATABASE = "the effect of the file is in the database"


class Action(StrEnum):
    """The change that `adopt` makes for a version."""

    RENAME_FILE = "rename-file"
    WRITE_FILE = "write-file"
    WRITE_ROW = "write-row"
    KEEP = "keep"


@dataclass(frozen=True)
class RenameFile:
    """A file gets the version of its ledger row."""

    migration: Migration
    row: LedgerRow
    reason: str
    action = Action.RENAME_FILE

    @property
    def version(self) -> str:
        """The version of the file before."""
        return self.migration.version

    @property
    def as_version(self) -> str | None:
        """The version of the file afterwards."""
        return self.row.version

    @property
    def new_name(self) -> str:
        """The name of the file afterwards."""
        return f"{self.row.version}_{self.migration.name}.sql"

    @property
    def renamed(self) -> Migration:
        """The file afterwards."""
        label = str(Path(self.migration.label).with_name(self.new_name))
        return replace(self.migration, version=self.row.version, label=label)

    def __str__(self) -> str:
        return f"{self.migration.file_name} → {self.new_name}: {self.reason}"


@dataclass(frozen=True)
class WriteFile:
    """A row that no file has gets a file with its statements."""

    row: LedgerRow
    reason: str
    action = Action.WRITE_FILE
    as_version: str | None = None

    @property
    def version(self) -> str:
        """The version of the row and the file."""
        return self.row.version

    @property
    def file_name(self) -> str:
        """The name of the file; the row's name may contain anything, or be missing."""
        name = _UNSAFE_IN_NAME.sub("_", self.row.name or "")[:_LONGEST_NAME]
        return f"{self.row.version}_{name or 'migration'}.sql"

    @property
    def text(self) -> str:
        """The text of the file."""
        return text_of(whole_statements(self.row.statements or ()))

    def __str__(self) -> str:
        return f"{self.file_name}: {self.reason}"


@dataclass(frozen=True)
class WriteRow:
    """A file gets a ledger row with its statements: `row`, which is updated, or a new one."""

    migration: Migration
    row: LedgerRow | None
    reason: str
    action = Action.WRITE_ROW

    @property
    def version(self) -> str:
        """The version of the file and of its row afterwards."""
        return self.migration.version

    @property
    def as_version(self) -> str | None:
        """The version of the row before, if that was another."""
        return self.row.version if self.row and self.row.version != self.version else None

    def __str__(self) -> str:
        return f"{self.migration.file_name}: {self.reason}"


@dataclass(frozen=True)
class Keep:
    """A difference that is left."""

    version: str
    name: str
    reason: str
    action = Action.KEEP
    as_version: str | None = None

    def __str__(self) -> str:
        return f"{self.version}_{self.name}: {self.reason}"


Change = RenameFile | WriteFile | WriteRow | Keep


def plan_changes(
    migration_plan: MigrationPlan,
    proven: Collection[str] = (),
    reasons: Mapping[str, str] | None = None,
    *,
    rows: bool = False,
) -> list[Change]:
    """The changes that make files and ledger agree, by version.

    `proven` are the versions of files whose effect is in the database, and `reasons` say why that
    of others is not proven. With `rows`, the row of a renamed file gets the file's version, rather
    than the file that of the row.
    """
    near = {s.near.version for s in migration_plan.statuses if s.near is not None}
    squashes = squashed_as(s.row for s in migration_plan.statuses if s.row is not None)
    changes: list[Change] = []
    for status in migration_plan.statuses:
        if status.state is State.REMOTE_ONLY and status.version not in near:
            changes.append(_write_file(status))
        if status.migration is None or status.state is State.APPLIED:
            continue
        if status.version in squashes:
            reason = f"it was applied with the squash {squashes[status.version]}"
            changes.append(WriteRow(status.migration, status.row, reason))
            continue
        why = (reasons or {}).get(status.version, _NOT_PROVEN)
        is_proven = status.version in proven
        if status.state is State.RENAMED:
            reason = "the same migration was applied under another version"
            changes.append(_match(status.migration, status.row, reason, rows=rows))
        elif status.near is not None:
            changes += _match_near(
                status.migration, status.near, why, is_proven=is_proven, rows=rows
            )
        elif is_proven:
            changes.append(WriteRow(status.migration, status.row, _IN_DATABASE))
        else:
            state = "pending" if status.state is State.PENDING else "edited after it was applied"
            changes.append(Keep(status.version, status.name, f"{state}; {why}"))
    return changes


def _write_file(status: MigrationStatus) -> Change:
    row = status.row
    if row is None or row.statements is None:
        reason = "the ledger does not contain its statements; get the file from version control"
        return Keep(status.version, status.name, reason)
    if not _VERSION.fullmatch(row.version):
        reason = "its version is not a number, so no file can have it"
        return Keep(status.version, status.name, reason)
    return WriteFile(row, "only the database has it; the file gets the statements of its row")


def _match(migration: Migration, row: LedgerRow | None, reason: str, *, rows: bool) -> Change:
    """Give a file the version of its row, or the row that of its file."""
    if row is None or rows or not _VERSION.fullmatch(row.version):
        return WriteRow(migration, row, reason)
    return RenameFile(migration, row, reason)


def _match_near(
    migration: Migration, row: LedgerRow, why: str, *, is_proven: bool, rows: bool
) -> list[Change]:
    """Match a file and the row that it resembles; the row gets the file's statements if proven."""
    if is_proven and rows:
        return [WriteRow(migration, row, _IN_DATABASE)]
    reason = f"edited after it was applied; {why}"
    if not _VERSION.fullmatch(row.version):
        return [Keep(migration.version, migration.name, reason)]
    rename = RenameFile(migration, row, "nearly the same migration was applied")
    if is_proven:
        return [rename, WriteRow(rename.renamed, row, _IN_DATABASE)]
    return [rename, Keep(row.version, migration.name, reason)]


def agree_after(changes: Sequence[Change]) -> bool:
    """Whether files and ledger agree after the changes."""
    return not any(isinstance(change, Keep) for change in changes)


# -------------------------------------------------------------------------------------------------
# making the changes


def make_changes(
    connection: Connection,
    folder: Path,
    found: Ledger,
    changes: Sequence[Change],
    undo: Path,
    lock_options: LockOptions,
) -> None:
    """Change ledger rows and files in `folder`; write the SQL that restores the ledger to `undo`.

    Raises DriftError (4) if a row must be written and there is no ledger, BusyError (5) if another
    runner is active or ledger or files have changed since `found` was read, PrivilegeError (7), and
    MigrationError (6) if the ledger rejects a row. Nothing has changed then.
    """
    rows = [change for change in changes if isinstance(change, WriteRow)]
    if rows and not found.is_complete:
        statements = "; ".join(statement.sql for statement in ledger.create_statements())
        raise DriftError(
            "the migration ledger does not exist or lacks columns, and adopt runs no DDL",
            hint=f"Create it: psql \"$SUPABASE_DB_URL\" -c '{statements}'",
        )
    commands = [
        Command(BEGIN),
        *setup_commands(lock_options),
        Command(Statement(TRY_LOCK, [LOCK_KEY])),
    ]
    if found.is_complete:
        commands.append(Command(Statement(ledger.DIGESTS)))

    def attempt(_blocking: list[BlockingSession]) -> None:
        try:
            answers = send(connection, commands)
            _check_unchanged(answers, found, changes, folder)
            if rows:
                send(connection, [c for change in rows for c in _row_commands(change)])
            _write_undo(connection, undo, changes)
            _change_files(folder, changes)
            connection.execute("commit")
        except BaseException as error:
            if not connection.closed:
                connection.rollback()
            if isinstance(error, ledger.AlreadyAppliedError):
                raise _changed("the ledger has") from None
            raise

    message = "the connection was lost; the ledger is as it was, unless that was during the commit"
    hint = "Run adopt again: it finds what is left to do."
    with (
        explain_lost_connection(connection, message, hint=hint),
        ledger.explain_missing_privilege(),
    ):
        retry_while_locked(lock_options, "the migration ledger", attempt)


def _check_unchanged(
    answers: Sequence[Answer], found: Ledger, changes: Sequence[Change], folder: Path
) -> None:
    """Raise RunnerBusyError or BusyError if another runner is, or was, at work."""
    lock = answers[-2] if found.is_complete else answers[-1]
    if lock.rows[0] != (True,):
        raise RunnerBusyError
    if found.is_complete and dict(answers[-1].rows) != found.digests:
        raise _changed("the ledger has")
    for change in changes:
        if isinstance(change, RenameFile):
            path = folder / change.migration.file_name
            same = path.is_file() and read_sql(path) == change.migration.text
            if not same or (folder / change.new_name).exists():
                raise _changed(f"{path.name} has")
        if isinstance(change, WriteFile) and (folder / change.file_name).exists():
            raise _changed(f"{change.file_name} has")


def _changed(what: str) -> BusyError:
    return BusyError(
        f"{what} changed since adopt read it, so another runner was at work; nothing was done",
        hint="Run adopt again.",
    )


def _row_commands(change: WriteRow) -> list[Command]:
    migration = change.migration
    if change.row is None:
        statement = ledger.insert_statement(migration)
    else:
        statement = ledger.update_statement(migration, change.row.version)
    return [
        Command(statement, Step.INSERT_ROW, migration),
        Command(ledger.check_statement(migration), Step.CHECK_ROW, migration),
    ]


def _change_files(folder: Path, changes: Sequence[Change]) -> None:
    try:
        for change in changes:
            if isinstance(change, RenameFile):
                source = folder / change.migration.file_name
                source.rename(folder / change.new_name)
            if isinstance(change, WriteFile):
                write_sql(folder / change.file_name, change.text)
    except OSError as error:
        raise ConfigError(f"cannot write in {folder}: {error.strerror}") from error


_UNDO = """\
-- Restores the ledger as it was before supabase-jobs adopt. Run it with:
--   psql "$SUPABASE_DB_URL" --set ON_ERROR_STOP=1 --file {name}
"""


def _write_undo(connection: Connection, undo: Path, changes: Sequence[Change]) -> None:
    """Write the SQL that restores the ledger; file changes stand in it as comments."""
    quote = psycopg.ClientCursor(connection)
    lines = [_UNDO.format(name=undo.name)]
    for change in changes:
        if isinstance(change, RenameFile):
            names = change.migration.file_name, change.new_name
            lines.append(f"-- A file was renamed: {names[0]} is now {names[1]}\n")
        if isinstance(change, WriteFile):
            lines.append(f"-- A file was written: {change.file_name}\n")
    lines.append("\nbegin;\n")
    for change in reversed(changes):
        if isinstance(change, WriteRow):
            statement = ledger.restore_statement(change.version, change.row)
            lines.append(f"{quote.mogrify(statement.sql.encode(), statement.params)};\n")
    lines.append("commit;\n")
    try:
        undo.write_text("".join(lines), encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"cannot write {undo}: {error.strerror}") from error
