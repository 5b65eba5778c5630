"""The audit's probes, run again with statements that are undone afterwards."""

import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import chain

import psycopg

from supabase_jobs.audit import catalog
from supabase_jobs.audit.callers import NEWCOMER, OWNER, Persona
from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks import kinds, topic
from supabase_jobs.audit.leaks.leak import ShownLeak
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes import topics
from supabase_jobs.audit.probes.attempt import SELECT, UPDATE, Attempt
from supabase_jobs.audit.probes.escalation import behind, then_reads
from supabase_jobs.audit.probes.known import Altered, Known, Reach
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.probes.views_and_functions import Bypasses
from supabase_jobs.audit.reading import facts as leak_facts
from supabase_jobs.audit.repairs import ways
from supabase_jobs.audit.repairs.causes import alone, reaches
from supabase_jobs.audit.repairs.seen import Scope, Seen, Use, place_of
from supabase_jobs.audit.repairs.uses import Uses
from supabase_jobs.audit.repairs.variants import Variants, assigned, writing
from supabase_jobs.audit.repairs.ways import Way
from supabase_jobs.audit.rows.build import World
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation, caller_statement
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.session.savepoint import run_kept, run_undone, undone

# a hard finding leaves others the rest of the time; less than such a part is enough for none
_PARTS = 4


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


def _open(connection: Connection, attempts: Iterable[Attempt]) -> None:
    """Open the cursors on the rows of attempts."""
    needed = {opening[0].sql: opening for one in attempts if (opening := one.opening)}
    if needed:
        run_groups(connection, [[*chain.from_iterable(needed.values())]])[0].answer()


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
        self._reading = leak_facts.Rereading(world.plan, scope.relations, before.attempts)
        self._uses = Uses(impersonation, world, callers, before.bypasses)
        self.variants = Variants(world, before)
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

    def shown_by(self, leak: ShownLeak) -> Attempt:
        """The attempt that shows a leak."""
        return self.before.attempts[leak.tried.number]

    def queried(self, relation: Relation) -> Collection[int]:
        """The oids of the tables that policies of a table query, directly or not."""
        return self._world.plan.usage.reads.get(relation.oid, set())

    def seen_before(self, scope: Scope) -> Seen:
        """The part of the audit about these objects."""
        return replace(
            self.before.within(scope), uses=self._uses.before(scope.functions, self._deadline)
        )

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
            uses = self._uses.of(functions, self._deadline, [caller]) if functions else frozenset()
        reached = {key for key, one in again.items() if one.reached}
        return reached | {replace(use, caller="") for use in uses if not use.is_answer}

    def is_used(self, function: Function) -> bool:
        """Whether somebody who may do so was seen to change something by a function."""
        return any(use.is_change for use in self._uses.before([function], self._deadline))

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
            unchanged = writing(write, write.row.values.get(write.column))
            both = [*followed(unchanged), *followed(alone(write))]
            return any(
                self._opens_in(f"{text}\n{made}", both) for made in self.variants.in_states(write)
            )
        tried = [one for other in self.variants.with_other_labels(write) for one in followed(other)]
        return any(self.reaching(text, tried[: LIMITS.attempts_in_batch])) if tried else False

    def _opens_in(self, text: str, tried: Sequence[Attempt]) -> bool:
        """Whether one of the second half of these attempts reaches with these statements what it
        does not in the first half, in which nothing is changed before.
        """
        reached = self.reaching(text, tried)
        half = len(tried) // 2
        return any(now and not was for was, now in zip(reached[:half], reached[half:], strict=True))

    def moves_back(self, text: str, write: Attempt) -> bool | None:
        """Whether the caller of an update gives the column its former value with these statements,
        once it has the new one: a trigger that refuses this was to refuse the other way only. None
        if the caller cannot do so without them either. Raises DeadlineError.
        """
        moved = assigned(write, write.column, write.value)
        again = [writing(write, write.row.values.get(write.column))]
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

        kept = [gain for gain in self.before.gains if gain.write.relation not in scope.relations]

        @cache
        def facts(asks: bool) -> Facts:
            return self._reading.read(
                plan,
                scope.names,
                [*attempts, *others],
                [*gains, *kept],
                [*tried, *around.writes_to_users],
                with_questions=asks,
            )

        seen = Seen(
            plan=plan,
            find=lambda asks: kinds.find(facts(asks), with_questions=asks),
            of_kind=lambda kind: kinds.of_kind(facts(False), kind),
            attempts=attempts,
            gains=gains,
            bypasses=tried,
        ).within(scope)
        return replace(seen, uses=self._uses.of(scope.functions, self._deadline))
