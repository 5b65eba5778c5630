"""An audit as SARIF 2.1.0, for code scanning."""

from supabase_jobs.findings import Audit
from supabase_jobs.report import sarif
from supabase_jobs.report.audit.converted import AREA, converted


def audit(result: Audit) -> str:
    """The log as text."""
    return sarif.verification(converted(result), AREA)
