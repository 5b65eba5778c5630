"""The drift of a database as a verification, for the formats that list findings."""

from supabase_jobs.findings import Case, Drift, DriftFinding, Finding, Severity, Verification

AREA = "drift"


def converted(result: Drift) -> Verification:
    """The findings with their restores as fixes, or one passed case if there is none."""
    findings = tuple(
        Finding(f.id, AREA, f.severity, f.object, _message(f), f.restore) for f in result.findings
    )
    cases = tuple(Case(f.id, AREA, f.object, f.message) for f in findings)
    if not cases:
        name = "the catalogs of the database are those that its migrations create"
        cases = (Case(AREA, AREA, "database", name),)
    return Verification(findings, cases, result.milliseconds, database=result.database)


def _message(finding: DriftFinding) -> str:
    changes = [c.message for c in finding.access if c.severity is not Severity.INFO]
    return "; ".join([finding.message, *changes])
