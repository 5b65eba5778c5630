"""The command `supabase-jobs audit`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.access import (
    DEFAULT_BASELINE,
    State,
    compare_database,
    compare_migrations,
    compare_states,
    earlier_state,
    locations,
    project_revocations,
)
from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.api_target import api_options, local_endpoint
from supabase_jobs.cli.audit_fix import audit_and_fix
from supabase_jobs.cli.common import (
    advance,
    connected,
    narrate,
    progress,
    settings,
    shared_options,
    write_file,
)
from supabase_jobs.cli.completion import name_and_folder
from supabase_jobs.cli.private import without_private
from supabase_jobs.cli.project_database import (
    audited_files,
    database_in_place,
    hiding,
    project_database,
    project_files,
)
from supabase_jobs.cli.reports import Target, report_options, show_reports, targets
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed
from supabase_jobs.report import FORMATS
from supabase_jobs.report import load as load_format
from supabase_jobs.settings import DEFAULT_MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supabase_jobs.audit.baseline import Baseline
    from supabase_jobs.audit.options import Options
    from supabase_jobs.audit.repairs import changes
    from supabase_jobs.cli.project_database import ProjectDatabase
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import AccessDiff, Audit, NotTested
    from supabase_jobs.settings import Settings
    from supabase_jobs.sources.files import Migration

DEFAULT_GRANTS = {
    True: "on: requests reach each new object of schema public",
    False: "off: requests reach no new table, function or sequence without a GRANT",
}
# the keys of audit.emit.render.FORMATS
EMITTED = ("pgtap", "pytest")


@click.command(epilog="Example: supabase-jobs audit")
@click.option(
    "--schema", "schemas", multiple=True, metavar="NAME", help="Only this schema; may be repeated."
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only this table or view; may be repeated.",
)
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Compare with this file (default: supabase/access.toml, if it exists); only deviations"
    " and new leaks count.",
)
@click.option(
    "--update-baseline",
    metavar="[FILE]",
    is_flag=False,
    flag_value=str(DEFAULT_BASELINE),
    help="Write the baseline (default: supabase/access.toml), and exit 0.",
)
@click.option(
    "--migrations-from",
    metavar="REF|DIR",
    help="Print what changed in the access since the migrations of this git revision or folder;"
    " exit 1 if it is wider"
    " and the baseline does not accept it. Always on an embedded server.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="With a baseline or --migrations-from: narrower access is an error too; with"
    " --performance: a warning of it.",
)
@click.option(
    "--emit",
    "emitted",
    type=(click.Choice(EMITTED), click.Path(file_okay=False, path_type=Path)),
    multiple=True,
    metavar="pgtap|pytest DIR",
    shell_complete=name_and_folder(*EMITTED),
    help="Write the access as tests into this folder, for pgTAP or for the pytest plugin, and exit"
    " 0. May be repeated.",
)
@click.option(
    "--fix",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the proven repairs as one migration into this file, and audit their result."
    " Report and exit code are those of the audit without them.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    help="With --fix: only the repairs of this finding; may be repeated.",
)
@click.option(
    "--explain",
    "explained",
    metavar="ID | TABLE CALLER ACTION",
    help="Print the finding with this id as SQL for psql, or what decides about a cell of the"
    " matrix: policies, grants and functions.",
)
@click.argument("cell", nargs=-1, metavar="")
@click.option(
    "--seed",
    is_flag=True,
    help="On the embedded server: also run the seed files, by default supabase/seed.sql.",
)
@click.option(
    "--default-grants",
    type=click.Choice(("on", "off", "both")),
    help="On the embedded server: whether the API roles get privileges on new tables (default:"
    " [api] auto_expose_new_tables); both reports what the other state would change.",
)
@click.option("--no-functions", is_flag=True, help="Call no functions.")
@click.option("--no-rows", is_flag=True, help="Copy no reference rows, such as roles and plans.")
@click.option(
    "--in-place",
    is_flag=True,
    help="Audit the database itself, not a copy: for servers that are thrown away. Others need"
    " --allow-remote.",
)
@click.option(
    "--call-functions",
    is_flag=True,
    hidden=True,
    help="Also call functions that may change something. What they do outside of the database"
    " remains.",
)
@click.option(
    "--performance",
    is_flag=True,
    help="Also report what makes requests slow, with SQL that was tried: calls in policies that run"
    " for each row, missing and duplicate indexes. It fails nothing, with --strict a warning does.",
)
@report_options(FORMATS)
@api_options("Send the cells of tables also as requests")
@shared_options
@click.pass_context
def command(
    ctx: click.Context,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    baseline: Path | None,
    update_baseline: str | None,
    migrations_from: str | None,
    strict: bool,
    emitted: tuple[tuple[str, Path], ...],
    fix: Path | None,
    only: tuple[str, ...],
    explained: str | None,
    cell: tuple[str, ...],
    seed: bool,
    default_grants: str | None,
    no_functions: bool,
    no_rows: bool,
    in_place: bool,
    call_functions: bool,
    performance: bool,
    forms: tuple[str, ...],
    as_json: bool,
    files: tuple[Path, ...],
    api_url: str | None,
    allow_remote: bool,
) -> None:
    """Report who can read and change what in a project's tables; exit 1 if there is a leak.

    Inserts rows for two strangers, runs the actions of every kind of caller, and rolls everything
    back. Without a database, it starts an embedded server, applies the migrations, and audits that.
    A database is only read: its schema is copied into an embedded server, and the copy is audited.
    With --migrations-from, it audits two states of the migrations with the same rows and callers,
    and prints only what differs. Only requests to an API are committed; their rows are marked, and
    deleted at the end.
    """
    from supabase_jobs.audit.baseline import (
        Baseline,
        apply,
        load,
        render,
        with_reasons,
        without_reason,
    )
    from supabase_jobs.audit.options import Options
    from supabase_jobs.database.connection import second_connection
    from supabase_jobs.findings import DefaultGrants
    from supabase_jobs.projects.default_grants import default_grants as is_exposed
    from supabase_jobs.projects.exposed_schemas import served_schemas
    from supabase_jobs.projects.migrated import Checkpoint
    from supabase_jobs.sources.config_toml import load_api_settings

    if update_baseline is not None and (schemas or tables):
        raise ConfigError(
            "--update-baseline needs the whole project", hint="Leave out --schema and --table."
        )
    if emitted and (schemas or tables):
        raise ConfigError("--emit needs the whole project", hint="Leave out --schema and --table.")
    if in_place and default_grants is not None:
        raise ConfigError(
            "--default-grants conflicts with --in-place",
            hint="Leave it out: the database has its own default privileges.",
        )
    if api_url is not None and update_baseline is not None:
        raise ConfigError(
            "--api-url conflicts with --update-baseline",
            hint="Compare with the API first: a difference from SQL is no access to accept.",
        )
    beside_diff = {
        "--emit": bool(emitted),
        "--api-url": api_url is not None,
        "--update-baseline": update_baseline is not None,
        "--fix": fix is not None,
        "--seed": seed,
        "--default-grants": default_grants is not None,
        "--performance": performance,
    }
    if migrations_from is not None and any(beside_diff.values()):
        other = next(option for option, is_given in beside_diff.items() if is_given)
        raise ConfigError(
            f"{other} conflicts with --migrations-from", hint="Pass only one of them."
        )
    if cell and explained is None:
        raise ConfigError(
            f"unexpected argument {cell[0]!r}", hint="Pass --explain TABLE CALLER ACTION."
        )
    if explained is not None:
        _check_explanation(cell, forms, {**beside_diff, "--migrations-from": bool(migrations_from)})
    if only and fix is None:
        raise ConfigError("--only needs --fix FILE")
    if fix is not None and (emitted or update_baseline is not None):
        raise ConfigError(
            "--fix conflicts with --emit and --update-baseline",
            hint="Apply the repairs first, and run it again.",
        )
    file = Path(update_baseline) if update_baseline is not None else _baseline_file(baseline)
    known = (
        load(file)
        if file is not None and (update_baseline is None or file.is_file())
        else Baseline()
    )
    reports = targets(forms, files, as_json=as_json)
    given = settings(ctx)
    options = Options(
        served=load_api_settings(given.directory).schemas,
        schemas=schemas,
        tables=tables,
        functions=not no_functions,
        accepted=known.access if file is not None and update_baseline is None else None,
        intended=[leak for leak, reason in known.accepted.items() if reason.strip()],
        stable=bool(emitted),
        files=replace(audited_files(given), revocations=project_revocations(given)),
        advance=advance,
        performance=performance,
    )
    if migrations_from is not None:
        diff = _diff(given, migrations_from, options, known, strict=strict)
        diff = replace(diff, baseline=_shown(file) if file is not None else "")
        _write_diff(diff, reports)
        ctx.exit(passed(diff.ok))

    def compared(audited: "Audit") -> "Audit":
        """The audit with the deviations from the baseline."""
        if file is None or update_baseline is not None:
            return audited
        narrowed = bool(schemas or tables or no_functions)
        found = apply(audited, known, strict=strict, narrowed=narrowed)
        return replace(found, baseline=_shown(file))

    endpoint = (
        None
        if api_url is None
        else local_endpoint("audit", given, api_url, allow_remote=allow_remote)
    )
    if call_functions:
        narrate("note: --call-functions is no longer needed: every function is called, in a copy")
    states: list[changes.State] = []
    checkpoint = None
    if options.accepted is not None and known.last_migration:
        checkpoint = Checkpoint(
            version=known.last_migration,
            reached=lambda reached: states.append(_before_changes(reached, options)),
        )
    # while the server starts
    Thread(target=_read_ahead, args=[reports]).start()
    if in_place:
        opened = database_in_place(given, allow_remote=allow_remote)
    else:
        opened = project_database(
            given,
            seed=seed,
            rows=not no_rows,
            default_grants=_chosen_grants(given, default_grants),
            checkpoint=checkpoint,
        )
    with opened as database:
        from supabase_jobs.audit.audit import audit

        connection = database.connection
        target = database.target or connection
        served = served_schemas(given.directory, given.db_url, target, narrate)
        comparison = replace(options.comparison, before=next(iter(states), None))
        options = replace(options, served=served, comparison=comparison)
        exposed = is_exposed(connection)
        narrate(f"default privileges: {DEFAULT_GRANTS[exposed]}")
        options = hiding(options, database.private, database.definitions)
        if explained is not None:
            with progress("auditing"):
                text = _explanation(connection, options, (explained, *cell), compared)
            _show_explanation(without_private(text), files)
            return
        lines = locations(given)  # before --fix adds a file, which is no cause
        with progress("auditing"):
            written: list[str] = []  # told after the report, so that they are not overlooked
            if emitted:
                result, written = _emit(connection, options, emitted)
            elif fix is not None:
                result, line = audit_and_fix(connection, options, fix, only, compared)
                written.append(line)
            else:
                result = audit(connection, options)
        _say_who_cannot_sign_in(given, result)
        if strict:
            result = _strict_about_performance(result)
        result = _with_lacking(_fail_if_nothing_is_reached(result, options), database, options)
        if endpoint is not None and database.target is not None:
            from supabase_jobs.audit.http import compare

            with (
                progress(f"sending requests to the API at {endpoint.url}"),
                second_connection(database.target) as guard,
            ):
                result = compare(database.target, guard, options, endpoint, result)
        result = replace(
            result,
            database=database.name,
            locations=lines,
            default_grants="on" if exposed else "off",
        )
        difference = None
        if default_grants == "both":
            with project_database(given, seed=seed, default_grants=not exposed) as changed:
                difference = _other_grants(given, connection, changed.connection, options, exposed)
    if update_baseline is not None and file is not None:
        last = _last_migration(given, database.unapplied)
        write_file(file, without_private(render(result, known, last)))
        written.append(f"wrote {file}{_lacking_reasons(without_reason(result, known))}")
        result = with_reasons(result, known)
    else:
        result = compared(result)
    if unknown := set(only) - {finding.id for finding in result.findings}:
        narrate(f"note: no finding {min(unknown)!r}")
    if difference is None:
        from supabase_jobs.report.producers.audit import document

        report = document(result)
    else:
        from supabase_jobs.report.producers.default_grants import document as document_of_both

        report = document_of_both(DefaultGrants(result, difference))
    show_reports(report, reports)
    for line in written:
        narrate(line)
    annotate_findings(report, with_infos=False)
    ctx.exit(passed(result.ok or bool(emitted) or update_baseline is not None))


def _read_ahead(reports: Sequence[Target]) -> None:
    """Import most of the modules: those of the audit and of its report."""
    import_module("supabase_jobs.audit.audit")
    import_module("supabase_jobs.report.producers.audit")
    for target in reports:
        load_format(target.form)


def _before_changes(connection: "Connection", options: "Options") -> "changes.State":
    """The objects before the migrations that the baseline does not know."""
    from supabase_jobs.audit.repairs.changes import read

    return read(connection, options.served)


def _chosen_grants(given: "Settings", option: str | None) -> bool | None:
    """The default privileges to build the project with; None for those of its configuration."""
    from supabase_jobs.sources.config_toml import load_api_settings

    if option == "both":
        return load_api_settings(given.directory).auto_expose_new_tables is not False
    return None if option is None else option == "on"


def _other_grants(
    given: "Settings",
    connection: "Connection",
    other: "Connection",
    options: "Options",
    exposed: bool,
) -> "AccessDiff":
    """The changes of access if the default privileges were in their other state."""
    from supabase_jobs.audit.baseline import Baseline
    from supabase_jobs.sources.files import MigrationFiles

    nothing = MigrationFiles(())
    names = ("default privileges on", "default privileges off")
    before, after = names if exposed else reversed(names)
    diff = compare_states(
        given,
        (connection, State(before, nothing, tuple(options.served))),
        (other, State(after, nothing, tuple(options.served))),
        replace(options, accepted=None, performance=False),
        Baseline(),
    )
    state = "off" if exposed else "on"
    return replace(diff, audit=replace(diff.audit, default_grants=state))


def _say_who_cannot_sign_in(given: "Settings", result: "Audit") -> None:
    """A note if the audit has acted as somebody whom the configuration does not let in."""
    from supabase_jobs.audit.callers import ANONYMOUS_SIGN_IN
    from supabase_jobs.projects.exposed_schemas import project_ref
    from supabase_jobs.sources.config_toml import load_auth_settings

    settings = load_auth_settings(given.directory, project_ref(given.db_url))
    if ANONYMOUS_SIGN_IN in result.callers and not settings.enable_anonymous_sign_ins:
        narrate(
            "note: [auth] enable_anonymous_sign_ins is off; what people could do after an anonymous"
            " sign-in is tested all the same"
        )


def _strict_about_performance(result: "Audit") -> "Audit":
    """The warnings of --performance as errors."""
    from supabase_jobs.findings import Severity

    graded = (
        replace(finding, severity=Severity.ERROR)
        if finding.severity is Severity.WARNING
        else finding
        for finding in result.performance
    )
    return replace(result, performance=tuple(graded))


def _with_lacking(result: "Audit", database: "ProjectDatabase", options: "Options") -> "Audit":
    """Add what the database lacks; objects in schemas that requests reach make it fail, and so do
    files of the project.
    """
    schemas = {*options.served, *options.schemas, "storage"}
    lacking = [_not_applied(migration) for migration in database.unapplied]
    for item in database.lacking:
        schema, _, name = item.object.partition(".")
        if item.fails or not name:
            lacking.append(item)
        elif schema in schemas:
            lacking.append(replace(item, fails=True))
    return replace(result, not_tested=(*result.not_tested, *lacking))


def _not_applied(migration: "Migration") -> "NotTested":
    from supabase_jobs.findings import NotTested

    return NotTested(
        migration.file_name,
        "the local server does not have this file, or has it with another text",
        "Apply it: supabase-jobs apply. Or build the project from its files: supabase-jobs local"
        " stop, and audit again.",
        fails=True,
    )


def _fail_if_nothing_is_reached(result: "Audit", options: "Options") -> "Audit":
    """Add what makes the audit fail if requests reach no object: nothing was tested."""
    from supabase_jobs.findings import NotTested

    if result.tables or result.cells or result.functions or result.not_tested:
        return result
    schemas = list(dict.fromkeys(options.schemas or options.served))
    why = (
        "requests reach no table, view or function in the"
        f" {'schema' if len(schemas) == 1 else 'schemas'} "
    )
    help_ = (
        "Check that it is the database of a Supabase project with its migrations applied. Other"
        " schemas: pass --schema"
        " NAME, or set schemas under [api] in supabase/config.toml."
    )
    return replace(
        result, not_tested=(NotTested("database", f"{why}{', '.join(schemas)}", help_, fails=True),)
    )


def _emit(
    connection: "Connection", options: "Options", emitted: Sequence[tuple[str, Path]]
) -> tuple["Audit", list[str]]:
    """Audit, and write the access as tests. Returns the lines that say which files they are."""
    from supabase_jobs.audit.audit import audit
    from supabase_jobs.audit.emit import folder, render
    from supabase_jobs.audit.emit.cases import suites
    from supabase_jobs.audit.emit.recording import Recording, record
    from supabase_jobs.audit.evidence import Evidence

    recordings: list[Recording] = []

    def recorder(evidence: Evidence) -> None:
        recordings.append(record(connection, evidence, copied=options.copied))

    result = audit(connection, replace(options, record=recorder))
    found = suites(connection, recordings[0])
    omitted = sum(len(suite.omitted) for suite in found)
    lines = []
    for form, directory in emitted:
        files = render.files(found, form)
        shown = {name: without_private(text) for name, text in files.items()}
        written = folder.write(directory, form, shown)
        removed = f", removed {', '.join(written.removed)}" if written.removed else ""
        lines.append(
            f"wrote {len(written.written)} files with {sum(len(s.cases) for s in found)} tests to"
            f" {directory}{removed}"
        )
    if omitted:
        lines.append(
            f"note: {omitted} actions have no test, because the owner does not reach the row"
            " either; see the files"
        )
    return result, lines


def _check_explanation(
    cell: Sequence[str], forms: Sequence[str], others: "Mapping[str, bool]"
) -> None:
    """Raise ConfigError for what contradicts --explain."""
    if len(cell) not in (0, 2):
        raise ConfigError(
            "--explain needs the id of a finding, or a table, a caller and an action",
            hint='Quote a caller with spaces: --explain public.notes "member of teams" read.',
        )
    given = [option for option, is_given in others.items() if is_given]
    given += [f"--format {form}" for form in forms if form != "text"]
    if given:
        raise ConfigError(f"{given[0]} conflicts with --explain", hint="Pass only one of them.")


def _explanation(
    connection: "Connection",
    options: "Options",
    words: Sequence[str],
    compared: "Callable[[Audit], Audit]",
) -> str:
    from supabase_jobs.audit.explain import cell, finding

    if len(words) == 1:
        return finding.explain(connection, options, words[0], compared)
    return cell.explain(connection, options, words)


def _show_explanation(text: str, files: Sequence[Path]) -> None:
    """Print an explanation, or write it into a file."""
    if files:
        write_file(files[0], text)
    else:
        click.echo(text, nl=False)


def _last_migration(given: "Settings", unapplied: "Sequence[Migration]") -> str:
    """The highest version of the project's migrations that were audited; '' if there is none."""
    from supabase_jobs.sources.loadable import loadable

    folder = given.migrations or given.directory / DEFAULT_MIGRATIONS
    found = loadable(given.directory, folder).files.migrations
    left_out = {migration.version for migration in unapplied}
    return max((m.version for m in found if m.version not in left_out), default="")


