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
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, out: Path | None, check: bool) -> None:
    """Render the SQL sources into Supabase migration files.

    In a project that has other migrations, the files get versions after its newest one. Files rendered
    earlier are recognised by their first line and never rewritten: they may be applied already.
    """
    from supabase_jobs.render import compare_folder, render_sources, write
    from supabase_jobs.sqlfiles import load_sources

    given = settings(ctx)
    out = given.directory / (out or given.migrations or DEFAULT_MIGRATIONS)
    sources = load_sources(given.sql_dir)
    rendering = compare_folder(sources, render_sources(sources, given.variables), out)

    for migration in rendering.edited:
        narrate(f"{migration.file_name} was changed by hand since it was rendered")
    for migration in rendering.outdated:
        narrate(f"{migration.file_name} was rendered from other sources or variables; a change needs a new version")
    for migration in rendering.new:
        narrate(f"{'missing' if check else 'writing'} {migration.file_name}")
    if not check:
        write(rendering, out)

    if as_json(ctx):
        names = {
            state: [m.file_name for m in getattr(rendering, state)]
            for state in ("new", "unchanged", "edited", "outdated")
        }
        print_json({**names, "out": str(out), "check": check})
    elif not rendering.differs:
        narrate(f"{out}: all {len(rendering.unchanged)} files are as rendered")
    ctx.exit(1 if check and rendering.differs else 0)
