"""Calls with the secret of a row, such as an invitation, or on rows of the caller, of which one, or
one to which it refers, has ended: do they do the same as before?

The first caller for whom a call works calls again after the owner has ended the row, in one column
at a time. Who tests the column answers otherwise, or fails.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.usage import ColumnKey
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, call_of
from supabase_jobs.audit.probes.control_calls import WRITTEN
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Ended, Row
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.impersonation import SET, Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of

# what differs in each call: ids and numbers
_DRAWN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+")
# an answer without a value, or false
_NOTHING = re.compile(r"\W*f?\W*")
# before each time of the world
_PAST = "1970-01-01"


@dataclass(eq=False, kw_only=True)
class EndedCall(Bypass):
    """A call with the secret of a row after the owner has `prepared` it, or on rows of the caller
    (`is_own`). `rows` are those that may end, `ended` is how one has; None if they are valid. `did`
    is what the call has done: its answer, and the number of rows that it has `written`; '' for
    nothing.
    """

    rows: Sequence[Row]
    is_own: bool = False
    prepared: Sequence[Statement]
    own: Statement
    ended: Ended | None = None
    did: str = ""
    written: int = 0

    @property
    def is_of_above(self) -> bool:
        """Whether not the row with the secret has ended, but one to which it refers."""
        return self.ended is not None and self.ended.relation is not self.rows[0].relation

    @property
    def state(self) -> str:
        """How a row has ended in words; '' if none has."""
        if self.ended is None:
            return ""
        table = f"{self.ended.relation.name}: " if self.is_of_above else ""
        return f"{table}{self.ended.state}"

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        become = Statement(SET, ("role", self.caller.role))
        return [self.own, *self.prepared, become, WRITTEN, *super().statements, WRITTEN]

    def read(self, result: GroupResult) -> None:
        """Read what the call has done."""
        if result.error is not None:
            return
        before, call, after = result.answers[-3:]
        self.written = int(after.rows[0][0] or 0) - int(before.rows[0][0] or 0)
        answer = _DRAWN.sub("#", str(call.rows[0][0] or "")) if call.rows else ""
        if self.written or not _NOTHING.fullmatch(answer):
            self.did = f"{self.written} {answer}"


def find(
    world: World,
    worlds: Worlds,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    runner: Runner,
) -> list[Bypass]:
    """The calls with the secret of a row that has ended which do the same as before."""
    if not worlds.is_possible:
        return []
    arguments = Arguments(world, knows_secrets=True)
    own = own_role(impersonation)
    valid: list[EndedCall] = []
    for function in functions:
        for row in _rows(world, arguments, function):
            rows = [row, *arguments.rows_above([row])]
            valid += [
                EndedCall(
                    caller=caller,
                    object=function,
                    action=CALL,
                    sent=[call_of(function, arguments.of_row(function, caller, row))],
                    rows=rows,
                    prepared=worlds.ready(function, caller, rows),
                    own=own,
                )
                for caller in callers
                if caller.role in function.callers
            ]
    owners = [c for c in callers if c.kind == STRANGER and c.user is world.b.owner]
    for caller in owners:
        valid += _own_calls(world, worlds, own, functions, caller)
    if not valid:
        return []
    valid.sort(key=lambda one: callers.index(one.caller))
    runner.run([*probes_of(valid, LIMITS.calls_in_batch)])
    working: dict[int, EndedCall] = {}
    for one in valid:
        if one.written or (one.did and not one.is_own):
            working.setdefault(one.object.oid, one)
    ended = [
        (
            one,
            replace(
                one,
                prepared=[*one.prepared, *_ending(worlds, end, row)],
                ended=end,
                did="",
                written=0,
            ),
        )
        for one in working.values()
        for row in one.rows
        for end in _ends(world, one, row)
    ]
    runner.run([*probes_of([again for _, again in ended], LIMITS.calls_in_batch)])
    for one, again in ended:
        # the answer to the owner of a row may be drawn, such as a code
        is_same = again.written == one.written if one.is_own else again.did == one.did
        again.outcome = outcome_of_count(is_same)
    return [again for _, again in ended if again.outcome == ROWS]


def _own_calls(
    world: World,
    worlds: Worlds,
    own: Statement,
    functions: Sequence[Function],
    caller: Persona,
) -> Iterator[EndedCall]:
    """Calls on rows of the caller that are as a function demands, if it asks for the caller."""
    arguments, usage = Arguments(world), world.plan.usage
    for function in functions:
        asks = usage.own[function.oid]
        if not asks or function.volatility != "v" or not function.definer:
            continue
        if caller.role not in function.callers:
            continue
        tables = sorted({oid for oid, _ in asks})
        named = [caller.own_row(oid) for oid in tables]
        about = [*arguments.own_rows(function, caller), *(row for row in named if row is not None)]
        rows = [*dict.fromkeys(about), *arguments.rows_above(about)]
        yield EndedCall(
            caller=caller,
            object=function,
            action=CALL,
            sent=[call_of(function, arguments.of_caller(function, caller))],
            rows=rows,
            prepared=worlds.ready(function, caller, rows),
            own=own,
            is_own=True,
        )


def _rows(world: World, arguments: Arguments, function: Function) -> Iterator[Row]:
    """A row of tenant A that a function finds by a secret."""
    for oid in arguments.found_by_secret(function):
        row = world.a.rows.get(oid)
        if row is not None and function.definer:
            yield row


def _ending(worlds: Worlds, end: Ended, row: Row) -> list[Statement]:
    return worlds.in_state([row], {(row.relation.oid, end.column): end.value})


def _ends(world: World, call: EndedCall, row: Row) -> Iterator[Ended]:
    """The ways in which a row of a call can end: by the names of its columns, by what is asked of
    whoever adds a row like one of the caller's own, by what other functions ask that find it by the
    same secret, and by the time that the function itself sets and others ask for.
    """
    is_above = row is not call.rows[0] and not call.is_own
    for column in row.relation.columns:
        value = _end(world, row.relation, column)
        if is_above and not _is_known(world, row.relation, column):
            continue  # nothing depends on it
        if call.is_own and _only_sets(world, call, row.relation, column):
            continue  # it does what has been done
        if value is None and call.is_own and _is_asked(world, row.relation, column, call.rows):
            value = _PAST
        if value is None and call.is_own and _is_used(world, call, row, column):
            value = _PAST
        if value is None and not call.is_own and _asked_by_others(world, call, row, column):
            value = "false" if row.values.get(column.name) in ("t", "true") else "true"
        if value is not None and value != row.values.get(column.name):
            yield Ended(row.relation, column.name, value)


def _is_known(world: World, relation: Relation, column: Column) -> bool:
    """Whether a policy or a function tests a column."""
    usage, key = world.plan.usage, (relation.oid, column.name)
    return key in usage.mentioned or key in usage.nulls


def _only_sets(world: World, call: EndedCall, relation: Relation, column: Column) -> bool:
    """Whether a function sets a column, and changes nothing in other tables."""
    usage, oid = world.plan.usage, call.object.oid
    others = usage.adds[oid] | {table for table, _ in usage.sets[oid]}
    return (relation.oid, column.name) in usage.sets[oid] and others <= {relation.oid}


def _is_used(world: World, call: EndedCall, row: Row, column: Column) -> bool:
    """Whether a column has the time at which a call like this one has used a row: the function sets
    it, does not test it, and another one demands that it is null.
    """
    usage, key = world.plan.usage, (row.relation.oid, column.name)
    is_set = key in usage.sets[call.object.oid] and column.base in TIMES and not column.not_null
    is_tested = column.name in usage.tested[call.object.oid]
    return is_set and not is_tested and key in usage.nulls


def _asked_by_others(world: World, call: EndedCall, row: Row, column: Column) -> bool:
    """Whether other functions that find rows by the same secret test a flag, and this one does
    not.
    """
    usage, function = world.plan.usage, call.object
    if column.base != "bool" or column.name in usage.tested[function.oid]:
        return False
    by_function: dict[int, set[ColumnKey]] = {}
    for (oid, _), columns in usage.arguments.items():
        by_function.setdefault(oid, set()).update(columns)
    secrets = {
        key
        for key in by_function.get(function.oid, ())
        if key[0] == row.relation.oid and key[1] not in row.key
    }
    return any(
        column.name in usage.tested[oid] and secrets & columns
        for oid, columns in by_function.items()
        if oid != function.oid
    )


def _end(world: World, relation: Relation, column: Column) -> str | None:
    """The value of a column that ends a row; None if it ends none."""
    words = world.plan.words
    is_end = words.ending_columns.matches(column.name)
    if column.base in TIMES:
        return _PAST if is_end or words.expiry_columns.matches(column.name) else None
    if column.base == "bool":
        is_valid = words.valid_columns.matches(column.name)
        return {(True, False): "true", (False, True): "false"}.get((is_end, is_valid))
    if not words.state_columns.matches(column.name):
        return None
    limits = world.plan.limits.get(relation.oid, {}).get(column.name)
    known = [*column.labels, *(limits.allowed if limits else ())]
    return next((label for label in known if words.ended_states.matches(label)), None)


def _is_asked(world: World, relation: Relation, column: Column, own: Sequence[Row]) -> bool:
    """Whether some function that adds rows to a table of these asks whether a time is over."""
    usage, tables = world.plan.usage, {row.relation.oid for row in own}
    asking = (oid for oid, later in usage.later.items() if (relation.oid, column.name) in later)
    return any(usage.adds[oid] & tables for oid in asking)
