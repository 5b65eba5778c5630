"""A verification as SARIF 2.1.0, for code scanning: a rule for each kind of finding, a result for
each finding.

Plain dictionaries, because the only Python library with the object model of SARIF is unmaintained.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from supabase_jobs.findings import Case, Finding, Severity, Verification
from supabase_jobs.report import summary

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_HELP = "https://supabase.com/docs/guides/database/postgres/row-level-security"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
# GitHub sorts results by it:
# https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
_SECURITY = {"access": "8.5", "functions": "8.0", "structure": "6.0", "lint": "5.0", "audit": "8.5"}

# (description, help) of the rules
_TEXTS = {
    "verify": (
        "The database deviates from the expectations of the migrations",
        "`supabase-jobs verify --explain ID` prints the SQL of the check.",
    ),
    "audit": (
        "A caller can do more than it should, or other things than the baseline says",
        "`supabase-jobs audit --format html` shows the SQL and the request of each action.",
    ),
}


def verification(result: Verification, command: str = "verify") -> str:
    """The log as text. Equal findings have equal logs: no time, no random id, no machine name."""
    return json.dumps(as_dict(result, command), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Verification, command: str = "verify") -> dict[str, Any]:
    """The log of one run. Unchecked areas are also notifications of the run.

    The rules are derived from all cases, so they do not depend on the findings.
    """
    rules = sorted(
        {_rule_id(subject) for subjects in (result.cases, result.findings) for subject in subjects}
    )
    driver = {
        "name": "supabase-jobs",
        "semanticVersion": _version(),
        "rules": [_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"supabase-jobs/{command}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": f"The area {area} was not checked."}}
                    for area in result.unchecked
                ],
            }
        ],
        "results": [
            _result(finding, rules.index(_rule_id(finding)), result) for finding in result.findings
        ],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_id(subject: Case | Finding) -> str:
    """`structure/policy`, `plans/duplicate_index`, `access/unchecked`: the part of an id without
    the object's name.

    For a cell of a matrix this is the action, the last part: `access/blind-update`.
    """
    kind, *more = (
        subject.id.removeprefix(f"{subject.area}:").removeprefix(f"{subject.object}:").split(":")
    )
    if subject.area == "access" and more:
        kind = more[-1]
    return f"{subject.area}/{kind.replace(' ', '-')}"


def _rule(rule: str) -> dict[str, Any]:
    area, _, kind = rule.partition("/")
    what = kind.replace("-", " ").replace("_", " ")
    about, help_ = _TEXTS["audit" if area == "audit" else "verify"]
    return {
        "id": rule,
        "name": "".join(part.capitalize() for part in f"{area} {what}".split()),
        "shortDescription": {"text": f"{area}: {what}"},
        "fullDescription": {"text": f"{about}: {area}, {what}."},
        "help": {"text": f"The message holds the fix. {help_}"},
        "helpUri": _HELP,
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", area], "security-severity": _SECURITY.get(area, "4.0")},
    }


def _result(finding: Finding, rule: int, result: Verification) -> dict[str, Any]:
    source = summary.location(result, finding)
    fix = f"\nfix: {finding.fix}" if finding.fix else ""
    return {
        "ruleId": _rule_id(finding),
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.object}: {finding.message}{fix}\nid: {finding.id}"},
        **({"properties": {"cause": finding.cause}} if finding.cause else {}),
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(source.file), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": source.line},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.object, "kind": "resource"}],
            }
        ],
        # the id stays the same when the line or the actual value changes
        "partialFingerprints": {
            "supabaseJobsId/v1": hashlib.sha256(finding.id.encode()).hexdigest()
        },
        **_suppression(finding, result),
    }


def _suppression(finding: Finding, result: Verification) -> dict[str, Any]:
    """What was not checked, and is accepted, is a suppressed result with the reason."""
    if finding.id not in result.accepted_unchecked:
        return {}
    reason = result.accepted_unchecked[finding.id]
    return {"suppressions": [{"kind": "external", "status": "accepted", "justification": reason}]}


def _version() -> str:
    try:
        return version("supabase-jobs")
    except PackageNotFoundError:  # not installed
        return "0.0.0"
