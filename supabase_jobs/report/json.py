"""A verification as the JSON document that other programs rely on."""

import json
from dataclasses import asdict

from supabase_jobs.findings import Grid, Verification


def verification(result: Verification) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Verification) -> dict[str, object]:
    """The contract of the CLI (`ok`, `findings`, `summary`, `unchecked`), `accepted_unchecked` and
    `matrix`.
    """
    return {
        "ok": result.ok,
        "findings": [asdict(finding) for finding in result.findings],
        "summary": {
            "checks": result.checks,
            "failed": len(result.findings),
            "ms": round(result.milliseconds, 1),
        },
        "unchecked": list(result.unchecked),
        "accepted_unchecked": [
            {"id": id, "reason": reason} for id, reason in result.accepted_unchecked.items()
        ],
        "matrix": [_matrix(grid) for grid in result.grids],
    }


def _matrix(grid: Grid) -> dict[str, object]:
    return {
        "title": grid.title,
        "rows": [
            {"identity": label, "outcomes": dict(zip(grid.columns, cells, strict=True))}
            for label, cells in zip(grid.rows, grid.cells, strict=True)
        ],
    }
