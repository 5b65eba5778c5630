"""A Code Quality report, which GitLab shows in the merge request, at the line of each finding."""

import hashlib
import json

from supabase_jobs.findings import Location, Severity
from supabase_jobs.report import printable
from supabase_jobs.report.document import Document, Result

# GitLab's severities: info, minor, major, critical, blocker
_SEVERITIES = {
    Severity.ERROR: "critical",
    Severity.WARNING: "minor",
    Severity.INFO: "info",
    Severity.QUESTION: "info",
}


def write(document: Document) -> str:
    """An array with an entry for each finding. Its fingerprint survives moved lines."""
    entries = [_entry(result, document.default_location) for result in document.results]
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _entry(result: Result, default: Location) -> dict[str, object]:
    finding, location = result.finding, result.location or default
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    return {
        "description": printable.line(f"{finding.object}: {finding.message}{fix}"),
        "check_name": finding.area,
        "fingerprint": hashlib.sha256(finding.id.encode()).hexdigest(),
        "severity": _SEVERITIES[finding.severity],
        "location": {"path": location.file, "lines": {"begin": location.line}},
    }
