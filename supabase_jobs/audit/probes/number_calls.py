"""Calls with a number and with its negative: which numbers in the caller's own rows rise?"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.arguments import NUMBERS, Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, call_of
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.action import Constant
from supabase_jobs.session.impersonation import SET, Impersonation, own_role
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of


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


def find(
    world: World,
    impersonation: Impersonation,
    functions: Sequence[Function],
    callers: Sequence[Persona],
    permitted: Callable[[Persona, Row], Collection[str]],
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
        free = {
            (row.relation.oid, name)
            for row in negative.watch.rows
            for name in permitted(negative.caller, row)
        }
        negative.raised -= positive.raised | free
        negative.outcome = outcome_of_count(len(negative.raised))
        found += [negative] if negative.raised else []
    return found


def _rows(world: World, function: Function, caller: Persona) -> list[Row]:
    """The caller's own rows of the tables that a function that writes reads."""
    reads = world.plan.usage.function_reads.get(function.oid, set())
    if function.volatility != "v" or caller.user is None:
        return []
    return [row for oid, row in sorted(caller.user.rows.items()) if oid in reads]


def _numbers(function: Function) -> list[int]:
    """The positions of the arguments that are numbers."""
    return [at for at, type_ in enumerate(function.argument_types) if type_ in NUMBERS]
