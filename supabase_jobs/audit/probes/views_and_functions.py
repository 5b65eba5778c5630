"""Views and functions: do they return or change rows that their tables refuse to the same caller?

A row is recognized by its token in the result; what else a result says about it is found by
interference. Of views, what they show of rows that the tables do not refuse is tested too: it is no
bypass, but an access.
"""

from collections.abc import Collection, Iterator, Sequence

from psycopg import errors

from supabase_jobs.audit.callers import (
    CLAIM,
    GENERAL,
    LAPSED,
    OWNER,
    Persona,
)
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes import ended_calls, funded_calls, number_calls
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.attempt import INSERT
from supabase_jobs.audit.probes.bypass import (
    NOTHING,
    Bypass,
    FunctionCall,
    Inquiry,
    PreparedCall,
    ViewWrite,
)
from supabase_jobs.audit.probes.control_calls import ControlCalls, Stopped
from supabase_jobs.audit.probes.effects import all_of
from supabase_jobs.audit.probes.functions import Functions, table_of
from supabase_jobs.audit.probes.interference import Interference
from supabase_jobs.audit.probes.refused_rows import RefusedRows
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.views import Views
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.findings import NotTested
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import OwnerProbe, probes_of


class Bypasses:
    """Probes the views and functions; the list `found` gets all results."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        probes: Probes,
        found: list[Bypass],
        *,
        compares: bool = True,
    ) -> None:
        """`compares`: answers are compared with those of other worlds."""
        self._impersonation, self._world, self._prober = impersonation, world, probes.prober
        self._plan = world.plan
        # what a function gives to a user with a ticket may be what the ticket is for
        callers = [c for c in callers if c.user is None or c.user.link is None]
        # and a row that is made for a policy takes values of those that it belongs to
        callers = [c for c in callers if not (c.operation or c.is_made)]
        self._everyone = callers
        self._callers = [c for c in callers if c.kind in GENERAL]
        # those whose rights follow from a row or a claim of their own
        self._staff = [
            c for c in callers if c.kind in (CLAIM, LAPSED) and (c.claim or table_of(c) is not None)
        ]
        self._view_callers = [c for c in callers if c.kind in (*GENERAL, OWNER)]
        self._inserting = {
            (id(a.caller), a.relation.oid)
            for a in probes.attempts
            if a.action == INSERT and a.reached
        }
        self._rows = RefusedRows(impersonation, world, probes, compares=compares)
        self._worlds = self._rows.worlds
        self._views = Views(self._rows, self._view_callers, probes)
        self._functions = Functions(self._rows)
        self._found = found
        self._answered = set[int]()  # functions that a call with a valid secret has got through
        self.writes_to_users: list[ViewWrite] = []

    def run(self, views: Sequence[Relation], functions: Sequence[Function]) -> None:
        """Read and write the views, and call the functions.

        `writes_to_users` gets the writes by views to rows of auth.users, which are no access to the
        view's own rows.
        """
        reads = [self._rows.tables_of(view) for view in views]
        reads += [self._rows.reads_of(function) for function in functions]
        if not reads:
            return
        self._worlds.prepare([*self._view_callers, *self._staff], views, set().union(*reads))
        tried: list[Bypass] = []
        for caller in self._view_callers:
            tried += [bypass for view in views for bypass in self._views.of_view(caller, view)]
        for caller in self._callers:
            tried += [
                bypass for f in functions for bypass in self._functions.of_function(caller, f)
            ]
        for caller in self._staff:
            tried += [
                bypass
                for f in functions
                if f.definer and self._functions.may_know(f, caller)
                for bypass in self._functions.of_function(caller, f)
            ]
        users = [b for c in self._callers for v in views for b in self._views.to_users(c, v)]
        self._snapshot([*tried, *users])
        copies = [one for one in self._functions.copied.values() if one.query is not NOTHING]
        self._prober.run([*probes_of(copies, LIMITS.calls_in_batch)])
        try:
            self._send([*tried, *users])
            self._views.judge_unmarked(tried)
            tried += self._views.with_selected_rows(views, tried)
            tried += self._views.in_refused_states(views, tried)
            tried += self._with_ended_rows(functions)
            tried += self._with_numbers(functions)
            tried += self._with_enough(tried)
        finally:
            self._found += [bypass for bypass in tried if bypass.outcome]
            self.writes_to_users = [bypass for bypass in users if bypass.effects.changed]

    def _with_ended_rows(self, functions: Sequence[Function]) -> list[Bypass]:
        """The calls with the secret of a row that has ended which do the same as before."""
        return ended_calls.find(
            self._world,
            self._worlds,
            self._impersonation,
            functions,
            self._everyone,
            self._answered,
            self._prober,
        )

    def _with_numbers(self, functions: Sequence[Function]) -> list[Bypass]:
        """The calls that raise numbers of the caller: with a negative number, and a second time."""

        def permitted(caller: Persona, row: Row) -> Collection[str]:
            return self._rows.updated.get((id(caller), id(row)), ())

        world, acting, everyone = self._world, self._impersonation, self._everyone
        negative = number_calls.find(
            world, self._worlds, acting, functions, everyone, permitted, self._prober
        )
        repeated = number_calls.find_repeated(
            world,
            self._worlds,
            acting,
            functions,
            everyone,
            permitted,
            self._inserting,
            self._prober,
        )
        return [*negative, *repeated]

    def _with_enough(self, tried: Sequence[Bypass]) -> list[Bypass]:
        """The calls that take something from others which these did not have."""
        return funded_calls.find(
            self._world, self._worlds, self._impersonation, tried, self._prober
        )

    @property
    def not_compared(self) -> list[NotTested]:
        """Why some answers were not compared."""
        return self._worlds.not_tested

    def stopped(self, functions: Sequence[Function]) -> list[Stopped]:
        """The functions that nobody got through."""
        arguments = Arguments(self._world, knows_secrets=True)
        functions = [one for one in functions if one.oid not in self._answered]
        usage = self._plan.usage
        writing = {f.oid for f in functions if usage.bodies.adds[f.oid] or usage.bodies.sets[f.oid]}

        def ready(function: Function, caller: Persona) -> list[Statement]:
            if not self._worlds.is_possible:
                return []
            named = [caller.own_row(oid) for oid, _ in sorted(usage.conditions.own[function.oid])]
            own = [*arguments.own_rows(function, caller), *(row for row in named if row)]
            rows = [*own, *arguments.rows_above(own)]
            prepared = self._worlds.ready(function, caller, list(dict.fromkeys(rows)))
            numbers = funded_calls.numbers(self._world, function)
            return [own_role(self._impersonation), *prepared, *self._worlds.with_enough(numbers)]

        controls = ControlCalls(
            callers=self._everyone,
            writing=writing,
            arguments=arguments,
            ready=ready,
            runner=self._prober,
        )
        return list(controls.stopped(functions, self._found))

    def _send(self, tried: Sequence[Bypass]) -> None:
        """Run everything, caller by caller."""
        everyone = (*self._view_callers, *self._staff)
        order = {id(caller): number for number, caller in enumerate(everyone)}
        sent = sorted((b for b in tried if b.sent), key=lambda b: order[id(b.caller)])
        asked: dict[Persona, list[Inquiry]] = {}
        for one in sent:
            if isinstance(one, Inquiry):
                asked.setdefault(one.caller, []).append(one)
        chunks = [
            Interference(caller, chunk, self._worlds)
            for caller, inquiries in asked.items()
            for chunk in _batched(inquiries, LIMITS.calls_in_batch)
        ]
        others = [one for one in sent if not isinstance(one, Inquiry)]
        self._prober.run([*chunks, *probes_of(others, LIMITS.calls_in_batch)])
        prepared = [one for one in others if isinstance(one, PreparedCall)]
        again = [one for one in prepared if self._removes_conflict(one)]
        self._prober.run([*probes_of(again, LIMITS.calls_in_batch)])

    def _removes_conflict(self, call: PreparedCall) -> bool:
        """Whether a call has passed the guard of a function, and only a generated row refuses the
        row that it adds; the next time, the generated one is absent.
        """
        if not isinstance(call.error, errors.UniqueViolation):
            return False
        label = f"{call.error.diag.schema_name}.{call.error.diag.table_name}"
        given = {word for text in call.passed for word in text.split()}
        rows = (*self._world.a.all_rows, *self._world.b.all_rows)
        same = [row for row in rows if row.relation.label == label]
        found = [row for row in same if given.isdisjoint(map(row.values.get, row.key))]
        call.prepared = [*call.prepared, *self._worlds.absent(found)]
        return bool(found) and self._worlds.is_possible

    def _snapshot(self, tried: Sequence[Bypass]) -> None:
        """Take a snapshot of all that is watched, before the calls and writes."""
        watching = [one for one in tried if isinstance(one, FunctionCall | ViewWrite)]
        watched = all_of(one.watch for one in watching)
        if watched.statement is None:
            return
        snapshot = OwnerProbe([watched.statement])
        self._prober.run([snapshot])
        [seen] = snapshot.results
        before = watched.snapshot(seen.answer().rows[0])
        for one in watching:
            one.before = before if one.watch.statement is not None else {}


def _batched(inquiries: Sequence[Inquiry], most: int) -> Iterator[Sequence[Inquiry]]:
    """The inquiries in chunks of at most so many."""
    for start in range(0, len(inquiries), most):
        yield inquiries[start : start + most]
