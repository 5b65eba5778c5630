"""Permitted writes that open further access to their caller."""

from collections.abc import Iterator

from supabase_jobs.audit.leaks.facts import Facts, Opened, Tried
from supabase_jobs.audit.leaks.leak import DOES, Kind, Repair, ShownLeak, shown, some, who
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, OWN, UPDATE
from supabase_jobs.findings import Severity

KIND = Kind(
    "escalation",
    (Severity.ERROR,),
    "A write that is allowed opens further rows to its caller.",
    of_column=True,
    repair=Repair.REFUSE,
)


def find(facts: Facts) -> Iterator[ShownLeak]:
    """One leak for each table, action and column, with what it opens to the most general caller."""
    groups: dict[tuple[str, str, str], list[Opened]] = {}
    for opened in sorted(_lasting(facts), key=lambda o: o.write.actor.rank):
        write = opened.write
        groups.setdefault((write.table.label, write.action, write.column), []).append(opened)
    for group in groups.values():
        write = group[0].write
        gained = dict.fromkeys(
            f"{DOES[o.action]} {o.table}" for o in group if o.write.actor is write.actor
        )
        message = (
            f"{who(write.actor)} gain access: after {_step(write)} they can {some(list(gained))}"
        )
        yield shown(KIND, Severity.ERROR, write, message)


def _lasting(facts: Facts) -> list[Opened]:
    """Without what a caller gains by taking a row back that it may insert itself, such as a block
    of another.
    """
    returned = {
        _gain(opened)
        for opened in facts.opened
        if opened.write.action == DELETE and _inserts_own(facts, opened.write)
    }
    return [o for o in facts.opened if o.write.action == INSERT or _gain(o) not in returned]


def _gain(opened: Opened) -> tuple[int, str, str, str]:
    write = opened.write
    return id(write.actor), write.table.label, opened.table, opened.action


def _inserts_own(facts: Facts, write: Tried) -> bool:
    return any(
        t.actor is write.actor and t.action == INSERT and t.whose == OWN and t.reached
        for t in facts.of_table(write.table.label)
    )


def _step(write: Tried) -> str:
    table = write.table.name
    if write.action == UPDATE:
        return f"UPDATE of {table}.{write.column}"
    if write.action == INSERT:
        return f"INSERT into {table}"
    return f"DELETE of their row in {table}"
