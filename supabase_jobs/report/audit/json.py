"""An audit as the JSON document that other programs rely on."""

import json
from dataclasses import asdict

from supabase_jobs.findings import Audit

_FINDING = ("id", "severity", "object", "message", "fix", "cause")
_CELL = ("object", "caller", "whose", "action", "outcome")


def audit(result: Audit) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Audit) -> dict[str, object]:
    """`{"ok", "findings", "matrix", "coverage", "summary"}`, the contract of the CLI."""
    counts = {
        severity: sum(f.severity == severity for f in result.findings)
        for severity in ("error", "warning", "info")
    }
    return {
        "ok": result.ok,
        "findings": [
            {key: getattr(finding, key) for key in _FINDING} for finding in result.findings
        ],
        "matrix": [{key: getattr(cell, key) for key in _CELL} for cell in result.cells],
        "access": [
            {"object": s.object, **s.access, "leaks": sorted(s.leaks)} for s in result.summaries
        ],
        "coverage": {
            "tables": result.tables,
            "planted": result.planted,
            "cells": len(result.cells),
            **({} if result.api_cells is None else {"api_cells": result.api_cells}),
            "not_tested": [asdict(item) for item in result.not_tested],
        },
        "summary": {**counts, "ms": round(result.milliseconds, 1)},
    }
