"""`supabase-jobs verify`."""

from pathlib import Path

import click

from supabase_jobs.cli.annotations import annotate_findings
from supabase_jobs.cli.common import JSON_HELP, connected, report, settings, shared_options
from supabase_jobs.errors import ConfigError


@click.command(epilog="Example: supabase-jobs verify --only access --format markdown")
@click.option("--only", metavar="AREA,…", help="Only these areas: structure, access.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "markdown"]),
    default=None,
    help="Text if unsaid.",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report into this file.")
@click.option("--strict", is_flag=True, help="Exit 1 also where an area could not be checked.")
@shared_options
@click.pass_context
def command(
    ctx: click.Context, only: str | None, format_: str | None, as_json: bool, output: Path | None, strict: bool
) -> None:
    """Check a live database against what the migrations promise; exits 1 where it finds an error.

    Everything it does to data happens in a transaction that is rolled back.
    """
    from supabase_jobs import project
    from supabase_jobs.report import FORMATS
    from supabase_jobs.verify.areas import parse, verify

    given = settings(ctx)
    areas = parse(only)
    promise = project.promise(given)
    with connected(given) as connection:
        result = verify(connection, promise, areas)
    form = "json" if as_json else format_ or "text"
    if output is None:
        click.echo(report(result, form), nl=False)
    else:
        try:
            output.write_text(FORMATS[form](result), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {output}: {error.strerror}") from error
    annotate_findings(result)
    ctx.exit(0 if result.ok and not (strict and result.unchecked) else 1)
