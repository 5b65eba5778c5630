"""Times of `audit` on generated projects, here and 50 ms away, and on a folder of migrations
without a database.
"""

import statistics

import psycopg

from benchmarks.apply import database_factory
from benchmarks.databases import Databases, statement
from benchmarks.distance import distance
from benchmarks.figures import Figure, holds
from benchmarks.hosted import ONE_WAY_SECONDS
from benchmarks.programs import ROOT, CompletedCommand, Programs
from supabase_jobs.local.server import throwaway

SMALL, LARGE = 20, 200
SMALL_S, FAST_S, LARGE_S, DISTANT_S, FOLDER_S, TRIPS = 2.0, 3.0, 20.0, 10.0, 5.0, 60
_TEAMS = ROOT / "tests" / "data" / "projects" / "teams" / "supabase"
_REPEAT = 3


def measure(_databases: Databases) -> list[Figure]:
    """Medians of whole programs, from start to exit."""
    with throwaway() as server, Programs() as programs, Programs(_TEAMS) as teams:
        new_database = database_factory(server)

        def project(tables: int, functions: int) -> str:
            url = new_database()
            with psycopg.connect(url) as connection:
                connection.execute(
                    "select set_config('audit.tables', %s, true), set_config('audit.functions',"
                    " %s, true)",
                    (str(tables), str(functions)),
                )
                connection.execute(statement("audit_project"))
            return url

        small, large = project(SMALL, 0), project(LARGE + 2, LARGE)
        here = [programs.supabase_jobs("audit", url=small) for _ in range(_REPEAT)]
        suggesting = [
            programs.supabase_jobs("audit", "--performance", url=small) for _ in range(_REPEAT)
        ]
        many = [
            programs.supabase_jobs("audit", "--call-functions", url=large) for _ in range(_REPEAT)
        ]
        with distance(server.port, ONE_WAY_SECONDS) as proxy:
            away = small.replace(f":{server.port}/", f":{proxy.port}/")
            distant = [programs.supabase_jobs("audit", url=away) for _ in range(_REPEAT)]
            # pg_dump's connection makes most of them
            copying = max(proxy.trips.values())
            trips = (proxy.round_trips - _REPEAT * copying) // _REPEAT
        folder = [teams.supabase_jobs("audit") for _ in range(_REPEAT)]
    runs = (*here, *suggesting, *many, *distant, *folder)
    return [
        Figure(f"{SMALL} tables: time", _median(here), "s", SMALL_S),
        Figure(f"{SMALL} tables with --performance: time", _median(suggesting), "s", FAST_S),
        Figure(f"{LARGE} tables and {LARGE} functions: time", _median(many), "s", LARGE_S),
        Figure(f"{SMALL} tables at 50 ms: time", _median(distant), "s", DISTANT_S),
        Figure(
            f"{SMALL} tables: round trips",
            trips,
            "round trips",
            TRIPS,
            detail=f"and {copying} of pg_dump",
        ),
        Figure("a folder of migrations, without a database: time", _median(folder), "s", FOLDER_S),
        holds("audit reports no error on these projects", not any(run.code for run in runs)),
    ]


def _median(runs: list[CompletedCommand]) -> float:
    return statistics.median(run.ms for run in runs) / 1000
