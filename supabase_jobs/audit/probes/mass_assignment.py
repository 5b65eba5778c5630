"""Mass assignment: new rows of one's own that differ in one column from an accepted one, by a value
of one's choice, a parent of another, or another person.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from supabase_jobs.audit.callers import ANON, NEWCOMER, STRANGER, Persona
from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.probes.attempt import ADD, BELOW, CHOOSE, INSERT, NAME, OPEN, OWN, Attempt
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes, writable
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row


class MassAssignment:
    """The new rows whose writer chooses a value, a parent or a person."""

    def __init__(self, world: World, values: NewValues, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._values, self._writes, self._record = values, writes, record

    def of_accepted(self) -> Iterator[Attempt]:
        """New rows of one's own, if a plain one is accepted, that differ in one column: a value of
        one's choice, a parent of another, or another person.
        """
        done: set[tuple[int, int]] = set()
        inserts = self._record.inserted
        # a row in another state, or below one, only if no other is accepted
        inserts.sort(key=lambda one: one.is_state)
        by_users = {a.relation.oid for a in inserts if a.caller.kind == STRANGER}
        for attempt in inserts:
            caller, relation = attempt.caller, attempt.relation
            is_own = attempt.whose == OWN and attempt.name in ("", OPEN)
            # where a role of the JWT is needed, who has the first one that is enough
            is_user = caller.kind == STRANGER
            if caller.claim and relation.oid not in by_users:
                by_users.add(relation.oid)
                is_user = True
            is_own &= is_user and (attempt.name == "" or attempt.error is None)
            is_guest = caller.kind == ANON and attempt.name == ""  # such as of a public form
            key = id(caller), relation.oid
            if not (is_own or is_guest) or relation.is_storage or key in done:
                continue
            done.add(key)
            copy = self._values.copy_of_new(attempt)
            unset = set(self._values.unset_columns(relation)) - attempt.written.keys()
            copy |= dict.fromkeys(unset)
            if is_guest:
                for column in writable(relation, caller.role, INSERT):
                    yield from self._chosen(caller, attempt.row, copy, column)
                continue
            if relation.oid in self._plan.memberships:
                yield from self._added(caller, attempt.row, copy)
                continue
            for column in writable(relation, caller.role, INSERT):
                yield from self._with_another(caller, attempt.row, copy, column)

    def of_newcomers(
        self, callers: Sequence[Persona], tables: Collection[Relation]
    ) -> Iterator[Attempt]:
        """The row that each user has, inserted with values of the user's choice."""
        for caller in callers:
            if caller.kind != NEWCOMER or caller.operation:
                continue
            for oid in sorted(self._plan.per_user):
                row = self._world.a.rows.get(oid)
                if row is None or row.relation not in tables:
                    continue
                own = self._values.as_own(row, caller, through_parents=False)
                copy = {**self._values.copy(row), **own}
                for column in writable(row.relation, caller.role, INSERT):
                    if own:
                        yield from self._chosen(caller, row, copy, column)

    def _with_another(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None], column: Column
    ) -> Iterator[Attempt]:
        """The row with another person or parent in a column, or else with another value in it."""
        relation, owner = row.relation, self._world.a.owner
        keys = [key for key in relation.foreign_keys if key.columns == (column.name,)]
        persons = user_columns(relation, self._plan.usage, self._plan.per_user)
        if column.name in persons and len(persons) > 1 and relation.oid not in self._plan.per_user:
            parent = next((owner.rows.get(k.target or 0) for k in keys if k.target), None)
            at = keys[0].target_columns[0] if keys else ""
            other = owner.id if parent is None else parent.values.get(at)
            other = other if parent is not None else values.with_user(column, None, owner.id)
            yield self._writes.varied(caller, row, copy, column, other, NAME)
        elif keys and keys[0].target is not None:
            parent = self._world.a.rows.get(keys[0].target)
            if parent is not None and self._plan.owned(parent.relation):
                at = keys[0].target_columns[0]
                yield self._writes.varied(caller, row, copy, column, parent.values.get(at), BELOW)
        elif not keys:
            yield from self._chosen(caller, row, copy, column)

    def _chosen(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None], column: Column
    ) -> Iterator[Attempt]:
        """The row with other values of a column with a state, a flag, a number, or with a random
        value by which functions find it.
        """
        relation = row.relation
        key = relation.oid, column.name
        is_secret = key in self._plan.usage.looked_up and column.differs_in_each_run
        is_secret &= column.name not in relation.primary_key
        if is_secret:
            value = self._values.of(row, column, caller)[0]
            yield self._writes.varied(caller, row, copy, column, value, CHOOSE)
            return
        if any(column.name in unique for unique in relation.unique_keys):
            return
        limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
        is_state = (
            column.typtype == "e" or limits.allowed or key in self._plan.usage.constants.literals
        )
        is_state = is_state or key in self._plan.usage.triggers.frozen
        number = column.base in ("int2", "int4", "int8", "numeric", "float4", "float8")
        is_time = column.base in values.TIMES and not column.not_null
        if not (is_state or number or is_time or column.base == "bool"):
            return
        own = self._values.condition_of_new(caller, relation, copy)
        for value in self._values.of(row, column, caller)[: LIMITS.chosen]:
            if value is not None and value != copy.get(column.name):
                chosen = self._writes.varied(caller, row, copy, column, value, CHOOSE)
                self._writes.count_value(chosen, own)
                yield chosen

    def _added(
        self, caller: Persona, row: Row, copy: Mapping[str, str | None]
    ) -> Iterator[Attempt]:
        """A membership of another person in one's own group, as accepted as one's own."""
        membership = self._plan.memberships[row.relation.oid]
        column = row.relation.by_name[membership.user]
        other = self._world.a.rows.get(row.relation.oid)
        name, value = membership.invited or ("", None)
        is_invitation = name != "" and copy.get(name) == value
        if other is not None and not is_invitation:
            value = other.values.get(membership.user)
            yield self._writes.varied(caller, row, copy, column, value, ADD)
