"""Times `supabase-jobs` next to `supabase db push`: the same files, one embedded server, the repetitions interleaved.

The Supabase CLI is called without its Node wrapper, which would add to its time. Every first apply has a
fresh copy of the same database.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import psycopg
from psycopg import sql

from supabase_jobs.local.server import ServerInfo, throwaway

ROOT = Path(__file__).parents[1]
OURS = Path(sys.executable).with_name("supabase-jobs")
RATIO, HELP_MS = 0.5, 250.0


@click.command()
@click.option("--repeat", default=7, show_default=True, type=click.IntRange(1), help="Repetitions; the median counts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(repeat: int, as_json: bool) -> None:
    """Time a no-op apply, a first apply and --help; exits 1 where a figure is above its limit."""
    with tempfile.TemporaryDirectory(prefix="supabase-jobs-bench-") as folder, throwaway() as server:
        project = Path(folder)
        shutil.copytree(ROOT / "supabase", project / "supabase", ignore=shutil.ignore_patterns(".*"))
        figures = measure(server, project, repeat)
    rows = [
        ("no-op apply", figures["apply_noop"], figures["push_noop"]),
        ("first apply", figures["apply_first"], figures["push_first"]),
    ]
    good = all(ours <= RATIO * theirs for _, ours, theirs in rows) and figures["help"] < HELP_MS
    if as_json:
        ratios = {name.replace(" ", "_"): round(ours / theirs, 3) for name, ours, theirs in rows}
        medians = {name: round(ms, 1) for name, ms in figures.items()}
        document = {"cores": os.cpu_count(), "repeat": repeat, "median_ms": medians, "ratio": ratios, "ok": good}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"median of {repeat}, {os.cpu_count()} cores")
        click.echo(f"{'':<14}{'supabase-jobs':>14}{'supabase db push':>18}{'ratio':>8}")
        for name, ours, theirs in rows:
            click.echo(f"{name:<14}{ours:>11.0f} ms{theirs:>15.0f} ms{ours / theirs:>8.2f}")
        click.echo(f"{'--help':<14}{figures['help']:>11.0f} ms")
    sys.exit(0 if good else 1)


def measure(server: ServerInfo, project: Path, repeat: int) -> dict[str, float]:
    """Medians in milliseconds. Both programs take turns, so that what else the machine does hits both."""
    (project / "home").mkdir()
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PG", "SUPABASE", "GITHUB"))},
        "HOME": str(project / "home"),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "SUPABASE_NO_UPDATE_NOTIFIER": "1",
        "DO_NOT_TRACK": "1",
    }

    def timed(*words: str) -> float:
        started = time.perf_counter()
        done = subprocess.run(
            words, cwd=project, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        spent = (time.perf_counter() - started) * 1000
        if done.returncode:
            raise click.ClickException(f"{' '.join(words[:2])} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return spent

    def apply(url: str) -> float:
        return timed(str(OURS), "apply", "--db-url", url)

    def push(url: str) -> float:
        return timed(str(supabase_cli()), "db", "push", "--yes", "--db-url", f"{url}?sslmode=disable")

    fresh = _databases(server)
    apply(fresh()), push(fresh())  # what is read from the disk for the first time is nobody's fault
    times: dict[str, list[float]] = {}
    for _ in range(repeat):
        for name, program in (("apply", apply), ("push", push)):
            url = fresh()
            times.setdefault(f"{name}_first", []).append(program(url))
            times.setdefault(f"{name}_noop", []).append(program(url))
        times.setdefault("help", []).append(timed(str(OURS), "--help"))
    return {name: statistics.median(spent) for name, spent in times.items()}


def supabase_cli() -> Path:
    """The CLI's own binary, as `npm ci` in tests/ installs it."""
    found = sorted((ROOT / "tests" / "node_modules" / "@supabase").glob("cli-*/bin/supabase"))
    if not found:
        raise click.ClickException("the Supabase CLI is not installed; scripts/bench installs it")
    return found[0]


def _databases(server: ServerInfo) -> Callable[[], str]:
    count = 0

    def fresh() -> str:
        nonlocal count
        count += 1
        name = f"bench{count}"
        with psycopg.connect(server.superuser_url_for("template1"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template postgres owner postgres").format(sql.Identifier(name))
            )
            connection.execute("checkpoint")  # of the copying, not of what is measured
        return server.url_for(name)

    return fresh


if __name__ == "__main__":
    main()
