"""An audit as a verification, for the formats that list findings at lines: JUnit, SARIF, Code
Quality, annotations.
"""

from collections.abc import Sequence

from supabase_jobs.findings import (
    Audit,
    AuditFinding,
    Case,
    Finding,
    Location,
    Severity,
    Verification,
)
from supabase_jobs.report.audit.matrix import WORDS

AREA = "audit"


def converted(result: Audit) -> Verification:
    """Findings, what was not tested, and a case for each action on an object without a finding."""
    not_tested = [
        Finding(
            f"not-tested:{i.object}",
            AREA,
            Severity.WARNING if i.fails else Severity.INFO,
            i.object,
            f"not tested: {i.why}",
            i.help,
        )
        for i in result.not_tested
    ]
    cases = [
        Case(f"access:{item.object}:{action}", AREA, item.object, f"{WORDS[action]}: {who}")
        for item in result.summaries
        for action, who in item.access.items()
        if action not in item.leaks
    ]
    locations = dict(result.locations)
    for finding in result.findings:
        if (line := location(result, finding)) is not None:
            # the part of the object that `Verification.location` reads from the id
            locations[f"{finding.object}:{finding.id.partition(':')[2]}"] = line
    return Verification(
        (*map(_finding, result.findings), *not_tested),
        tuple(cases),
        result.milliseconds,
        locations=locations,
        database=result.database,
    )


def _finding(finding: AuditFinding) -> Finding:
    message = f"{finding.message} (cause: {finding.cause})"
    return Finding(finding.id, AREA, finding.severity, finding.object, message, finding.fix)


def location(result: Audit, finding: AuditFinding) -> Location | None:
    """The line that creates the policy that causes a finding, or else its object."""
    return policy_location(result, finding.object, finding.policies)


def policy_location(result: Audit, name: str, policies: Sequence[str]) -> Location | None:
    """The line that creates the first of these policies, or else the object of this name."""
    label = name.partition("(")[
        0
    ].rstrip()  # without the state of the rows, or the arguments of a function
    policy = result.locations.get(f"{label}:{policies[0]}") if policies else None
    return policy or result.locations.get(label)
