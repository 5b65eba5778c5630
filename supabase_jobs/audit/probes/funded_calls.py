"""Calls that fail for want of a number, such as coins in a purse, on rows that have enough of it:
do they take it from rows of others?
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.bypass import CALL, Bypass, FunctionCall, PreparedCall
from supabase_jobs.audit.probes.effects import Effects, Snapshot
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import Runner, probes_of

# of a CHECK, and of a body that raises an exception
_WANTING = ("23514", "P0001")


@dataclass(eq=False, kw_only=True)
class FundedCall(PreparedCall):
    """A call after all rows have got enough of the numbers that the function sets. Who only gives
    something to others changes no row of theirs.
    """

    def watched(self, before: Snapshot, after: Snapshot) -> Effects:
        """The effects, without rows in which only numbers have risen."""
        found = super().watched(before, after)
        return Effects(changed=[row for row in found.changed if row not in found.raised])


def find(
    world: World,
    worlds: Worlds,
    impersonation: Impersonation,
    tried: Sequence[Bypass],
    runner: Runner,
) -> list[Bypass]:
    """The calls of outsiders that change rows of others once these have enough."""
    own, calls = own_role(impersonation), list[Bypass]()
    for one in _wanting(tried) if worlds.is_possible else ():
        function = one.object
        assert isinstance(function, Function)  # noqa: S101  it was called
        prepared = worlds.with_enough(numbers(world, function))
        if prepared:
            calls.append(
                FundedCall(
                    caller=one.caller,
                    object=function,
                    action=CALL,
                    sent=one.sent,
                    watch=replace(one.watch, names=(), groups=()),
                    prepared=prepared,
                    own=own,
                    copies=one.copies,
                    known=[r for r in one.watch.rows if r.relation.may(one.caller.role, "SELECT")],
                )
            )
    runner.run([*probes_of(calls, LIMITS.calls_in_batch)] if calls else [])
    return calls


def _wanting(tried: Sequence[Bypass]) -> Iterator[FunctionCall]:
    """The first calls of each outsider and function that have failed for want of something."""
    counts: dict[tuple[int, int], int] = {}
    for one in tried:
        if not isinstance(one, FunctionCall) or not isinstance(one.object, Function):
            continue
        state = "" if one.error is None else one.error.sqlstate
        key = id(one.caller), one.object.oid
        is_first = counts.get(key, 0) < LIMITS.calls
        if one.caller.is_outsider and one.object.definer and state in _WANTING and is_first:
            counts[key] = counts.get(key, 0) + 1
            yield one


def numbers(world: World, function: Function) -> set[ColumnKey]:
    """The columns with numbers that a function sets, itself or by functions that it names."""
    words, catalog = set(re.findall(r"\w+", function.body)), world.plan.catalog
    named = [function, *(f for f in catalog.functions if f.name in words)]
    found = {key for one in named for key in world.plan.usage.bodies.sets.get(one.oid, ())}
    return {(oid, n) for oid, n in found if catalog.by_oid[oid].by_name[n].category == "N"}
