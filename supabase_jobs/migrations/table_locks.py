"""Locks that pending files take on tables that the migration files do not create, such as
auth.users.

Other people's requests wait for these. They are found before anything runs: from the statements of
a file, and from the setting by which supautils locks tables for each change of a policy. Only a dry
run finds the locks of code that a file runs (a DO block, an event trigger) and of foreign keys that
go with a table; it takes them for a moment.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.locks import BLOCKING_MODES, MODES, table_locks
from supabase_jobs.database.parser.statements import first_word
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.sources.files import Migration

_EXISTING_TABLES = sql_file(Path(__file__).with_name("existing_tables.sql"))
_POLICY_GRANTS = sql_file(Path(__file__).with_name("policy_grants.sql"))
# parsing the rows of a long insert takes seconds, and the lock of an insert blocks nobody
_LOCKING = ("alter", "cluster", "create", "drop", "lock", "refresh", "reindex", "truncate")
_CREATES_TABLE = re.compile(r"\b(table|view|into)\b", re.IGNORECASE)
_DEFAULT_SCHEMA = "public"


@dataclass(frozen=True)
class TableLock:
    """A lock mode, as in pg_locks, and the tables that are locked in it."""

    mode: str
    tables: tuple[str, ...]

    def __str__(self) -> str:
        blocked = "reads and writes" if self.mode == MODES[-1] else "writes"
        return f"{', '.join(self.tables)} ({self.mode}: {blocked} wait)"


def grouped(locks: Iterable[tuple[str, str]]) -> tuple[TableLock, ...]:
    """Each table with its strongest mode, if that blocks writers; the strongest first."""
    strongest: dict[str, str] = {}
    for table, mode in locks:
        strongest[table] = max(mode, strongest.get(table, mode), key=MODES.index)
    found = []
    for mode in reversed(BLOCKING_MODES):
        if tables := sorted(table for table, strength in strongest.items() if strength == mode):
            found.append(TableLock(mode, tuple(tables)))
    return tuple(found)


def merged(*found: Mapping[str, Sequence[TableLock]]) -> dict[str, tuple[TableLock, ...]]:
    """The locks of each file from several sources; files without a lock are left out."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for by_file in found:
        for name, locks in by_file.items():
            pairs.setdefault(name, []).extend(
                (table, lock.mode) for lock in locks for table in lock.tables
            )
    return {name: grouped(pairs[name]) for name in sorted(pairs) if pairs[name]}


def expected_locks(
    connection: Connection, files: Sequence[Migration], pending: Sequence[Migration]
) -> dict[str, tuple[TableLock, ...]]:
    """File name → the locks that its statements take on existing tables that none of `files`
    creates.

    Takes one round trip, or none if no statement takes such a lock. Files without a lock are left
    out.
    """
    by_file = {migration.file_name: [*_locking_nodes(migration)] for migration in pending}
    wanted = {name for nodes in by_file.values() for name, _ in _locks(nodes)}
    changing_policies = [
        file for file, nodes in by_file.items() if any(map(syntax.changes_policy, nodes))
    ]
    foreign = wanted - created_tables(files, {table for _, table in wanted})
    if not foreign and not changing_policies:
        return {}
    existing, for_policies = _query(connection, sorted(foreign))
    found = {}
    for file, nodes in by_file.items():
        locks = [(existing[name], mode) for name, mode in _locks(nodes) if name in existing]
        locks += [(table, MODES[-1]) for table in for_policies if file in changing_policies]
        if locks:
            found[file] = grouped(locks)
    return found


def created_tables(files: Iterable[Migration], names: Collection[str]) -> set[tuple[str, str]]:
    """(schema, table) of each table, view or materialized view with one of these names that a file
    creates.
    """
    created = set()
    for statement in (statement.text for migration in files for statement in migration.statements):
        if first_word(statement) != "create" or not _CREATES_TABLE.search(statement):
            continue
        if any(name in statement for name in names):
            created |= {
                (schema or _DEFAULT_SCHEMA, name)
                for schema, name in map(_created, syntax.parse(statement) or [])
            }
    return created


def _created(node: syntax.Node) -> tuple[str | None, str]:
    """(schema, name) of the relation that a statement creates; else an empty name."""
    fields = next(iter(node.values()))
    relation = (
        fields.get("view") or fields.get("into", {}).get("rel") or fields.get("relation") or {}
    )
    return relation.get("schemaname"), relation.get("relname", "")


def _locking_nodes(migration: Migration) -> Iterator[syntax.Node]:
    for statement in migration.statements:
        if first_word(statement.text) in _LOCKING:
            yield from syntax.parse(statement.text) or []


def _locks(nodes: Iterable[syntax.Node]) -> Iterator[tuple[tuple[str, str], str]]:
    for node in nodes:
        yield from (
            ((schema or _DEFAULT_SCHEMA, table), mode) for schema, table, mode in table_locks(node)
        )


def _query(
    connection: Connection, names: Sequence[tuple[str, str]]
) -> tuple[Mapping[tuple[str, str], str], Sequence[str]]:
    """(schema, name) → the existing table of that name, or of that index; and the tables of
    supautils.policy_grants.
    """
    schemas, tables = [schema for schema, _ in names], [table for _, table in names]
    groups = [
        [Statement("begin"), _EXISTING_TABLES.statement(schemas, tables)],
        [_POLICY_GRANTS.statement()],
        [Statement("rollback")],
    ]
    existing, grants, _end = run_groups(connection, groups)
    rows = existing.answer().rows
    # the setting is missing on other hosts, may be unreadable, and need not be JSON
    for_policies = grants.answers[-1].rows if grants.error is None else ()
    return {(schema, name): table for schema, name, table in rows}, [
        table for (table,) in for_policies
    ]
