"""Commands on a database 50 ms away, through a proxy: round trips, and times next to `supabase db
push`.
"""

import statistics
from collections.abc import Callable

import click

from benchmarks.apply import database_factory
from benchmarks.databases import Databases
from benchmarks.distance import distance
from benchmarks.figures import Figure
from benchmarks.programs import CompletedCommand, Programs
from supabase_jobs.local.server import throwaway

ONE_WAY_SECONDS = 0.025
VERIFY_TRIPS, VERIFY_S, TRIPS, STATS_TRIPS, FIRST_RATIO = 60, 5.0, 12, 14, 0.7
_REPEAT = 3


def measure(_databases: Databases) -> list[Figure]:
    """Round trips of each command, and medians of verify, a first apply and a first push;
    connecting is included.
    """
    with (
        throwaway() as server,
        Programs() as programs,
        distance(server.port, ONE_WAY_SECONDS) as proxy,
    ):
        new_database = database_factory(server)

        def through_proxy(url: str) -> str:
            return url.replace(f":{server.port}/", f":{proxy.port}/")

        def run(
            program: Callable[[str], CompletedCommand], url: str
        ) -> tuple[CompletedCommand, int]:
            before = proxy.round_trips
            command = program(through_proxy(url))
            if command.code:
                raise click.ClickException(f"a command exited {command.code}:\n{command.out}")
            return command, proxy.round_trips - before

        def supabase_jobs(*words: str) -> Callable[[str], CompletedCommand]:
            return lambda url: programs.supabase_jobs(*words, url=url)

        first, push = [], []
        for _ in range(_REPEAT):
            first.append(run(supabase_jobs("apply"), new_database()))
            push.append(run(programs.db_push, new_database()))
        url = new_database()
        programs.supabase_jobs("apply", url=url)
        verify = [run(supabase_jobs("verify"), url) for _ in range(_REPEAT)]
        trips = {
            words: run(supabase_jobs(*words.split()), url)[1]
            for words in ("apply", "plan", "status", "stats")
        }
    first_ms, push_ms = (
        statistics.median(command.ms for command, _ in runs) for runs in (first, push)
    )
    return [
        Figure("verify: round trips", verify[-1][1], "round trips", VERIFY_TRIPS),
        Figure(
            "verify: time at 50 ms",
            statistics.median(c.ms for c, _ in verify) / 1000,
            "s",
            VERIFY_S,
        ),
        Figure(
            "first apply at 50 ms: time relative to `supabase db push`",
            first_ms / push_ms,
            "×",
            FIRST_RATIO,
            detail=f"{first_ms:.0f} ms and {push_ms:.0f} ms; {first[-1][1]} and {push[-1][1]}"
            " round trips",
            also={"ms": first_ms, "push_ms": push_ms},
        ),
        Figure("apply without pending files: round trips", trips["apply"], "round trips", TRIPS),
        Figure("plan: round trips", trips["plan"], "round trips", TRIPS),
        Figure("status: round trips", trips["status"], "round trips", TRIPS),
        Figure("stats: round trips", trips["stats"], "round trips", STATS_TRIPS),
    ]
