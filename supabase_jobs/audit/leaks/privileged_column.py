"""Columns of one's own row, or of one's group, by which the application decides about rights."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import NEWCOMER, STRANGER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, ShownLeak, shown
from supabase_jobs.audit.probes.attempt import CHOOSE, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="privileged-column",
    severities=(Severity.ERROR,),
    sentence=(
        "Users choose a column of their own row that decides about their rights or their plan."
    ),
    of_column=True,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and column."""
    for group in facts.objects.values():
        table = group[0].table
        if not table.per_user and not table.is_group:
            continue
        for tried in group:
            inserts = _inserts_own(tried)
            if (changes_own(tried) or inserts) and _is_privileged(facts, tried):
                goal = f"change their own {tried.column}"
                if facts.words.admin_columns.matches(tried.column):
                    goal = "become an admin"
                how = "INSERT into" if inserts else "UPDATE of"
                message = f"Any signed-in user can {goal}: {how} {table.name}.{tried.column}"
                yield shown(KIND, Severity.ERROR, tried, message)


def changes_own(tried: Tried) -> bool:
    """Whether any signed-in user changes a row of their own, without an error."""
    is_own = tried.action == UPDATE and tried.whose == OWN and tried.reached and not tried.failed
    return is_own and tried.actor.kind in (NEWCOMER, STRANGER)


def _inserts_own(tried: Tried) -> bool:
    """Whether a new user inserts the row that each user has, with a value of the user's choice."""
    is_new = tried.name == CHOOSE and tried.reached and not tried.failed
    return is_new and tried.actor.kind == NEWCOMER


def _is_privileged(facts: Facts, tried: Tried) -> bool:
    if facts.words.paid_columns.matches(tried.column):
        return True
    return tried.table.per_user and facts.words.privilege_columns.matches(tried.column)
