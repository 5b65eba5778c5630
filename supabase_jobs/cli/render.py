"""`supabase-jobs render`."""

from pathlib import Path

import click

from supabase_jobs.cli.common import (
    as_json,
    json_option,
    narrate,
    print_json,
    settings,
    shared_options,
)
from supabase_jobs.errors import ConfigError
from supabase_jobs.exit_codes import passed
from supabase_jobs.settings import DEFAULT_MIGRATIONS


@click.command(epilog="Example: supabase-jobs render --out supabase/migrations")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write into (default: supabase/migrations).",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the rendered files differ.")
@click.option(
    "--uninstall", is_flag=True, help="Render a migration that drops all managed objects."
)
@click.option(
    "--drop-data", is_flag=True, help="With --uninstall: drop the tables even if they contain rows."
)
@click.option(
    "--reinstall",
    is_flag=True,
    help="After an uninstall: render all sources again, with later versions.",
)
@shared_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    out: Path | None,
    check: bool,
    uninstall: bool,
    drop_data: bool,
    reinstall: bool,
) -> None:
    """Render the SQL sources into Supabase migration files.

    In a project with other migrations, the files get versions after its newest one. Files rendered
    earlier are recognized by their first line and never rewritten, because they may be applied
    already. A changed variable results in a new file.
    """
    from supabase_jobs.sources import project
    from supabase_jobs.sources.render import (
        compare_folder,
        render_sources,
        render_uninstall,
        uninstall_folder,
        write,
    )

    if uninstall and reinstall:
        raise click.UsageError("--uninstall and --reinstall cannot be combined.")
    if drop_data and not uninstall:
        raise click.UsageError("--drop-data requires --uninstall.")
    given = settings(ctx)
    out = given.directory / (out or given.migrations or DEFAULT_MIGRATIONS)
    sources = project.sources(given)
    if uninstall:
        variables = {**given.variables, **({"drop_data": True} if drop_data else {})}
        comparison = uninstall_folder(sources, render_uninstall(sources, variables), out)
    else:
        comparison = compare_folder(
            sources, render_sources(sources, given.variables), out, reinstall=reinstall
        )

    if check and not uninstall and comparison.is_foreign:
        raise ConfigError(
            f"{out} has migrations, and none of the jobs tables: there is nothing to compare",
            hint="Check the project's own tables: supabase-jobs audit. Add jobs tables:"
            " supabase-jobs render.",
        )
    for migration in comparison.edited:
        narrate(f"{migration.file_name} was edited after it was rendered")
    for migration in comparison.outdated:
        narrate(
            f"{migration.file_name} was rendered from other sources or variables; a change needs a"
            " new version"
        )
    for migration in comparison.new:
        narrate(f"{'missing' if check else 'writing'} {migration.file_name}")
    if comparison.uninstalled_by is not None:
        narrate(
            f"{comparison.uninstalled_by.file_name} uninstalls all sources; pass --reinstall to"
            " render them again"
        )
    if not check:
        write(comparison, out)

    if as_json(ctx):
        document: dict[str, object] = {}
        for state in ("new", "unchanged", "edited", "outdated"):
            document[state] = [m.file_name for m in getattr(comparison, state)]
        print_json({**document, "out": str(out), "check": check})
    elif not comparison.differs and comparison.uninstalled_by is None:
        number = len(comparison.unchanged)
        narrate(f"{out}: {'the file is' if number == 1 else f'all {number} files are'} up to date")
    ctx.exit(passed(not (check and comparison.differs)))
