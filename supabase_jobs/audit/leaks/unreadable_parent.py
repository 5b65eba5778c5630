"""Rows of one's own that refer to a row of another which their writer cannot read."""

from collections.abc import Iterator

from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, Repair, ShownLeak, question, shown, who
from supabase_jobs.audit.probes.attempt import BELOW, INSERT, JOIN, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="unreadable-parent",
    order=210,
    severities=(Severity.WARNING, Severity.QUESTION),
    sentence="Users put rows of their own below rows of others that they cannot read.",
    repair=Repair.READABLE_PARENT,
)


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each object, if its policies look at the parent: who reads the parent reads the
    row. Otherwise one question for each parent.
    """
    for group in facts.objects.values():
        for tried in group:
            parents = _parents(facts, tried)
            if not parents or facts.is_form(tried.table):
                continue
            parent, verb = parents[0], "move" if tried.action == UPDATE else "add"
            if parent in tried.table.policies.read_by_policies and parent != tried.table.label:
                message = (
                    f"{who(tried.actor)} {verb} rows of their own below {parent} rows that they"
                    " cannot read"
                )
                yield shown(KIND, Severity.WARNING, tried, message)
            else:
                message = (
                    f"{who(tried.actor)} {verb} rows of {{}} below rows of others in {parent} that"
                    " they cannot read. May they?"
                )
                yield question(KIND, tried, parent, tried.object, message)
            break


def _parents(facts: Facts, tried: Tried) -> list[str]:
    """The tables of rows of others above a row of one's own; the row that each user has stands for
    a person, who is named.
    """
    if not _is_of_own(tried):
        return []
    return [
        label for label in facts.unreadable_parents(tried) if not facts.tables[label].rows.per_user
    ]


def _is_of_own(tried: Tried) -> bool:
    """Whether an outsider adds a row of its own, or changes the parent of one; one with a role by
    the JWT has it in the own group.
    """
    has_claim = bool(tried.actor.claim)
    is_outside = tried.name == BELOW if has_claim else tried.actor.is_outsider
    if not tried.reached or not is_outside or tried.is_state:
        return False
    if tried.action == INSERT:
        return tried.name == JOIN or (tried.name == BELOW and not tried.failed)
    return tried.action == UPDATE and tried.whose == OWN and not tried.failed
