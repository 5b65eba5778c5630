"""How long `verify` and `mutate` take, on a local database as `supabase-jobs local start` makes it."""

import json
import statistics

from benchmarks.figures import Figure, holds
from benchmarks.programs import Programs
from benchmarks.world import World
from supabase_jobs.local.server import throwaway

VERIFY_S, MUTATE_S = 1.0, 60.0
PROBES, MUTANTS = 300, 120
_REPEAT = 7


def measure(_world: World) -> list[Figure]:
    """The whole commands, from the start of the program to its end."""
    with throwaway() as server, Programs() as programs:
        programs.ours("apply", url=server.url)
        programs.ours("verify", url=server.url)
        runs = [programs.ours("verify", "--json", url=server.url) for _ in range(_REPEAT)]
        mutate = programs.ours("mutate", "--json", url=server.url)
    found = json.loads(runs[0].out)
    mutants = json.loads(mutate.out)
    return [
        Figure("verify: time", statistics.median(run.ms for run in runs) / 1000, "s", VERIFY_S),
        Figure("verify: probes", found["summary"]["checks"], "checks", PROBES, least=True),
        Figure("mutate: time", mutate.ms / 1000, "s", MUTATE_S),
        Figure("mutate: faults planted", mutants["total"], "faults", MUTANTS, least=True),
        holds("verify finds nothing, and no fault goes unnoticed", found["ok"] and mutate.code == 0),
    ]
