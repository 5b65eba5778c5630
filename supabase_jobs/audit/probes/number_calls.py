"""Calls with a number and with its negative, and calls twice: which numbers in the caller's own
rows rise?
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.arguments import NUMBERS, Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, call_of
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.action import Constant
from supabase_jobs.session.impersonation import SET, Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of

# caller, row → the columns that the tables let the caller update
Permitted = Callable[[Persona, Row], Collection[str]]


@dataclass(eq=False, kw_only=True)
class NumberCall(Bypass):
    """A call with a number. `watch` are rows of the caller; `raised` the columns, with their
    tables, whose numbers are larger after it.
    """

    watch: Watch
    own: Statement
    raised: set[tuple[int, str]] = field(default_factory=set)

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        show = self.watch.statement
        assert show is not None  # noqa: S101  own rows are watched
        become = Statement(SET, ("role", self.caller.role))
        return [self.own, show, become, *super().statements, self.own, show]

    def read(self, result: GroupResult) -> None:
        """Read which numbers have risen."""
        self.error = result.error
        if result.error is None:
            _, before, _, _, _, after = result.answers
            shown = (self.watch.snapshot(answer.rows[0]) for answer in (before, after))
            self.raised = self.watch.raised(*shown)


@dataclass(eq=False, kw_only=True)
class RepeatedCall(NumberCall):
    """Two calls in a row, after the owner has `prepared` the rows that they are about. `raised` are
    the columns that both raise, if the first one has `marked` such a row.
    """

    prepared: Sequence[Statement]
    marked: set[tuple[int, str]] = field(default_factory=set)

    @property
    def statements(self) -> list[Statement]:
        """The statements of the owner and of the caller, in order."""
        once = super().statements
        return [*self.prepared, *once, *once[2:]]

    def read(self, result: GroupResult) -> None:
        """Read which numbers have risen twice."""
        self.error = result.error
        if result.error is not None:
            return
        shown = result.answers[len(self.prepared) + 1 :]
        versions = [self.watch.snapshot(shown[at].rows[0]) for at in (0, 4, 8)]
        self.marked = self.watch.marked(versions[0], versions[1])
        self.raised = self.watch.raised(*versions[:2]) & self.watch.raised(*versions[1:])


def find(
    world: World,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    permitted: Permitted,
    runner: Runner,
) -> list[Bypass]:
    """The calls with a negative number that raise numbers which the positive one does not raise,
    and which the tables do not let the caller change.
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
            for number in _numbers(function):
                chosen = arguments.of_caller(function, caller)
                calls = []
                for text in ("1", "-1"):
                    chosen[number] = Constant(text, function.argument_types[number])
                    calls.append(
                        NumberCall(
                            caller=caller,
                            object=function,
                            action=CALL,
                            sent=[call_of(function, chosen)],
                            watch=Watch(rows),
                            own=own,
                        )
                    )
                pairs.append((calls[0], calls[1]))
    if pairs:
        runner.run([*probes_of([one for pair in pairs for one in pair], LIMITS.calls_in_batch)])
    found: list[Bypass] = []
    for positive, negative in pairs:
        negative.raised -= positive.raised | _free(negative, permitted)
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
    runner: Runner,
) -> list[Bypass]:
    """The calls that raise numbers of the caller again, although the first one has marked the row
    that it is about.
    """
    arguments, own = Arguments(world), own_role(impersonation)
    calls: list[RepeatedCall] = []
    for caller in callers if worlds.is_possible else ():
        if caller.kind != STRANGER or caller.user is not world.b.owner:
            continue
        for function in functions:
            rows = _rows(world, function, caller)
            if not function.definer or caller.role not in function.callers:
                continue
            about = arguments.own_rows(function, caller)
            marks = {key for row in about for key in _marks(world, function, row)}
            if rows and marks:
                prepared = worlds.in_state(about, dict.fromkeys(marks))
                calls.append(
                    RepeatedCall(
                        caller=caller,
                        object=function,
                        action=CALL,
                        sent=[call_of(function, arguments.of_caller(function, caller))],
                        watch=Watch([*rows, *(row for row in about if row not in rows)]),
                        own=own,
                        prepared=[own, *prepared],
                    )
                )
    if calls:
        runner.run([*probes_of(calls, LIMITS.calls_in_batch)])
    found: list[Bypass] = []
    for call in calls:
        call.raised -= _free(call, permitted)
        call.outcome = outcome_of_count(len(call.raised))
        found += [call] if call.raised and call.marked else []
    return found


def _marks(world: World, function: Function, row: Row) -> Iterator[tuple[int, str]]:
    """The times of a row that a function sets."""
    for oid, name in world.plan.usage.sets[function.oid]:
        if oid == row.relation.oid:
            column = row.relation.by_name[name]
            if column.base in TIMES and not column.not_null:
                yield oid, name


def _free(call: NumberCall, permitted: Permitted) -> set[tuple[int, str]]:
    """The columns that the tables let the caller change."""
    return {
        (row.relation.oid, name) for row in call.watch.rows for name in permitted(call.caller, row)
    }


def _rows(world: World, function: Function, caller: Persona) -> list[Row]:
    """The caller's own rows of the tables that a function that writes reads."""
    reads = world.plan.usage.function_reads.get(function.oid, set())
    if function.volatility != "v" or caller.user is None:
        return []
    return [row for oid, row in sorted(caller.user.rows.items()) if oid in reads]


def _numbers(function: Function) -> list[int]:
    """The positions of the arguments that are numbers."""
    return [at for at, type_ in enumerate(function.argument_types) if type_ in NUMBERS]
