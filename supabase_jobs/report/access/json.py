"""What migrations change in the access as JSON; access-diff.schema.json describes the document."""

import json
from dataclasses import asdict
from typing import Any

from supabase_jobs.findings import AccessChange, AccessDiff
from supabase_jobs.report.audit.converted import policy_location

_CHANGE = (
    "id",
    "severity",
    "change",
    "object",
    "caller",
    "action",
    "message",
    "cause",
    "fix",
    "access",
)


def diff(result: AccessDiff) -> str:
    """The document as text."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: AccessDiff) -> dict[str, object]:
    """`{"ok", "before", "after", "changes", "not_compared", "summary"}`."""
    kinds = ("wider", "new", "leak", "narrower", "removed", "closed")
    return {
        "ok": result.ok,
        "before": result.before,
        "after": result.after,
        "baseline": result.baseline or None,
        "changes": [
            {
                **{key: getattr(change, key) for key in _CHANGE},
                "location": _location(result, change),
            }
            for change in result.changes
        ],
        "not_compared": [asdict(item) for item in result.not_compared],
        "summary": {
            **{kind: len(result.of(kind)) for kind in kinds},
            "not_compared": len(result.not_compared),
            "ms": round(result.milliseconds, 1),
        },
    }


def _location(result: AccessDiff, change: AccessChange) -> dict[str, Any] | None:
    line = policy_location(result.audit, change.object, change.policies)
    return None if line is None or change.change in ("removed", "closed") else asdict(line)
