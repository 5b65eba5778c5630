"""An audit as JUnit XML: a test case for each action on an object, and for each finding."""

from supabase_jobs.findings import Audit
from supabase_jobs.report import junit
from supabase_jobs.report.audit.converted import AREA, converted


def audit(result: Audit) -> str:
    """The XML, to be encoded as UTF-8."""
    return junit.verification(converted(result), AREA)
