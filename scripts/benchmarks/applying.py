"""`supabase-jobs apply` next to `supabase db push`: the same files, the same server, the programs in turn."""

import statistics
from collections.abc import Callable

import click
import psycopg
from psycopg import sql

from benchmarks.figures import Figure
from benchmarks.programs import Programs, Ran
from benchmarks.world import World
from supabase_jobs.local.server import ServerInfo, throwaway

RATIO, HELP_MS = 0.5, 250.0
_REPEAT = 7


def measure(_world: World) -> list[Figure]:
    """Medians of a first apply, of one with nothing to do, and of --help. Each first one has a fresh database."""
    times: dict[str, list[float]] = {}

    def note(name: str, ran: Ran) -> None:
        if ran.code:
            raise click.ClickException(f"{name} exited {ran.code}:\n{ran.out}")
        times.setdefault(name, []).append(ran.ms)

    with throwaway() as server, Programs() as programs:
        fresh = _databases(server)
        sides = (("apply", lambda url: programs.ours("apply", url=url)), ("push", programs.push))
        for _, program in sides:
            program(fresh())  # what is read from the disk for the first time is nobody's fault
        for _ in range(_REPEAT):
            for name, program in sides:
                url = fresh()
                note(f"{name}_first", program(url))
                note(f"{name}_noop", program(url))
            note("help", programs.ours("--help"))
    median = {name: statistics.median(spent) for name, spent in times.items()}
    return [
        _ratio("apply, nothing to do", median["apply_noop"], median["push_noop"]),
        _ratio("first apply of this set", median["apply_first"], median["push_first"]),
        Figure("--help", median["help"], "ms", HELP_MS),
    ]


def _ratio(name: str, ours: float, theirs: float) -> Figure:
    return Figure(
        f"{name}: time, next to `supabase db push`",
        ours / theirs,
        "×",
        RATIO,
        detail=f"{ours:.0f} ms and {theirs:.0f} ms, median of {_REPEAT}",
        also={"ms": ours, "push_ms": theirs},
    )


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
