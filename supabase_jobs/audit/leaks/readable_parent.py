"""Rows below rows of others that their writer reads, such as a text on another's status page."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import NEWCOMER, STRANGER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who_writes
from supabase_jobs.audit.probes.attempt import BELOW, GROUP, INSERT, JOIN, OTHER, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    code="readable-parent",
    severities=(Severity.QUESTION,),
    sentence="Users put rows below rows of others that they can read.",
)


def find(facts: Facts) -> Iterator[Question]:
    """One question for each table of the rows above, about all tables below it."""
    for group in facts.objects.values():
        for tried in group:
            if not _is_put(tried):
                continue
            verb = "move" if tried.action == UPDATE else "add"
            for parent in facts.readable_parents(tried):
                if facts.tables[parent].per_user or parent == tried.table.label:
                    continue  # a person, who is named, or an answer
                message = (
                    f"{who_writes(tried)} {verb} rows of {{}} below rows of others in {parent}."
                    " May they?"
                )
                yield question(KIND, tried, parent, tried.table.label, message)


def _is_put(tried: Tried) -> bool:
    """Whether any signed-in user adds a row of their own, or one that names nobody, or changes the
    parent of one.
    """
    if not tried.reached or tried.failed or tried.actor.kind not in (NEWCOMER, STRANGER):
        return False
    if tried.action == UPDATE:
        return tried.whose == OWN
    table = tried.table
    names_nobody = not (table.users or table.claims or table.headers)
    is_other = tried.name == "" and tried.whose in (OTHER, GROUP) and names_nobody
    return tried.action == INSERT and (tried.name in (JOIN, BELOW) or is_other)
