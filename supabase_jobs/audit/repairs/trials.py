"""The audit's probes, run again with statements that are undone afterwards."""

import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice

import psycopg
from psycopg import sql

from supabase_jobs.audit import access, catalog
from supabase_jobs.audit.callers import MEMBER, NEWCOMER, OWNER, SERVICE, Persona
from supabase_jobs.audit.catalog import Catalog, Column, Function, Relation
from supabase_jobs.audit.leaks import kinds, topic
from supabase_jobs.audit.leaks.leak import AnyLeak, Question
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.expressions import Literal
from supabase_jobs.audit.policies.parse_trees import expression_tree
from supabase_jobs.audit.probes import topics
from supabase_jobs.audit.probes.attempt import INSERT, OWN, SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.bypass import Bypass, ViewRead
from supabase_jobs.audit.probes.effects import Snapshot, Watch, all_of
from supabase_jobs.audit.probes.escalation import Gain, behind, then_reads
from supabase_jobs.audit.probes.known import Altered, Known, Reach
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.probes.views_and_functions import Bypasses
from supabase_jobs.audit.reading import facts as leak_facts
from supabase_jobs.audit.repairs import ways
from supabase_jobs.audit.repairs.causes import alone, reaches
from supabase_jobs.audit.repairs.ways import Way
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.audit.rows.tenants import User
from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Access
from supabase_jobs.session.action import Constant, Insert, Update
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation, caller_statement, own_role
from supabase_jobs.session.runner import OwnerProbe, Runner, probes_of
from supabase_jobs.session.savepoint import run_kept, run_undone, undone

# a hard finding leaves others the rest of the time; less than such a part is enough for none
_PARTS = 4


@dataclass(frozen=True)
class Use:
    """The benefit of a call of a function: a mark of a row of the caller's tenant that it shows, or
    a change of such a row; '' if it succeeds. `is_answer`: it is all that the call answers.
    """

    caller: str
    function: str
    call: str
    given: str = ""
    is_change: bool = False
    is_answer: bool = False


@dataclass(frozen=True)
class Scope:
    """The relations and functions whose cells a change can touch."""

    relations: Sequence[Relation]
    functions: Sequence[Function]

    @cached_property
    def names(self) -> frozenset[str]:
        """The relations and functions, as findings name them."""
        relations = {relation.label for relation in self.relations}
        return frozenset(relations | {function.signature for function in self.functions})

    def has(self, leak: AnyLeak) -> bool:
        """Whether a leak is about one of these, or about rows of it in a state."""
        return leak.label in self.names


@dataclass(frozen=True, eq=False)
class Seen:
    """The attempts of callers, and their outcomes. `plan` has the catalogs of that time.

    `uses` are the calls of functions by which owners, members and the service get what is theirs.
    `find` tells the leaks, for those who ask: with all questions, which take as long, or without.
    """

    plan: Plan
    find: Callable[[bool], Sequence[AnyLeak]]
    attempts: Sequence[Attempt] = ()
    gains: Sequence[Gain] = ()
    bypasses: Sequence[Bypass] = ()
    uses: frozenset[Use] = frozenset()

    @cached_property
    def leaks(self) -> Sequence[AnyLeak]:
        """The leaks that the attempts show; of a trial, not those that are only ever questions."""
        return self.find(False)

    @property
    def questions(self) -> list[Question]:
        """The questions that the attempts lead to."""
        return [leak for leak in self.find(True) if isinstance(leak, Question)]

    @cached_property
    def faults(self) -> Mapping[str, AnyLeak]:
        """The leaks that are errors and warnings, by their ids."""
        return {leak.id: leak for leak in self.leaks if leak.severity.is_problem}

    @cached_property
    def granted(self) -> Access:
        """Object → caller → permissions, as a baseline records them."""
        return access.access(self.attempts, self.bypasses)

    @cached_property
    def cells(self) -> Mapping[Hashable, Attempt | Bypass]:
        """The attempts that reached their target; the keys are equal in another trial."""
        found: dict[Hashable, Attempt | Bypass] = {}
        for attempt in self.attempts:
            if attempt.reached:
                found.setdefault(key_of(attempt), attempt)
        for bypass in self.bypasses:
            if bypass.outcome == "rows":
                found.setdefault(key_of(bypass), bypass)
        return found

    @cached_property
    def places(self) -> frozenset[Hashable]:
        """The rows, views and functions that each caller reached, by action; also views that show
        the caller rows without a mark.
        """
        found = {place_of(one) for one in self.cells.values()}
        reads = [one for one in self.bypasses if isinstance(one, ViewRead)]
        return frozenset(found | {place_of(one) for one in reads if one.has_rows})

    def within(self, scope: Scope) -> "Seen":
        """The part about these objects."""
        return replace(
            self,
            attempts=[a for a in self.attempts if a.relation in scope.relations],
            gains=[g for g in self.gains if g.write.relation in scope.relations],
            bypasses=[b for b in self.bypasses if b.label in scope.names],
            find=lambda asks: [leak for leak in self.find(asks) if scope.has(leak)],
        )


