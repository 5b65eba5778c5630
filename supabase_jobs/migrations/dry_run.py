"""`apply --dry-run`: run every pending file in one transaction, report its locks, and roll back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.blocking import BlockingSession
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import explain_lost_connection
from supabase_jobs.database.give_way import GiveWay
from supabase_jobs.database.parser.locks import MODES
from supabase_jobs.errors import BusyError, MigrationError, SupabaseJobsError
from supabase_jobs.findings import Verification
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.ledger import AlreadyAppliedError, Ledger
from supabase_jobs.migrations.locks import (
    LOCK_KEY,
    WITHOUT_LOCKS,
    BlockingSessionWatch,
    LockOptions,
    retry_while_locked,
)
from supabase_jobs.migrations.plan import plan, raise_problems
from supabase_jobs.migrations.table_locks import TableLock, created_tables, grouped
from supabase_jobs.migrations.transaction import (
    BEGIN,
    Command,
    Step,
    file_commands,
    send,
    setup_commands,
)
from supabase_jobs.sources.files import Migration, MigrationFiles

_TABLES = """
select c.oid::bigint, n.nspname::text, c.relname::text,
  pg_catalog.format('%I.%I', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'p', 'm', 'f')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'supabase_migrations')
"""
# the server's time in milliseconds with each lock; pg_locks itself is locked by the query, so there
# is always a row
_HELD_LOCKS = """
select extract(epoch from pg_catalog.statement_timestamp()) * 1000, relation::bigint, mode
from pg_catalog.pg_locks
where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted
"""
# Division by zero if another runner holds the lock.
_CHECK_RUNNER_LOCK = "select 1 / pg_catalog.pg_try_advisory_xact_lock(%s)::pg_catalog.int4"
# Each file makes all constraints immediate at its end; a commit would make them as they were
# declared.
_RESET_CONSTRAINTS = (
    "set constraints all deferred",
    """
do $$
declare
  immediate constant text := (
    select pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', ')
    from pg_catalog.pg_constraint as c
    inner join pg_catalog.pg_namespace as n on c.connamespace = n.oid
    where c.condeferrable
      and not c.condeferred
      and n.nspname !~ '^pg_'
      and pg_catalog.has_schema_privilege(n.oid, 'usage')
  );
begin
  if immediate is not null then
    execute 'set constraints ' || immediate || ' immediate';
  end if;
