"""A copy of a database's schema on an embedded server; the database itself is only read.

Locks: ACCESS SHARE, for the time of pg_dump, which gives way to others. See `projects.dump`.
"""

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.hidden_values import hidden_values, words
from supabase_jobs.errors import PrivilegeError
from supabase_jobs.findings import NotTested
from supabase_jobs.local import binaries, server
from supabase_jobs.local.server import ServerInfo
from supabase_jobs.migrations import ledger
from supabase_jobs.projects import dump, reference_rows
from supabase_jobs.projects.migrated import (
    apply_beside,
    copy_database,
    note_missing,
    server_options,
)
from supabase_jobs.projects.narration import SILENT, Narration
from supabase_jobs.projects.restore import Restored, restore
from supabase_jobs.projects.source import Parts, Source, read_dumped, read_source
from supabase_jobs.sources.files import MigrationFiles

# what a command that copies says before it begins
ANNOUNCEMENT = "reads the catalogs and copies the schema; nothing is written to this database"
_NAME = "postgres"
# the stand-ins whose calls were recorded, although the audit has rolled back
_CALLED = """
select s.sequencename::text from pg_sequences as s
where s.schemaname = 'supabase_jobs_copy' and s.last_value is not null
order by s.sequencename
"""
_HELP = (
    "It needs an extension or a privilege that the copy lacks: audit it where the project is built."
)


@dataclass(frozen=True)
class CopyOptions:
    """Where the project is, its migrations if they are at hand, and whether reference rows are
    copied.
    """

    directory: Path
    migrations: MigrationFiles | None = None
    rows: bool = True


@dataclass(frozen=True)
class Copy:
    """The connection to a copy, as the owner of its database.

    `lacking` are objects that it lacks; `private` are texts of the original, which no report may
    print, and `definitions` is the text of all others.
    """

    connection: Connection
    lacking: tuple[NotTested, ...]
    private: tuple[str, ...]
    definitions: str


@dataclass(frozen=True)
class _Original:
    """The parts of a database that are read once for all copies of it."""

    connection: Connection
    source: Source
    unreadable: Mapping[str, str]
    dump: str
    options: CopyOptions
    server_options: dict[str, Any]


@contextmanager
def copied(
    connection: Connection, options: CopyOptions, *, narration: Narration = SILENT
) -> Iterator[Copy]:
    """Copy the schema of the connected database; the copy is removed after the block.

    Raises what `dump.schema` raises, LocalServerError, and psycopg's errors.
    """
    with ExitStack() as stack:
        original, embedded = _read(stack, connection, options, narration)
        lacking, private = _restored(embedded, original, narration)
        copy = stack.enter_context(connect(_url(embedded, original)))
        if private:
            stack.enter_context(hidden_values(words(original.dump)))
        yield Copy(copy, lacking, private, original.dump)
        _note_calls(copy, narration)


@contextmanager
def copied_before_and_after(
    connection: Connection,
    options: CopyOptions,
    pending: MigrationFiles,
    *,
    narration: Narration = SILENT,
) -> Iterator[tuple[Copy, Copy]]:
    """Two copies of the connected database: as it is, and with the pending files applied.

    If the files change a role, which belongs to all databases of a server, each copy gets a server
    of its own. Raises what `copied` and `apply_pending` raise.
    """
    with ExitStack() as stack:
        original, embedded = _read(stack, connection, options, narration)
        lacking, private = _restored(embedded, original, narration)
        before = f"{_NAME}_before"
        copy_database(embedded, _NAME, before)
        new = stack.enter_context(connect(_url(embedded, original)))
        missing = apply_beside(embedded, new, pending, narration)
        if missing is None:
            embedded = stack.enter_context(_server(original.server_options))
            lacking, private = _restored(embedded, original, narration)
            before = _NAME
        note_missing(missing or (), narration)
        old = stack.enter_context(connect(_url(embedded, original, before)))
        if private:
            stack.enter_context(hidden_values(words(original.dump)))
        yield (
            Copy(old, lacking, private, original.dump),
            Copy(new, lacking, private, original.dump),
        )


def _note_calls(copy: Connection, narration: Narration) -> None:
    called = [str(name) for (name,) in copy.execute(_CALLED).fetchall()]
    if called:
        narration.note(
            f"note: functions called {', '.join(called)}; in the copy these record the call and"
            " reach nothing"
        )