def _lacking_reasons(number: int) -> str:
    """The rest of the line about a baseline that was written."""
    return f"; without a reason: {number} under [accepted] and [decisions]" if number else ""


def _shown(file: Path) -> str:
    """The path from the current directory, or the name of a file elsewhere."""
    path = file.absolute()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else file.name


def _diff(
    given: "Settings", migrations_from: str, options: "Options", known: "Baseline", *, strict: bool
) -> "AccessDiff":
    """The changes since other migrations: in the current ones, or in a database that was given."""
    from supabase_jobs.projects.copied import ANNOUNCEMENT
    from supabase_jobs.sources import project

    files = project.files(given) if given.migrations is None else project_files(given)
    current = State("the current migrations", files, tuple(options.served))
    earlier = earlier_state(migrations_from, given, current)
    if given.db_url is None:
        return compare_migrations(given, earlier, current, options, known, strict=strict)
    with connected(given) as connection:
        narrate(f"audit --migrations-from {ANNOUNCEMENT}")
        return compare_database(given, connection, earlier, options, known, strict=strict)


def _write_diff(diff: "AccessDiff", reports: Sequence[Target]) -> None:
    from supabase_jobs.report.producers.access import document

    report = document(diff)
    show_reports(report, reports)
    annotate_findings(report, with_infos=False)


def _baseline_file(option: Path | None) -> Path | None:
    if option is not None:
        return option
    return DEFAULT_BASELINE if DEFAULT_BASELINE.is_file() else None
