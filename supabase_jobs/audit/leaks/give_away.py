"""Rows into which their owner writes another user's name, although an INSERT must not."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from supabase_jobs.audit.callers import STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, ShownLeak, shown, who
from supabase_jobs.audit.probes.attempt import (
    ADD,
    FORGE,
    INSERT,
    NAME,
    OTHER,
    OWN,
    UPDATE,
)
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import VIOLATES

KIND = Kind(
    code="give-away",
    order=270,
    severities=(Severity.WARNING,),
    sentence="Users put another user's name on their own rows, which an INSERT must not have.",
    of_column=True,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each object and column."""
    for group in facts.objects.values():
        strangers = [t for t in group if t.actor.kind == STRANGER]
        is_refused = any(
            t.action == INSERT and t.whose == OTHER and not t.reached for t in strangers
        )
        # who adds rows in another's name gains nothing by an update
        names_others = any(t.name in (FORGE, ADD) and t.reached for t in strangers)
        if not is_refused or names_others:
            continue
        table = group[0].table
        for tried in strangers:
            is_own = tried.action == UPDATE and tried.whose == OWN and tried.reached
            names_user = tried.column in table.persons.users
            is_compared = tried.column in table.compared.checked
            is_tested = is_compared or _is_refused(strangers, tried)
            if is_own and names_user and is_tested:
                message = (
                    f"{who(tried.actor)} put another user's name on their own rows: UPDATE of"
                    f" {table.name}.{tried.column}"
                )
                is_asked = tried.column in table.compared.updating
                others = _others(facts, tried) if is_compared and not is_asked else []
                if others:
                    message += f"; whoever does so also writes {', '.join(others)}"
                yield replace(shown(KIND, Severity.WARNING, tried, message), further=others)


def _is_refused(tried: Sequence[Tried], given: Tried) -> bool:
    """Whether a trigger refuses another user in the column of a new row that passes with one's own
    name.
    """
    added = [t for t in tried if t.action == INSERT and t.actor is given.actor]
    named = [t for t in added if t.name == NAME and t.column == given.column]
    is_added = any(t.reached and t.whose == OWN and not t.name for t in added)
    return is_added and bool(named) and not any(t.reached or t.outcome == VIOLATES for t in named)


def _others(facts: Facts, given: Tried) -> list[str]:
    """The other columns that the same caller changes in the row, none of a key: policies ask
    somebody else than the user in it.
    """
    changed = {
        t.column
        for t in facts.of_actor(given.table.label, given.actor)
        if t.action == UPDATE and t.row == given.row and t.reached and not t.failed
    }
    kept = {given.column, *given.table.above.key_columns, *given.table.persons.users}
    return [name for name in given.table.columns if name in changed - kept]
