"""The rows that each caller is probed with: of its own, of its group, and of others."""

from collections.abc import Iterator

from supabase_jobs.audit.callers import MEMBER, OWNER, Persona
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes.attempt import GROUP, NONE, OTHER, OWN
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row


def of(world: World, caller: Persona, relation: Relation) -> Iterator[tuple[str, Row]]:
    """The rows of a table that a caller is probed with, each with whose it is. Who has a role in
    another group may do with the own rows what its holders in this one may.
    """
    found = [*_first(world, caller, relation), *_in_other_states(world, caller, relation)]
    yield from (one for one in found if not caller.has_role_elsewhere or one[0] == OTHER)


def _first(world: World, caller: Persona, relation: Relation) -> Iterator[tuple[str, Row]]:
    """The caller's own row, and one of tenant A."""
    if relation.is_storage:
        yield from _objects(world, caller)
        return
    a = world.a.rows.get(relation.oid)
    own = caller.own_row(relation.oid)
    if not world.plan.owned(relation):
        if a is not None:
            yield NONE, a
        return
    if own is not None and (caller.kind != OWNER or own is a):
        yield OWN, own
    if caller.kind == OWNER:
        member = next((u for u in world.a.users if u.is_member), None)
        if relation.oid in world.plan.tenants:
            member = world.a.users[1]
        row = member.rows.get(relation.oid) if member else None
        if row is not None:
            yield GROUP, row
    elif a is not None and a is not own:
        yield (GROUP if caller.kind == MEMBER else OTHER), a


def _in_other_states(
    world: World, caller: Persona, relation: Relation
) -> Iterator[tuple[str, Row]]:
    """Rows of tenant A in other states, for everyone."""
    whose = {OWNER: OWN, MEMBER: GROUP}.get(caller.kind, OTHER)
    for row in world.a.states:
        if row.relation is not relation or relation.is_storage:
            continue
        if caller.own_row(relation.oid) is row:
            continue
        if row.state_of is not None and row not in world.a.owner.extra:  # that of a further user
            if relation.oid in world.plan.tenants:
                yield {OWNER: GROUP, MEMBER: GROUP}.get(caller.kind, OTHER), row
            elif caller.kind != OWNER:
                yield OTHER, row
        else:
            yield whose if world.plan.owned(relation) else NONE, row


def _objects(world: World, caller: Persona) -> Iterator[tuple[str, Row]]:
    """The objects of Storage: a caller's own, and those of tenant A's owner."""
    owner = world.a.owner
    if caller.user is not None:
        yield from ((OWN, row) for row in caller.user.extra if row.relation.is_storage)
    if caller.user is not owner:
        whose = GROUP if caller.kind == MEMBER else OTHER
        yield from ((whose, row) for row in owner.extra if row.relation.is_storage)
