"""Calls with a number and with its negative, and calls twice: which numbers in the caller's own
rows rise, or in rows that a function adds or changes?
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from psycopg import sql

from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.arguments import NUMBERS, Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, call_of
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.probes.funded_calls import numbers
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.action import Constant
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of

# the numbers of rows that the transaction has added to each table so far, and sums of columns
_COUNTED = sql.SQL(
    "select coalesce(jsonb_object_agg(relid, n_tup_ins) filter (where n_tup_ins > 0), '{{}}')"
    "::text, jsonb_build_array({})::text from pg_stat_xact_user_tables"
)
# caller, row → the columns that the tables let the caller update
Permitted = Callable[[Persona, Row], Collection[str]]


@dataclass(eq=False, kw_only=True)
class NumberCall(Bypass):
    """A call with a number, after the owner has `prepared` rows. `watch` are rows of the caller;
    `raised` the columns, with their tables, whose numbers are larger after it; `free` those of them
    that the tables let the caller change.
    """

    watch: Watch
    own: Statement
    prepared: Sequence[Statement] = ()
    raised: set[tuple[int, str]] = field(default_factory=set)
    free: set[tuple[int, str]] = field(default_factory=set)

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        show = self.watch.statement
        assert show is not None  # noqa: S101  own rows are watched
        calls = [self.become, *super().statements, self.own, show]
        return [self.own, *self.prepared, show, *calls]

    def read(self, result: GroupResult) -> None:
        """Read which numbers have risen."""
        self.error = result.error
        if result.error is None:
            before, _, _, _, after = result.answers[1 + len(self.prepared) :]
            shown = (self.watch.snapshot(answer.rows[0]) for answer in (before, after))
            self.raised = self.watch.raised(*shown)


@dataclass(eq=False, kw_only=True)
class RepeatedCall(NumberCall):
    """Two calls in a row, after the owner has `prepared` the rows that they are about. `raised` are
    the columns that both raise, and `added` the tables to which both add rows, if the first one has
    `marked` such a row, in one of the columns `marking`, as the second one leaves it, or has added
    a row `once`: to tables to which the second one adds none. `summed` are those of the columns
    `totals` whose sum over all rows rises twice: the first call may add the row in which the second
    one raises them.
    """

    totals: Sequence[tuple[Relation, str]]
    marking: Collection[tuple[int, str]]
    marked: set[tuple[int, str]] = field(default_factory=set)
    once: set[int] = field(default_factory=set)
    added: set[int] = field(default_factory=set)
    summed: set[tuple[int, str]] = field(default_factory=set)

    @property
    def is_marked(self) -> bool:
        """Whether the first call has left a mark that the second one could have seen."""
        return bool(self.marked or self.once)

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        once, count = super().statements[1 + len(self.prepared) :], self._count
        return [self.own, *self.prepared, count, *once, count, *once[1:], count]

    @property
    def _count(self) -> Statement:
        """The query of the owner for the numbers of added rows, and for the sums."""
        sums = [
            sql.SQL("(select sum({}) from {})").format(sql.Identifier(name), relation.identifier)
            for relation, name in self.totals
        ]
        return Statement(_COUNTED.format(sql.SQL(", ").join(sums)).as_string(None))

    def read(self, result: GroupResult) -> None:
        """Read which numbers have risen twice."""
        self.error = result.error
        if result.error is not None:
            return
        shown = result.answers[1 + len(self.prepared) :]
        versions = [self.watch.snapshot(shown[at].rows[0]) for at in (1, 5, 10)]
        counted = [shown[at].rows[0] for at in (0, 6, 11)]
        counts = [json.loads(added) for added, _ in counted]
        sums = [json.loads(each) for _, each in counted]
        first = self.watch.differing(versions[0], versions[1])
        self.marked = (first & {*self.marking}) - self.watch.differing(versions[1], versions[2])
        self.raised = self.watch.raised(*versions[:2]) & self.watch.raised(*versions[1:])
        for (relation, name), *each in zip(self.totals, *sums, strict=True):
            before, once, twice = (number or 0 for number in each)
            self.summed |= {(relation.oid, name)} if before < once < twice else set()
        first_added, then_added = _increased(counts[0], counts[1]), _increased(counts[1], counts[2])
        self.added, self.once = first_added & then_added, first_added - then_added


def find(
    world: World,
    worlds: Worlds,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    permitted: Permitted,
    runner: Runner,
) -> list[Bypass]:
    """The calls with a negative number that raise numbers which the positive one does not raise:
    with ids of the caller; and with ids of others, after all rows have got enough of the numbers
    that the function sets: what it takes from another row must not fail.
    """
    arguments, own = Arguments(world), own_role(impersonation)
    pairs: list[tuple[NumberCall, NumberCall]] = []
    for caller in callers:
        if caller.kind != STRANGER or caller.user is not world.b.owner:
            continue
        for function in functions:
            rows = _rows(world, function, caller)
            if not rows or not function.definer or caller.role not in function.callers:
                continue
            columns = numbers(world, function) if worlds.is_possible else ()
            likeliest = next(iter(arguments.lists(function, caller)), [])
            of_caller, nothing = arguments.of_caller(function, caller), list[Statement]()
            of_others = [*likeliest, *of_caller[len(likeliest) :]]  # with those that have a default
            with_enough = of_others, worlds.with_enough(columns)
            for given, prepared in ((of_caller, nothing), with_enough):
                for number in _numbers(function):
                    calls = []
                    for text in ("1", "-1"):
                        chosen = [*given]
                        chosen[number] = Constant(text, function.argument_types[number])
                        calls.append(
                            NumberCall(
                                caller=caller,
                                object=function,
                                action=CALL,
                                sent=[call_of(function, chosen)],
                                watch=Watch(rows=rows),
                                own=own,
                                prepared=prepared,
                            )
                        )
                    pairs.append((calls[0], calls[1]))
    if pairs:
        runner.run([*probes_of([one for pair in pairs for one in pair], LIMITS.calls_in_batch)])
    found: list[Bypass] = []
    for positive, negative in pairs:
        negative.raised -= positive.raised
        negative.free = negative.raised & _free(negative, permitted)
        negative.outcome = outcome_of_count(len(negative.raised))
        found += [negative] if negative.raised else []
    return found


def find_repeated(
    world: World,
    worlds: Worlds,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    permitted: Permitted,
    inserting: Collection[tuple[int, int]],
    runner: Runner,
) -> list[Bypass]:
    """The calls that raise numbers of the caller again, or add rows with numbers, although the
    first one has marked the row that it is about, or added one that says so. `inserting` are
    callers, by their id(), and tables into which the tables let them insert.
    """
    owners = [c for c in callers if c.kind == STRANGER and c.user is world.b.owner]
    calls = [*_repeated(world, worlds, own_role(impersonation), functions, owners)]
    if calls:
        runner.run([*probes_of(calls, LIMITS.calls_in_batch)])
    found: list[Bypass] = []
    for call in calls:
        _judge(world, call, permitted, inserting)
        found += [call] if call.is_marked and (call.raised or call.added) else []
    return found


def _repeated(
    world: World,
    worlds: Worlds,
    own: Statement,
    functions: Sequence[Function],
    callers: Sequence[Persona],
) -> Iterator[RepeatedCall]:
    """The calls of functions that mark rows which they are about, or add rows."""
    if not worlds.is_possible:
        return
    # who has rows may know a code of the own group
    arguments, usage = Arguments(world, knows_secrets=True), world.plan.usage
    for caller, function in product(callers, functions):
        rows = _rows(world, function, caller)
        if not function.definer or caller.role not in function.callers:
            continue
        about = arguments.own_rows(function, caller)
        marks = {key for row in about for key in _marks(world, function, row)}
        if not rows or not (marks or usage.bodies.adds[function.oid]):
            continue
        above = arguments.rows_above(about)
        prepared = worlds.ready(function, caller, [*about, *above], unset=marks)
        prepared += worlds.with_numbers(about, usage.bodies.sets[function.oid])
        prepared += worlds.absent(_added_before(world, function, rows, about))
        yield RepeatedCall(
            caller=caller,
            object=function,
            action=CALL,
            sent=[call_of(function, arguments.of_caller(function, caller))],
            watch=Watch(rows=[*rows, *(row for row in about if row not in rows)]),
            own=own,
            prepared=prepared,
            totals=_totals(world, function, about),
            marking=marks,
        )


def _judge(
    world: World,
    call: RepeatedCall,
    permitted: Permitted,
    inserting: Collection[tuple[int, int]],
) -> None:
    """Leave the tables and columns of a call that nothing else lets its caller add to or raise."""
    marked = {oid for oid, _ in call.marked}
    call.added = {
        oid
        for oid in call.added - marked
        if (id(call.caller), oid) not in inserting and _has_number(world, oid)
    }
    call.raised |= {
        (oid, name)
        for oid, name in call.summed
        if oid not in call.added and (id(call.caller), oid) not in inserting
    }
    call.raised -= _free(call, permitted)
    call.outcome = outcome_of_count(len(call.raised) + len(call.added))


def _added_before(
    world: World, function: Function, rows: Sequence[Row], about: Sequence[Row]
) -> list[Row]:
    """The rows of the caller that are like those which a function adds, and that it neither is
    about nor asks for: without them, its first call is the first one.
    """
    usage = world.plan.usage
    added = usage.bodies.adds[function.oid] - {oid for oid, _ in usage.conditions.own[function.oid]}
    return [row for row in rows if row.relation.oid in added and row not in about]


def _totals(world: World, function: Function, about: Sequence[Row]) -> list[tuple[Relation, str]]:
    """The columns with numbers of the tables to which a function adds rows, without those of the
    rows that it is about.
    """
    adds = world.plan.usage.bodies.adds[function.oid] - {row.relation.oid for row in about}
    relations = [world.plan.catalog.by_oid[oid] for oid in sorted(adds)]
    return [(relation, name) for relation in relations for name in _numbers_of(relation)]


def _marks(world: World, function: Function, row: Row) -> Iterator[tuple[int, str]]:
    """The columns of a row by which a function may mark it: those that it sets, but for numbers and
    for times that each row has.
    """
    for oid, name in world.plan.usage.bodies.sets[function.oid]:
        if oid == row.relation.oid:
            column = row.relation.by_name[name]
            is_time = column.base in TIMES
            if column.category != "N" and not (is_time and column.not_null):
                yield oid, name


def _increased(before: Mapping[str, int], after: Mapping[str, int]) -> set[int]:
    """The tables of which a later count is larger."""
    return {int(oid) for oid, count in after.items() if count > before.get(oid, 0)}


def _has_number(world: World, oid: int) -> bool:
    """Whether a table has a column with a number that is neither a key nor a reference."""
    relation = world.plan.catalog.by_oid.get(oid)
    return relation is not None and bool(_numbers_of(relation))


def _numbers_of(relation: Relation) -> list[str]:
    """The columns of a table with a number that is neither a key nor a reference."""
    keys = {name for key in relation.foreign_keys for name in key.columns}
    keys |= {name for key in relation.unique_keys for name in key}
    found = [c.name for c in relation.columns if c.category == "N" and not c.identity]
    return [name for name in found if name not in keys.union(relation.primary_key)]


def _free(call: NumberCall, permitted: Permitted) -> set[tuple[int, str]]:
    """The columns that the tables let the caller change."""
    return {
        (row.relation.oid, name) for row in call.watch.rows for name in permitted(call.caller, row)
    }


def _rows(world: World, function: Function, caller: Persona) -> list[Row]:
    """The caller's own rows of the tables that a function that writes reads."""
    reads = world.plan.usage.bodies.function_reads.get(function.oid, set())
    if function.volatility != "v" or caller.user is None:
        return []
    return [row for oid, row in sorted(caller.user.rows.items()) if oid in reads]


def _numbers(function: Function) -> list[int]:
    """The positions of the arguments that are numbers."""
    return [at for at, type_ in enumerate(function.argument_types) if type_ in NUMBERS]
