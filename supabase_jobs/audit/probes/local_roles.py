"""The roles that count in the group of their holder only, found by trying: a role that stands
beside the tenant, in the user's own row or in the token.

Such a role of the project, as that of its support, counts in every group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from supabase_jobs.audit.callers import FIXED_CLAIMS, parsed
from supabase_jobs.audit.policies.expressions import CHOSEN
from supabase_jobs.audit.probes.readable import Queries, Reads, queries
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import claims_of, place
from supabase_jobs.audit.rows.tenants import Tenant, User
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import Runner

_ROLE = "authenticated"
_Claim = tuple[tuple[str, ...], str]


@dataclass(frozen=True, eq=False)
class _Holders:
    """Two holders of a role, in tenant A and in the other one, with the rows of A that each
    reads.
    """

    found: User | _Claim
    inside: Reads
    outside: Reads


def find(impersonation: Impersonation, world: World, deadline: Deadline) -> World:
    """The world with its roles that count in one group only."""
    plan, owner = world.plan, world.a.owner
    if _ROLE not in plan.catalog.roles:
        return world
    rows = [*owner.all_rows]
    tables = queries(plan.catalog, _ROLE, rows)
    holders = [*_of_rows(world, tables), *_of_claims(world, tables)]
    if not holders:
        return world
    plain = Reads(_caller(world.a, world.a.users[1]), tables)
    reads = [one for each in holders for one in (each.inside, each.outside)]
    Runner(impersonation, deadline).run([plain, *reads])
    by_row = {id(row): row.relation.oid for row in rows}

    def is_local(one: _Holders) -> bool:
        opened = one.inside.readable - plain.readable
        inside = {by_row[row] for row in opened}
        outside = {by_row[row] for row in opened & one.outside.readable}
        return len(inside) > 2 * len(outside)

    found = [one.found for one in holders if is_local(one)]
    observed = replace(
        world.observed,
        local=tuple(one for one in found if isinstance(one, User)),
        local_claims=frozenset(one for one in found if not isinstance(one, User)),
    )
    return replace(world, observed=observed)


def _of_rows(world: World, tables: Queries) -> Iterator[_Holders]:
    """The roles in the row in which the tenant of a user stands."""
    own = {(u.state.relation.oid, u.state.part): u for u in world.a.users if u.state is not None}
    for user in world.b.users:
        row = user.state
        same = None if row is None else own.get((row.relation.oid, row.part))
        if same is not None:
            inside = Reads(_caller(world.a, same), tables)
            yield _Holders(user, inside, Reads(_caller(world.b, user), tables))


def _of_claims(world: World, tables: Queries) -> Iterator[_Holders]:
    """The roles in the token, if the tenant stands there too."""
    if not any(path[0] != CHOSEN for path in world.a.claims):
        return
    users = (world.a, world.a.users[1]), (world.b, world.b.owner)
    for path, literals in sorted(world.plan.usage.request.claim_literals.items()):
        if path[0] == CHOSEN or path in FIXED_CLAIMS or path == ("aal",):
            continue
        for literal in literals:
            inside, outside = (_caller(*user, (path, literal)) for user in users)
            yield _Holders((path, literal), Reads(inside, tables), Reads(outside, tables))


def _caller(tenant: Tenant, user: User, claim: _Claim | None = None) -> Caller:
    claims = claims_of(tenant, user)
    if claim is not None:
        place(claims, claim[0], parsed(claim[1]))
    return Caller(label=user.label, role=_ROLE, claims=claims, headers={})
