"""Privilege escalation: access that a caller gains by a permitted write."""

from collections.abc import Iterable, Iterator

from supabase_jobs.audit.leaks.leak import DOES, Leak, rank, who
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, UPDATE
from supabase_jobs.audit.probes.run import Gain
from supabase_jobs.findings import Severity


def escalations(gains: Iterable[Gain]) -> Iterator[Leak]:
    """The permitted writes that open further access to their caller, with everything that they
    open.
    """
    groups: dict[tuple[int, str, str], list[Gain]] = {}
    for gain in sorted(gains, key=lambda g: rank(g.write.caller)):
        groups.setdefault(
            (gain.write.relation.oid, gain.write.action, gain.write.column), []
        ).append(gain)
    for group in groups.values():
        write = group[0].write
        same = [g for g in group if g.write.caller is write.caller]
        objects = dict.fromkeys(f"{DOES[g.action]} {g.relation.label}" for g in same)
        shown = ", ".join(list(objects)[:3]) + (
            f" and {len(objects) - 3} more" if len(objects) > 3 else ""
        )
        step = {
            UPDATE: f"UPDATE of {write.relation.name}.{write.column}",
            INSERT: f"INSERT into {write.relation.name}",
            DELETE: f"DELETE of their row in {write.relation.name}",
        }[write.action]
        message = f"{who(write.caller)} gain access: after {step} they can {shown}"
        yield Leak(
            "escalation", Severity.ERROR, write.relation, write.action, message, write, tuple(group)
        )
