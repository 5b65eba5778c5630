"""Rows below rows of others that their writer reads, such as a text on another's status page."""

from collections.abc import Iterator, Sequence

from supabase_jobs.audit.callers import NEWCOMER, OWNER, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import Kind, Question, question, who_writes
from supabase_jobs.audit.probes.attempt import BELOW, GROUP, INSERT, JOIN, OTHER, OWN, UPDATE
from supabase_jobs.findings import Holds, Severity

KIND = Kind(
    code="readable-parent",
    order=220,
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
                if facts.tables[parent].rows.per_user or parent == tried.table.label:
                    continue  # a person, who is named, or an answer
                crossing, decides = tried.table.above.crossing.get(parent, ""), parent
                is_asked = bool(crossing) or _is_of_person(facts, tried, parent)
                if tried.action == INSERT and not is_asked:
                    continue  # what the rows are for
                message = (
                    f"{who_writes(tried)} {verb} rows of {{}} below rows of others in {parent}"
                )
                if crossing:
                    message += f", whose {crossing} may be another than that of the new row"
                    decides = f"{parent} with another {crossing}"
                topic = _topic(facts, tried, parent)
                yield question(KIND, tried, decides, topic, f"{message}. May they?")
        yield from _of_both_sides(group)


def _of_both_sides(group: Sequence[Tried]) -> Iterator[Question]:
    """Rows below one of two persons, such as a buyer and a seller, whichever of them writes: the
    policies read the row above and compare neither.
    """
    for tried in group:
        is_new = tried.action == INSERT and tried.reached
        parent = tried.on.state_of
        sides = tried.table.above.uncompared.get(parent, ())
        is_of_owner = tried.actor.kind == OWNER and not tried.name
        if not is_new or not is_of_owner or not tried.table.compared.checked:
            continue
        others = [c.name for c in tried.conditions if c.holds is Holds.ANOTHER]
        for other in others if sides else ():
            message = (
                f"A user who reads a row of {parent} that names another in {other} can add rows of"
                f" {{}} below it: the policies compare neither {' nor '.join(sides)}. May they?"
            )
            yield question(
                KIND, tried, f"{parent}, by whoever reads it", tried.table.label, message
            )
            return


def _is_of_person(facts: Facts, tried: Tried, parent: str) -> bool:
    """Whether a row above belongs to a person, or a new row makes its writer a member."""
    return bool(facts.tables[parent].persons.users) or tried.table.rows.is_membership


def _topic(facts: Facts, tried: Tried, parent: str) -> str:
    """The table of a row that is put; for one that is moved, with the tables below the same parent
    that decide about new rows, and not about moved ones.
    """
    label = tried.table.label
    known = [name for name in tried.table.above.read_for_new if name in facts.tables]
    deciding = [name for name in known if parent in facts.tables[name].above.parents]
    if tried.action != UPDATE or not deciding:
        return label
    return f"{label} (whose new rows depend on {', '.join(deciding)})"


def _is_put(tried: Tried) -> bool:
    """Whether any signed-in user adds a row of their own, or one that names nobody, or changes the
    parent of one.
    """
    if not tried.reached or tried.failed or tried.actor.kind not in (NEWCOMER, STRANGER):
        return False
    if tried.action == UPDATE:
        return tried.whose == OWN
    table = tried.table
    names_nobody = not table.persons.names_some
    is_other = tried.name == "" and tried.whose in (OTHER, GROUP) and names_nobody
    return tried.action == INSERT and (tried.name in (JOIN, BELOW) or is_other)
