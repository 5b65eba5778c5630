"""Calls with the secret of a row, such as an invitation, or on rows of the caller, of which one, or
one to which it refers, has ended: do they do the same as before?

The first caller for whom a call works calls again after the owner has ended the row, in one column
at a time. Who tests the column answers otherwise, or fails. The calls with a valid secret show two
things more: whether somebody uses it whom the row does not name, and whether somebody comes back
with it who has lost access.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from supabase_jobs.audit.callers import FORMER, LAPSED, MEMBER, NEWCOMER, STRANGER, Persona
from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, call_of
from supabase_jobs.audit.probes.control_calls import WRITTEN
from supabase_jobs.audit.probes.effects import Effects
from supabase_jobs.audit.probes.statements import exists
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Ended, Row
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of

# what differs in each call: ids and numbers
_DRAWN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+")
# an answer without a value, or false
_NOTHING = re.compile(r"\W*f?\W*")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
# before each time of the world
_PAST = "1970-01-01"

Kind = TypeVar("Kind", bound="RowCall")


@dataclass(eq=False, kw_only=True)
class RowCall(Bypass):
    """A call with the secret of a row after the owner has `prepared` it, or on rows of the caller
    (`is_own`). `rows` are those that may end; they are valid. `did` is what the call has done: its
    answer, and the number of rows that it has `written`; '' for nothing. `rereads` are rows of the
    group of a caller; it has `opened`, if it reads none before, those that it reads after the call.
    """

    rows: Sequence[Row]
    rereads: Sequence[Row] = ()
    is_own: bool = False
    prepared: Sequence[Statement]
    own: Statement
    did: str = ""
    written: int = 0

    @property
    def may_write(self) -> bool:
        """Whether the function may write rows."""
        return isinstance(self.object, Function) and self.object.volatility == "v"

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        reads = [exists((row, self.caller.role) for row in self.rereads)] if self.rereads else []
        calls = [WRITTEN, *super().statements, WRITTEN]
        return [self.own, *self.prepared, self.become, *reads, *calls, *reads]

    def read(self, result: GroupResult) -> None:
        """Read what the call has done."""
        if result.error is not None:
            return
        answers = list(result.answers)
        if self.rereads:
            read_after, read_before = answers.pop(), answers[-4]
            is_open = any(read_before.rows[0])
            pairs = zip(self.rereads, read_after.rows[0], strict=True)
            opened = [] if is_open else [row for row, is_read in pairs if is_read]
            self.effects = Effects(opened=opened)
        before, call, after = answers[-3:]
        self.written = int(after.rows[0][0] or 0) - int(before.rows[0][0] or 0)
        answer = _DRAWN.sub("#", str(call.rows[0][0] or "")) if call.rows else ""
        if self.written or not _NOTHING.fullmatch(answer):
            self.did = f"{self.written} {answer}"


@dataclass(eq=False, kw_only=True)
class AddressedCall(RowCall):
    """A call with the secret of a row that names somebody else in the column `addressee`."""

    addressee: ColumnKey


@dataclass(eq=False, kw_only=True)
class ForeignCall(RowCall):
    """A call with the secret of a row of another group, by a member of one: the function lets
    nobody pass who has no row in the table of memberships `of`.
    """

    of: Relation


@dataclass(eq=False, kw_only=True)
class EndedCall(RowCall):
    """A call after one of the rows has `ended`."""

    ended: Ended

    @property
    def is_of_above(self) -> bool:
        """Whether not the row with the secret has ended, but one to which it refers."""
        return self.ended.relation is not self.rows[0].relation

    @property
    def state(self) -> str:
        """How a row has ended, in words."""
        table = f"{self.ended.relation.name}: " if self.is_of_above else ""
        return f"{table}{self.ended.state}"


def _again(kind: Callable[..., Kind], one: RowCall, **own: Any) -> Kind:
    """The same call as one of this kind."""
    shared = {field.name: getattr(one, field.name) for field in fields(RowCall)}
    return kind(**{**shared, **own})


def find(
    world: World,
    worlds: Worlds,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    answered: set[int],
    runner: Runner,
) -> list[Bypass]:
    """The calls with the secret of a row that has ended which do the same as before, and those with
    a valid one that is not for the caller. `answered` gets the functions that do something.
    """
    if not worlds.is_possible:
        return []
    own = own_role(impersonation)
    valid = [*_valid_calls(world, worlds, own, functions, callers)]
    for caller in callers:
        if _is_outsider(world, caller):
            valid += _own_calls(world, worlds, own, functions, caller)
    if not valid:
        return []
    valid.sort(key=lambda one: callers.index(one.caller))
    runner.run([*probes_of(valid, LIMITS.calls_in_batch)])
    answered.update(one.object.oid for one in valid if one.did)
    ended = [*_after_end(world, worlds, valid)]
    runner.run([*probes_of([again for _, again in ended], LIMITS.calls_in_batch)])
    for one, again in ended:
        # the answer to the owner of a row may be drawn, such as a code
        is_drawn = one.is_own and one.written > 0
        is_same = again.written == one.written if is_drawn else again.did == one.did
        again.outcome = outcome_of_count(is_same)
    found = [again for _, again in ended if again.outcome == ROWS]
    return [*found, *_for_others(valid), *_across(world, valid)]


def _is_outsider(world: World, caller: Persona) -> bool:
    """Whether a caller is the owner of the other tenant's rows."""
    return caller.kind == STRANGER and caller.user is world.b.owner


