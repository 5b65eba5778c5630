"""Actions that stay open to callers once the project adds a row that excludes them: of a table
whose rows name them, or that of their membership in a state that closes tables.

Each action that has reached its row is tried again after the owner of the database has made the
change. What others refuse then, and this one does not, is a question.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from psycopg import sql

from supabase_jobs.audit.callers import MEMBER, OWNER, Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import excluding
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.arguments import Arguments
from supabase_jobs.audit.probes.attempt import GROUP, OWN, SELECT, Attempt
from supabase_jobs.audit.probes.bypass import CALL, call_of
from supabase_jobs.audit.probes.control_calls import ControlCall
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Standing
from supabase_jobs.database.batch import Statement
from supabase_jobs.outcomes import CLOSED, ROWS
from supabase_jobs.session.action import Constant
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import Runner, probes_of


@dataclass(eq=False)
class Exclusion:
    """A table whose rows exclude whom they name: the acts that they close, and those that they
    leave `open`, in words. `is_read`: reads are among those that they close.

    `tables` are those with rows that an exclusion may be about, and `changes` the statement that
    excludes each caller.
    """

    relation: Relation
    tables: Collection[int]
    closed: Sequence[str]
    open: list[str]
    is_read: bool
    changes: Sequence[tuple[Persona, Statement]]


class Exclusions:
    """Tries actions again as callers whom a row excludes."""

    def __init__(self, world: World, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._writes, self._record = writes, record
        self._oids = excluding.tables(self._plan.catalog, self._plan.usage)

    def find(self) -> list[Exclusion]:
        """The tables whose rows close some actions to whom they name, and leave others open."""
        relations = [self._plan.catalog.by_oid[oid] for oid in sorted(self._oids)]
        found = (self._of(one) for one in relations if one.oid in self._world.a.rows)
        return [one for one in found if one is not None]

    def _of(self, relation: Relation) -> Exclusion | None:
        persons = self._persons(relation)
        tables = self._concerned(relation, persons)
        is_pair = len(persons) > 1
        acts, changes = [], dict[int, tuple[Persona, Statement]]()
        for attempt in self._firsts():
            # a row in another state may be below another row than the one that the exclusion names
            is_about = is_pair or (attempt.whose == GROUP and not attempt.row.part)
            if attempt.relation.oid in tables and is_about:
                caller = attempt.caller
                if id(caller) not in changes:
                    changes[id(caller)] = caller, self._exclude(relation, persons, caller)
                acts.append((attempt, self._writes.after(attempt, changes[id(caller)][1])))
        self._record.send_controls([control for _, control in acts])
        closed = [one for one, control in acts if control.outcome in CLOSED]
        if not closed:
            return None
        # a row that names no second person may be about some callers only, such as employees
        excluded = set(changes) if is_pair else {id(one.caller) for one in closed}
        is_read = any(one.action == SELECT for one in closed)
        left = [
            one
            for one, control in acts
            if control.reached and id(one.caller) in excluded and (is_read or one.action != SELECT)
        ]
        return Exclusion(
            relation=relation,
            tables=tables,
            closed=list(dict.fromkeys(map(_act, closed))),
            open=list(dict.fromkeys(map(_act, left))),
            is_read=is_read,
            changes=[change for id_, change in changes.items() if id_ in excluded],
        )

    def standings(self) -> list[Standing]:
        """The standings with the tables in which members in this state still write rows of their
        group.
        """
        found = []
        for standing in self._world.observed.standings:
            acts = list(self._again_in(standing))
            self._record.send_controls([control for _, control in acts])
            left = {one.relation.oid: one.relation for one, again in acts if again.reached}
            found.append(replace(standing, written=tuple(left.values())))
        return found

    def _persons(self, relation: Relation) -> list[str]:
        return user_columns(relation, self._plan.usage, self._plan.per_user)

    def _concerned(self, relation: Relation, persons: Sequence[str]) -> set[int]:
        """The tables with rows that an exclusion may be about: below the row that it names, or that
        belong to two persons.
        """
        tables = self._plan.catalog.tables
        keys = [key for key in relation.foreign_keys if not {*key.columns} & {*persons}]
        above = {key.target for key in keys if key.target is not None}
        if len(persons) > 1:
            above = {one.oid for one in tables if len(self._persons(one)) > 1} - {relation.oid}
        return {one.oid for one in tables if self._plan.is_below(one, above)}

    def _exclude(self, relation: Relation, persons: Sequence[str], caller: Persona) -> Statement:
        """The statement that adds the row which excludes a caller, from the owner of the rows or
        from what it owns; of two persons in both directions.
        """
        assert caller.user is not None  # noqa: S101  of `_firsts`
        own, id_ = self._world.a.rows[relation.oid], caller.user.id
        rows: list[Mapping[str, str | None]] = [dict.fromkeys(persons[:1], id_)]
        if len(persons) > 1:
            one, other = persons[:2]
            others = [user.id for user in self._world.a.users[:2] if user.id != id_]
            rows = [{one: a, other: b} for o in others for a, b in ((id_, o), (o, id_))]
        columns = [
            column
            for column in relation.columns
            if own.values.get(column.name) is not None and not column.filled_by_server
            if column.default is None or column.name not in relation.primary_key
        ]
        lines = []
        for row in rows:
            full = {**own.values, **row}
            values_ = [Constant(full[column.name], column.type) for column in columns]
            lines.append(sql.SQL("({})").format(sql.SQL(", ").join(values_)))
        text = sql.SQL("insert into {} ({}) values {} on conflict do nothing").format(
            relation.identifier,
            sql.SQL(", ").join(column.identifier for column in columns),
            sql.SQL(", ").join(lines),
        )
        return Statement(text.as_string(None))

    def _again_in(self, standing: Standing) -> Iterator[tuple[Attempt, Attempt]]:
        """The writes of members, and again in a state that closes tables. The owner of the rows
        is everybody: of its own ones only those count that name nobody.
        """
        membership = standing.user.membership
        if membership is None or standing.user.standing is None:
            return
        relation = membership.relation
        for attempt in self._firsts():
            user, table = attempt.caller.user, attempt.relation
            if user is None or relation.oid not in user.rows or attempt.action == SELECT:
                continue
            is_plain = user.membership is membership
            if not self._is_governed(table, relation, alone=not is_plain):
                continue
            if attempt.whose == OWN and self._persons(table):
                continue
            where = {membership.user: user.rows[relation.oid].values[membership.user]}
            change = statements.update_where(relation, where, {standing.column: standing.value})
            yield attempt, self._writes.after(attempt, change)

    def _is_governed(self, table: Relation, by: Relation, *, alone: bool) -> bool:
        """Whether the policies of a table read the one of a membership; `alone`: and no other one
        that names users, by which a caller with further rows may pass.
        """
        read = self._plan.usage.reads.get(table.oid, set()) - {by.oid, table.oid}
        known = self._plan.catalog.by_oid
        others = [oid for oid in read if oid in known and self._persons(known[oid])]
        is_read = by.oid in self._plan.usage.reads.get(table.oid, ())
        return is_read and not (alone and (others or self._persons(table)))

    def _firsts(self) -> Iterator[Attempt]:
        """The first attempt of each caller of the group that has reached a row, for each table,
        owner and action.
        """
        seen = set()
        for attempt in self._record.attempts:
            caller = attempt.caller
            is_known = caller.kind in (MEMBER, OWNER) and caller.user is not None
            is_plain = attempt.reached and attempt.sent is not None and not attempt.name
            key = id(caller), attempt.relation.oid, attempt.whose, attempt.action
            if is_known and is_plain and attempt.whose in (OWN, GROUP) and key not in seen:
                seen.add(key)
                yield attempt


def _act(attempt: Attempt) -> str:
    return f"{attempt.action} {attempt.relation.label}"


def try_functions(
    impersonation: Impersonation,
    world: World,
    found: Sequence[Exclusion],
    functions: Sequence[Function],
    runner: Runner,
) -> None:
    """Note the functions with the rights of their owner that still find, by an argument, rows that
    an exclusion is about, and write something.
    """
    arguments, usage = Arguments(world), world.plan.usage
    calls = []
    for one in found:
        writing = [
            f
            for f in functions
            if f.definer and (usage.bodies.adds[f.oid] or usage.bodies.sets[f.oid])
        ]
        about = [f for f in writing if _naming(usage, f, one.tables)]
        rows = [row for oid, row in world.a.rows.items() if oid in one.tables]
        keys = {row.values[name] for row in rows for name in row.key} - {None}
        for (caller, change), function in product(one.changes, about):
            named = _naming(usage, function, one.tables)
            if caller.role not in function.callers:
                continue
            for given in arguments.lists(function, caller)[: LIMITS.calls]:
                texts = {given[at].text for at in named if at < len(given)}
                if texts.isdisjoint(keys):
                    continue
                call = ControlCall(
                    caller=caller,
                    object=function,
                    action=CALL,
                    sent=[call_of(function, given)],
                    writes=True,
                    prepared=[own_role(impersonation), change],
                )
                calls.append((one, call))
    runner.run([*probes_of([call for _, call in calls], LIMITS.calls_in_batch)] if calls else [])
    for one, call in calls:
        act = f"call {call.label}"
        if call.outcome == ROWS and act not in one.open:
            one.open.append(act)


def _naming(usage: Usage, function: Function, tables: Collection[int]) -> list[int]:
    """The places of the arguments that a function compares with columns of these tables."""
    found = []
    for at, name in enumerate(function.argument_names):
        compared = usage.bodies.arguments.get((function.oid, name), ())
        if any(oid in tables for oid, _ in compared):
            found.append(at)
    return found
