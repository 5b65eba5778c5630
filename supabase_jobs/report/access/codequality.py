"""What migrations change in the access as a Code Quality report of GitLab."""

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report.access.converted import converted
from supabase_jobs.report.audit import codequality


def diff(result: AccessDiff) -> str:
    """The report as text."""
    return codequality.audit(converted(result))
