"""Equivalence: the error of a reworded policy becomes a warning if the access matrix shows no
difference.
"""

from dataclasses import replace

from supabase_jobs.findings import Severity
from supabase_jobs.verify.context import Context


def downgrade(context: Context) -> None:
    """Turn errors into warnings if all cells of their equivalences were run and match."""
    for number, finding in enumerate(context.findings):
        checks = context.equivalence.needed.get(finding.id)
        if checks and all(
            check in context.equivalence.probed and check.object in context.equivalence.matching
            for check in checks
        ):
            message = f"{finding.message}; the access matrix shows no difference"
            context.findings[number] = replace(finding, severity=Severity.WARNING, message=message)
