"""`scripts/bench`: measure all or some subjects; print the figures as a table or JSON, and draw a
chart.
"""

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

from benchmarks import (
    apply,
    audit,
    cleanup,
    hosted,
    owners,
    partitions,
    production,
    queries,
    record,
    report,
    verify,
    workers,
    writes,
)
from benchmarks.databases import Databases, log
from benchmarks.figures import Figure
from supabase_jobs.errors import SupabaseJobsError

SUBJECTS: Mapping[str, Callable[[Databases], list[Figure]]] = {
    "queries": queries.measure,
    "owners": owners.measure,
    "cleanup": cleanup.measure,
    "workers": workers.measure,
    "writes": writes.measure,
    "verify": verify.measure,
    "apply": apply.measure,
    "hosted": hosted.measure,
    "audit": audit.measure,
}
# only on request, and recorded by itself
PRODUCTION: Mapping[str, Callable[[Databases], list[Figure]]] = {"production": production.measure}
# with --partitions, instead of the others
PARTITIONS: Mapping[str, Callable[[Databases], list[Figure]]] = {"partitions": partitions.measure}


def _subjects(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Sequence[str]:
    names = list(SUBJECTS) if value is None else [name.strip() for name in value.split(",")]
    known = [*SUBJECTS, *PRODUCTION]
    if unknown := set(names) - set(known):
        raise click.BadParameter(f"unknown subject {min(unknown)!r}; known: {', '.join(known)}")
    return names


def _rows(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    if value is not None and (value % 2000 or value < 2000):
        raise click.BadParameter("must be a multiple of 2,000")
    return value


@click.command()
@click.option(
    "--rows",
    type=int,
    callback=_rows,
    help="Number of jobs in the table (default: 1,000,000; with --partitions 10,000,000).",
)
@click.option(
    "--only",
    "names",
    metavar="SUBJECT,…",
    callback=_subjects,
    help=f"Subjects: {', '.join(SUBJECTS)}; on request: {', '.join(PRODUCTION)}.",
)
@click.option(
    "--partitions",
    "partitioned",
    is_flag=True,
    help="Measure a partitioned table next to a tenth of it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of the table."
)
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also write performance.json and performance.svg into this folder.",
)
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the figures from a performance.json instead of measuring.",
)
@click.option("--record", "recorded", is_flag=True, help="Write the figures into docs/.")
@click.option(
    "--pgmq",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare workers with Supabase Queues: the file pgmq.sql of github.com/pgmq/pgmq.",
)
def main(
    rows: int | None,
    names: Sequence[str],
    partitioned: bool,
    as_json: bool,
    output: Path | None,
    file: Path | None,
    recorded: bool,
    pgmq: Path | None,
) -> None:
    """Measure on temporary databases for minutes; exits 1 if a figure exceeds its limit."""
    document: dict[str, Any] = {}
    if partitioned:
        if set(names) != set(SUBJECTS):
            raise click.UsageError("--partitions conflicts with --only")
        rows, names = rows or record.PARTITIONED_ROWS, list(PARTITIONS)
        if rows % (2000 * partitions.SHARE):
            raise click.UsageError(
                f"--partitions needs a multiple of {2000 * partitions.SHARE:,} rows"
            )
    rows = rows or record.REFERENCE_SIZE
    if file is not None:
        document = json.loads(file.read_text(encoding="utf-8"))
        rows, names = document["rows"], [subject["name"] for subject in document["subjects"]]
    if recorded and record.target(rows, names, SUBJECTS) is None:
        sizes = " or ".join(f"{size:,}" for size in record.SIZES)
        raise click.UsageError(
            f"--record needs all subjects and {sizes} rows, --only production and"
            f" {record.REFERENCE_SIZE:,} rows, or --partitions and {record.PARTITIONED_ROWS:,} rows"
        )
    document = document or measured(rows, names, pgmq)
    click.echo(report.as_json(document) if as_json else report.text(document), nl=False)
    if output is not None:
        report.write(document, output, "performance")
    if recorded:
        record.record(document)
    sys.exit(0 if document["ok"] else 1)


def measured(rows: int, names: Sequence[str], pgmq: Path | None) -> dict[str, Any]:
    """Measure the subjects; returns the document that all outputs are made from."""
    load = round(os.getloadavg()[0], 1)
    subjects = []
    ok = True
    with Databases(rows, pgmq) as databases:
        for name in names:
            log(f"{name} …")
            started = time.perf_counter()
            figures = {**SUBJECTS, **PRODUCTION, **PARTITIONS}[name](databases)
            ok = ok and all(figure.ok is not False for figure in figures)
            seconds = round(time.perf_counter() - started, 1)
            subjects.append(
                {
                    "name": name,
                    "seconds": seconds,
                    "figures": [figure.as_dict() for figure in figures],
                }
            )
        version = databases.version
        if not version:
            with psycopg.connect(databases.server.url) as connection:
                version = connection.info.parameter_status("server_version") or ""
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
        "ok": ok,
    }


def _stop(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(
                number, _stop
            )  # sys.exit unwinds: the server is stopped and its data removed
    try:
        main()
    except SupabaseJobsError as error:
        sys.exit(f"error: {error}")
