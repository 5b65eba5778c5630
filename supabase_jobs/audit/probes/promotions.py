"""Promotions: members without the most powerful role of a group give it to another person."""

from collections.abc import Collection, Iterator, Sequence

from supabase_jobs.audit.callers import MEMBER, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.probes.attempt import ADD, INSERT, JOIN, Attempt
from supabase_jobs.audit.probes.new_values import NewValues
from supabase_jobs.audit.probes.record import Record
from supabase_jobs.audit.probes.writes import Writes, writable
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.memberships import Membership


class Promotions:
    """The memberships and invitations with the most powerful role."""

    def __init__(self, world: World, values: NewValues, writes: Writes, record: Record) -> None:
        self._world, self._plan = world, world.plan
        self._values, self._writes, self._record = values, writes, record

    def memberships(
        self, callers: Sequence[Persona], tables: Collection[Relation]
    ) -> Iterator[Attempt]:
        """A membership of another person with the most powerful role, by members without it."""
        for caller in callers:
            user = caller.user
            if caller.kind != MEMBER or user is None or user.membership is None or user.in_both:
                continue
            membership, row = user.membership, caller.own_row(user.membership.relation.oid)
            oid, role = membership.relation.oid, membership.role
            if row is None or role is None or membership.relation not in tables:
                continue
            strongest = membership.roles[0]
            inserted = self._plan.usage.constants.inserted.get((oid, role), ())
            is_known = strongest in inserted or self._plan.words.powerful_roles.matches(strongest)
            if is_known and user.role != strongest:
                copy = {**self._values.copy(row), **_person(self._world, membership)}
                column = membership.relation.by_name[role]
                invited = [] if membership.invited is None else [dict([membership.invited])]
                for state in ({}, *invited):
                    yield self._writes.varied(
                        caller, row, {**copy, **state}, column, strongest, ADD
                    )

    def invitations(self) -> Iterator[Attempt]:
        """An invitation with the most powerful role of a group, by members without it who may add
        one: a row with the labels of the role of a membership.
        """
        done: set[tuple[int, int]] = set()
        for attempt in self._record.inserted:
            caller, relation, user = attempt.caller, attempt.relation, attempt.caller.user
            key = id(caller), relation.oid
            if caller.kind != MEMBER or user is None or user.membership is None or user.in_both:
                continue
            strongest = user.membership.roles[:1]
            is_plain = attempt.name in ("", JOIN) and attempt.error is None
            is_plain &= not attempt.is_state and relation.oid not in self._plan.memberships
            if not is_plain or key in done or not strongest:
                continue
            done.add(key)
            for column in writable(relation, caller.role, INSERT):
                limits = self._plan.limits.get(relation.oid, {}).get(column.name, Limits())
                labels = limits.allowed or column.labels
                if {*labels} == {*user.membership.roles} and user.role != strongest[0]:
                    copy = self._values.copy_of_new(attempt)
                    yield self._writes.varied(caller, attempt.row, copy, column, strongest[0], ADD)


def _person(world: World, membership: Membership) -> dict[str, str | None]:
    """The column of a membership that names its user, with the owner of the other tenant."""
    stranger = world.b.owner
    for key in membership.relation.foreign_keys:
        if key.columns == (membership.user,) and key.target in world.plan.per_user:
            row = stranger.rows.get(key.target)
            at = key.target_columns[0]
            return {} if row is None else {membership.user: row.values.get(at)}
    return {membership.user: stranger.id}
