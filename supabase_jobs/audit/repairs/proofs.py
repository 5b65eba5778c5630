"""Repairs that prove themselves: each candidate is tried, and what it closes and takes is seen."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from textwrap import wrap

from supabase_jobs.audit.catalog import Function
from supabase_jobs.audit.leaks import (
    escalation,
)
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    BrokenAccess,
    ExplainedLeak,
    Question,
    ShownLeak,
)
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import (
    INSERT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.ended_calls import EndedCall
from supabase_jobs.audit.probes.known import Altered
from supabase_jobs.audit.repairs.demand import Demand, Script
from supabase_jobs.audit.repairs.judge import Judge, gone
from supabase_jobs.audit.repairs.losses import Losses, new_questions, unseen_writes
from supabase_jobs.audit.repairs.other_paths import OtherPaths
from supabase_jobs.audit.repairs.seen import Scope, Seen, place_of
from supabase_jobs.audit.repairs.trials import Trials
from supabase_jobs.audit.repairs.verdict import (
    LATE,
    NO_REPAIR,
    WIDTH,
    Proven,
    Verdict,
    in_order,
    key_of_topic,
    proof,
    question,
    topic_cell,
)
from supabase_jobs.audit.rows.tenants import Ended
from supabase_jobs.findings import (
    Cell,
    Left,
    Repair,
    Repairs,
    Severity,
    as_comment,
    has_statement,
)
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.deadline import Deadline, DeadlineError

_NOTHING = "select"  # a statement without an effect


@dataclass(frozen=True)
class _Tried:
    """A candidate with its effects; `is_open` finds out whether the leak is still there, which
    takes longer.
    """

    text: str
    verdict: Verdict
    is_open: Callable[[], bool]


class Proofs:
    """The repairs of leaks. Those before are part of each trial, so all can be applied together.

    `render` makes the statements of a demand, together with those that were chosen before.
    """

    def __init__(
        self,
        trials: Trials,
        judge: Judge,
        render: Callable[[Sequence[Demand], Demand], str],
    ) -> None:
        self._trials, self._judge, self._render = trials, judge, render
        self._losses, self._other_paths = Losses(trials, judge), OtherPaths(trials, judge)
        self._chosen: list[Demand] = []
        self._closed: list[tuple[AnyLeak, Collection[Cell], Demand]] = []

    def prove(
        self, leak: AnyLeak, candidates: Iterable[Demand], cells: Collection[Cell] = ()
    ) -> Proven:
        """The first candidate that closes a leak, or all of these cells beyond the baseline, and
        takes nothing; else that which takes the least, as a comment.
        """
        advice, ran = "", 0
        losing: list[_Tried] = []
        taking: list[tuple[int, Demand, str]] = []
        limiting: list[tuple[Demand, str, Verdict]] = []
        try:
            for demand in self._tried(leak, candidates):
                text = self._render(self._chosen, demand)
                if not has_statement(text):
                    advice = advice or text
                    continue
                if not demand.script.is_trigger and self._still_reaches(leak, demand, text):
                    continue
                ran += 1
                if not demand.is_of_service and (lost := self._lost(demand, text)):
                    taking.append((lost, demand, text))
                elif limits := self._by_other_paths(leak, demand, text):
                    limiting.append((demand, text, limits))
                elif one := self._try(leak, demand, text, cells):
                    if one.verdict.is_proven:
                        return self._choose(leak, demand, one.verdict, cells)
                    losing.append(one)
                if ran == LIMITS.candidates:
                    break
            best = _least(losing)
            for _, demand, text in sorted(taking, key=lambda one: one[0]):
                if best is None and (one := self._try(leak, demand, text, cells)):
                    # a row that one may add without a column is not lost
                    if one.verdict.is_proven:
                        return self._choose(leak, demand, one.verdict, cells)
                    best = _least([one])
            for demand, text, limits in limiting:
                if best is not None and best.verdict.loss <= limits.loss:
                    continue
                if one := self._try(leak, demand, text, cells):
                    takes = in_order([*one.verdict.takes, *limits.takes])
                    verdict = replace(one.verdict, takes=takes, unseen=limits.unseen)
                    some = [replace(one, verdict=verdict)]
                    best = _least(some if best is None else [best, *some])
        except DeadlineError:
            return LATE
        if advice or best is None:
            return Proven(text=advice or NO_REPAIR, left=Left.NONE)
        return question(best.text, best.verdict)

    def _choose(
        self, leak: AnyLeak, demand: Demand, verdict: Verdict, cells: Collection[Cell]
    ) -> Proven:
        """The proven repair, which is a part of each later trial. A repair that first asks for
        something else, such as claims of users, is a comment and not proven.
        """
        if demand.asks:
            lines = wrap(demand.asks, WIDTH, break_long_words=False, break_on_hyphens=False)
            text = as_comment("\n".join([*lines, self._render(self._chosen, demand)]))
            return Proven(text=text, left=Left.UNKNOWN)
        if demand not in self._chosen:
            self._chosen.append(demand)
        self._closed.append((leak, cells, demand))
        return Proven(text=proof(verdict), is_proven=True, demand=demand)

    def prove_topic(self, leak: ExplainedLeak) -> Proven:
        """The repair of a leak of a topic of Realtime, which changes policies of its messages."""
        text = leak.explanation.fix
        if not has_statement(text):
            return Proven(text=text, left=Left.NONE)
        try:
            after = self._trials.topics(text)
        except DeadlineError:
            return LATE
        if after is None or leak.id in self._trials.topic_leaks(after):
            return Proven(text=NO_REPAIR, left=Left.NONE)
        kept = {key_of_topic(one) for one in after if one.outcome == ROWS}
        before = [one for one in self._trials.channels if one.outcome == ROWS]
        lost = [one for one in before if key_of_topic(one) not in kept]
        takes = {topic_cell(one) for one in lost if not one.caller.is_outsider}
        verdict = Verdict(closes=max(1, len(lost)), takes=in_order(takes))
        if not verdict.is_proven:
            return question(text, verdict)
        return Proven(text=proof(verdict), is_proven=True, demand=Demand(script=Script(text=text)))

    def written(self, proven: Proven) -> str:
        """The statements of a repair, with those of the others of its policies."""
        if proven.demand is None:
            return proven.text
        left = ", ".join(self._left(proven.demand))
        note = f"-- It leaves {left}, about which there is another finding.\n" if left else ""
        return f"-- {proven.text}\n{note}{self.statements(proven)}"

    def _left(self, demand: Demand) -> list[str]:
        """The columns that a repair of others grants again, and that other findings are about."""
        if not demand.grants or demand.guard is not None:
            return []
        first = demand.grants[0]
        relation, taken = first.relation, set[str]()
        for one in (*self._chosen, demand):
            for grant in one.grants if one.guard is None else ():
                if grant.relation is relation:
                    taken.update(grant.columns)
        about = {n for one in self._trials.before.leaks for n in _columns_of(one, relation.label)}
        return [
            column.name
            for column in relation.columns
            if column.name in about - taken
            and relation.may(first.role, first.privilege.upper(), column.name)
        ]

    def share(self, others: int) -> None:
        """Give the next proof a fair part of the time, with so many others behind it."""
        self._trials.share(others)

    def statements(self, proven: Proven) -> str:
        """The statements of a repair."""
        return "" if proven.demand is None else self._render(self._chosen, proven.demand)

    def ends(self, function: Function) -> list[Ended]:
        """The states of rows that have ended in which calls of a function do the same as before."""
        found = [
            one.ended
            for one in self._trials.before.bypasses
            if isinstance(one, EndedCall) and one.object is function
        ]
        return list(dict.fromkeys(found))

    def is_used(self, function: Function) -> bool:
        """Whether the effects of a function for those who may call it are known, and compared."""
        return self._trials.is_used(function)

    def together(self, found: Mapping[str, Proven], deadline: Deadline) -> Repairs:
        """The proven repairs of findings, by their ids, tried together on all objects until this
        time. Those that take something beside the others are left out, as few as possible.
        """
        self._trials.extend(deadline)
        demands: dict[Demand, list[str]] = {}
        for name, proven in found.items():
            if proven.demand is not None:
                demands.setdefault(proven.demand, []).append(name)
        made = Repairs((), 0)
        with suppress(DeadlineError):
            for some in _without_one(demands):
                if (most := self._made(some)) is not None:
                    return most
            kept: dict[Demand, list[str]] = {}
            for demand, names in demands.items():
                some = {**kept, demand: names}
                if (more := self._made(some)) is not None:
                    kept, made = some, more
        return made

    def _made(self, demands: Mapping[Demand, Sequence[str]]) -> Repairs | None:
        """These repairs, if together they take and open nothing. Raises DeadlineError."""
        texts: dict[str, list[str]] = {}
        for demand, names in demands.items():
            texts.setdefault(self._render(list(demands), demand), []).extend(names)
        is_by_policy = all(demand.altered is not None for demand in demands)
        scope = self._trials.everything(is_by_policy=is_by_policy)
        text = "\n".join(texts)
        after = self._trials.run(text, scope, writes=self._opening(()))
        if after is None:
            return None
        asking = frozenset[str]().union(*(demand.asking for demand in demands))
        of_service = [demand.changed_tables for demand in demands if demand.is_of_service]
        known = self._trials.seen_before(scope)
        verdict = self._judge.verdict(
            known,
            after,
            is_open=False,
            asking=asking,
            kept=self._kept(demands, text, known, after),
            of_service=frozenset[int]().union(*of_service),
        )
        if verdict.takes or verdict.opens or verdict.alters:
            return None
        made = tuple(Repair(tuple(names), text) for text, names in texts.items())
        return Repairs(made, verdict.closes, gives=verdict.gives)

    def _tried(self, leak: AnyLeak, candidates: Iterable[Demand]) -> Iterator[Demand]:
        """Those that were chosen for other leaks first: one change may close several."""
        ordered = list(candidates)
        touched = [demand.changed_tables | demand.changed_functions for demand in ordered]
        changed = frozenset().union(*touched)
        for demand in self._chosen:
            tables, functions = demand.changed_tables, demand.changed_functions
            same = bool(changed & (tables | functions))
            if isinstance(leak, ShownLeak):  # of which a short look says whether it closes it
                same = same or self._trials.scope(tables, functions).has(leak)
            if same or leak.kind is escalation.KIND:
                yield demand
        yield from ordered

    def _by_other_paths(self, leak: AnyLeak, demand: Demand, text: str) -> Verdict | None:
        """The effects on acts that pass by other conditions than the leaks that a demand closes."""
        closed = [
            other
            for other, _, chosen in self._closed
            if chosen is demand or demand.changes_policies_of(chosen)
        ]
        return self._other_paths.verdict(leak, demand, text, closed)

    def _try(
        self, leak: AnyLeak, demand: Demand, text: str, cells: Collection[Cell]
    ) -> "_Tried | None":
        """A change with its effects; None if its statements fail. Whether one that takes something
        closes the leak is only found out on demand.
        """
        others = [
            (other, other_cells)
            for other, other_cells, chosen in self._closed
            if demand.changes_policies_of(chosen)
        ]
        leaks = [leak, *(other for other, _ in others)]
        labels = [one.label for one in leaks if one.kind is escalation.KIND]
        scope = self._trials.scope(
            demand.changed_tables,
            demand.changed_functions,
            labels,
            is_by_policy=demand.altered is not None,
        )
        if not scope.has(leak):
            return None
        after = self._trials.run(text, scope, demand.altered, self._opening(leaks))
        if after is None:
            return None
        known = self._trials.seen_before(scope)
        verdict = self._judge.verdict(
            known,
            after,
            is_open=False,
            leak=leak,
            asking=demand.asking,
            kept=self._kept([demand], text, known, after),
            of_service=demand.changed_tables if demand.is_of_service else (),
        )
        decided = leak.severity is not Severity.WARNING and not self._is_only_way(leak)
        decided |= self._judge.has_baseline or demand.is_of_service
        if decided or cells or demand.asks:
            # what an error is about may end, whatever it is for; a baseline says what may not
            verdict = replace(verdict, ends=())

        before = self._trials.before

        def is_open() -> bool:
            closed = [(leak, cells), *others]  # by statements that have the edits of all
            is_left = any(self._judge.is_open(one, before, after, of_one) for one, of_one in closed)
            is_left = is_left or any(self._opens_otherwise(one, text) for one in leaks)
            return is_left or (isinstance(leak, BrokenAccess) and not verdict.gives)

        one = _Tried(text, verdict, is_open)
        if not verdict.is_proven:
            return one
        proven = self._proven(leak, demand, one, scope, known, after)
        if proven is None:
            return None
        return replace(one, verdict=proven, is_open=lambda: proven.is_open)

    def _proven(
        self,
        leak: AnyLeak,
        demand: Demand,
        tried: "_Tried",
        scope: Scope,
        known: Seen,
        after: Seen,
    ) -> Verdict | None:
        """The effects of a change that takes nothing of what was tried again, with all that only
        some changes could take; None if nothing shows the leak without it.
        """
        text, verdict = tried.text, tried.verdict
        if tried.is_open():
            return replace(verdict, is_open=True)
        if demand.guard is not None and demand.guard.of_new_rows:
            verdict = self._losses.with_way_back(leak, verdict, text)
        if verdict.is_proven and not self._is_shown(leak, scope):
            return None
        if verdict.is_proven:
            lost = [*self._losses.by_staff(known, after)]
            if not demand.is_of_service:
                lost += self._losses.by_ways(leak, demand, text, scope)
            if isinstance(leak, ShownLeak):
                lost += [
                    *self._losses.of_values(leak, text),
                    *self._losses.by_colleagues(leak, text),
                ]
            verdict = replace(verdict, takes=in_order(lost))
        if demand.is_new:
            verdict = replace(verdict, leaves=new_questions(known, after))
        asked = [ask for function in demand.acting for ask in unseen_writes(known, function)]
        asked += self._losses.unset(demand)
        verdict = replace(verdict, leaves=(*verdict.leaves, *asked))
        if isinstance(leak, ShownLeak) and (left := self._losses.still_written(leak, after)):
            ask = f"Whoever does so still writes {', '.join(left)}, which others gave the row."
            verdict = replace(verdict, leaves=(*verdict.leaves, f"{ask} May they?"))
        if isinstance(leak, ShownLeak):
            verdict = self._losses.with_author(leak, verdict, text)
        if verdict.is_proven:
            known_ids = {one.id for one in self._trials.before.leaks}
            new = [one for name, one in after.faults.items() if name not in known_ids]
            shows = tuple(one.message for one in new)
            if isinstance(leak, ShownLeak):
                shows += self._losses.left_in_new_rows(leak, known, after, text)
            verdict = replace(verdict, shows=shows)
        return verdict

    def _is_only_way(self, leak: AnyLeak) -> bool:
        """Whether a leak is about new rows of a table to which no function or trigger of the
        project adds any: then the app adds them by the same policies.
        """
        if not isinstance(leak, ShownLeak) or leak.tried.action != INSERT:
            return False
        oid = self._trials.shown_by(leak).relation.oid
        added = self._trials.before.plan.usage.bodies.adds.values()
        return not any(oid in tables for tables in added)

    def _kept(
        self, demands: Iterable[Demand], text: str, known: Seen, after: Seen
    ) -> list[Attempt]:
        """The attempts that were not made again and still reach their targets: a trigger refuses
        what policies refuse, so that nobody tries to evade these; and new rows that do so with
        the defaults of some columns.
        """
        all_ = list(demands)
        is_guarded = any(demand.guard is not None for demand in all_)
        if not is_guarded and all(demand.defaults is None for demand in all_):
            return []
        ended = [one for one in gone(known, after) if isinstance(one, Attempt)]
        if not is_guarded:
            ended = [one for one in ended if self._adapted(all_, one) is not one]
        some = ended[: LIMITS.attempts_in_batch]
        again = [self._adapted(all_, one) for one in some]
        reached = self._trials.reaching(text, again) if some else []
        return [one for one, is_reached in zip(some, reached, strict=True) if is_reached]

    def _opens_otherwise(self, leak: AnyLeak, text: str) -> bool:
        """Whether the new row of an escalation still opens something with another label."""
        if not isinstance(leak, ShownLeak) or leak.kind is not escalation.KIND:
            return False
        return self._trials.opens_otherwise(text, self._trials.shown_by(leak))

    def _is_shown(self, leak: AnyLeak, scope: Scope) -> bool:
        """Whether a trial that changes nothing shows the leak of a view or function, so that its
        absence says something.
        """
        if not isinstance(leak, ExplainedLeak) or isinstance(leak, BrokenAccess):
            return True
        same = self._trials.run(_NOTHING, scope, frozenset(), frozenset())
        return same is not None and any(found.id == leak.id for found in same.leaks)

    def _opening(self, leaks: Iterable[AnyLeak]) -> frozenset[Altered] | None:
        """The writes that a trial repeats what they open after: those of these leaks, all if
        something that is refused may be given.
        """
        if self._judge.gives:
            return None
        return frozenset(
            (self._trials.oid(one.tried.table.label), one.tried.action)
            for one in leaks
            if isinstance(one, ShownLeak) and one.kind is escalation.KIND
        )

    def _lost(self, demand: Demand, text: str) -> int:
        """The number of rows and actions that should stay, of some on the changed tables, and that
        end with these statements.
        """
        tables, altered = demand.changed_tables, demand.altered
        needed: dict[Hashable, Attempt] = {}
        for one in self._needed:
            oid = one.relation.oid
            if oid in tables and (altered is None or (oid, one.action) in altered):
                needed.setdefault(place_of(one), one)
        some = list(needed.values())[: LIMITS.attempts_in_batch]
        some = [self._adapted([demand], one) for one in some]
        return len(some) - self._trials.kept(text, some) if some else 0

    def _adapted(self, demands: Iterable[Demand], one: Attempt) -> Attempt:
        """An attempt with the defaults that repairs demand: the rows of the world have others."""
        for demand in demands:
            if demand.defaults is not None and demand.defaults[0] is one.relation:
                one = self._trials.variants.with_defaults(one, demand.defaults[1])
        return one

    @cached_property
    def _needed(self) -> Sequence[Attempt]:
        """The attempts that reach what should stay."""
        cells = self._trials.before.cells.values()
        return [c for c in cells if isinstance(c, Attempt) and not self._judge.may_end(c)]

    def _still_reaches(self, leak: AnyLeak, demand: Demand, text: str) -> bool:
        """Whether the attempt of a leak still passes; that of an escalation may. A new row may do
        so with the defaults of other columns.
        """
        if not isinstance(leak, ShownLeak) or leak.kind is escalation.KIND:
            return False
        tried = self._trials.shown_by(leak)
        again = self._adapted([demand], tried)
        if again is not tried:
            return any(self._trials.reaching(text, [again]))
        return self._trials.still_reaches(text, leak.tried.number)


def _columns_of(leak: AnyLeak, label: str) -> Collection[str]:
    """The columns of existing rows of a table that a finding is about."""
    if isinstance(leak, Question):
        return [str(topic) for topic in leak.topics] if leak.object == label else ()
    if not isinstance(leak, ShownLeak) or leak.tried.table.label != label:
        return ()
    is_of_columns = leak.kind.of_column or leak.columns
    if leak.tried.action != UPDATE or not is_of_columns or not leak.severity.is_problem:
        return ()
    return leak.columns or [leak.tried.column]


def _without_one(demands: dict[Demand, list[str]]) -> Iterator[Mapping[Demand, list[str]]]:
    """All demands, and all but one of them, the later ones first."""
    if not demands:
        return
    yield demands
    for left_out in reversed(demands):
        rest = {demand: names for demand, names in demands.items() if demand is not left_out}
        if rest:
            yield rest


def _least(tried: Iterable["_Tried"]) -> "_Tried | None":
    """The one that takes least, of those that close the leak and open nothing."""
    some = [one for one in tried if not (one.verdict.opens or one.verdict.is_open)]
    ordered = sorted(some, key=lambda one: one.verdict.loss)
    return next((one for one in ordered if not one.is_open()), None)
