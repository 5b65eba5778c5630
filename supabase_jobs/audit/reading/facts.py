"""Reads the facts that kinds of leak are found in: the only place that takes them out of the probes
and the catalogs.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product

from psycopg import sql

from supabase_jobs.audit.callers import CLAIM, LAPSED
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.facts.attempts import ACTIONS, Opened, Tried
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.channels import Channel, ChannelPolicy, ChannelTried
from supabase_jobs.audit.facts.facts import (
    Exclusion,
    Facts,
    OpenPolicies,
    Sequenced,
    Standing,
    UnreadColumn,
)
from supabase_jobs.audit.facts.functions import Unpassed
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.policies import (
    caller_states,
    captured_names,
    left_out,
    link_states,
    lone_guards,
    loose_states,
    one_table,
    own_locks,
    refusals,
    unseen_flags,
    void_revokes,
)
from supabase_jobs.audit.policies.caller_states import CallerState
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.link_states import LinkState
from supabase_jobs.audit.policies.lone_guards import LoneGuard
from supabase_jobs.audit.policies.loose_states import LooseState
from supabase_jobs.audit.policies.one_table import OneTable
from supabase_jobs.audit.policies.passed_over import PassedOver
from supabase_jobs.audit.policies.shown_states import ShownState, ShownStates, is_about_another
from supabase_jobs.audit.policies.siblings import Unasked
from supabase_jobs.audit.policies.uneven_writes import Uneven, UnevenWrite, UnevenWrites
from supabase_jobs.audit.policies.unlike_siblings import UnlikeSiblings
from supabase_jobs.audit.probes import exclusions as tried_exclusions
from supabase_jobs.audit.probes.attempt import SELECT, Attempt
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.escalation import Gain
from supabase_jobs.audit.probes.topics import Topic, TopicAttempt
from supabase_jobs.audit.reading.actors import Actors
from supabase_jobs.audit.reading.answers import Answers
from supabase_jobs.audit.reading.attempts import Attempts, rows_by_table
from supabase_jobs.audit.reading.functions import Functions
from supabase_jobs.audit.reading.tables import Tables, open_to
from supabase_jobs.audit.rows import tenants
from supabase_jobs.audit.rows.held_role import HeldRole
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.outcomes import DENIED
from supabase_jobs.sources.revocations import Revocation


def read(
    plan: Plan,
    relations: Sequence[Relation],
    attempts: Sequence[Attempt],
    gains: Sequence[Gain],
    bypasses: Sequence[Bypass],
    topics: Sequence[TopicAttempt],
    standings: Sequence[tenants.Standing] = (),
    unpassed: Sequence[Function] = (),
    exclusions: Sequence[tried_exclusions.Exclusion] = (),
    revocations: Sequence[Revocation] = (),
    *,
    with_questions: bool = True,
) -> Facts:
    """The facts of an audit of these relations. No call got through functions that are
    `unpassed`. Without questions, those that only lead to questions are left out.
    """
    reader = _Reader(plan, relations, with_questions=with_questions)
    facts = reader.read(attempts, gains, bypasses, topics)
    return replace(
        facts,
        standings=[_standing(one) for one in standings],
        unpassed=reader.unpassed(unpassed),
        exclusions=[_exclusion(one) for one in exclusions],
        void_revokes=list(void_revokes.find(plan.catalog, revocations)),
    )


class Rereading:
    """Reads the facts of an audit again, after changes that touch some of its tables only: those of
    the others, and of the attempts on them, are kept.
    """

    def __init__(
        self, plan: Plan, relations: Sequence[Relation], attempts: Sequence[Attempt]
    ) -> None:
        self._plan, self._relations, self._attempts = plan, relations, attempts
        self._known: dict[bool, _Reader] = {}

    def read(
        self,
        plan: Plan,
        touched: Collection[str],
        attempts: Sequence[Attempt],
        gains: Sequence[Gain],
        bypasses: Sequence[Bypass],
        *,
        with_questions: bool,
    ) -> Facts:
        """The facts after a change. `touched` are the labels of the tables that it touches, and
        `attempts` include those of the audit on the others.
        """
        if with_questions not in self._known:
            reader = _Reader(self._plan, self._relations, with_questions=with_questions)
            reader.read_attempts(self._attempts)
            self._known[with_questions] = reader
        reader = self._known[with_questions].again(plan, touched)
        return reader.read(attempts, gains, bypasses, ())


class _Reader:
    """Reads the facts of one audit."""

    def __init__(self, plan: Plan, relations: Sequence[Relation], *, with_questions: bool) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._selected = {relation.oid for relation in relations}
        self._with_questions = with_questions
        actors, tables = Actors(), Tables(plan, self._selected, with_questions=with_questions)
        self._actors, self._tables = actors, tables
        self._attempts = Attempts(plan, self._tables, actors)
        self._functions = Functions(plan)
        self._answers = Answers(plan, self._tables, actors, self._functions)
        self._states = ShownStates(plan.catalog, plan.usage)
        self._tried: dict[int, Tried] = {}
        self._first = 0

    def again(self, plan: Plan, touched: Collection[str]) -> "_Reader":
        """A reader that knows the tables which a change has not touched, and the attempts on
        them.
        """
        selected = [r for r in plan.catalog.relations if r.oid in self._selected]
        relations = [r for r in selected if r.label in touched]
        again = _Reader(plan, relations, with_questions=self._with_questions)
        known = self._tables.by_label.items()
        again._tables.by_label.update((key, one) for key, one in known if key not in touched)
        again._actors = self._actors
        again._attempts = self._attempts.again(plan, again._tables)
        again._answers = Answers(plan, again._tables, self._actors, again._functions)
        again._tried = {k: t for k, t in self._tried.items() if t.table.label not in touched}
        again._first = len(self._tried)
        return again

    def read_attempts(self, attempts: Sequence[Attempt]) -> list[Tried]:
        """The facts of attempts, which are numbered in their order behind those that are known."""
        for relation in self._catalog.relations:
            if relation.kind not in ("v", "m"):
                self._tables.of(relation)
        rows, known, found = rows_by_table(attempts), self._tried, dict[int, Tried]()
        for number, attempt in enumerate(attempts, self._first):
            one = known.get(id(attempt)) or self._attempts.of(number, attempt, rows)
            found[id(attempt)] = one
        self._tried = found
        return list(found.values())

    def read(
        self,
        attempts: Sequence[Attempt],
        gains: Sequence[Gain],
        bypasses: Sequence[Bypass],
        topics: Sequence[TopicAttempt],
    ) -> Facts:
        tried = self.read_attempts(attempts)
        by_attempt = self._tried
        readable = {(id(a.caller), id(a.row)) for a in attempts if a.action == SELECT and a.reached}
        calls = [self._answers.of_call(b) for b in bypasses if not isinstance(b.object, Relation)]
        facts = Facts(
            words=self._plan.words,
            tables=self._tables.by_label,
            tried=tried,
            opened=[
                Opened(
                    by_attempt[id(gain.write)],
                    gain.row.relation.label,
                    self._attempts.number(gain.row),
                    gain.action,
                )
                for gain in gains
            ],
            views=[
                self._answers.of_view(bypass, bypass.object)
                for bypass in bypasses
                if isinstance(bypass.object, Relation)
            ],
            calls=[called for called in calls if not _is_of_staff(called)],
            calls_of_staff=[called for called in calls if _is_of_staff(called)],
            channels=[self._channel_tried(topic, readable) for topic in topics],
            public_buckets=[name for name, public in self._catalog.buckets.items() if public],
            open_policies=list(self._open_policies({a.relation.oid for a in attempts})),
            sequences=[
                Sequenced(s.schema, s.name, s.roles)
                for s in self._catalog.sequences
                if s.schema in self._catalog.served
            ],
            topmost={self._topmost(*key) for key in self._plan.usage.constants.ascending},
            refusals=list(
                refusals.find(
                    self._catalog,
                    [r for r in self._catalog.relations if r.oid in self._selected],
                    _failures(attempts),
                )
            ),
            captured_names=list(self._captured_names()),
        )
        return self._asked(facts) if self._with_questions else facts

    def _asked(self, facts: Facts) -> Facts:
        """The facts, with those that only lead to questions."""
        return replace(
            facts,
            unread_columns=list(self._unread_columns()),
            of_one_table=list(self._of_one_table()),
            link_states=list(self._link_states()),
            left_out=list(self._left_out()),
            loose_states=list(self._loose_states()),
            shown_states=list(self._shown_states()),
            unread_flags=list(self._unread_flags()),
            stated={relation.label: self._stated(relation) for relation in self._catalog.tables},
            uneven_writes=list(self._uneven_writes()),
            unasked=list(self._unasked()),
            lone_guards=list(self._lone_guards()),
            caller_states=list(self._caller_states()),
        )

    def unpassed(self, functions: Iterable[Function]) -> list[Unpassed]:
        """Those that act as their owner on rows."""
        return list(self._functions.unpassed(functions))

    def _link_states(self) -> Iterator[LinkState]:
        """Those of rows that give nobody a role: a role may reach more than another one."""
        plan = self._plan
        tables = [r for r in self._catalog.tables if r.oid in self._selected]
        for one in link_states.find(self._catalog, tables):
            link = next(r for r in self._catalog.tables if r.label == one.link)
            membership = plan.memberships.get(link.oid)
            is_role = membership is not None and membership.role == one.column
            if not is_role and link.oid not in plan.per_user:
                yield one

    def _captured_names(self) -> Iterator[CapturedName]:
        """Those of policies, and of functions that decide about rows which their caller cannot
        reach, or about an access.
        """
        for relation in self._catalog.relations:
            if relation.oid in self._selected or relation.is_storage:
                for policy in relation.policies:
                    yield from captured_names.of_policy(self._catalog, relation, policy)
        for function in self._catalog.functions:
            if function.definer or function.signature in self._functions.helpers:
                yield from captured_names.of_function(self._catalog, function)

    def _left_out(self) -> Iterator[LeftOut]:
        """The conditions that functions leave out, of which a request can call each."""
        usage, secrets = self._plan.usage, dict[int, list[int]]()
        for function in self._catalog.functions:
            names = function.argument_names[: len(function.argument_types)]
            taken = [name for name in names if self._functions.takes_secret(function, name)]
            found = [
                key
                for name in taken
                for key in usage.bodies.arguments.get((function.oid, name), ())
            ]
            secrets[function.oid] = [oid for oid, _ in found]
        for one in left_out.find(self._catalog, usage, secrets):
            if any(r.label == one.table and r.oid in self._selected for r in self._catalog.tables):
                yield one

    def _loose_states(self) -> Iterator[LooseState]:
        """The times and states of the tables that something leaves out."""
        plan = self._plan
        for relation in self._catalog.tables:
            if relation.oid in self._selected and relation.rls:
                yield from loose_states.find(
                    self._catalog,
                    plan.usage,
                    relation,
                    plan.closed(relation),
                    is_membership=relation.oid in plan.memberships,
                )

    def _shown_states(self) -> Iterator[ShownState]:
        """The states of the tables by which the project selects rows, and no policy."""
        for relation in self._catalog.tables:
            if relation.oid in self._selected and relation.rls:
                yield from self._states.of_table(relation, self._plan.closed(relation))

    def _unread_flags(self) -> Iterator[tuple[str, str]]:
        """Those of tables that give no role: a flag of a membership has a question of its own, and
        one of the row that each user has is a preference, unless it is about another column.
        """
        plan = self._plan
        for relation in self._catalog.tables:
            is_asked = relation.oid in self._selected and relation.rls
            if not is_asked or relation.oid in plan.memberships:
                continue
            for name in self._states.unread(relation):
                if relation.oid not in plan.per_user or is_about_another(relation, name):
                    yield relation.label, name

    def _stated(self, relation: Relation) -> list[str]:
        """The columns with a number or one of few values, which are no key."""
        closed = self._plan.closed(relation)
        keys = {name for key in relation.foreign_keys for name in key.columns}
        keys |= {name for key in relation.unique_keys for name in key}
        return [
            column.name
            for column in relation.columns
            if column.category == "N" or column.name in closed or column.starts_constant
            if column.name not in keys and not column.generated
        ]

    def _uneven_writes(self) -> Iterator[UnevenWrite]:
        """The policies for writes of the tables that ask for less than others; for less than for a
        value, if it is that of a role.
        """
        writes = UnevenWrites(self._catalog, self._plan.usage)
        tables = [r for r in self._catalog.tables if r.oid in self._selected and r.rls]
        locks = own_locks.locks(self._catalog, self._plan.usage)
        for relation in tables:
            is_membership = relation.oid in self._plan.memberships
            for one in writes.of_table(relation):
                if one.what is not Uneven.VALUE or is_membership:
                    yield one
            yield from unseen_flags.find(self._plan.usage, relation)
            yield from own_locks.find(relation, locks)
        yield from writes.of_siblings(tables)

    def _lone_guards(self) -> Iterator[LoneGuard]:
        """Those of the policies of all tables, of which one is about these tables."""
        every = [r for r in self._catalog.tables if r.rls and not r.is_storage]
        labels = {r.label for r in every if r.oid in self._selected}
        for one in lone_guards.find(self._catalog, self._plan.usage, every):
            if one.table in labels:
                yield one

    def _caller_states(self) -> Iterator[CallerState]:
        """Those that policies of these tables leave out, and others ask for."""
        plan = self._plan
        every = [r for r in self._catalog.tables if r.rls]
        labels = {r.label for r in every if r.oid in self._selected}
        closed = {relation.oid: plan.closed(relation) for relation in every}
        accounts = [r for r in every if r.oid in plan.per_user and _is_account(plan, r)]
        ends = {relation.oid: plan.ends(relation) for relation in accounts}
        for one in caller_states.find(self._catalog, plan.usage, every, closed, ends):
            if labels.intersection(one.tables):
                yield one

    def _unasked(self) -> Iterator[Unasked]:
        """The conditions about rows of these tables, and of those that only functions reach, that
        functions leave out.
        """
        plan, served = self._plan, self._catalog.served
        tables = [r for r in self._catalog.tables if r.oid in self._selected]
        tables += [r for r in self._catalog.tables if r.schema not in served and not r.is_storage]
        labels = {relation.label for relation in tables}
        closed = {relation.oid: plan.closed(relation) for relation in self._catalog.tables}
        giving = {*plan.memberships, *plan.per_user, *plan.staff}
        for kind in (UnlikeSiblings, PassedOver):
            for one in kind(self._catalog, plan.usage, closed, giving).find():
                if one.table in labels:
                    yield one

    def _topmost(self, oid: int, column: str) -> HeldRole:
        relation = self._catalog.by_oid[oid]
        return HeldRole(relation.name, column, relation.by_name[column].labels[-1])

    def _unread_columns(self) -> Iterator[UnreadColumn]:
        plan = self._plan
        links = {relation.oid for relation, _ in plan.links}
        for oid in sorted(plan.memberships.keys() | links):
            relation = self._catalog.by_oid[oid]
            closed = plan.closed(relation) if oid in plan.memberships else ()
            elsewhere = self._words_elsewhere(relation) if closed else set[str]()
            for column in relation.columns:
                is_given = column.base in TIMES and column.not_null and column.default is None
                if is_given and column.name not in plan.usage.mentions.words:
                    yield UnreadColumn(table=relation.label, column=column.name, is_time=True)
                elif column.name in closed and column.name not in elsewhere:
                    yield UnreadColumn(table=relation.label, column=column.name, is_time=False)
                elif oid in plan.memberships and column.name == plan.memberships[oid].role:
                    yield from self._of_alike(relation, column.name, is_of_user=False)
        for oid in sorted(plan.per_user - links - plan.memberships.keys()):
            relation = self._catalog.by_oid[oid]
            for name, values in plan.closed(relation).items():
                key = oid, name
                is_tested = key in plan.usage.mentions.mentioned or bool(
                    plan.usage.constants.literals.get(key)
                )
                powers = {plan.words.powerful_roles.matches(one) for one in values.values}
                if powers == {True, False} and not is_tested:
                    yield UnreadColumn(
                        table=relation.label, column=name, is_time=False, is_of_user=True
                    )
                elif powers == {True, False}:
                    yield from self._of_alike(relation, name, is_of_user=True)

    def _of_alike(
        self, relation: Relation, column: str, *, is_of_user: bool
    ) -> Iterator[UnreadColumn]:
        """The roles with which nothing compares the column: whoever has one of them may do what the
        others may, or what each member may.
        """
        key, usage = (relation.oid, column), self._plan.usage
        literals = usage.constants.literals.get(key, ())
        compared = {part for text in literals for part in text.strip("{}").split(",")}
        closed = self._plan.closed(relation).get(column)
        is_ordered = key in usage.constants.ascending or bool(usage.equated.get(key))
        if closed is None or not compared or is_ordered:
            return
        alike = [one for one in closed.values if one not in compared]
        if alike and compared.intersection(closed.values):
            yield UnreadColumn(
                table=relation.label,
                column=column,
                is_time=False,
                is_of_user=is_of_user,
                alike=alike,
            )

    def _of_one_table(self) -> Iterator[OneTable]:
        plan = self._plan
        giving = {*plan.memberships, *plan.per_user, *plan.staff}
        for one in one_table.find(self._catalog, plan.usage, giving):
            if any(r.label == one.other and r.oid in self._selected for r in self._catalog.tables):
                yield one

    def _words_elsewhere(self, relation: Relation) -> set[str]:
        """The words of functions, views, and the policies of other tables."""
        texts = [function.body for function in self._catalog.functions]
        for other in self._catalog.relations:
            if other is not relation:
                texts += [other.definition or ""]
                texts += [text or "" for p in other.policies for text in (p.visible, p.checked)]
        return {word for text in texts for word in re.findall(r"\w+", text)}

    def _channel_tried(
        self, attempt: TopicAttempt, readable: Collection[tuple[int, int]]
    ) -> ChannelTried:
        topic = attempt.topic
        applicable = [
            ChannelPolicy(p.name, p.visible, p.checked)
            for p in self._catalog.topic_policies
            if p.permissive and p.applies_to(attempt.caller.role) and p.governs(attempt.action)
        ]
        return ChannelTried(
            actor=self._actors.of(attempt.caller),
            channel=Channel(
                label=topic.label,
                prefix=topic.prefix,
                table="" if topic.row is None else topic.row.relation.label,
                own=_own_topic(topic).as_string(None),
            ),
            action=attempt.action,
            outcome=attempt.outcome,
            reads_row=(id(attempt.caller), id(topic.row)) in readable,
            policies=applicable,
        )

    def _open_policies(self, tried: Collection[int]) -> Iterator[OpenPolicies]:
        for relation in self._catalog.relations:
            if relation.oid in tried or relation.oid not in self._selected:
                continue
            if not relation.is_table or not relation.rls:
                continue
            if relation.partition_of is not None or relation.is_storage:
                continue
            for action, role in product(ACTIONS, API_USERS):
                if not self._may(relation, role, action):
                    continue
                policies = tuple(p.name for p in open_to(relation, role, action))
                if policies:
                    yield OpenPolicies(relation.label, action, role, policies)

    def _may(self, relation: Relation, role: str, action: str) -> bool:
        return self._catalog.reaches(relation, role) and relation.may(role, action.upper())


def _is_account(plan: Plan, relation: Relation) -> bool:
    """Whether the row of each user is about the user, not about something that a user has, such as
    a shop: the user is its key.
    """
    users = user_columns(relation, plan.usage, plan.per_user)
    return bool(relation.primary_key) and {*relation.primary_key} <= {*users}


def _standing(one: tenants.Standing) -> Standing:
    return Standing(
        label=one.label,
        role=one.user.role,
        table=one.relation.label,
        column=one.column,
        state=one.state,
        open=[relation.label for relation in one.open],
        closed=[relation.label for relation in one.closed],
        written=[relation.label for relation in one.written],
    )


def _exclusion(one: tried_exclusions.Exclusion) -> Exclusion:
    return Exclusion(table=one.relation.label, closed=one.closed, open=one.open)


def _is_of_staff(called: Called) -> bool:
    """Whether the rights of a caller follow from a claim or a row of its own, or from its name in a
    row.
    """
    return called.actor.kind in (CLAIM, LAPSED) or bool(called.given.named)


def _failures(attempts: Iterable[Attempt]) -> dict[tuple[int, str, str], set[str]]:
    """The SQLSTATEs of actions of roles that always fail."""
    found: dict[tuple[int, str, str], set[str]] = {}
    works = set()
    for attempt in attempts:
        key = attempt.relation.oid, attempt.action, attempt.caller.role
        if attempt.sent is None or (attempt.outcome == DENIED and attempt.error is None):
            continue
        if attempt.error is None:
            works.add(key)
        else:
            found.setdefault(key, set()).add(attempt.error.sqlstate or "")
    return {key: states for key, states in found.items() if key not in works}


def _own_topic(topic: Topic) -> sql.Composable:
    prefix = sql.Literal(topic.prefix)
    if topic.row is None:
        return sql.SQL("(select realtime.topic()) = {} || (select auth.uid())::text").format(prefix)
    exists = sql.SQL(
        "exists (select 1 from {} as named where {} || named.{}::text = (select realtime.topic()))"
    )
    return exists.format(topic.row.relation.identifier, prefix, sql.Identifier(topic.row.key[0]))
