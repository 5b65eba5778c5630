"""Times of `verify` and `mutate` on a local database, as `supabase-jobs local start` creates it."""

import json
import statistics

from benchmarks.databases import Databases
from benchmarks.figures import Figure, holds
from benchmarks.programs import Programs
from supabase_jobs.local.server import throwaway

VERIFY_S = 1.0
# 15 s for 1,260 mutants: the number of mutants grows with the migrations
MUTANT_MS = 15_000 / 1_260
PROBES, MUTANTS = 300, 120
_REPEAT = 7


def measure(_databases: Databases) -> list[Figure]:
    """Whole programs, from start to exit."""
    with throwaway() as server, Programs() as programs:
        programs.supabase_jobs("apply", url=server.url)
        programs.supabase_jobs("verify", url=server.url)
        runs = [programs.supabase_jobs("verify", "--json", url=server.url) for _ in range(_REPEAT)]
        mutate = programs.supabase_jobs("mutate", "--json", url=server.url)
    verification = json.loads(runs[0].out)
    mutants = json.loads(mutate.out)
    return [
        Figure("verify: time", statistics.median(run.ms for run in runs) / 1000, "s", VERIFY_S),
        Figure("verify: probes", verification["summary"]["checks"], "checks", PROBES, least=True),
        Figure("mutate: time", mutate.ms / 1000, "s"),
        Figure("mutate: time of a mutant", mutate.ms / mutants["total"], "ms", MUTANT_MS),
        Figure("mutate: mutants", mutants["total"], "mutants", MUTANTS, least=True),
        holds(
            "verify reports no error, and no mutant survives",
            verification["ok"] and mutate.code == 0,
        ),
    ]
