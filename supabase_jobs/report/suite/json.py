"""The result of `mutate --run` as the JSON document that other programs rely on."""

import json
from dataclasses import asdict

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report.suite import scores


def mutation(result: SuiteMutation) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: SuiteMutation) -> dict[str, object]:
    """`{"mutants": [{"id", "killed", "by"}], "killed", "total"}` and more; `mutants` are those that
    count.
    """
    return {
        "mutants": [_mutant(m) for m in result.scored],
        "killed": len(result.of("killed")),
        "total": len(result.scored),
        "equivalent": [_mutant(m) for m in result.of("equivalent")],
        "untested": [_mutant(m) for m in result.of("untested")],
        "not_injected": [
            {"id": m.id, "error": "; ".join(m.by), "sql": m.sql} for m in result.of("rejected")
        ],
        "scores": {
            "objects": [asdict(score) for score in scores.by_object(result)],
            "kinds": [asdict(score) for score in scores.by_kind(result)],
        },
        "selected": result.selected,
        "derived": result.derived,
        "seed": result.seed,
        "not_run": result.selected - len(result.mutants),
        "suite": {
            "command": result.command,
            "seconds": round(result.suite_seconds, 2),
            "timeout": round(result.timeout, 2),
            "jobs": result.jobs,
        },
        "seconds": round(result.seconds, 2),
    }


def _mutant(mutant: SuiteMutant) -> dict[str, object]:
    return {
        "id": mutant.id,
        "killed": mutant.state == "killed",
        "by": list(mutant.by),
        "object": mutant.object,
        "kind": mutant.kind,
        "sentence": mutant.sentence,
        "sql": mutant.sql,
        "seconds": round(mutant.seconds, 2),
        "tests": dict(mutant.tests),
        "note": mutant.note,
    }