def key_of(tried: Attempt | Bypass) -> Hashable:
    """The cell of an attempt on a row, or of an action on a view or function."""
    if isinstance(tried, Bypass):
        return tried.caller.label, tried.label, tried.action
    return (
        tried.caller.label,
        tried.label,
        id(tried.row),
        tried.whose,
        tried.action,
        tried.name,
        tried.column,
        tried.value,
    )


def place_of(tried: Attempt | Bypass) -> Hashable:
    """The row, view or function of an attempt, and its action, whatever it writes."""
    if isinstance(tried, Bypass):
        return key_of(tried)
    return tried.caller.label, tried.label, id(tried.row), tried.action


@contextmanager
def _as_changed(changed: Catalog, relations: Sequence[Relation]) -> Iterator[None]:
    """Give relations, which the rows of the world refer to, the privileges and triggers that they
    have now.
    """
    kept = [(relation, replace(relation)) for relation in relations]
    try:
        for relation in relations:
            relation.become(changed.by_oid[relation.oid])
        yield
    finally:
        for relation, was in kept:
            relation.become(was)


def _leave_out_new_triggers(changed: Catalog, known: Catalog) -> None:
    """Leave the triggers with a function of the trial out of a catalog: they decide nothing about
    what is tried.
    """
    functions = {function.oid for function in known.functions}
    before = {oid for relation in known.relations for oid in relation.triggers}
    for relation in changed.relations:
        kept = tuple(oid for oid in relation.triggers if oid in functions or oid in before)
        if kept != relation.triggers:
            relation.become(replace(relation, triggers=kept))


def _is_own_new_row(one: Attempt, relation: Relation) -> bool:
    """Whether who has signed in adds a row of their own to a table."""
    is_own = (one.action, one.whose) == (INSERT, OWN) and one.reached and not one.is_state
    return is_own and one.relation is relation and one.caller.role != "anon"


def _open(connection: Connection, attempts: Iterable[Attempt]) -> None:
    """Open the cursors on the rows of attempts."""
    needed = {opening[0].sql: opening for one in attempts if (opening := one.opening)}
    if needed:
        run_groups(connection, [[*chain.from_iterable(needed.values())]])[0].answer()


def _writing(write: Attempt, value: str | None) -> Attempt:
    """An update that gives the same column another value."""
    column, sent = write.relation.by_name[write.column], write.sent
    if isinstance(sent, Update):
        sent = replace(sent, values={column.name: Constant(value, column.type)})
    return replace(alone(write), sent=sent, value=value)


def _assigned(write: Attempt, name: str, value: str | None) -> str:
    """The statement that gives a column of the row of an attempt a value, as the owner."""
    column, row = write.relation.by_name[name], write.row
    text = sql.SQL("update {} set {} = {} where {};").format(
        row.relation.identifier, column.identifier, Constant(value, column.type), row.condition
    )
    return text.as_string(None)


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


