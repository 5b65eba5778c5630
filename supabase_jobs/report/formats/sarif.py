"""SARIF 2.1.0, for code scanning: a rule for each kind of finding, a result for each finding.

Plain dictionaries, because the only Python library with the object model of SARIF is unmaintained.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from supabase_jobs.findings import Finding, Severity
from supabase_jobs.report.document import Check, Document, Result, Rules

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_HELP = "https://supabase.com/docs/guides/database/postgres/row-level-security"
_LEVELS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
    Severity.QUESTION: "note",
}
# GitHub sorts results by it (its page "SARIF support for code scanning")
_SECURITY = {"access": "8.5", "functions": "8.0", "structure": "6.0", "lint": "5.0", "audit": "8.5"}


def write(document: Document) -> str:
    """The log as text. Equal findings have equal logs: no time, no random id, no machine name."""
    return json.dumps(_log(document), indent=2, ensure_ascii=False) + "\n"


def _log(document: Document) -> dict[str, Any]:
    """The log of one run. Unchecked areas are also notifications of the run.

    The rules are derived from all checks, so they do not depend on the findings.
    """
    findings = [result.finding for result in document.results]
    subjects: list[Check | Finding] = [*document.checks(), *findings]
    rules = sorted({_rule_id(subject, document.rules) for subject in subjects})
    driver = {
        "name": "supabase-jobs",
        "semanticVersion": _version(),
        "rules": [_rule(rule, document.rules) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"supabase-jobs/{document.command}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": f"The area {area} was not checked."}}
                    for area in document.unchecked
                ],
            }
        ],
        "results": [_result(result, rules, document) for result in document.results],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_id(subject: Check | Finding, texts: Rules) -> str:
    """`structure/policy`, `plans/duplicate_index`, `access/unchecked`: the part of an id after the
    object's name.

    For a cell of a matrix this is the action, the last part: `access/blind-update`. The name of a
    scenario may explain itself after a colon.
    """
    kind, *more = subject.id.within(subject.area, subject.object)
    if subject.area in texts.with_cells and more:
        kind = more[-1]
    name, _, _ = kind.partition(":")
    return f"{subject.area}/{name.replace(' ', '-')}"


def _rule(rule: str, texts: Rules) -> dict[str, Any]:
    area, _, kind = rule.partition("/")
    what = kind.replace("-", " ").replace("_", " ")
    return {
        "id": rule,
        "name": "".join(part.capitalize() for part in f"{area} {what}".split()),
        "shortDescription": {"text": f"{area}: {what}"},
        "fullDescription": {"text": f"{texts.description}: {area}, {what}."},
        "help": {"text": f"The message holds the fix. {texts.help}"},
        "helpUri": _HELP,
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", area], "security-severity": _SECURITY.get(area, "4.0")},
    }


def _result(result: Result, rules: Sequence[str], document: Document) -> dict[str, Any]:
    finding, source = result.finding, result.location or document.default_location
    fix = f"\nfix: {finding.fix}" if finding.fix else ""
    rule = _rule_id(finding, document.rules)
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
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
        **_suppression(result),
    }


def _suppression(result: Result) -> dict[str, Any]:
    """The suppression of a result: that of an accepted unchecked area has the reason."""
    if not result.accepted:
        return {}
    suppression = {
        "kind": "external",
        "status": "accepted",
        "justification": result.accepted,
    }
    return {"suppressions": [suppression]}


def _version() -> str:
    try:
        return version("supabase-jobs")
    except PackageNotFoundError:  # not installed
        return "0.0.0"
