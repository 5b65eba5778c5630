"""`supabase-jobs apply` compared with `supabase db push`: same files, same server, alternating
runs.
"""

import statistics
from collections.abc import Callable

import click
import psycopg
from psycopg import sql

from benchmarks.databases import Databases
from benchmarks.figures import Figure
from benchmarks.programs import CompletedCommand, Programs
from supabase_jobs.local.server import ServerInfo, throwaway

NOOP_RATIO, FIRST_RATIO, HELP_MS = 0.4, 0.45, 250.0
_REPEAT = 7


def measure(_databases: Databases) -> list[Figure]:
    """Medians of a first apply, of an apply without pending files, and of --help."""
    times: dict[str, list[float]] = {}

    def record(name: str, command: CompletedCommand) -> None:
        if command.code:
            raise click.ClickException(f"{name} exited {command.code}:\n{command.out}")
        times.setdefault(name, []).append(command.ms)

    with throwaway() as server, Programs() as programs:
        new_database = database_factory(server)
        commands = (
            ("apply", lambda url: programs.supabase_jobs("apply", url=url)),
            ("push", programs.db_push),
        )
        for _, program in commands:
            program(new_database())  # fills the caches of the operating system
        for _ in range(_REPEAT):
            for name, program in commands:
                url = new_database()
                record(f"{name}_first", program(url))
                record(f"{name}_noop", program(url))
            record("help", programs.supabase_jobs("--help"))
    median = {name: statistics.median(ms) for name, ms in times.items()}
    return [
        _ratio(
            "apply without pending files", median["apply_noop"], median["push_noop"], NOOP_RATIO
        ),
        _ratio("first apply", median["apply_first"], median["push_first"], FIRST_RATIO),
        Figure("--help", median["help"], "ms", HELP_MS),
    ]


def _ratio(name: str, apply_ms: float, push_ms: float, limit: float) -> Figure:
    return Figure(
        f"{name}: time relative to `supabase db push`",
        apply_ms / push_ms,
        "×",
        limit,
        detail=f"{apply_ms:.0f} ms and {push_ms:.0f} ms, median of {_REPEAT}",
        also={"ms": apply_ms, "push_ms": push_ms},
    )


def database_factory(server: ServerInfo) -> Callable[[], str]:
    """A function that creates a database like a new project, and returns its URL."""
    count = 0

    def create() -> str:
        nonlocal count
        count += 1
        name = f"bench{count}"
        with psycopg.connect(server.superuser_url_for("template1"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template postgres owner postgres").format(
                    sql.Identifier(name)
                )
            )
            connection.execute("checkpoint")  # flush the copy before the measurement
        return server.url_for(name)

    return create