def _valid_calls(
    world: World,
    worlds: Worlds,
    own: Statement,
    functions: Sequence[Function],
    callers: Sequence[Persona],
) -> Iterator[RowCall]:
    """The calls with the secret of a row that has not ended."""
    arguments = Arguments(world, knows_secrets=True)
    outsider = next((caller for caller in callers if _is_outsider(world, caller)), None)
    for function in functions:
        for row in _rows(world, arguments, function):
            rows = [row, *arguments.rows_above([row])]
            for caller in callers:
                if caller.role not in function.callers:
                    continue
                call = RowCall(
                    caller=caller,
                    object=function,
                    action=CALL,
                    sent=[call_of(function, arguments.of_row(function, caller, row))],
                    rows=rows,
                    rereads=_of_group(world, worlds, function, caller, outsider),
                    prepared=worlds.ready(function, caller, rows),
                    own=own,
                )
                addressee = _addressee(world, function, caller, row)
                if addressee is not None:
                    call = _again(AddressedCall, call, addressee=addressee)
                yield call


def _after_end(
    world: World, worlds: Worlds, valid: Sequence[RowCall]
) -> Iterator[tuple[RowCall, EndedCall]]:
    """The first call of each function that works, with the same one after a row has ended."""
    working: dict[int, RowCall] = {}
    for one in valid:
        if one.written or (one.did and not (one.is_own and one.may_write)):
            working.setdefault(one.object.oid, one)
    for one in working.values():
        for row in one.rows:
            for end in _ends(world, one, row):
                prepared = [*one.prepared, *_ending(worlds, end, row)]
                yield one, _again(EndedCall, one, prepared=prepared, ended=end, did="", written=0)


def _across(world: World, valid: Sequence[RowCall]) -> Iterator[RowCall]:
    """The calls with the secret of a row that belongs to a group, by a member of another group, if
    the function asks for a membership: it refuses those who have none.
    """
    refused = {one.object.oid for one in valid if one.caller.kind == NEWCOMER and not one.did}
    for one in valid:
        is_outside = _is_outsider(world, one.caller)
        if not one.written or one.is_own or not is_outside or one.object.oid not in refused:
            continue
        above = {row.relation.oid for row in one.rows}
        asked = {oid for oid, _ in world.plan.usage.conditions.own[one.object.oid]}
        for oid in sorted(asked & world.plan.memberships.keys()):
            membership = world.plan.memberships[oid]
            keys = membership.relation.foreign_keys
            groups = {key.target for key in keys if {*key.columns} & {*membership.groups}}
            if groups & above:
                yield _again(ForeignCall, one, of=membership.relation, outcome=ROWS)
                break


def _for_others(valid: Sequence[RowCall]) -> Iterator[RowCall]:
    """The calls with a valid secret that is for somebody else, or for who has not lost access."""
    for one in valid:
        if not one.written:
            one.effects = Effects()
        elif isinstance(one, AddressedCall) or one.effects.opened:
            one.outcome = ROWS
            yield one


