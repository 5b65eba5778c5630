"""An audit as a Code Quality report of GitLab."""

from supabase_jobs.findings import Audit
from supabase_jobs.report import codequality
from supabase_jobs.report.audit.converted import converted


def audit(result: Audit) -> str:
    """The report as text."""
    return codequality.verification(converted(result))
