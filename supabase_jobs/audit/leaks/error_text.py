"""Errors of an UPDATE or DELETE that show another's row to a caller who cannot read it."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import DELETE, OTHER, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="error-text",
    order=140,
    severities=(Severity.WARNING,),
    sentence="The error of an UPDATE or DELETE shows a row that its caller cannot read.",
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and action. An INSERT shows what its caller has sent."""
    for group in facts.objects.values():
        for action in (UPDATE, DELETE):
            for tried in group:
                if tried.action != action or tried.whose != OTHER or not tried.error_shows_row:
                    continue
                if tried.actor.is_outsider and not facts.reads_other(tried):
                    message = (
                        f"{who(tried.actor)} read another's row in the error of an {action.upper()}"
                    )
                    yield shown(KIND, Severity.WARNING, tried, message)
                    break
