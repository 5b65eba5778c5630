"""`scripts/bench`: every subject, or some, and the figures as a table, as JSON and as a chart."""

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import psycopg

from benchmarks import applying, cleanup, owners, queries, record, report, verification, workers
from benchmarks.figures import Figure
from benchmarks.world import World, say
from supabase_jobs.errors import SupabaseJobsError

SUBJECTS: Mapping[str, Callable[[World], list[Figure]]] = {
    "queries": queries.measure,
    "owners": owners.measure,
    "cleanup": cleanup.measure,
    "workers": workers.measure,
    "verify": verification.measure,
    "apply": applying.measure,
}


def _subjects(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Sequence[str]:
    names = list(SUBJECTS) if value is None else [name.strip() for name in value.split(",")]
    if unknown := set(names) - set(SUBJECTS):
        raise click.BadParameter(f"there is no {min(unknown)!r}, only {', '.join(SUBJECTS)}")
    return names


def _rows(_ctx: click.Context, _param: click.Parameter, value: int) -> int:
    if value % 2000 or value < 2000:
        raise click.BadParameter("must be a multiple of 2,000")
    return value


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, callback=_rows, help="Jobs in the table.")
@click.option("--only", "names", metavar="SUBJECT,…", callback=_subjects, help=f"Of {', '.join(SUBJECTS)}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write performance.json and performance.svg into this folder too.",
)
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing; take the figures out of a performance.json.",
)
@click.option("--record", "recorded", is_flag=True, help="Write the figures into docs/ and README.md.")
def main(
    rows: int, names: Sequence[str], as_json: bool, output: Path | None, file: Path | None, recorded: bool
) -> None:
    """Measure on databases of its own, some minutes long; exits 1 where a figure goes past its limit."""
    document: dict[str, Any] = {}
    if file is not None:
        document = json.loads(file.read_text(encoding="utf-8"))
        rows, names = document["rows"], [subject["name"] for subject in document["subjects"]]
    if recorded and (set(names) != set(SUBJECTS) or rows not in record.SIZES):
        sizes = " or ".join(f"{size:,}" for size in record.SIZES)
        raise click.UsageError(f"--record wants every subject, and {sizes} rows")
    document = document or measured(rows, names)
    click.echo(report.as_json(document) if as_json else report.text(document), nl=False)
    if output is not None:
        report.write(document, output, "performance")
    if recorded:
        record.record(document)
    sys.exit(0 if document["ok"] else 1)


def measured(rows: int, names: Sequence[str]) -> dict[str, Any]:
    """The document that everything is printed from."""
    load = round(os.getloadavg()[0], 1)
    subjects = []
    good = True
    with World(rows) as world:
        for name in names:
            say(f"{name} …")
            started = time.perf_counter()
            figures = SUBJECTS[name](world)
            good = good and all(figure.ok is not False for figure in figures)
            seconds = round(time.perf_counter() - started, 1)
            subjects.append({"name": name, "seconds": seconds, "figures": [figure.as_dict() for figure in figures]})
        with psycopg.connect(world.server.url) as connection:
            version = connection.info.parameter_status("server_version")
    return {
        "rows": rows,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "load_before": load,
            "postgresql": version,
            "python": platform.python_version(),
        },
        "subjects": subjects,
        "ok": good,
    }


def _stop(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)  # on the way out the server is stopped and its data removed
    try:
        main()
    except SupabaseJobsError as error:
        sys.exit(f"error: {error}")
