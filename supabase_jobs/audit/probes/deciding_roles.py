"""Deciding roles: those without which a caller does not reach what it reaches, found by trying
without them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from supabase_jobs.audit.callers import IMPOSTOR, STRANGER
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, JOIN, OTHER, UPDATE, Attempt
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.held_role import HeldRole
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import DENIED, HIDDEN, VIOLATES

# the caller, by its identity, the table, the action, the column, and the name of the attempt
_Write = tuple[int, int, str, str, str]


@dataclass(frozen=True)
class _Role:
    """A role that each user has: the table and column, the value, and others that it could be."""

    relation: Relation
    user: str
    column: str
    value: str
    others: Sequence[str]

    @property
    def held(self) -> HeldRole:
        """The role as questions name it."""
        return HeldRole(self.relation.name, self.column, self.value)


class DecidingRoles:
    """Notes at each attempt by which role or row its caller reaches the target."""

    def __init__(self, world: World, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._writes, self._record = writes, record

    def find(self) -> None:
        """Note the roles without which users do not reach what they reach: those that everybody
        has, and those in their own group.
        """
        of_everybody = list(self._without_roles_of_everybody())
        of_groups = list(self._with_weaker_roles())
        self._record.send_controls([control for *_, control in (*of_everybody, *of_groups)])
        closed = (HIDDEN, DENIED, VIOLATES)
        for attempt, role, control in of_everybody:
            if control.outcome in closed:
                attempt.deciding = replace(attempt.deciding, everywhere=role)
        roles = {write: label for write, label, one in of_groups if one.outcome in closed}
        for attempt in self._record.attempts:
            in_group = roles.get(_write_of(attempt), "")
            attempt.deciding = replace(attempt.deciding, in_group=in_group)

    def _without_roles_of_everybody(self) -> Iterator[tuple[Attempt, HeldRole, Attempt]]:
        """The reads and writes of rows of others by outsiders with a role, and again without it:
        whoever signs up has it.
        """
        for attempt in self._record.attempts:
            caller = attempt.caller
            is_of_other = attempt.whose == OTHER and attempt.reached and attempt.sent is not None
            if not is_of_other or not caller.is_outsider or caller.user is None:
                continue
            if caller.kind == IMPOSTOR:
                continue  # who chose the role
            for role in self._roles_of_everybody:
                if role.relation.oid in self._plan.usage.reads.get(attempt.relation.oid, ()):
                    for other in role.others:
                        yield attempt, role.held, self._without_role(attempt, role, other)
            for membership in self._posts_read_by(attempt.relation):
                if (own := caller.own_row(membership.relation.oid)) is not None:
                    row = HeldRole(membership.relation.name)
                    yield attempt, row, self._without_row(attempt, own)

    def _with_weaker_roles(self) -> Iterator[tuple[_Write, str, Attempt]]:
        """A write of each kind that users do with a role in their own group, and again with the
        weakest one, where only somebody else gives the role.
        """
        known: set[_Write] = set()
        for attempt in self._record.attempts:
            write = _write_of(attempt)
            is_users = attempt.caller.kind == STRANGER and attempt.reached
            is_users &= attempt.sent is not None and attempt.error is None
            if not is_users or attempt.action not in (INSERT, UPDATE) or write in known:
                continue
            known.add(write)
            read = self._plan.usage.reads.get(attempt.relation.oid, ())
            for membership, own in self._strongest_of_groups:
                role = membership.role or ""
                if membership.relation.oid in read and attempt.relation is not own.relation:
                    user = {membership.user: own.values[membership.user]}
                    weaker = {role: membership.weakest}
                    change = statements.update_where(own.relation, user, weaker)
                    label = f"{own.values[role]} of {own.relation.name}"
                    yield write, label, self._writes.after(attempt, change)

    @cached_property
    def _strongest_of_groups(self) -> list[tuple[Membership, Row]]:
        """The memberships of the owner of the other tenant with a role that has weaker ones, that
        no function gives, and with which nobody joins.
        """
        filled = set[int]().union(*self._plan.usage.bodies.adds.values())
        joined = {
            (attempt.relation.oid, value)
            for attempt in self._record.attempts
            if attempt.name == JOIN and attempt.reached and attempt.caller.is_outsider
            for value in attempt.written.values()
        }
        found = []
        for oid, membership in self._plan.memberships.items():
            own = self._world.b.rows.get(oid)
            if own is None or membership.role is None or oid in filled:
                continue
            value = own.values[membership.role]
            if membership.weakest not in (None, value) and (oid, value) not in joined:
                found.append((membership, own))
        return found

    @cached_property
    def _roles_of_everybody(self) -> list[_Role]:
        """The roles in the row that each user has, if policies of other tables read them."""
        plan, found = self._plan, list[_Role]()
        # where the row names a tenant, the role counts there only
        for oid in sorted((plan.per_user & plan.opening) - plan.staff - plan.tenants.keys()):
            relation, row = plan.catalog.by_oid[oid], self._world.b.rows.get(oid)
            users = user_columns(relation, plan.usage, plan.per_user)
            if row is None:
                continue
            for column in relation.columns:
                current = row.values.get(column.name)
                compared = plan.usage.constants.literals.get((oid, column.name), [])
                limits = plan.limits.get(oid, {}).get(column.name, Limits())
                known = dict.fromkeys([*(limits.allowed or column.labels), *compared])
                others = [value for value in known if value != current]
                if compared and others and current in known and column.base != "bool":
                    found.append(
                        _Role(
                            relation=relation,
                            user=users[0],
                            column=column.name,
                            value=current or "",
                            others=others[: LIMITS.values],
                        )
                    )
        return found

    def _posts_read_by(self, relation: Relation) -> list[Membership]:
        """The posts that the policies of a table read which belongs to none of their groups."""
        read = self._plan.usage.reads.get(relation.oid, ())
        found = []
        for post in self._plan.appointed:
            keys = [key for key in post.relation.foreign_keys if set(key.columns) & {*post.groups}]
            groups = {key.target for key in keys if key.target is not None}
            if post.relation.oid in read and groups and not self._plan.is_below(relation, groups):
                found.append(post)
        return found

    def _without_row(self, attempt: Attempt, row: Row) -> Attempt:
        """The action of a caller whose row the owner of the database deletes first."""
        return self._writes.after(attempt, statements.delete(row).statement)

    def _without_role(self, attempt: Attempt, role: _Role, other: str) -> Attempt:
        """The action of a caller to whom the owner of the database gives another role first."""
        assert attempt.caller.user is not None  # noqa: S101  checked by the caller
        change = statements.update_where(
            role.relation, {role.user: attempt.caller.user.id}, {role.column: other}
        )
        return self._writes.after(attempt, change)

    def find_rights_of_colleagues(self) -> None:
        """Note that rows are those of the group of a caller whose membership has ended or has not
        begun, if a colleague without one reaches them as well: by the row that each user has. That
        row of the caller has not ended.
        """
        colleague = self._world.a.users[1]
        known = {
            _act(attempt)
            for attempt in self._record.attempts
            if attempt.caller.user is colleague and attempt.reached
        }
        for attempt in self._record.attempts:
            user = attempt.caller.user
            is_of_other = attempt.caller.is_inactive and attempt.whose == OTHER
            if is_of_other and (user is None or user.state is None) and _act(attempt) in known:
                attempt.whose = GROUP


def _write_of(attempt: Attempt) -> _Write:
    relation, caller = attempt.relation, attempt.caller
    return id(caller), relation.oid, attempt.action, attempt.column, attempt.name


def _act(attempt: Attempt) -> tuple[int, str, str, str]:
    """The row and the action of an attempt, whoever its caller is."""
    return id(attempt.row), attempt.action, attempt.name, attempt.column
