"""A verification as SARIF 2.1.0, for code scanning: a rule for each kind of finding, a result for each finding.

Plain dictionaries: the one library with SARIF's object model is no longer kept.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from supabase_jobs.findings import Case, Finding, Location, Severity, Verification

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_HELP = "https://supabase.com/docs/guides/database/postgres/row-level-security"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
# GitHub orders results by it: https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
_SECURITY = {"access": "8.5", "functions": "8.0", "structure": "6.0", "lint": "5.0"}
# code scanning shows no result without a file; this one stands for all where there is no SQL file
_NOWHERE = Location("supabase-jobs.toml", 1)


def verification(result: Verification) -> str:
    """The log as text. Equal for equal findings: it holds no time, no random id and nothing of the machine."""
    return json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"


def as_dict(result: Verification) -> dict[str, Any]:
    """The log of one run. What was not checked is also among the run's notifications: it is no clean bill.

    The rules are all kinds of cases that were asked, so that they are the same whatever was found.
    """
    rules = sorted({_rule_id(subject) for subjects in (result.cases, result.findings) for subject in subjects})
    driver = {"name": "supabase-jobs", "semanticVersion": _version(), "rules": [_rule(rule) for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "supabase-jobs/verify/"},
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
        "results": [_result(finding, rules.index(_rule_id(finding)), result) for finding in result.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_id(subject: Case | Finding) -> str:
    """`structure/policy`, `access/blind-update`, `access/unchecked`: the part of an id that is no name of an object.

    Of a cell of a matrix it is the action, which comes last.
    """
    kind, *more = subject.id.removeprefix(f"{subject.area}:").removeprefix(f"{subject.object}:").split(":")
    if subject.area != "structure" and more:
        kind = more[-1]
    return f"{subject.area}/{kind.replace(' ', '-')}"


def _rule(rule: str) -> dict[str, Any]:
    area, _, kind = rule.partition("/")
    what = kind.replace("-", " ").replace("_", " ")
    return {
        "id": rule,
        "name": "".join(part.capitalize() for part in f"{area} {what}".split()),
        "shortDescription": {"text": f"{area}: {what}"},
        "fullDescription": {"text": f"The database differs from what the migrations expectations: {area}, {what}."},
        "help": {
            "text": "The message says what mends it. `supabase-jobs verify --explain ID` prints the SQL that shows it."
        },
        "helpUri": _HELP,
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", area], "security-severity": _SECURITY.get(area, "4.0")},
    }


def _result(finding: Finding, rule: int, result: Verification) -> dict[str, Any]:
    source = result.location(finding) or _anywhere(result)
    fix = f"\nWhat to do: {finding.fix}" if finding.fix else ""
    return {
        "ruleId": _rule_id(finding),
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.object}: {finding.message}{fix}\nid: {finding.id}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(source.file), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": source.line},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.object, "kind": "resource"}],
            }
        ],
        # the id stays when the line moves; the value found is no part of it
        "partialFingerprints": {"supabaseJobsId/v1": hashlib.sha256(finding.id.encode()).hexdigest()},
    }


def _anywhere(result: Verification) -> Location:
    """For what no SQL file creates: the first of the files, which a project has, so that the result can be shown."""
    files = sorted(source.file for source in result.locations.values())
    return Location(files[0], 1) if files else _NOWHERE


def _version() -> str:
    try:
        return version("supabase-jobs")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0.0.0"