def _of_group(
    world: World, worlds: Worlds, function: Function, caller: Persona, outsider: Persona | None
) -> list[Row]:
    """Rows that are refused to outsiders, of the group to which a caller belongs or has belonged by
    a table that a function writes, and that are not its own.
    """
    user, usage = caller.user, world.plan.usage
    if user is None or outsider is None or caller.kind not in (FORMER, LAPSED, MEMBER):
        return []
    written = usage.bodies.adds[function.oid] | {oid for oid, _ in usage.bodies.sets[function.oid]}
    if not written & user.rows.keys() & world.plan.memberships.keys():
        return []
    own = {id(row) for row in user.all_rows}
    refused = worlds.refused(outsider).rows
    return [r for r in refused if id(r) not in own and r.relation.may(caller.role, "SELECT")]


def _addressee(world: World, function: Function, caller: Persona, row: Row) -> ColumnKey | None:
    """The column with an e-mail address of somebody else in a row that a function finds by a
    secret, and does for its caller what it does, without asking for the address.
    """
    usage, user = world.plan.usage, caller.user
    if (
        user is None
        or caller.kind not in (NEWCOMER, STRANGER)
        or function.oid not in usage.conditions.asking
    ):
        return None
    for name in row.relation.by_name:
        key, value = (row.relation.oid, name), row.values.get(name) or ""
        is_asked = (
            name in usage.conditions.tested[function.oid]
            or key in usage.conditions.own[function.oid]
        )
        if _ADDRESS.fullmatch(value) and value != user.email and not is_asked:
            return key
    return None


