"""Changes of state: who was invited, or is in a state that others have set, changes it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from supabase_jobs.audit.callers import ANON, INVITED, MEMBER, NEWCOMER, STRANGER, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.tested import Left, left
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import ACCEPT, LEAVE, OWN, RESTORE, UPDATE, Attempt
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.compared_values import default_of


class StateChanges:
    """The changes of the state of one's own row that may be up to others."""

    def __init__(self, world: World, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._writes, self._record = writes, record

    def acceptances(self, callers: Sequence[Persona]) -> Iterator[Attempt]:
        """Memberships that an invited person accepts with the most powerful role."""
        for caller in callers:
            membership = caller.user.membership if caller.user else None
            row = caller.own_row(membership.relation.oid) if membership else None
            if caller.kind != INVITED or caller.operation or membership is None or row is None:
                continue
            if membership.role is None or len(membership.roles) < 2 or membership.invited is None:
                continue
            member = next((u for u in self._world.a.users if u.is_member), None)
            accepted = member.rows.get(membership.relation.oid) if member else None
            state = membership.invited[0]
            if accepted is None or state not in accepted.values:
                continue
            new = {membership.role: membership.roles[0], state: accepted.values[state]}
            if all(row.relation.may(caller.role, "UPDATE", column) for column in new):
                attempt = self._writes.update(caller, row, OWN, new)
                attempt.name = ACCEPT
                yield attempt

    def restorations(
        self, callers: Sequence[Persona], tables: Collection[Relation]
    ) -> Iterator[Attempt]:
        """The row that each user has, in another state than the owner's: its user sets a column of
        the state to the default, as who was deactivated, and to that of the owner, such as a role.
        """
        for caller in callers:
            row = None if caller.user is None else caller.user.state
            if row is None or caller.operation or row.relation not in tables:
                continue
            if caller.has_role_elsewhere or row.part is None:
                continue
            for state in row.part.columns:
                column = row.relation.by_name.get(state.name) if state.is_own else None
                if column is None or not row.relation.may(caller.role, "UPDATE", column.name):
                    continue
                default, first = default_of(column), self._world.a.rows.get(row.relation.oid)
                known = [default] if first is None else [default, first.values.get(column.name)]
                for value in dict.fromkeys(known):
                    is_possible = value is not None or not column.not_null
                    if is_possible and value != row.values.get(column.name):
                        restored = self._writes.update(caller, row, OWN, {column.name: value})
                        restored.name = RESTORE
                        yield restored

    def left_states(self) -> Iterator[Attempt]:
        """Rows of one's own in a state that only others set, such as hidden: with a value that
        their owner may set.
        """
        updates = [a for a in self._record.attempts if a.action == UPDATE]
        done = set[tuple[int, int]]()
        for attempt in [a for a in updates if a.whose == OWN and a.reached]:
            caller, row, key = attempt.caller, attempt.row, (id(attempt.caller), id(attempt.row))
            is_user = caller.kind in (ANON, NEWCOMER, STRANGER, MEMBER)
            if attempt.is_state or key in done or not (is_user and row.key):
                continue
            done.add(key)
            for name, state in self._left_by(row.relation, caller.role).items():
                current = row.values.get(name)
                value = current if current in state.first else state.first[0]
                where = {column: row.values[column] for column in row.key}
                for other in state.values[: LIMITS.chosen]:
                    if row.relation.may(caller.role, "UPDATE", name):
                        change = statements.update_where(row.relation, where, {name: other})
                        new = {name: value}
                        back = replace(self._writes.update(caller, row, OWN, new), name=LEAVE)
                        sent = statements.update(row, new, None)
                        yield self._writes.after(replace(back, sent=sent), change)

    def _left_by(self, relation: Relation, role: str) -> Mapping[str, Left]:
        """The states that only others set, and that the owner of a row ends."""
        owners = [n for oid, n in self._plan.usage.persons.owners if oid == relation.oid]
        return left(relation, role, owners, self._plan.closed(relation))
