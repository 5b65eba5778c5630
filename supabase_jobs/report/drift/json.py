"""The drift of a database as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from supabase_jobs.findings import AccessChange, Drift, DriftFinding, Severity


def drift(result: Drift) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Drift) -> dict[str, object]:
    """`{"ok", "findings", "access", "not_compared", "database", "migrations", "summary"}`."""
    wider = [f for f in result.findings if f.severity is Severity.ERROR]
    return {
        "ok": not result.findings,
        "findings": [_finding(finding) for finding in result.findings],
        "access": _access(result.unattributed),
        "not_compared": [asdict(item) for item in result.access.not_compared]
        if result.access
        else None,
        "database": result.database,
        "migrations": result.migrations,
        "summary": {
            "findings": len(result.findings),
            "wider": len(wider),
            "ms": round(result.milliseconds, 1),
        },
    }


def _finding(finding: DriftFinding) -> dict[str, object]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "object": finding.object,
        "kind": finding.kind,
        "message": finding.message,
        "capture": finding.capture,
        "restore": finding.restore,
        "access": _access(finding.access),
        "untried": finding.untried or None,
    }


def _access(changes: Iterable[AccessChange]) -> list[dict[str, object]]:
    keys = ("severity", "change", "object", "caller", "action", "message")
    return [{key: getattr(change, key) for key in keys} for change in changes]
