"""The SQL files and the configuration of the project that a command works on."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from supabase_jobs.database.parser import syntax
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import DEFAULT_MIGRATIONS, Settings
from supabase_jobs.sources.config_toml import seed_files
from supabase_jobs.sources.files import (
    Migration,
    MigrationFiles,
    SourceSet,
    load_migrations,
    load_sources,
    read_sql,
    unrecognized_files,
)
from supabase_jobs.sources.loadable import loadable
from supabase_jobs.sources.variables import Value, resolve

if TYPE_CHECKING:
    from supabase_jobs.findings import Location


def files(settings: Settings) -> MigrationFiles:
    """The files of the `migrations` folder of the settings; without one, the packaged sources
    rendered in memory.
    """
    if settings.migrations is not None:
        return MigrationFiles(
            load_migrations(settings.migrations), unrecognized_files(settings.migrations)
        )
    return MigrationFiles(rendered(settings))


def loadable_files(settings: Settings) -> MigrationFiles:
    """The files that an embedded server gets: also those that `supabase db push` refuses; without a
    folder of migrations and schemas, the packaged sources.
    """
    folder = settings.migrations or settings.directory / DEFAULT_MIGRATIONS
    found = loadable(settings.directory, folder).files
    return found if found.migrations else files(settings)


def seeds(settings: Settings) -> list[Migration]:
    """The seed files of the project, in their order; they have no version. Raises ConfigError if
    there are none.
    """
    return [
        Migration("", path.stem, read_sql(path), str(path))
        for path in seed_files(settings.directory)
    ]


def sources(settings: Settings) -> SourceSet:
    """The SQL sources that the project installs.

    Raises ConfigError for an excluded source that is not optional, and for a variable whose only
    source is excluded.
    """
    every = load_sources(settings.sql_dir)
    kept = every.without(settings.excluded_sources)
    if kept.excluded:
        _check_variables(settings, every, kept)
    return kept


def _check_variables(settings: Settings, every: SourceSet, kept: SourceSet) -> None:
    for name in settings.variables:
        users = [source.stem for source in every.sources if name in source.variables]
        if users and kept.excluded.issuperset(users):
            raise ConfigError(
                f"the variable {name!r} belongs to {users[0]}, which [sources] excludes",
                hint="Remove the variable, or do not exclude the source.",
            )


def rendered(settings: Settings) -> list[Migration]:
    """The sources as migrations with their standard versions, whether or not there is a folder of
    migrations.
    """
    from supabase_jobs.sources.render import render_sources, standard_migrations

    chosen = sources(settings)
    return standard_migrations(chosen, render_sources(chosen, settings.variables))


def variables(settings: Settings) -> dict[str, Value]:
    """The value of every variable of the sources in this project."""
    return resolve(sources(settings).variables, settings.variables)


def installs_sources(settings: Settings, files: MigrationFiles) -> bool:
    """Whether the objects of the sources exist after these migrations; if not, there is nothing to
    verify.

    They do not exist if no migration was rendered from a source, or if the last such migration
    uninstalls them.
    """
    chosen = sources(settings)
    stems = chosen.stems
    last = max(
        (m.version for m in files.migrations if m.origin and m.origin[0] in stems), default=""
    )
    uninstall = "" if chosen.uninstall is None else chosen.uninstall.stem
    return bool(last) and not any(
        m.version > last for m in files.migrations if m.origin and m.origin[0] == uninstall
    )


def object_locations(settings: Settings, default_schema: str = "") -> dict[str, "Location"]:
    """Object name (see `syntax.creates`) → file and line of the SQL that creates it last, or alters
    it if a policy. A column that is added later has a line too, as `schema.table.column`, and
    each file has its first one, by its name.

    Objects that are created without a schema belong to the default schema; without one they are
    omitted.

    Paths are relative to the top of the repository, as consumers of reports expect. For packaged
    sources, of which the project has no file, they are relative to the repository of supabase-jobs.
    """
    from supabase_jobs.findings import Location  # `apply` without pending files does not need it

    locations = {}
    for path, migration in _paths(settings):
        locations[migration.file_name] = Location(path, 1)
        for statement in migration.statements:
            for node in syntax.parse(statement.text) or []:
                for name, byte in syntax.creates(node, default_schema):
                    character = len(statement.text.encode()[:byte].decode())
                    locations[name] = Location(
                        path, statement.line_at(character + 1 if byte else None)
                    )
                if (policy := syntax.altered_policy(node, default_schema)) is not None:
                    locations[policy] = Location(path, statement.line_at(None))
                for column in syntax.added_columns(node, default_schema):
                    locations[column] = Location(path, statement.line_at(None))
    return locations


def _paths(settings: Settings) -> list[tuple[str, Migration]]:
    """(path from the top of the repository, migration) of every file that counts."""
    if settings.migrations is not None:
        found = loadable(settings.directory, settings.migrations)
        return [(_from_top(Path(m.label)), m) for m in found.files.migrations]
    folder = "sql" if settings.sql_dir is None else _from_top(settings.sql_dir)
    return [
        # a rendered file has the lines of its template, after the line that names its origin
        (
            str(PurePosixPath(folder) / f"{m.origin[0]}.sql"),
            Migration(m.version, m.name, m.body, m.label),
        )
        for m in rendered(settings)
        if m.origin
    ]


def _from_top(path: Path) -> str:
    path = path.absolute()
    top = next((folder for folder in path.parents if (folder / ".git").exists()), Path.cwd())
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.as_posix()
