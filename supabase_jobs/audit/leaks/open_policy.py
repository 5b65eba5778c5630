"""Policies that let everyone pass, of tables for which no row could be tried.

A trigger may still refuse a write, so it is a warning.
"""

from collections.abc import Iterator

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import DOES, Kind, PolicyLeak
from supabase_jobs.audit.probes.attempt import SELECT
from supabase_jobs.findings import Severity

KIND = Kind(
    code="open-policy",
    order=380,
    severities=(Severity.WARNING, Severity.INFO),
    sentence="A policy lets everyone pass, and no row could be tried.",
    from_catalogs=True,
)
_CAN = {"anon": "Anyone can", "authenticated": "Any signed-in user can"}


def find(facts: Facts) -> Iterator[PolicyLeak]:
    """One leak for each table and action, of the most general role."""
    seen = set()
    for found in facts.open_policies:
        if (found.table, found.action) in seen:
            continue
        seen.add((found.table, found.action))
        message = (
            f"{_CAN[found.role]} {DOES[found.action]} every row, by a policy that lets everyone"
            " pass; no row could be tested"
        )
        severity = Severity.WARNING
        if found.action == SELECT:
            columns = facts.tables[found.table].columns
            sensitive = [name for name in columns if facts.words.is_sensitive(name)]
            severity = Severity.WARNING if sensitive else Severity.INFO
            message += f"; it has {', '.join(sensitive)}" if sensitive else ""
        yield PolicyLeak(
            kind=KIND,
            severity=severity,
            object=found.table,
            message=message,
            action=found.action,
            role=found.role,
            policies=found.policies,
        )