def _read(
    stack: ExitStack, connection: Connection, options: CopyOptions, narration: Narration
) -> tuple[_Original, ServerInfo]:
    """Read the database while a server for the copy starts."""
    with narration.step("reading the schema"), ThreadPoolExecutor(2) as pool:
        major = connection.info.server_version // 10_000
        chosen = server_options(options.directory, major, narration)
        starting = pool.submit(stack.enter_context, _server(chosen))
        with dump.watching(connection) as watcher:
            dumped = read_dumped(connection)
            reading = pool.submit(read_source, connection)
            pg_dump = binaries.embedded(max(binaries.EMBEDDED)).bin_dir / "pg_dump"
            text = dump.schema(watcher, pg_dump, list(dumped.unreadable), dumped.questions)
        source, embedded = reading.result(), starting.result()
    original = _Original(
        connection=connection,
        source=source,
        unreadable=dumped.unreadable,
        dump=text,
        options=options,
        server_options=chosen,
    )
    return original, embedded


def _server(options: dict[str, Any]) -> AbstractContextManager[ServerInfo]:
    # a name that no role of the original has: none of them is a superuser in the copy
    return server.throwaway(
        platform=False,
        superuser=f"supabase_jobs_{secrets.token_hex(8)}",
        in_memory=True,
        **options,
    )


def _restored(
    embedded: ServerInfo, original: _Original, narration: Narration
) -> tuple[tuple[NotTested, ...], tuple[str, ...]]:
    """Create the copy; the objects that it lacks, and the texts of the original in it."""
    source = original.source
    with (
        narration.step("copying the schema into an embedded server"),
        connect(embedded.own_url) as superuser,
    ):
        restored = restore(
            superuser, _url(embedded, original), source, original.dump, narration.advance
        )
        _insert_of_migrations(embedded, original)
        rows = reference_rows.CopiedRows()
        with connect(_url(embedded, original)) as owner:
            if original.options.rows:
                rows = reference_rows.copy_rows(original.connection, superuser, owner)
            reference_rows.advance_sequences(owner)
    if restored.extensions:
        narration.note(f"note: stand-ins in the copy: {', '.join(restored.extensions)}")
    settings = [s.custom for s in source.settings if s.custom is not None]
    private = {t for t in (*settings, *rows.texts) if t and t not in original.dump}
    lacking = (*_lacking(original, restored), *rows.lacking)
    return lacking, tuple(sorted(private))


def _insert_of_migrations(embedded: ServerInfo, original: _Original) -> None:
    """Insert the rows of those migrations that the database has."""
    files = original.options.migrations
    if files is None or not files.migrations:
        return
    try:
        applied = {row.version for row in ledger.read(original.connection).rows}
    except PrivilegeError:
        return  # without the ledger, nobody knows which of them it has
    migrations = [m for m in files.migrations if m.version in applied]
    with connect(_url(embedded, original)) as owner:
        reference_rows.insert_of_migrations(owner, migrations)


def _url(embedded: ServerInfo, original: _Original, name: str = _NAME) -> str:
    return embedded.url_for(name, original.source.owner)


def _lacking(original: _Original, restored: Restored) -> Iterator[NotTested]:
    source, unreadable = original.source, original.unreadable.values()
    for name in unreadable:
        why = "the connecting role may not read the table, so it was not copied"
        yield NotTested(name, why, "Connect as the role that owns it.")
    known = {name.replace('"', "") for name in unreadable}
    known |= {f"role {name}" for name in source.acting}
    for name, parts in differing(source.parts, restored.parts).items():
        if name in known:
            continue
        reason = next((f.why for f in restored.failures if f.is_about(name)), "")
        what = f"differs in the copy: {', '.join(parts)}" if parts else "not copied"
        yield NotTested(name, f"{what}: {reason}" if reason else what, _HELP)


def differing(original: Parts, copy: Parts) -> dict[str, list[str]]:
    """The objects whose copies differ, with the properties that do; none for a missing object."""
    expected, existing = {name for name, _ in original}, {name for name, _ in copy}
    found: dict[str, list[str]] = {}
    for name, part in sorted(original.keys() | copy.keys()):
        if name not in expected:
            continue  # a stand-in
        if name not in existing:
            found.setdefault(name, [])
        elif original.get((name, part)) != copy.get((name, part)):
            found.setdefault(name, []).append(part)
    return found
