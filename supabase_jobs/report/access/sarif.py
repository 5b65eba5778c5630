"""What migrations change in the access as SARIF 2.1.0, for code scanning."""

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report.access.converted import converted
from supabase_jobs.report.audit import sarif


def diff(result: AccessDiff) -> str:
    """The report as text."""
    return sarif.audit(converted(result))
