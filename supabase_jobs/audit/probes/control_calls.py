"""Functions of which no call got through: that nobody leaks by them says nothing about them. They
are called once more on rows of the caller in the state that they ask for.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from supabase_jobs.audit.callers import GENERAL, OWNER, STRANGER, Persona
from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.bypass import CALL, Bypass, FunctionCall, call_of
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.findings import NotTested
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.action import Action
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.runner import Runner, probes_of

FUNCTIONS = "functions"
# function, caller → the statements of the owner that prepare the rows of the caller
Ready = Callable[[Function, Persona], list[Statement]]
# rows that the transaction has written so far, also those of savepoints that were undone
WRITTEN = Statement(
    "select sum(n_tup_ins + n_tup_upd + n_tup_del)::text from pg_stat_xact_all_tables"
)
# rows without values, as text
_EMPTY = re.compile(r'[\s(),"]*')
# of constraints that a call violates, which come behind the guard of a function
_CONSTRAINT = "23"
_NO_EFFECT = "no effect and no result"
_NOTHING_WRITTEN = "nothing was written"
_HELP = (
    "Describe a caller who may call them under [callers] in supabase/audit.toml, or a row in the"
    " state that they ask for under [rows]."
)


@dataclass(eq=False, kw_only=True)
class ControlCall(Bypass):
    """A call by somebody whom a function may let pass: has it written or returned anything? Of one
    that `writes`, the result says nothing: false, or that there is no such code.
    """

    writes: bool
    prepared: Sequence[Statement] = ()

    @property
    def statements(self) -> list[Statement]:
        """The call, between two numbers of written rows, after the owner has prepared some."""
        become = [self.become] if self.prepared else []
        return [*self.prepared, *become, WRITTEN, *super().statements, WRITTEN]

    def read(self, result: GroupResult) -> None:
        """Read whether it got through."""
        self.error = result.error
        if result.error is None:
            before, answer, after = result.answers[-3:]
            has_written = before.rows != after.rows
            says = not self.writes and _says(answer.rows[0][0])
            self.outcome = outcome_of_count(has_written or says)


@dataclass(frozen=True)
class Stopped:
    """A function that nobody got through, and what stopped the likeliest call."""

    function: Function
    reason: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlCalls:
    """Calls the functions that nobody got through. `writing` are those that insert or update rows.
    `ready` makes the statements after which the rows of a caller are as a function demands.
    """

    callers: Sequence[Persona]
    writing: Collection[int]
    arguments: Arguments
    ready: Ready
    runner: Runner

    def stopped(self, functions: Sequence[Function], tried: Iterable[Bypass]) -> Iterator[Stopped]:
        """The functions that nobody got through.

        Those `tried` are calls of the general callers. Who only saw no effect calls again; the
        other callers, such as the owner of the rows and the service, call the functions that none
        of them got through.
        """
        calls: dict[int, list[FunctionCall]] = {}
        reached = set[int]()  # also by calls on old rows
        for one in tried:
            if one.outcome == ROWS:
                reached.add(one.object.oid)
            if isinstance(one, FunctionCall):
                calls.setdefault(one.object.oid, []).append(one)
        silent = [f for f in functions if f.oid in calls.keys() - reached]
        silent = [f for f in silent if f.oid in self.writing or not any(map(_passed, calls[f.oid]))]
        again = self._run([*self._again(silent, calls)])
        silent = _stopped(silent, again)
        controls = self._run([*self._of_others(silent)])
        silent = _stopped(silent, controls)
        prepared = self._run([*self._prepared(silent)])
        for function in _stopped(silent, prepared):
            own = [one for one in (*prepared, *controls, *again) if one.object is function]
            writes = function.oid in self.writing
            yield Stopped(function, _reason([*own, *calls[function.oid]], writes=writes))

    def _again(
        self, functions: Iterable[Function], calls: Mapping[int, Sequence[FunctionCall]]
    ) -> Iterator[ControlCall]:
        """The calls that have not failed."""
        for function in functions:
            for one in calls[function.oid]:
                if one.error is None:
                    yield self._call(function, one.caller, one.sent)

    def _of_others(self, functions: Sequence[Function]) -> Iterator[ControlCall]:
        """Calls of who is none of the general callers."""
        others = [caller for caller in self.callers if caller.kind not in GENERAL]
        for caller, function in product(others, functions):
            for given in self.arguments.lists(function, caller):
                yield self._call(function, caller, [call_of(function, given)])

    def _prepared(self, functions: Sequence[Function]) -> Iterator[ControlCall]:
        """Calls on rows of the caller that the owner of the database has prepared."""
        owners = [caller for caller in self.callers if caller.kind in (STRANGER, OWNER)]
        for function, caller in product(functions, owners):
            if statements := self.ready(function, caller):
                sent = [call_of(function, self.arguments.of_caller(function, caller))]
                yield self._call(function, caller, sent, statements)

    def _call(
        self,
        function: Function,
        caller: Persona,
        sent: Sequence[Action],
        prepared: Sequence[Statement] = (),
    ) -> ControlCall:
        return ControlCall(
            caller=caller,
            object=function,
            action=CALL,
            sent=sent,
            writes=function.oid in self.writing,
            prepared=prepared,
        )

    def _run(self, controls: Sequence[ControlCall]) -> Sequence[ControlCall]:
        if controls:
            self.runner.run([*probes_of(controls, LIMITS.calls_in_batch)])
        return controls


def not_tested(found: Iterable[Stopped]) -> Iterator[NotTested]:
    """One entry for the functions that nobody got through."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        reasons.setdefault(one.reason, []).append(one.function.signature)
    if reasons:
        groups = (f"{reason}: {', '.join(names)}" for reason, names in sorted(reasons.items()))
        yield NotTested(FUNCTIONS, f"no call got through: {'; '.join(groups)}", _HELP)


def _stopped(functions: Sequence[Function], controls: Sequence[ControlCall]) -> list[Function]:
    """The functions that none of these calls got through."""
    passed = {one.object.oid for one in controls if one.outcome == ROWS}
    return [function for function in functions if function.oid not in passed]


def _passed(call: FunctionCall) -> bool:
    """Whether a call returned anything."""
    return call.error is None and _says(call.answer.text)


def _says(answer: str | None) -> bool:
    """Whether an answer has a value in it."""
    return not _EMPTY.fullmatch(answer or "")


def _reason(calls: Collection[Bypass], *, writes: bool) -> str:
    """The SQLSTATE of the first call that failed, if possible behind the guard."""
    states = [one.error.sqlstate or "" for one in calls if one.error is not None]
    known = sorted(filter(None, states), key=lambda state: not state.startswith(_CONSTRAINT))
    if writes and len(states) < len(calls) and not (known and known[0].startswith(_CONSTRAINT)):
        return _NOTHING_WRITTEN
    return known[0] if known else _NO_EFFECT