def _own_calls(
    world: World,
    worlds: Worlds,
    own: Statement,
    functions: Sequence[Function],
    caller: Persona,
) -> Iterator[RowCall]:
    """Calls on rows of the caller that are as a function demands, if it asks for the caller."""
    arguments, usage = Arguments(world), world.plan.usage
    for function in functions:
        is_open = function.definer and caller.role in function.callers
        if not is_open or function.oid not in usage.conditions.asking:
            continue
        tables = sorted({oid for oid, _ in usage.conditions.own[function.oid]})
        named = [caller.own_row(oid) for oid in tables]
        about = [*arguments.own_rows(function, caller), *(row for row in named if row is not None)]
        reads = usage.bodies.function_reads.get(function.oid, ())
        above = [row for row in arguments.rows_above(about) if row.relation.oid in reads]
        rows = [*dict.fromkeys(about), *above]
        if not rows:
            continue
        yield RowCall(
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


def _ends(world: World, call: RowCall, row: Row) -> Iterator[Ended]:
    """The ways in which a row of a call can end: by the names of its columns, by what is asked of
    whoever adds a row like one of the caller's own, by what other functions ask that find it by the
    same secret, and by the time that the function itself sets and others ask for.
    """
    is_above = row is not call.rows[0] and not call.is_own
    reads = call.is_own and not call.written
    for column in row.relation.columns:
        # who only reads may see rows of one's own that have ended
        value = None if reads else _end(world, row.relation, column)
        if value is None and call.is_own and _is_admission_over(world, call, row, column):
            value = _PAST
        if is_above and not _is_known(world, row.relation, column):
            continue  # nothing depends on it
        if call.is_own and _only_sets(world, call, row.relation, column):
            continue  # it does what has been done
        is_asked = call.is_own and not reads
        if value is None and is_asked and _is_asked(world, row.relation, column, call.rows):
            value = _PAST
        if value is None and not (is_above or reads) and _is_used(world, call, row, column):
            value = _PAST
        if value is None and not call.is_own:
            value = _asked_by_others(world, call, row, column)
        if value is not None and value != row.values.get(column.name):
            yield Ended(row.relation, column.name, value)


def _is_admission_over(world: World, call: RowCall, row: Row, column: Column) -> bool:
    """Whether a column has the end of the row by which a function asks for its caller, such as a
    lease: another function compares it with now, or this one does so with another time of the row
    and not with this one. Rows that the function writes are what it is about, no admission.
    """
    usage, oid = world.plan.usage, row.relation.oid
    function, key = call.object.oid, (oid, column.name)
    written = usage.bodies.adds[function] | {table for table, _ in usage.bodies.sets[function]}
    is_admission = oid in {table for table, _ in usage.conditions.own[function]} - written
    is_time = column.base in TIMES and column.default is None
    if not is_admission or not is_time or column.name in usage.conditions.tested[function]:
        return False
    begun = {name for table, name in usage.conditions.earlier[function] if table == oid}
    others = {c.name for c in row.relation.columns if c.base == column.base and c.default is None}
    is_rest = begun < others and others - begun == {column.name} and bool(begun)
    return is_rest or any(key in later for later in usage.conditions.later.values())


def _is_known(world: World, relation: Relation, column: Column) -> bool:
    """Whether a policy or a function tests a column."""
    usage, key = world.plan.usage, (relation.oid, column.name)
    return key in usage.mentions.mentioned or key in usage.mentions.nulls


def _only_sets(world: World, call: RowCall, relation: Relation, column: Column) -> bool:
    """Whether a function sets a column, and changes nothing in other tables."""
    usage, oid = world.plan.usage, call.object.oid
    others = usage.bodies.adds[oid] | {table for table, _ in usage.bodies.sets[oid]}
    return (relation.oid, column.name) in usage.bodies.sets[oid] and others <= {relation.oid}


def _is_used(world: World, call: RowCall, row: Row, column: Column) -> bool:
    """Whether a column has the time at which a call like this one has used a row: the function sets
    it, does not test it, and another one demands that it is null.
    """
    usage, key = world.plan.usage, (row.relation.oid, column.name)
    is_set = (
        key in usage.bodies.sets[call.object.oid] and column.base in TIMES and not column.not_null
    )
    is_tested = column.name in usage.conditions.tested[call.object.oid]
    return is_set and not is_tested and key in usage.mentions.nulls


def _asked_by_others(world: World, call: RowCall, row: Row, column: Column) -> str | None:
    """The value of a column that other functions refuse which find rows by the same secret, and
    this one does not ask for.
    """
    usage, function = world.plan.usage, call.object
    key = row.relation.oid, column.name
    if column.name in usage.conditions.tested[function.oid] or column.name in row.key:
        return None
    by_function: dict[int, set[ColumnKey]] = {}
    for (oid, _), columns in usage.bodies.arguments.items():
        by_function.setdefault(oid, set()).update(columns)
    secrets = {
        key
        for key in by_function.get(function.oid, ())
        if key[0] == row.relation.oid and key[1] not in row.key
    }
    others = (oid for oid, columns in by_function.items() if secrets & columns)
    for oid in others:
        value = None if oid == function.oid else _refused_by(world, oid, key, column)
        if value is not None:
            return value
    return None


def _refused_by(world: World, function: int, key: ColumnKey, column: Column) -> str | None:
    """A value of a column that the queries of a function refuse; None if they ask for none."""
    usage = world.plan.usage
    demands, moment = (
        usage.conditions.demands[function],
        usage.conditions.moments.get(function, {}).get(key),
    )
    if moment is not None and moment.behind and not moment.before:
        return _PAST
    if key not in demands:
        return None
    wanted = demands[key]
    if column.base == "bool":
        return "false" if wanted in ("true", "t") else "true"
    if column.base in TIMES:
        return _PAST if wanted is None else None
    limits = world.plan.limits.get(key[0], {}).get(column.name)
    known = [
        *column.labels,
        *(limits.allowed if limits else ()),
        *usage.constants.literals.get(key, ()),
    ]
    return next((text for text in known if text != wanted), None) if wanted else None


def _end(world: World, relation: Relation, column: Column) -> str | None:
    """The value of a column that ends a row; None if it ends none."""
    words = world.plan.words
    is_end = words.ending_columns.matches(column.name)
    if column.base in TIMES:
        is_end |= words.expiry_columns.matches(column.name) or _is_term(column)
        return _PAST if is_end else None
    if column.base == "bool":
        is_valid = words.valid_columns.matches(column.name)
        return {(True, False): "true", (False, True): "false"}.get((is_end, is_valid))
    if not words.state_columns.matches(column.name):
        return None
    limits = world.plan.limits.get(relation.oid, {}).get(column.name)
    known = [*column.labels, *(limits.allowed if limits else ())]
    return next((label for label in known if words.ended_states.matches(label)), None)


def _is_term(column: Column) -> bool:
    """Whether a time of new rows lies ahead by its default, such as the end of an invitation."""
    time = expressions.value(parse_trees.expression_tree(column.default or "null"))
    return isinstance(time, expressions.Now) and time.beside == "+"


def _is_asked(world: World, relation: Relation, column: Column, own: Sequence[Row]) -> bool:
    """Whether some function that adds rows to a table of these asks whether a time is over."""
    usage, tables = world.plan.usage, {row.relation.oid for row in own}
    asking = (
        oid for oid, later in usage.conditions.later.items() if (relation.oid, column.name) in later
    )
    return any(usage.bodies.adds[oid] & tables for oid in asking)
