"""The users of the tenants: one for each place in the rows that a person may have."""

from collections.abc import Iterator, Sequence
from itertools import chain

from supabase_jobs.audit.common import Common, make_token
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.states import further_users, roles_beside_tenants
from supabase_jobs.audit.rows.tenants import (
    Further,
    Link,
    Listed,
    Member,
    MemberInState,
    Tenant,
    User,
)


def add(plan: Plan, tenants: tuple[Tenant, Tenant, Tenant], common: Common) -> None:
    """Add the users of the owner's tenant, of the stranger's and of the newcomer's."""
    a, b, c = tenants
    for tenant, labels in (
        (a, ("owner", "colleague")),
        (b, ("stranger", "colleague")),
        (c, ("newcomer",)),
    ):
        for label in labels:
            tenant.users.append(user(tenant, label, common))
    of_owner = (
        _members(plan, a, common),
        _in_states(plan, a, common),
        _with_posts_and_links(plan, a, common),
        _listed(plan, a, common),
        _further(further_users(plan), a, common),
    )
    of_stranger = (
        _elsewhere(plan, b, common),
        _further(roles_beside_tenants(plan), b, common),
    )
    for tenant, groups in ((a, of_owner), (b, of_stranger)):
        for one in chain.from_iterable(groups):
            tenant.users.append(one)  # at once, as the next with the same label is counted
    _sort_ids([one for tenant in tenants for one in tenant.users])


def user(tenant: Tenant, label: str, common: Common) -> User:
    """A user who belongs to nothing yet, with an id that follows from the label."""
    same = sum(one.label == label for one in tenant.users)  # two schemas may have one name
    number = common.number(f"users of {tenant.name}", label, str(same))
    return User(label=label, id=_user_id(tenant, number), name=f"{tenant.token}u{number:03d}")


def _members(plan: Plan, tenant: Tenant, common: Common) -> Iterator[User]:
    """A member for each role but the owner's, and those of two groups, former and invited ones."""
    return chain.from_iterable(
        _of_membership(membership, tenant, common) for membership in plan.memberships.values()
    )


def _of_membership(membership: Membership, tenant: Tenant, common: Common) -> Iterator[User]:
    name = membership.relation.name
    for role in membership.roles[1:] or ("",):
        member = user(tenant, f"{role or 'member'} of {name}", common)
        member.place = Member(membership=membership, role=role or None)
        yield member
    if len(membership.roles) > 1:
        member = user(tenant, f"member of two groups in {name}", common)
        member.place = Member(membership=membership, role=membership.weakest, in_both=True)
        yield member
    if membership.former is not None:
        member = user(tenant, f"former member of {name}", common)
        member.place = Member(membership=membership, role=membership.weakest, former=True)
        yield member
    if membership.invited is not None:
        member = user(tenant, f"invited person of {name}", common)
        member.place = Member(membership=membership, role=membership.weakest, invited=True)
        yield member


def _in_states(plan: Plan, tenant: Tenant, common: Common) -> Iterator[User]:
    """A member whose membership is in a state, for each state of it."""
    for membership in plan.memberships.values():
        for column, value in membership.states[: LIMITS.standings]:
            state = membership.state(column, value)
            member = user(tenant, f"user with {membership.relation.name}: {state}", common)
            role = next(iter(membership.roles), None)
            member.place = MemberInState(membership=membership, role=role, standing=(column, value))
            yield member


def _elsewhere(plan: Plan, tenant: Tenant, common: Common) -> Iterator[User]:
    """Those who have a role in the group of the stranger."""
    for membership, role in plan.roles_elsewhere:
        name = f"{role} of {membership.relation.name} in another group"
        member = user(tenant, name, common)
        member.place = Member(membership=membership, role=role)
        yield member


def _further(number: int, tenant: Tenant, common: Common) -> Iterator[User]:
    """So many users who belong to no group."""
    for one in range(number):
        further = user(tenant, f"further user {one}", common)
        further.place = Further()
        yield further


def _with_posts_and_links(plan: Plan, tenant: Tenant, common: Common) -> Iterator[User]:
    """A user for each role on the whole project, and one for each column that links a user with a
    row of the owner.
    """
    for post in plan.posts:
        holder = user(tenant, f"user with {post.relation.name}: {post.name}", common)
        holder.place = post
        yield holder
    for relation, column in plan.links[: LIMITS.links]:
        linked = user(tenant, f"{column} of {relation.name}", common)
        linked.place = Link(relation, column)
        yield linked


def _listed(plan: Plan, tenant: Tenant, common: Common) -> Iterator[User]:
    """Members of a group that is listed for a row of the owner, or was."""
    for listing in plan.listings[: LIMITS.listings]:
        of = f"{listing.membership.relation.name} by {listing.relation.name}"
        for has_left in (False, True) if listing.former else (False,):
            member = user(tenant, f"{'former ' if has_left else ''}member of {of}", common)
            member.place = Listed(listing, has_left)
            yield member


def _user_id(tenant: Tenant, number: int) -> str:
    """The id of a user, which follows from the token; for a stable token, it names its tenant."""
    if tenant.token == make_token(tenant.name, stable=True):
        return f"{tenant.name}{number:07d}-0000-4000-8000-{number:012d}"
    return values.made_uuid(tenant.token, "user", str(number))


def _sort_ids(users: Sequence[User]) -> None:
    """Give the users ids in ascending order, so that each run satisfies the same comparisons of
    ids.
    """
    for one, id_ in zip(users, sorted(one.id for one in users), strict=True):
        one.id = id_
