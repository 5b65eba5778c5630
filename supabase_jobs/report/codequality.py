"""A verification as a Code Quality report, which GitLab shows in the merge request, at the line of
each finding.
"""

import hashlib
import json

from supabase_jobs.findings import Finding, Severity, Verification
from supabase_jobs.report import summary

# GitLab's severities: info, minor, major, critical, blocker
_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


def verification(result: Verification) -> str:
    """The report: an array with an entry for each finding. Its fingerprint survives moved lines."""
    return (
        json.dumps(
            [_entry(finding, result) for finding in result.findings], indent=2, ensure_ascii=False
        )
        + "\n"
    )


def _entry(finding: Finding, result: Verification) -> dict[str, object]:
    source = summary.location(result, finding)
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    return {
        "description": summary.line(f"{finding.object}: {finding.message}{fix}"),
        "check_name": finding.area,
        "fingerprint": hashlib.sha256(finding.id.encode()).hexdigest(),
        "severity": _SEVERITIES[finding.severity],
        "location": {"path": source.file, "lines": {"begin": source.line}},
    }