end $$
""",
)
_UNSAFE_NEW_ENUM_VALUE = "55P04"
LockRow = tuple[Any, ...]  # milliseconds, relation, mode


@dataclass(frozen=True)
class DryRunFile:
    """A file that ran. `lock` is its strongest lock on existing tables beyond those of earlier
    files, or None.

    `locks` are those that block writers, on existing tables that the migration files do not create.
    """

    version: str
    name: str
    ms: float
    lock: TableLock | None
    locks: tuple[TableLock, ...]

    @property
    def file_name(self) -> str:
        """The name of the file."""
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True)
class DryRun:
    """The files that ran, the nontransactional files that were skipped, and the result of `check`
    afterwards.

    `warnings` are about transaction control in the files that is not run.
    """

    files: tuple[DryRunFile, ...]
    skipped: tuple[Migration, ...]
    verification: Verification | None
    warnings: tuple[str, ...] = ()


def dry_run(
    connection: Connection,
    files: MigrationFiles,
    *,
    to: str | None = None,
    include_all: bool = False,
    lock_options: LockOptions | None = None,
    check: Callable[[Connection], Verification | None] | None = None,
) -> tuple[DryRun, list[str]]:
    """Run the pending files in one transaction that is rolled back, and `check` in it if there is
    one.

    The files, the queries for their locks and the rollback take one round trip, so locks are held
    for the time of the server; `check` prolongs that. If other sessions wait for them, the dry run
    gives way. Returns the run, and the versions that were
    applied before. Raises what `apply_pending` raises. Sequences keep their new values: PostgreSQL
    never rolls them back.
    """
    lock_options = lock_options or LockOptions()
    attempts_left = 2
    while True:
        current = ledger.read(connection, lock_options)
        migration_plan = plan(files, current.rows, to=to, include_all=include_all)
        raise_problems(migration_plan)
        try:
            run = _run_all(connection, files, migration_plan.pending, current, lock_options, check)
        except AlreadyAppliedError as error:  # by another runner, since the plan was made
            if error.migration.version not in ledger.read(connection, lock_options).digests:
                raise error.rejection from None
            if not attempts_left:
                raise BusyError(
                    "other runners applied files during the dry run",
                    hint="Wait until they have finished, then start the dry run again.",
                ) from None
            attempts_left -= 1
        else:
            warnings = tuple(
                w for migration in migration_plan.pending for w in migration.transaction_warnings
            )
            return replace(run, warnings=warnings), list(migration_plan.applied)


def _run_all(
    connection: Connection,
    files: MigrationFiles,
    pending: Sequence[Migration],
    current: Ledger,
    lock_options: LockOptions,
    check: Callable[[Connection], Verification | None] | None,
) -> DryRun:
    transactional = [m for m in pending if m.transactional]
    skipped = tuple(m for m in pending if not m.transactional)
    if not pending:
        return DryRun((), (), None if check is None else check(connection))
    begin = [
        Command(BEGIN),
        *setup_commands(lock_options),
        Command(Statement(_CHECK_RUNNER_LOCK, [LOCK_KEY]), Step.RUNNER_LOCK),
    ]
    create = [] if current.is_complete else [Command(s) for s in ledger.create_statements()]
    look = [Command(Statement(_TABLES)), Command(Statement(_HELD_LOCKS))]
    reset = [Command(Statement(sql)) for sql in _RESET_CONSTRAINTS]
    blocks = [
        [*reset, *file_commands(m, lock_options), Command(Statement(_HELD_LOCKS))]
        for m in transactional
    ]
    end = [Command(Statement("rollback"))] if check is None else []
    commands = [*create, *look, *(command for block in blocks for command in block), *end]

    def attempt(blocking: list[BlockingSession]) -> DryRun:
        with (
            BlockingSessionWatch(connection, lock_options.lock_timeout_ms, blocking),
            GiveWay(connection) as watched,
        ):
            try:
                answers = send(connection, [*begin, Command(watched.statement), *commands])[1:]
            except (psycopg.Error, SupabaseJobsError) as error:
                watched.raise_if_gave_way(error, "the dry run", WITHOUT_LOCKS)
                raise
        first = len(begin) + len(create)
        tables = {oid: (schema, name, table) for oid, schema, name, table in answers[first].rows}
        created = created_tables(files.migrations, {name for _, name, _ in tables.values()})
        ran, held, position = [], answers[first + 1].rows, first + 1
        for migration, block in zip(transactional, blocks, strict=True):
            position += len(block)
            ran.append(_file(migration, held, answers[position].rows, tables, created))
            held = answers[position].rows
        if check is None:
            return DryRun(tuple(ran), skipped, None)
        try:
            return DryRun(tuple(ran), skipped, check(connection))
        finally:
            if not connection.broken:
                connection.rollback()

    with explain_lost_connection(
        connection,
        "the connection was lost during the dry run; nothing was changed",
        hint="Run the command again.",
    ):
        try:
            return retry_while_locked(lock_options, "the dry run", attempt)
        except MigrationError as error:
            if error.sqlstate == _UNSAFE_NEW_ENUM_VALUE and error.file != transactional[0].label:
                error.hint = (
                    "A new enum value can be used after a commit; apply commits each file, the dry"
                    " run does not. If an"
                    " earlier file adds the value, apply up to that file with --to VERSION, then"
                    " repeat the dry run."
                )
            raise


def reset_constraints(connection: Connection) -> None:
    """Make constraints as they are declared, as a commit does; each file has made them immediate at
    its end.
    """
    run_groups(connection, [[Statement(sql) for sql in _RESET_CONSTRAINTS]])[0].answer()


def _file(
    migration: Migration,
    before: Sequence[LockRow],
    after: Sequence[LockRow],
    tables: Mapping[int, tuple[str, str, str]],
    created: Collection[tuple[str, str]],
) -> DryRunFile:
    """The time and the locks of one file, from the locks before and after it."""
    [started], [ended] = {row[0] for row in before}, {row[0] for row in after}
    new = {(relation, mode) for _, relation, mode in after} - {
        (relation, mode) for _, relation, mode in before
    }
    on_existing = [(*tables[relation], mode) for relation, mode in new if relation in tables]
    others = [
        (table, mode) for schema, name, table, mode in on_existing if (schema, name) not in created
    ]
    lock = _strongest([(table, mode) for _, _, table, mode in on_existing])
    return DryRunFile(
        version=migration.version,
        name=migration.name,
        ms=float(ended - started),
        lock=lock,
        locks=grouped(others),
    )


def _strongest(locks: Collection[tuple[str, str]]) -> TableLock | None:
    if not locks:
        return None
    mode = max((mode for _, mode in locks), key=MODES.index)
    return TableLock(mode, tuple(sorted(table for table, m in locks if m == mode)))
