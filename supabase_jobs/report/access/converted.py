"""A difference as an audit, for the formats that list findings at lines."""

from dataclasses import replace

from supabase_jobs.findings import AccessDiff, Audit, AuditFinding, NotTested


def converted(result: AccessDiff) -> Audit:
    """The audit of the state after, with the changes as its findings."""
    findings = [
        AuditFinding(c.id, c.severity, c.object, c.message, c.fix, c.cause, c.policies)
        for c in result.changes
    ]
    changed = {c.object for c in result.changes}
    help_ = "Fix what prevents the test, then compare again."
    missing = [
        NotTested(f"{item.object} ({item.caller})" if item.caller else item.object, item.why, help_)
        for item in result.not_compared
    ]
    unchanged = tuple(s for s in result.audit.summaries if s.object not in changed)
    return replace(
        result.audit,
        findings=tuple(findings),
        summaries=unchanged,
        not_tested=tuple(missing),
        milliseconds=result.milliseconds,
    )
