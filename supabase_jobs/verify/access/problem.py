"""A problem that a trial has found."""

from dataclasses import dataclass

from supabase_jobs.findings import Severity


@dataclass(frozen=True)
class Problem:
    """A finding without its object. `cause`: the function or constraint of the project that has
    failed, of which one finding tells.
    """

    message: str
    fix: str = ""
    severity: Severity = Severity.ERROR
    cause: str = ""
