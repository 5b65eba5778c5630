"""The changes of access by migrations: two audits with the same rows and callers, compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supabase_jobs.cli.common import advance, narrate, progress
from supabase_jobs.cli.project_database import (
    audited_files,
    copy_options,
    hiding,
    narration,
)
from supabase_jobs.errors import ConfigError, SupabaseJobsError

if TYPE_CHECKING:
    from supabase_jobs.audit.baseline import Baseline
    from supabase_jobs.audit.options import Options
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import AccessDiff, Audit, Location, NotTested, Verification
    from supabase_jobs.migrations.dry_run import DryRun
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import MigrationFiles
    from supabase_jobs.sources.revocations import Revocation

# where `audit --update-baseline` writes
DEFAULT_BASELINE = Path("supabase") / "access.toml"


@dataclass(frozen=True)
class State:
    """A state of the migrations that is compared: its name in reports, and the schemas that the API
    serves.
    """

    name: str
    files: "MigrationFiles"
    served: tuple[str, ...]


def earlier_state(value: str, given: "Settings", current: State) -> State:
    """The migrations of a folder or of a git revision, as an option names them.

    The schemas of the API are those of the revision's config.toml; of a folder, those of the
    project.
    """
    from supabase_jobs.sources import revision
    from supabase_jobs.sources.config_file import CONFIG_FILES
    from supabase_jobs.sources.config_toml import ApiSettings, parse_api_settings
    from supabase_jobs.sources.files import MigrationFiles, load_migrations, unrecognized_files

    if given.migrations is None:
        raise ConfigError(
            "there are no migrations to compare with",
            hint="Run it in the folder that contains supabase/migrations.",
        )
    folder = Path(value)
    if folder.is_dir():
        if folder.name == value and _is_revision(value, given):
            raise ConfigError(
                f"{value!r} is a folder and a git revision",
                hint=f"Pass ./{value} or refs/heads/{value}.",
            )
        found = load_migrations(folder)
        if not found:
            raise ConfigError(
                f"the folder {value} contains no migration",
                hint="Migrations are VERSION_name.sql files.",
            )
        state = State(value, MigrationFiles(found, unrecognized_files(folder)), current.served)
    else:
        commit = revision.load(value, given.migrations)
        texts = ((file, commit.text(given.directory / file)) for file in CONFIG_FILES)
        found_api = (
            parse_api_settings(text, f"{value}:{file}") for file, text in texts if text is not None
        )
        api = next(found_api, ApiSettings())
        state = State(value, commit.migrations(given.migrations), api.schemas)
    lacking = {m.version for m in state.files.migrations} - {
        m.version for m in current.files.migrations
    }
    if lacking:
        narrate(
            f"note: {current.name} lacks migrations of {value}, so what they open counts as"
            " removed:"
            f" {', '.join(sorted(lacking))}"
        )
    return state


def _is_revision(value: str, given: "Settings") -> bool:
    from supabase_jobs.sources import revision

    try:
        return revision.find(value, given.directory) is not None
    except ConfigError:  # no git, or no repository
        return False


def compare_migrations(
    given: "Settings",
    before: State,
    after: State,
    options: "Options",
    accepted: "Baseline",
    *,
    strict: bool = False,
) -> "AccessDiff":
    """Compare two states of the migrations, built on an embedded server."""
    from supabase_jobs.projects.migrated import before_and_after

    states = before_and_after(given.directory, before.files, after.files, narration=narration())
    with states as (old, new):
        return compare_states(
            given,
            (old.connection, before),
            (new.connection, after),
            options,
            accepted,
            strict=strict,
            lacking=new.lacking,
        )


def compare_database(
    given: "Settings",
    connection: "Connection",
    before: State,
    options: "Options",
    accepted: "Baseline",
    *,
    strict: bool = False,
) -> "AccessDiff":
    """Compare a state of the migrations with a copy of the connected database."""
    from supabase_jobs.projects.copied import copied
    from supabase_jobs.projects.exposed_schemas import served_schemas
    from supabase_jobs.projects.migrated import migrated

    major = connection.info.server_version // 10_000
    served = served_schemas(given.directory, given.db_url, connection)
    after = State("the database", before.files, served)
    with (
        migrated(given.directory, before.files, major=major, narration=narration()) as old,
        copied(connection, copy_options(given), narration=narration()) as copy,
    ):
        options = hiding(options, copy.private, copy.definitions)
        return compare_states(
            given,
            (old.connection, before),
            (copy.connection, after),
            options,
            accepted,
            strict=strict,
            lacking=copy.lacking,
        )


def compare_pending_on_copy(
    given: "Settings", connection: "Connection", pending: "MigrationFiles", options: "Options"
) -> "AccessDiff":
    """Compare a copy of the connected database with another that has the pending files too."""
    from supabase_jobs.projects.copied import copied_before_and_after

    served = tuple(options.served)
    copies = copied_before_and_after(
        connection, copy_options(given), pending, narration=narration()
    )
    with copies as (old, new):
        options = hiding(options, new.private, new.definitions)
        return compare_states(
            given,
            (old.connection, State("the database", pending, served)),
            (new.connection, State("the pending files", pending, served)),
            options,
            project_baseline(),
            lacking=new.lacking,
        )


def compare_states(
    given: "Settings",
    before: "tuple[Connection, State]",
    after: "tuple[Connection, State]",
    options: "Options",
    accepted: "Baseline",
    *,
    strict: bool = False,
    lacking: "Sequence[NotTested]" = (),
) -> "AccessDiff":
    """Audit two databases with the same rows and callers, and compare the results.

    `lacking` are objects that a copy lacks.
    """
    from supabase_jobs.audit import catalog
    from supabase_jobs.audit.audit import audit
    from supabase_jobs.audit.common import Common
    from supabase_jobs.audit.difference import compare
    from supabase_jobs.audit.options import Comparison
    from supabase_jobs.audit.repairs import changes
    from supabase_jobs.audit.selection import check
    from supabase_jobs.database.connection import describe

    (old, first_state), (new, second_state) = before, after
    narrate(f"database: {describe(new)}")
    common = Common()
    catalogs = [
        catalog.read(connection, [*state.served, *options.schemas])
        for connection, state in (before, after)
    ]
    check(options, *catalogs)
    for found in catalogs:
        common.add(found, options.files.configuration.words)
    comparison = Comparison(common=common, partial=True)
    options = replace(options, comparison=comparison, stable=True)
    with progress("auditing the state before"):
        first = audit(old, replace(options, served=first_state.served, repairs=False))
    with progress("auditing the state after"):
        earlier = changes.read(old, first_state.served)
        comparison = replace(comparison, before=earlier, known=_leaks(first))
        options = replace(options, served=second_state.served, comparison=comparison)
        second = audit(new, replace(options, accepted=first.access))
    second = replace(
        second,
        database=str(describe(new)),
        locations=locations(given),
        not_tested=(*second.not_tested, *lacking),
    )
    return compare(first, second, (first_state.name, second_state.name), accepted, strict=strict)


def compare_pending(
    connection: "Connection",
    given: "Settings",
    dry_run: "Callable[[Callable[[Connection], Verification | None]], DryRun]",
    *,
    verify: "Callable[[Connection], Verification] | None" = None,
    seconds: float | None = None,
    required: bool = True,
) -> "tuple[DryRun, AccessDiff | None]":
    """Compare a local database as it is with what it is after the pending files, in a dry run.

    `dry_run` calls its argument in the transaction of the pending files. Its result is that of
    `verify`. If the comparison is not `required`, it may fail, such as for a role that may not
    become anon; a note has the reason.
    """
    import psycopg

    from supabase_jobs.audit.audit import audit
    from supabase_jobs.audit.common import Common
    from supabase_jobs.audit.difference import compare
    from supabase_jobs.audit.options import Comparison, Options
    from supabase_jobs.audit.repairs import changes
    from supabase_jobs.migrations.dry_run import reset_constraints
    from supabase_jobs.sources.config_toml import load_api_settings

    common = Common()
    limit: Mapping[str, Any] = {} if seconds is None else {"seconds": seconds}
    options = Options(
        files=audited_files(given),
        served=load_api_settings(given.directory).schemas,
        stable=True,
        comparison=Comparison(common=common, partial=True),
        advance=advance,
        **limit,
    )

    def audited(connection: "Connection", options: "Options", state: str) -> "Audit | None":
        try:
            with progress(f"auditing {state}"):
                return audit(connection, options)
        except (SupabaseJobsError, psycopg.Error) as error:
            if required or connection.broken:
                raise
            narrate(f"note: who can do what was not compared: {str(error).strip().splitlines()[0]}")
            return None

    first = audited(connection, replace(options, repairs=False), "the state before")
    second: Audit | None = None
    if first is not None:
        earlier = changes.read(connection, options.served)

    def check(connection: "Connection") -> "Verification | None":
        nonlocal second
        verified = None if verify is None else verify(connection)
        if first is not None:
            reset_constraints(connection)
            known = replace(options.comparison, before=earlier, known=_leaks(first))
            compared = replace(options, accepted=first.access, comparison=known)
            second = audited(connection, compared, "the state after")
        return verified

    run = dry_run(check)
    if second is not None and common.first_lacks_mentions():
        # the policies of the pending files mention callers or rows that the first audit did not try
        again = "the state before again, as the callers of the pending files"
        first = audited(connection, replace(options, repairs=False), again)
    if first is None or second is None:
        return run, None
    second = replace(second, locations=locations(given))
    diff = compare(first, second, ("the database", "the pending files"), project_baseline())
    return run, named_by_project(replace(diff, not_compared=(*_skipped(run), *diff.not_compared)))


def _leaks(before: "Audit") -> list[str]:
    """The ids of the findings of the state before: only new ones become changes."""
    return [finding.id for finding in before.findings if finding.severity.is_problem]


def _skipped(run: "DryRun") -> "list[Any]":
    from supabase_jobs.findings import NotCompared

    why = "the file cannot run in a transaction, so the dry run skipped it"
    return [
        NotCompared(object=m.file_name, caller="", untested="after", access="", why=why)
        for m in run.skipped
    ]


def project_baseline() -> "Baseline":
    """The accepted access of the project, if it has a supabase/access.toml."""
    from supabase_jobs.audit.baseline import Baseline, load

    return load(DEFAULT_BASELINE) if DEFAULT_BASELINE.is_file() else Baseline()


def named_by_project(diff: "AccessDiff") -> "AccessDiff":
    """The difference with the name of the file of `project_baseline`."""
    return replace(diff, baseline=DEFAULT_BASELINE.as_posix() if DEFAULT_BASELINE.is_file() else "")


def project_revocations(given: "Settings") -> "Sequence[Revocation]":
    """The privileges that the project's migrations revoke; none without a folder of migrations."""
    from supabase_jobs.sources.project import loadable_files
    from supabase_jobs.sources.revocations import revocations

    return [] if given.migrations is None else revocations(loadable_files(given).migrations)


def locations(given: "Settings") -> "Mapping[str, Location]":
    """Object → line of the project's migrations; none without a folder of migrations."""
    from supabase_jobs.sources import project

    return (
        project.object_locations(given, default_schema="public")
        if given.migrations is not None
        else {}
    )
