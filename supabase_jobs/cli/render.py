"""`supabase-jobs render`."""

from pathlib import Path

import click

from supabase_jobs.cli.common import as_json, json_option, narrate, print_json, settings, shared_options
from supabase_jobs.settings import DEFAULT_MIGRATIONS


@click.command(epilog="Example: supabase-jobs render --out supabase/migrations")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write into; supabase/migrations if unsaid.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the rendered files differ.")
@click.option("--uninstall", is_flag=True, help="Render a migration that takes all of it away again.")
@click.option("--drop-data", is_flag=True, help="With --uninstall: also where the tables hold rows.")
@click.option("--reinstall", is_flag=True, help="After an uninstall: render everything anew, in later versions.")
@shared_options
@json_option
@click.pass_context
def command(
    ctx: click.Context, out: Path | None, check: bool, uninstall: bool, drop_data: bool, reinstall: bool
) -> None:
    """Render the SQL sources into Supabase migration files.

    In a project that has other migrations, the files get versions after its newest one. Files rendered
    earlier are recognised by their first line and never rewritten: they may be applied already. Where a
    variable has changed, a new file makes the change.
    """
    from supabase_jobs.sources.files import load_sources
    from supabase_jobs.sources.render import (
        compare_folder,
        render_sources,
        render_uninstall,
        uninstall_folder,
        write,
    )

    if uninstall and reinstall:
        raise click.UsageError("--uninstall and --reinstall contradict each other.")
    if drop_data and not uninstall:
        raise click.UsageError("--drop-data goes with --uninstall only.")
    given = settings(ctx)
    out = given.directory / (out or given.migrations or DEFAULT_MIGRATIONS)
    sources = load_sources(given.sql_dir)
    if uninstall:
        variables = {**given.variables, **({"drop_data": True} if drop_data else {})}
        rendering = uninstall_folder(sources, render_uninstall(sources, variables), out)
    else:
        rendering = compare_folder(sources, render_sources(sources, given.variables), out, reinstall=reinstall)

    for migration in rendering.edited:
        narrate(f"{migration.file_name} was changed by hand since it was rendered")
    for migration in rendering.outdated:
        narrate(f"{migration.file_name} was rendered from other sources or variables; a change needs a new version")
    for migration in rendering.new:
        narrate(f"{'missing' if check else 'writing'} {migration.file_name}")
    if rendering.removed_by is not None:
        narrate(f"{rendering.removed_by.file_name} takes all of it away again; --reinstall renders it anew")
    if not check:
        write(rendering, out)

    if as_json(ctx):
        names = {
            state: [m.file_name for m in getattr(rendering, state)]
            for state in ("new", "unchanged", "edited", "outdated")
        }
        print_json({**names, "out": str(out), "check": check})
    elif not rendering.differs and rendering.removed_by is None:
        narrate(f"{out}: all {len(rendering.unchanged)} files are as rendered")
    ctx.exit(1 if check and rendering.differs else 0)
