"""`supabase-jobs check-results`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import (
    as_json,
    connected,
    json_option,
    print_json,
    settings,
    shared_options,
)
from supabase_jobs.exit_codes import passed

if TYPE_CHECKING:
    from supabase_jobs.operations.check_results import Sample

_EFFECT = (
    "check-results reads the newest completed jobs; nothing is written, and no value is printed"
)
_MAX_SAMPLE = 10_000


@click.command(name="check-results", epilog="Example: supabase-jobs check-results --sample 500")
@click.option(
    "--sample",
    type=click.IntRange(1, _MAX_SAMPLE),
    default=100,
    show_default=True,
    metavar="N",
    help="Number of completed jobs to check, newest first.",
)
@click.option("--strict", is_flag=True, help="Exit 1 if a job deviates.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, sample: int, strict: bool) -> None:
    """Sample completed jobs, and warn if result or metadata deviates from the documented format.

    The format is advice, in two JSON Schemas of the package, or in those that [results] of
    supabase-jobs.toml names; the database accepts any JSON. Only reads, and prints paths, counts
    and ids of jobs, never the values.
    """
    from supabase_jobs.operations.check_results import check, load_schemas

    given = settings(ctx)
    schemas = load_schemas(given.result_schemas)
    with connected(given, _EFFECT) as connection:
        result = check(connection, sample, schemas)
    if as_json(ctx):
        print_json(
            {
                "sampled": result.size,
                "deviating": result.deviating,
                "deviations": [asdict(deviation) for deviation in result.deviations],
            }
        )
    else:
        _print(result)
    ctx.exit(passed(not (strict and result.deviating)))


def _print(sample: "Sample") -> None:
    width = max((len(d.path) for d in sample.deviations), default=0)
    for deviation in sample.deviations:
        line = f"{deviation.rows:>6,}  {deviation.path:<{width}}  {deviation.problem}"
        click.echo(f"{line}\n        for example job {deviation.example}")
    verdict = (
        f"warning: {sample.deviating:,} of them deviate"
        if sample.deviating
        else "ok: none of them deviates"
    )
    click.echo(f"{sample.size:,} newest completed jobs sampled; {verdict}")
