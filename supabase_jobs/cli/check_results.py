"""`supabase-jobs check-results`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from supabase_jobs.cli.common import as_json, connected, json_option, print_json, settings, shared_options

if TYPE_CHECKING:
    from supabase_jobs.operations.check_results import Sample

DEVIATION_EXIT_CODE = 1
_MOST = 10_000


@click.command(name="check-results", epilog="Example: supabase-jobs check-results --sample 500")
@click.option(
    "--sample",
    type=click.IntRange(1, _MOST),
    default=100,
    show_default=True,
    metavar="N",
    help="How many completed jobs to look at, the newest.",
)
@click.option("--strict", is_flag=True, help="Exit 1 where a job deviates.")
@shared_options
@json_option
@click.pass_context
def command(ctx: click.Context, sample: int, strict: bool) -> None:
    """Sample completed jobs, and warn where result or metadata has another form than documented.

    The form is advice, given as two JSON Schemas in the package; the database takes any JSON. It only reads, and
    prints paths, counts and the id of a job, never what a job holds.
    """
    from supabase_jobs.operations.check_results import check

    with connected(settings(ctx)) as connection:
        found = check(connection, sample)
    if as_json(ctx):
        print_json(
            {
                "sampled": found.size,
                "deviating": found.deviating,
                "deviations": [asdict(deviation) for deviation in found.deviations],
            }
        )
    else:
        _print(found)
    ctx.exit(DEVIATION_EXIT_CODE if strict and found.deviating else 0)


def _print(found: "Sample") -> None:
    width = max((len(d.path) for d in found.deviations), default=0)
    for deviation in found.deviations:
        line = f"{deviation.rows:>6,}  {deviation.path:<{width}}  {deviation.problem}"
        click.echo(f"{line}\n        such as job {deviation.example}")
    verdict = f"warning: {found.deviating:,} of them deviate" if found.deviating else "ok: none of them deviates"
    click.echo(f"{found.size:,} completed jobs sampled, the newest; {verdict}")
