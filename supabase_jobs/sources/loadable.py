"""The SQL files that an audit loads: what `supabase db push` applies, and more where it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from supabase_jobs.sources.config_toml import schema_files
from supabase_jobs.sources.files import (
    Migration,
    MigrationFiles,
    is_sql,
    migrations_by_name,
    read_sql,
    unrecognized_files,
)

_SHOWN = 5


@dataclass(frozen=True)
class LoadableFiles:
    """Files in the order in which they are loaded, and notes about those that others refuse.

    Several may have the same version, or none.
    """

    files: MigrationFiles
    notes: tuple[str, ...] = ()


def loadable(directory: Path, folder: Path) -> LoadableFiles:
    """The files of a folder of migrations; without migrations there, those of its subfolders, else
    the schemas of the project in `directory`.

    Raises ConfigError for a file that is not UTF-8.
    """
    if folder.is_dir():
        found = _migrations(folder)
        if found.files.migrations:
            return found
        names = sorted(path for path in folder.rglob("*") if is_sql(path.name) and path.is_file())
        if names:
            note = (
                f"note: {folder.name} has no VERSION_name.sql, which is what the Supabase CLI"
                f" applies; loaded in the order of names: {_few(names, folder)}"
            )
            return LoadableFiles(_unversioned(names), (note,))
    names = schema_files(directory)
    if not names:
        return LoadableFiles(MigrationFiles([]))
    note = f"note: no migrations; loaded the schemas instead: {_few(names, directory)}"
    return LoadableFiles(_unversioned(names), (note,))


def _migrations(folder: Path) -> LoadableFiles:
    stray = unrecognized_files(folder)
    numbered = [path for path in stray if path.name[0].isdigit()]
    named = migrations_by_name(folder)
    skipped = [Path(migration.label) for migration in named if migration.undoes_or_checks]
    migrations = [migration for migration in named if not migration.undoes_or_checks]
    notes = [
        f"note: several migrations have the version {version}, of which `supabase db push` applies"
        f" one; loaded in the order of names: {', '.join(names)}"
        for version, names in _same_version(migrations)
    ]
    if skipped:
        notes.append(f"note: skipped, because they undo or check others: {_few(skipped, folder)}")
    if numbered:
        migrations = sorted([*migrations, *_unversioned(numbered).migrations], key=_place)
        notes.append(
            "note: loaded in the order of names, though the Supabase CLI skips them, because they"
            f" are not named VERSION_name.sql: {_few(numbered, folder)}"
        )
    if others := [path for path in stray if path not in numbered]:
        notes.append(
            "note: skipped, as the Supabase CLI does, because their names are not"
            f" VERSION_name.sql: {_few(others, folder)}"
        )
    return LoadableFiles(MigrationFiles(migrations), tuple(notes))


def _place(migration: Migration) -> tuple[str, str]:
    """The number that a file name begins with, and the rest."""
    name = Path(migration.label).name
    rest = name.lstrip("0123456789")
    return name.removesuffix(rest), rest


def _same_version(migrations: Sequence[Migration]) -> list[tuple[str, list[str]]]:
    found = []
    for version, group in groupby(migrations, key=lambda migration: migration.version):
        names = [migration.file_name for migration in group]
        if len(names) > 1:
            found.append((version, names))
    return found


def _unversioned(paths: Sequence[Path]) -> MigrationFiles:
    return MigrationFiles([Migration("", path.stem, read_sql(path), str(path)) for path in paths])


def _few(paths: Sequence[Path], folder: Path) -> str:
    shown = [path.relative_to(folder).as_posix() for path in paths[:_SHOWN]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
