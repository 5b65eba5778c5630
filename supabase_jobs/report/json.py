"""A verification as the JSON document that other programs rely on."""

import json
from dataclasses import asdict

from supabase_jobs.findings import Grid, Verification


def verification(result: Verification) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Verification) -> dict[str, object]:
    """`{"ok", "findings", "summary", "unchecked", "matrix"}`; all but the last are the contract of the CLI."""
    return {
        "ok": result.ok,
        "findings": [asdict(finding) for finding in result.findings],
        "summary": {
            "checks": result.checks,
            "failed": len(result.findings),
            "ms": round(result.milliseconds, 1),
        },
        "unchecked": list(result.unchecked),
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
