"""The uses of functions: what their calls give those who own rows or belong to a group."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from supabase_jobs.audit.callers import MEMBER, OWNER, SERVICE, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.effects import Snapshot, Watch, all_of
from supabase_jobs.audit.repairs.seen import Use
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import OwnerProbe, Runner, probes_of
from supabase_jobs.session.savepoint import undone


@dataclass(eq=False)
class _Call:
    """A call of a function by somebody who owns the rows or belongs to their group, or the service.
    The statements `afterwards` show what is watched, which the snapshot `before` has shown.
    """

    caller: Persona
    function: str
    statement: Statement
    marks: Sequence[str]
    watch: Watch
    before: Snapshot
    afterwards: Sequence[Statement]
    uses: list[Use] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        """The call, and what shows its effects."""
        return [self.statement, *self.afterwards]

    def read(self, result: GroupResult) -> None:
        """Read whether it succeeds, which rows it shows, and what it changes."""
        if result.error is not None:
            return
        text = str(result.answers[0].rows)
        use = Use(caller=self.caller.label, function=self.function, call=self.statement.sql)
        shown = [mark for mark in self.marks if mark in text]
        self.uses = [use, *(replace(use, given=mark) for mark in shown)]
        answer = result.answers[0].rows[0][0]
        if answer:
            self.uses.append(replace(use, given=str(answer), is_answer=True))
        if self.afterwards:
            after = self.watch.snapshot(result.answers[-1].rows[0])
            changes = sorted(self.watch.changes(self.before, after))
            self.uses += [replace(use, given=one, is_change=True) for one in changes]


class Uses:
    """Calls the functions of an audit again, and keeps what they give before any change."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        tried: Sequence[Bypass],
    ) -> None:
        """`tried` has the calls that others have tried."""
        self._impersonation, self._world, self._callers = impersonation, world, callers
        self._tried = tried
        self._before: dict[str, frozenset[Use]] = {}

    def before(self, functions: Sequence[Function], deadline: Deadline) -> frozenset[Use]:
        """The uses of functions before any change."""
        names = {function.signature for function in functions}
        if names - self._before.keys():
            with undone(self._impersonation.connection):
                for function in functions:
                    self._before[function.signature] = self.of([function], deadline)
        return frozenset().union(*(self._before[name] for name in names))

    def of(
        self, functions: Sequence[Function], deadline: Deadline, callers: Sequence[Persona] = ()
    ) -> frozenset[Use]:
        """The uses of functions, by the calls that others have tried: of these callers, or else of
        owners, members and the service.
        """
        tenant = self._world.a
        marks = sorted({mark for row in tenant.all_rows for mark in row.marks})
        signatures = {function.signature: function for function in functions}
        tried: dict[str, dict[str, Statement]] = {}
        for bypass in self._tried:
            name = bypass.label
            if name in signatures and bypass.action == "call" and bypass.sent:
                statement = bypass.sent[0].statement
                tried.setdefault(name, {})[statement.sql] = statement
        runner = Runner(self._impersonation, deadline)
        watches = {name: self._watch(signatures[name]) for name in tried}
        watched = all_of(watches.values())
        before: Snapshot = {}
        if watched.statement is not None:
            seen = OwnerProbe([watched.statement])
            runner.run([seen])
            before = watched.snapshot(seen.results[0].answer().rows[0])
        calls = []
        entitled = [c for c in self._callers if c.kind in (OWNER, MEMBER, SERVICE)]
        for caller in callers or (c for c in entitled if not c.operation):
            for name, statements in tried.items():
                if caller.role not in signatures[name].callers:
                    continue
                show = watches[name].statement
                afterwards = [] if show is None else [own_role(self._impersonation), show]
                calls += [
                    _Call(
                        caller=caller,
                        function=name,
                        statement=statement,
                        marks=marks,
                        watch=watches[name],
                        before=before,
                        afterwards=afterwards,
                    )
                    for statement in islice(statements.values(), LIMITS.calls)
                ]
        runner.run(probes_of(calls, LIMITS.calls_in_batch))
        return frozenset(use for call in calls for use in call.uses)

    def _watch(self, function: Function) -> Watch:
        """The rows of the tenant that a function may change, and the columns by which its new rows
        belong to the tenant; nothing of a function that changes nothing.
        """
        if function.volatility != "v":
            return Watch()
        tenant, usage = self._world.a, self._world.plan.usage
        tables = usage.bodies.function_reads.get(function.oid, set())
        rows = [row for row in tenant.all_rows if row.relation.oid in tables]
        names = []
        for row in (tenant.rows[oid] for oid in sorted(tables & tenant.rows.keys())):
            keys = [name for key in row.relation.foreign_keys for name in key.columns]
            persons = user_columns(row.relation, usage, self._world.plan.per_user)
            names += [(row, name) for name in dict.fromkeys([*keys, *persons])]
        return Watch(rows=rows, names=names)
