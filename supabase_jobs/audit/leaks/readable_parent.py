"""Rows below rows of others that their writer reads, such as a text on another's status page."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import NEWCOMER, OWNER, STRANGER
from supabase_jobs.audit.leaks.facts import Facts, Tried
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who_writes
from supabase_jobs.audit.policies.usage import columns_of_state
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
                    f"{who_writes(tried)} {verb} rows of {{}} below rows of others in {parent}"
                )
                crossing, decides = tried.table.crossing.get(parent, ""), parent
                if crossing:
                    message += f", whose {crossing} may be another than that of the new row"
                    decides = f"{parent} with another {crossing}"
                yield question(KIND, tried, decides, tried.table.label, f"{message}. May they?")
        yield from _of_both_sides(group)


def _of_both_sides(group: Sequence[Tried]) -> Iterator[Question]:
    """Rows below one of two persons, such as a buyer and a seller, whichever of them writes: the
    policies read the row above and compare neither.
    """
    for tried in group:
        is_new = tried.action == INSERT and tried.reached
        parent = tried.state_of
        sides = tried.table.uncompared.get(parent, ())
        if not is_new or tried.name or tried.actor.kind != OWNER or not tried.table.checked:
            continue
        _, _, state = tried.object.removesuffix(")").partition(" (")
        others = [c.name for c in columns_of_state(state) if not (c.value or c.test)]
        for other in others if sides else ():
            message = (
                f"A user who reads a row of {parent} that names another in {other} can add rows of"
                f" {{}} below it: the policies compare neither {' nor '.join(sides)}. May they?"
            )
            yield question(
                KIND, tried, f"{parent}, by whoever reads it", tried.table.label, message
            )
            return


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
