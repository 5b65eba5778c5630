"""Prove that the effect of a migration file is in a database, though its ledger does not say so.

The migrations of the ledger are applied to an embedded server, then the file. Everything that the
file changes in the catalogs there has to be in the database as well. A file with statements whose
effect the catalogs do not show, such as changes of rows, proves nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import psycopg

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.parser import syntax
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.migrations.plan import MigrationPlan, State
from supabase_jobs.migrations.squashes import squashed_as
from supabase_jobs.projects.built import Built
from supabase_jobs.projects.catalog import Facts, read_facts, read_facts_here, value_of
from supabase_jobs.projects.drift import WHOLE, printed_otherwise
from supabase_jobs.sources.files import Migration, MigrationFiles

# kinds of statements whose whole effect the facts of a catalog show
_SHOWN = {
    *("CreateStmt", "AlterTableStmt", "IndexStmt", "CreatePolicyStmt", "AlterPolicyStmt"),
    *("GrantStmt", "AlterDefaultPrivilegesStmt", "CreateFunctionStmt", "AlterFunctionStmt"),
    *("CreateTrigStmt", "ViewStmt", "CreateEnumStmt", "AlterEnumStmt", "CompositeTypeStmt"),
    *("CreateDomainStmt", "AlterDomainStmt", "CreateRangeStmt", "CreateSeqStmt", "AlterSeqStmt"),
    *("CommentStmt", "CreateSchemaStmt", "CreateExtensionStmt", "DropStmt", "RenameStmt"),
    *("AlterOwnerStmt", "AlterObjectSchemaStmt", "CreatePublicationStmt", "AlterPublicationStmt"),
    *("RuleStmt", "CreateEventTrigStmt", "TransactionStmt", "VariableSetStmt"),
}


Build = Callable[[MigrationFiles], AbstractContextManager[Built]]


@dataclass(frozen=True)
class Effects:
    """The versions of the files whose effect is in the database; why others' is not proven."""

    proven: frozenset[str]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A file, and the version under which another text of it was applied; None if none was."""

    migration: Migration
    applied_as: str | None = None


def candidates(migration_plan: MigrationPlan) -> list[Candidate]:
    """The files whose effect decides whether the ledger can contain them."""
    found = []
    squashes = squashed_as(s.row for s in migration_plan.statuses if s.row is not None)
    for status in migration_plan.statuses:
        if status.migration is None or status.version in squashes:
            continue
        if status.state is State.EDITED:
            found.append(Candidate(status.migration, status.version))
        if status.state is State.PENDING:
            near = None if status.near is None else status.near.version
            found.append(Candidate(status.migration, near))
    return found


def prove(
    build: Build, applied: MigrationFiles, files: Sequence[Candidate], database: Facts
) -> Effects:
    """Which of the files have their effect in the database, whose facts are given.

    `build` makes a database with migrations; `applied` are those of the ledger, as it contains
    them.
    """
    found = {c.migration.version: _not_shown(c.migration) for c in files}
    possible = [c for c in files if found[c.migration.version] is None]
    if possible:
        try:
            with build(applied) as project:
                found |= _try_all(project, possible, database, build, applied)
        except SupabaseJobsError as error:
            why = f"the applied migrations fail on the embedded server: {error.message}"
            found |= {c.migration.version: why for c in possible}
    reasons = {version: why for version, why in found.items() if why is not None}
    return Effects(frozenset(found.keys() - reasons.keys()), reasons)


def _not_shown(migration: Migration) -> str | None:
    """Why the catalogs do not show the whole effect of a file; None if they do."""
    if not migration.transactional:
        return "its effect cannot be proven, because it cannot run in a transaction"
    for statement in migration.statements:
        nodes = syntax.parse(statement.text)
        if nodes is None or not all(_is_shown(node) for node in nodes):
            line = statement.line
            return f"its effect cannot be proven: the catalogs do not show what line {line} does"
    return None


def _is_shown(node: syntax.Node) -> bool:
    kind, fields = next(iter(node.items()))
    if kind == "InsertStmt":
        table = fields["relation"]
        return (table.get("schemaname"), table["relname"]) == ("storage", "buckets")
    if kind == "SelectStmt":
        return bool(syntax.calls(node, "schedule") or syntax.calls(node, "unschedule"))
    return kind in _SHOWN


def _try_all(
    project: Built,
    files: Sequence[Candidate],
    database: Facts,
    build: Build,
    applied: MigrationFiles,
) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    with project.connected() as connection:
        before = read_facts(connection)
        for candidate in files:
            migration = candidate.migration
            if candidate.applied_as is None:
                found[migration.version] = _try(project, connection, migration, database)
    for candidate in files:
        if candidate.applied_as is not None:
            edited = _with_text(applied, candidate)
            found[candidate.migration.version] = _try_edited(build, edited, before, database)
    return found


def _try(
    project: Built, connection: Connection, migration: Migration, database: Facts
) -> str | None:
    """Run a pending file; why its effect is not in the database. If it is, the file stays."""
    with connect(project.server.own_url) as superuser:
        prepared = prepare(superuser, MigrationFiles([migration])).files.migrations[0]
    before = read_facts(connection)
    why: str | None = None
    with connection.transaction() as whole:
        try:
            with connection.transaction():
                for statement in prepared.executable_statements:
                    connection.execute(statement.text.encode())
        except psycopg.Error as error:
            why = f"it fails after the applied migrations: {error.diag.message_primary}"
        else:
            connection.execute("set local search_path = ''")
            why = _missing(connection, before, read_facts_here(connection), database)
        if why is not None:
            raise psycopg.Rollback(whole)
    connection.execute("reset all")  # what the file has set
    return why


def _try_edited(build: Build, files: MigrationFiles, before: Facts, database: Facts) -> str | None:
    try:
        with build(files) as project, project.connected() as connection:
            return _missing(connection, before, read_facts(connection), database)
    except SupabaseJobsError as error:
        return f"the file fails on the embedded server: {error.message}"


def _missing(connection: Connection, before: Facts, after: Facts, database: Facts) -> str | None:
    """The effect of a file that the database lacks, as a reason; None if it has all."""
    changed = [k for k in before.keys() | after.keys() if value_of(before, k) != value_of(after, k)]
    lacking = {key for key in changed if value_of(database, key) != value_of(after, key)}
    if lacking:
        concerned = {key: database[key] for key in lacking if key in database}
        lacking -= printed_otherwise(connection, concerned, after)
    if not lacking:
        return None
    object_, kind, name = min(lacking, key=lambda key: (key[1] not in WHOLE, key))
    subject = f'{kind} "{name}"' if name else kind
    return f"the database does not have its effect: {subject} of {object_} differs"


def _with_text(applied: MigrationFiles, candidate: Candidate) -> MigrationFiles:
    """The applied migrations with the text of an edited file."""
    text = candidate.migration.text
    migrations = [
        replace(m, text=text) if m.version == candidate.applied_as else m
        for m in applied.migrations
    ]
    return replace(applied, migrations=migrations)
