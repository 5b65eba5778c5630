"""Access in the words of a baseline, which are shorter to read in a test than its values."""

from collections.abc import Mapping

from supabase_jobs.audit.baseline import Baseline, parsed, parsed_functions
from supabase_jobs.findings import Audit
from supabase_jobs.findings.permission import printed

Words = Mapping[str, Mapping[str, str]]


def in_words(result: Audit) -> dict[str, dict[str, str]]:
    """The access of an audit, as `render` prints it."""
    found: dict[str, dict[str, str]] = {}
    for name, callers in result.access.items():
        found[str(name)] = {str(caller): printed(some) for caller, some in callers.items()}
    return found


def baseline_of(
    access: Words | None = None, functions: Mapping[str, str] | None = None, **more: object
) -> Baseline:
    """The baseline of a file with this access and these roles."""
    return Baseline(parsed(access or {}), parsed_functions(functions or {}), **more)  # type: ignore[arg-type]