class Trials:
    """Runs trials on the rows of an audit; `before` is what the audit has seen."""

    def __init__(
        self,
        impersonation: Impersonation,
        world: World,
        callers: Sequence[Persona],
        deadline: Deadline,
        scope: Scope,
        before: Seen,
        known: Known,
        channels: Sequence[TopicAttempt] = (),
    ) -> None:
        """`known` are the outcomes of the audit's attempts, `channels` those for topics."""
        self._impersonation, self._world, self._callers = impersonation, world, callers
        self._deadline = self._end = deadline
        self.all, self.before = scope, before
        self._known, self.channels = known, channels
        self._uses: dict[str, frozenset[Use]] = {}
        self._results: dict[Hashable, Seen | None] = {}

    def scope(
        self,
        tables: Collection[int],
        functions: Collection[int],
        labels: Collection[str] = (),
        *,
        is_by_policy: bool = False,
    ) -> Scope:
        """All that changes of these tables and functions, by oid, can touch; and the tables of
        these labels, with what a write to them may open.

        `is_by_policy`: they change policies and privileges of callers only, which functions that
        act as their owner do not depend on.
        """
        usage, found = self._world.plan.usage, self._world.plan.catalog
        written = {relation.oid for relation in found.relations if relation.label in labels}
        signatures = {f.signature for f in found.functions if f.oid in functions}
        changed = set(tables)
        for (oid, _), called in usage.policies.policy_functions.items():
            if signatures.intersection(called):
                changed.add(oid)
        calling = {
            oid for oid, called in usage.bodies.callees.items() if called.intersection(functions)
        }
        calling.update(functions)

        def is_touched(relation: Relation) -> bool:
            reads = {relation.oid} | usage.reads.get(relation.oid, set())
            if relation.oid in calling or reads & (changed | written):
                return True
            return any(
                oid in calling or usage.bodies.function_reads.get(oid, set()) & changed
                for oid in relation.triggers
            )

        return Scope(
            [relation for relation in self.all.relations if is_touched(relation)],
            [
                f
                for f in self.all.functions
                if f.oid in calling
                or (
                    usage.bodies.function_reads.get(f.oid, set()) & changed
                    and not (is_by_policy and f.definer)
                )
            ],
        )

    def everything(self, *, is_by_policy: bool) -> Scope:
        """All objects, but for what changes of policies alone cannot touch."""
        if not is_by_policy:
            return self.all
        return Scope(self.all.relations, [f for f in self.all.functions if not f.definer])

    def extend(self, deadline: Deadline) -> None:
        """Let trials run until another time."""
        self._deadline = self._end = deadline

    def share(self, others: int) -> None:
        """Let the next trials run for a part of the time that is left, with so many findings behind
        them; all of it without one.
        """
        now = time.monotonic()
        part = (self._end.at - now) / min(others + 1, _PARTS)
        self._deadline = Deadline(now + part) if others else self._end

    def oid(self, label: str) -> int:
        """The oid of a table that a leak names."""
        return next(r.oid for r in self._world.plan.catalog.relations if r.label == label)

    def queried(self, relation: Relation) -> Collection[int]:
        """The oids of the tables that policies of a table query, directly or not."""
        return self._world.plan.usage.reads.get(relation.oid, set())

    def seen_before(self, scope: Scope) -> Seen:
        """The part of the audit about these objects."""
        return replace(self.before.within(scope), uses=self._uses_before(scope))

    def lost_by_ways(
        self,
        text: str,
        functions: Sequence[Function],
        attempts: Sequence[Attempt],
        actor: Persona | None,
        above: Mapping[int, Sequence[Attempt]],
    ) -> Iterator[tuple[Way, Attempt | str]]:
        """The losses with these statements of an owner who has one way only to the rows: attempts,
        and functions by their signatures.

        What a newcomer may do as well, or the `actor` of a leak, is no right of the owner, nor is
        what lies below a row that the owner cannot read: `above` maps the id() of attempts to the
        reads of these rows. Raises DeadlineError.
        """
        owner, newcomer = self._first(OWNER), self._first(NEWCOMER)
        if owner is None or newcomer is None:
            return
        others = [newcomer, *([] if actor is None else [actor])]
        usage = self._world.plan.usage
        tables = {attempt.relation.oid for attempt in attempts}
        for oid in list(tables):
            tables |= usage.reads.get(oid, set())
        for function in functions:
            tables |= usage.bodies.function_reads.get(function.oid, set())
        changed = {attempt.relation.oid for attempt in attempts}
        states = ways.without_values(self._world, changed, text)
        for way in [*ways.of_tables(self._world, tables), *states]:
            self._deadline.check()
            with undone(self._impersonation.connection, Statement("close all")):
                connection = self._impersonation.connection
                made = run_kept(connection, [[one] for one in way.alone])
                if all(result.error is None for result in made):
                    run_kept(connection, [[one] for one in way.keys])
                    reads = [read for some in above.values() for read in some]
                    seen = self._rights(owner, (), reads) if reads else set()
                    unread = {id(read) for read in reads} - seen
                    rights = [
                        one
                        for one in attempts
                        if unread.isdisjoint(map(id, above.get(id(one), ())))
                    ]
                    for lost in self._lost(text, functions, rights, owner, others):
                        yield way, lost

    def _first(self, kind: str) -> Persona | None:
        """The first caller of a kind who has signed in; guests own rows by a header."""
        of_kind = (one for one in self._callers if one.kind == kind and not one.operation)
        return next((one for one in of_kind if one.role != "anon"), None)

    def _lost(
        self,
        text: str,
        functions: Sequence[Function],
        attempts: Sequence[Attempt],
        owner: Persona,
        others: Sequence[Persona],
    ) -> list[Attempt | str]:
        """The attempts and functions of an owner, and of no other, that end with these statements,
        in this state of the rows.
        """
        known = self._rights(owner, functions, attempts)
        for other in others:
            known -= self._rights(other, functions, attempts)
        if not known:
            return []
        with self._changed(text) as is_valid:
            kept = self._rights(owner, functions, attempts) if is_valid else known
        lost = known - kept
        found: list[Attempt | str] = [a for a in attempts if id(a) in lost]
        ended = {use.function for use in lost if isinstance(use, Use)}
        return [*found, *sorted(ended)]

    def _rights(
        self, caller: Persona, functions: Sequence[Function], attempts: Sequence[Attempt]
    ) -> set[Hashable]:
        """The id() of the attempts that reach their targets as this caller, and the uses of
        functions, without the name of the caller.
        """
        again = {id(one): replace(alone(one), caller=caller, outcome="") for one in attempts}
        connection = self._impersonation.connection
        with undone(connection, Statement("close all")):
            _open(connection, again.values())
            runner = Runner(self._impersonation, self._deadline)
            runner.run(probes_of(again.values(), LIMITS.attempts_in_batch))
            uses = self._call(functions, [caller]) if functions else frozenset()
        reached = {key for key, one in again.items() if one.reached}
        return reached | {replace(use, caller="") for use in uses if not use.is_answer}

    def is_used(self, function: Function) -> bool:
        """Whether somebody who may do so was seen to change something by a function."""
        uses = self._uses_before(Scope((), (function,)))
        return any(use.is_change for use in uses)

    def _uses_before(self, scope: Scope) -> frozenset[Use]:
        names = {function.signature for function in scope.functions}
        if names - self._uses.keys():
            with undone(self._impersonation.connection):
                for function in scope.functions:
                    self._uses[function.signature] = self._call([function])
        return frozenset().union(*(self._uses[name] for name in names))

    def _call(
        self, functions: Sequence[Function], callers: Sequence[Persona] = ()
    ) -> frozenset[Use]:
        """The uses of functions, by the calls that others have tried: of these callers, or else of
        owners, members and the service.
        """
        tenant = self._world.a
        marks = sorted({mark for row in tenant.all_rows for mark in row.marks})
        signatures = {function.signature: function for function in functions}
        tried: dict[str, dict[str, Statement]] = {}
        for bypass in self.before.bypasses:
            name = bypass.label
            if name in signatures and bypass.action == "call" and bypass.sent:
                statement = bypass.sent[0].statement
                tried.setdefault(name, {})[statement.sql] = statement
        runner = Runner(self._impersonation, self._deadline)
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

    def topics(self, text: str) -> list[TopicAttempt] | None:
        """The outcomes for topics with these statements; None if they fail.

        Raises DeadlineError.
        """
        self._deadline.check()
        with suppress(psycopg.Error), self._changed(text) as is_valid:
            if is_valid:
                acting = self._impersonation
                found, _ = topics.run(acting, self._deadline, self._world, self._callers)
                return found
        return None

    def topic_leaks(self, channels: Sequence[TopicAttempt]) -> set[str]:
        """The ids of the leaks that outcomes for topics show."""
        seen = self.before
        facts = leak_facts.read(
            self._world.plan, self.all.relations, seen.attempts, seen.gains, [], channels
        )
        return {leak.id for leak in topic.find(facts)}

    def run(
        self,
        text: str,
        scope: Scope,
        altered: Collection[Altered] | None = None,
        writes: frozenset[Altered] | None = None,
    ) -> Seen | None:
        """The outcomes for these objects with these statements; None if they fail.

        `altered` are the actions whose policies and privileges the statements change, if they
        change nothing else; `writes` those after which more is tried, None for all. Raises
        DeadlineError.
        """
        key = text, scope.names, writes
        if key not in self._results:
            self._results[key] = self._run(text, scope, altered, writes)
        return self._results[key]

    def kept(self, text: str, attempts: Sequence[Attempt]) -> int:
        """The number of attempts that reach their target with these statements, too: a short look
        before a trial. Raises DeadlineError.
        """
        return sum(self.reaching(text, attempts))

    def reaching(self, text: str, attempts: Sequence[Attempt]) -> list[bool]:
        """Whether each attempt reaches its target with these statements; none if they fail. Raises
        DeadlineError.
        """
        again = self._again(text, attempts)
        return [False] * len(attempts) if again is None else [one.reached for one in again]

    def keeps_outcomes(self, text: str, altered: Collection[Altered]) -> bool:
        """Whether the attempts whose outcome may differ have the same one with these statements: of
        each caller, row, action and outcome the first.

        `altered` are the actions whose policies they change. Raises DeadlineError.
        """
        reach = Reach(self._world.plan.usage, altered)
        found: dict[Hashable, Attempt] = {}
        for one in self.before.attempts:
            is_reached = any(reach.has(*target) for target in one.targets)
            if one.sent is not None and is_reached:
                found.setdefault((place_of(one), one.outcome), one)
        attempts = list(found.values())
        again = self._again(text, attempts)
        if again is None:
            return False
        return [one.outcome for one in again] == [one.outcome for one in attempts]

    def _again(self, text: str, attempts: Sequence[Attempt]) -> list[Attempt] | None:
        """Attempts with the outcomes that they have with these statements; None if these fail."""
        self._deadline.check()
        with self._changed(text) as is_valid:
            if not is_valid:
                return None
            _open(self._impersonation.connection, attempts)
            again = [replace(one, outcome="", error=None, answers=()) for one in attempts]
            runner = Runner(self._impersonation, self._deadline)
            runner.run(probes_of(again, LIMITS.attempts_in_batch))
        return again

    def still_reaches(self, text: str, number: int) -> bool:
        """Whether an attempt, by its number, reaches its target with these statements: a short look
        before a trial. False for one whose effect other statements decide.
        """
        attempt = self.before.attempts[number]
        if attempt.around.effect is not None or attempt.sent is None:
            return False
        with self._changed(text) as is_valid:
            if not is_valid:
                return False
            action = [caller_statement(attempt.caller), *alone(attempt).statements]
            [result] = run_undone(self._impersonation.connection, [[*attempt.opening, *action]])
            return reaches(attempt, result)

    def opens_otherwise(self, text: str, write: Attempt) -> bool:
        """Whether a write that opens something does so with these statements as well, once another
        column has another of its labels: a new row with a weaker role, or a changed row of who has
        a stronger one, as everybody may have in a group of their own. Raises DeadlineError.
        """
        gains = [gain for gain in self.before.gains if gain.write is write]
        opened = {(id(gain.row), gain.action) for gain in gains}
        read = [gain.row for gain in gains if gain.action == SELECT]
        changed = {
            (id(one.row), one.action): one
            for one in self.before.attempts
            if one.caller is write.caller and (id(one.row), one.action) in opened
        }

        def followed(first: Attempt) -> list[Attempt]:
            tried = [then_reads(first, read)] if read else []
            return tried + [behind(first, one) for one in changed.values() if one.action != SELECT]

        if write.action == UPDATE and write.column:
            unchanged = _writing(write, write.row.values.get(write.column))
            both = [*followed(unchanged), *followed(alone(write))]
            return any(self._opens_in(f"{text}\n{made}", both) for made in self._states(write))
        tried = [one for other in self._with_other_labels(write) for one in followed(other)]
        return any(self.reaching(text, tried[: LIMITS.attempts_in_batch])) if tried else False

    def _opens_in(self, text: str, tried: Sequence[Attempt]) -> bool:
        """Whether one of the second half of these attempts reaches with these statements what it
        does not in the first half, in which nothing is changed before.
        """
        reached = self.reaching(text, tried)
        half = len(tried) // 2
        return any(now and not was for was, now in zip(reached[:half], reached[half:], strict=True))

    def _states(self, write: Attempt) -> list[str]:
        """The statements that give other columns of the row of an update another label."""
        relation, words = write.relation, self._world.plan.usage.mentions.words
        given = [
            (column, label)
            for column in relation.columns
            if column.name != write.column and column.name in words
            for label in self._labels(column, relation)
        ]
        return [
            _assigned(write, column.name, label)
            for column, label in given[: LIMITS.values]
            if label != write.row.values.get(column.name)
        ]

    def _labels(self, column: Column, relation: Relation) -> Sequence[str]:
        """The values that a column may have, if they are few."""
        limits = self._world.plan.limits.get(relation.oid, {})
        known = limits[column.name].allowed if column.name in limits else ()
        return known or column.labels

    def _with_other_labels(self, write: Attempt) -> Iterator[Attempt]:
        """A new row with each of the labels that a column of it may have."""
        sent = write.sent
        if not isinstance(sent, Insert):
            return
        for name in write.written:
            column = write.relation.by_name[name]
            for label in self._labels(column, write.relation):
                if label != write.written[name]:
                    values = {**sent.assigned, name: Constant(label, column.type)}
                    yield replace(alone(write), sent=replace(sent, values=values))

    def in_own_name(self, relation: Relation) -> dict[str, Attempt]:
        """New rows of somebody, each with one of the columns that name their owner; the others name
        a stranger. None if no more than one column does.
        """
        usage, per_user = self._world.plan.usage, self._world.plan.per_user
        own = next((a for a in self.before.attempts if _is_own_new_row(a, relation)), None)
        if own is None or own.caller.user is None or not isinstance(own.sent, Insert):
            return {}
        is_of_a = own.caller.tenant is self._world.a
        stranger = (self._world.b if is_of_a else self._world.a).users[0]
        others = {
            name: Constant(identity(relation, name, stranger), relation.by_name[name].type)
            for name in user_columns(relation, usage, per_user)
            if own.written.get(name) == identity(relation, name, own.caller.user)
        }
        found = {}
        for name in others if len(others) > 1 else ():
            named = {other: value for other, value in others.items() if other != name}
            found[name] = replace(
                alone(own), sent=replace(own.sent, values={**own.sent.assigned, **named})
            )
        return found

    def with_values(self, write: Attempt, *, with_labels: bool) -> Iterator[Attempt]:
        """A new row with the default of the column that it chooses, if that is a constant, and with
        each label that the column may have.
        """
        if not isinstance(sent := write.sent, Insert):
            return
        column = write.relation.by_name[write.column]
        labels = self._labels(column, write.relation) if with_labels else ()
        start = expressions.value(expression_tree(column.default or "null"))
        default = [start.text] if isinstance(start, Literal) else []
        for value in list(dict.fromkeys([*default, *labels]))[: LIMITS.values]:
            given = {**sent.assigned, column.name: Constant(value, column.type)}
            yield replace(alone(write), sent=replace(sent, values=given), value=value)

    def given(self, one: Attempt, names: Sequence[str], user: User) -> str:
        """The statements that put a person's name into these columns of the row of an attempt."""
        values = {name: identity(one.relation, name, user) for name in names}
        return "\n".join(_assigned(one, name, value) for name, value in values.items())

    def moves_back(self, text: str, write: Attempt) -> bool | None:
        """Whether the caller of an update gives the column its former value with these statements,
        once it has the new one: a trigger that refuses this was to refuse the other way only. None
        if the caller cannot do so without them either. Raises DeadlineError.
        """
        moved = _assigned(write, write.column, write.value)
        again = [_writing(write, write.row.values.get(write.column))]
        if not all(self.reaching(moved, again)):
            return None
        return all(self.reaching(f"{text}\n{moved}", again))

    def _run(
        self,
        text: str,
        scope: Scope,
        altered: Collection[Altered] | None,
        writes: Collection[Altered] | None,
    ) -> Seen | None:
        self._deadline.check()
        known = Known()
        if altered is not None:
            known = replace(self._known, reach=Reach(self._world.plan.usage, altered))
        with suppress(psycopg.Error), self._changed(text) as is_valid:
            return self._probe(scope, known, writes) if is_valid else None
        return None

    @contextmanager
    def _changed(self, text: str) -> Iterator[bool]:
        """The database with these statements; False if they fail. They are undone."""
        connection = self._impersonation.connection
        with undone(connection, Statement("close all")):
            is_valid = True
            try:
                connection.execute(text.encode())
            except psycopg.Error:
                is_valid = False
            yield is_valid

    def _probe(self, scope: Scope, known: Known, writes: Collection[Altered] | None) -> Seen:
        world = self._world
        served = world.plan.catalog.served
        changed = catalog.read(self._impersonation.connection, served)
        _leave_out_new_triggers(changed, world.plan.catalog)
        plan = replace(world.plan, catalog=changed)
        probes = Probes(self._impersonation, world, self._callers, self._deadline, known)
        with _as_changed(changed, scope.relations):
            probes.run(scope.relations, writes)
        attempts, gains = list(probes.attempts), list(probes.gains)
        # what is hidden in a view or function depends on tables that did not change
        others = [a for a in self.before.attempts if a.relation not in scope.relations]
        probes.attempts.extend(others)
        # so may what others show that are not tried again
        tried = [one for one in self.before.bypasses if one.label not in scope.names]
        around = Bypasses(self._impersonation, world, self._callers, probes, tried)
        around.run([r for r in scope.relations if r.kind in ("v", "m")], scope.functions)

        def find(asks: bool) -> Sequence[AnyLeak]:
            facts = leak_facts.read(
                plan,
                self.all.relations,
                [*attempts, *others],
                [*gains, *(g for g in before if g.write.relation not in scope.relations)],
                [*tried, *around.writes_to_users],
                [],
                with_questions=asks,
            )
            return kinds.find(facts, with_questions=asks)

        before = self.before.gains
        seen = Seen(plan=plan, find=find, attempts=attempts, gains=gains, bypasses=tried).within(
            scope
        )
        return replace(seen, uses=self._call(scope.functions))
