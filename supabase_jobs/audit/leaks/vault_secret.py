"""Views and functions that show a secret of Vault."""

from collections.abc import Iterator

from supabase_jobs.audit.catalog import VAULT
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks import calls, views
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.findings import Severity

KIND = Kind(
    code="vault-secret",
    order=430,
    severities=(Severity.ERROR,),
    sentence="A view or function shows a secret of Vault.",
)
_EFFECT = "read a secret of Vault"


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each view and function; one that asks for an administrator is none."""
    for tried in sorted(facts.views, key=lambda one: one.actor.rank):
        if tried.said.has_secret:
            yield views.leak(KIND, Severity.ERROR, tried, _EFFECT, [VAULT])
    for called in calls.asked(facts):
        if called.said.has_secret:
            yield calls.leak(KIND, Severity.ERROR, called, _EFFECT, [VAULT])
