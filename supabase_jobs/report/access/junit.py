"""What migrations change in the access as JUnit XML: wider access fails, and unchanged objects have
passed cases.
"""

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report.access.converted import converted
from supabase_jobs.report.audit import junit


def diff(result: AccessDiff) -> str:
    """The report as text."""
    return junit.audit(converted(result))
