"""The database that a command audits: an embedded server with the project's migrations, or a copy
of the target.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import advance, connected, database_url, narrate, progress
from supabase_jobs.cli.private import keep_private
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import DEFAULT_MIGRATIONS

if TYPE_CHECKING:
    from supabase_jobs.audit.configuration import Configuration
    from supabase_jobs.audit.options import Files, Options
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import NotTested
    from supabase_jobs.projects.copied import Copy, CopyOptions
    from supabase_jobs.projects.migrated import Checkpoint
    from supabase_jobs.projects.narration import Narration
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import Migration, MigrationFiles


@dataclass(frozen=True)
class ProjectDatabase:
    """A database to audit, its name in reports, and the database that it copies, if any.

    `lacking` are objects that the copy lacks; `private` are texts that no report may print, and
    `definitions` is the text of what it copies. `unapplied` are the project's files whose text the
    database does not have.
    """

    connection: "Connection"
    name: str
    target: "Connection | None" = None
    lacking: "tuple[NotTested, ...]" = ()
    private: tuple[str, ...] = ()
    definitions: str = ""
    unapplied: "tuple[Migration, ...]" = ()


@contextmanager
def project_database(
    given: "Settings",
    *,
    seed: bool = False,
    rows: bool = True,
    default_grants: bool | None = None,
    checkpoint: "Checkpoint | None" = None,
) -> Iterator[ProjectDatabase]:
    """A copy of the target database; without one, an embedded server with the project's migrations.

    Either is removed afterwards. With `seed`, the project's seed files run after the migrations;
    with `rows`, a copy gets reference rows. `default_grants` overrides the default privileges of
    the project. A `checkpoint` is only reached on an embedded server. Raises ConfigError for `seed`
    and `default_grants` with a target database, and without a target database if there are no
    migrations.
    """
    from supabase_jobs.database.connection import describe
    from supabase_jobs.projects.copied import ANNOUNCEMENT, copied
    from supabase_jobs.projects.migrated import migrated

    if has_target(given):
        if seed:
            raise ConfigError(
                "--seed needs the embedded server, and a database was given or is running",
                hint="Leave out --seed, or leave out --db-url and stop the local server.",
            )
        if default_grants is not None:
            raise ConfigError(
                "--default-grants needs the embedded server, and a database was given or is"
                " running",
                hint="Leave it out: the database has its own default privileges.",
            )
        with connected(given) as connection:
            narrate(f"audit {ANNOUNCEMENT}")
            options = copy_options(given, rows=rows)
            unapplied = _unapplied(given, connection)
            with copied(connection, options, narration=narration()) as copy:
                yield replace(_of_copy(connection, copy), unapplied=unapplied)
        return
    from supabase_jobs.sources import project

    files = project_files(given)
    seeds = project.seeds(given) if seed else []
    built_project = migrated(
        given.directory,
        files,
        seeds,
        default_privileges=default_grants,
        checkpoint=checkpoint,
        narration=narration(),
    )
    with built_project as built:
        name = str(describe(built.connection))
        narrate(f"database: {name}")
        yield ProjectDatabase(connection=built.connection, name=name, lacking=built.lacking)


@contextmanager
def database_in_place(given: "Settings", *, allow_remote: bool) -> Iterator[ProjectDatabase]:
    """The target database itself. Unless it is an embedded server, what the audit would disturb
    there is listed, and on a terminal the user is asked.

    Raises ConfigError (2) for another server without `allow_remote` or a terminal.
    """
    from supabase_jobs.database.connection import describe
    from supabase_jobs.local.embedded import is_embedded
    from supabase_jobs.projects.disturbances import disturbances

    with connected(given) as connection:
        if not is_embedded(connection):
            if not allow_remote and not sys.stdin.isatty():
                raise ConfigError(
                    f"audit --in-place inserts rows into {describe(connection)}, and holds locks"
                    " until it ends",
                    hint="Leave out --in-place: a copy is audited then. For a server that is thrown"
                    " away, pass --allow-remote.",
                )
            for found in disturbances(connection):
                narrate(f"warning: {found.name}: {found.why}")
            if not allow_remote:
                click.confirm("Insert rows, and roll them back?", abort=True, err=True)
        narrate("audit inserts rows of its own into this database, and rolls them back")
        yield ProjectDatabase(
            connection=connection,
            name=str(describe(connection)),
            target=connection,
            unapplied=_unapplied(given, connection),
        )


@contextmanager
def suite_database(given: "Settings") -> Iterator[ProjectDatabase]:
    """The database that a suite runs against: an embedded server itself, which is copied again for
    each run, or what `project_database` makes.
    """
    from supabase_jobs.database.connection import connect, describe
    from supabase_jobs.local.embedded import is_embedded

    if has_target(given):
        with connect(database_url(given)) as connection:
            if is_embedded(connection):
                narrate(f"database: {describe(connection)}")
                yield ProjectDatabase(
                    connection=connection, name=str(describe(connection)), target=connection
                )
                return
    with project_database(given) as database:
        yield database


def _unapplied(given: "Settings", connection: "Connection") -> "tuple[Migration, ...]":
    """The files that the local server of the folder does not have, or has with another text.

    A database that was named may have another state on purpose: only of the server that is used
    because it runs, the user expects the files of the folder.
    """
    from supabase_jobs.migrations import ledger
    from supabase_jobs.projects.applied import unapplied
    from supabase_jobs.sources import project

    if given.db_url or given.migrations is None:
        return ()
    return unapplied(project.loadable_files(given), ledger.read(connection).rows)


def _of_copy(target: "Connection", copy: "Copy") -> ProjectDatabase:
    from supabase_jobs.database.connection import describe

    return ProjectDatabase(
        connection=copy.connection,
        name=str(describe(target)),
        target=target,
        lacking=copy.lacking,
        private=copy.private,
        definitions=copy.definitions,
    )


def audited_files(given: "Settings") -> "Files":
    """The part of the project's files that an audit needs, but for the privileges that they
    revoke.
    """
    from supabase_jobs.audit.options import Files

    return Files(configuration=audit_configuration(given.directory), token_hook=_token_hook(given))


def _token_hook(given: "Settings") -> tuple[str, str] | None:
    """The function of the project that changes access tokens; a web service is not called."""
    from supabase_jobs.projects.exposed_schemas import project_ref
    from supabase_jobs.sources.config_toml import load_auth_settings

    settings = load_auth_settings(given.directory, project_ref(given.db_url))
    if not settings.enable_signup:
        narrate("note: [auth] enable_signup is off; what newcomers can do is tested all the same")
    hook = settings.custom_access_token
    if hook is not None and hook.function is None:
        narrate("note: the access token hook is a web service, which is not called")
    return None if hook is None else hook.function


def hiding(options: "Options", private: "Sequence[str]", definitions: str) -> "Options":
    """The options of an audit of a copy: from now on nothing prints its private texts, nor the
    values that code of the project computes from them.
    """
    from supabase_jobs.audit.copied_texts import CopiedTexts
    from supabase_jobs.database.hidden_values import words

    if not private:
        return options
    keep_private(private)
    copied = CopiedTexts(definitions=words(definitions), private=frozenset(private))
    return replace(options, copied=copied, hide=keep_private)


def has_target(given: "Settings") -> bool:
    """Whether a database was given, or the local server of the directory runs."""
    from supabase_jobs.local import server

    return (given.db_url or server.running_url(given.directory)) is not None


def project_files(given: "Settings") -> "MigrationFiles":
    """The files that are audited; notes name what `supabase db push` refuses.

    Raises ConfigError if there are none.
    """
    from supabase_jobs.sources import project
    from supabase_jobs.sources.loadable import loadable

    folder = given.migrations or given.directory / DEFAULT_MIGRATIONS
    if given.migrations is None and given.sql_dir is not None:
        return project.files(given)
    found = loadable(given.directory, folder)
    if not found.files.migrations:
        inside = folder.is_relative_to(given.directory)
        raise ConfigError(
            f"no migrations in {folder.relative_to(given.directory) if inside else folder}",
            hint="Run it in the project's folder, or pass --migrations DIR, the folder with the"
            " SQL files, or --db-url URL.",
        )
    for note in found.notes:
        narrate(note)
    return found.files


def copy_options(given: "Settings", *, rows: bool = True) -> "CopyOptions":
    """How a target database is copied: with the project's migrations, if they are at hand."""
    from supabase_jobs.projects.copied import CopyOptions
    from supabase_jobs.sources import project

    files = None if given.migrations is None else project.loadable_files(given)
    return CopyOptions(directory=given.directory, migrations=files, rows=rows)


def narration() -> "Narration":
    """Notes and steps on stderr."""
    from supabase_jobs.projects.narration import Narration

    return Narration(note=narrate, step=progress, advance=advance)


def audit_configuration(directory: Path) -> "Configuration":
    """The supabase/audit.toml of a project, if it has one."""
    from supabase_jobs.audit.configuration import DEFAULT_FILE, Configuration, load

    file = directory / DEFAULT_FILE
    return load(file) if file.is_file() else Configuration()
