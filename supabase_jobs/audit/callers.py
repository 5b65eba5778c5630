"""The callers of the audit: every kind of request that can reach the project's tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from supabase_jobs.audit.configuration import DeclaredCaller
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.insert import claims_of, place
from supabase_jobs.audit.rows.tenants import BOTH, Ended, Row, Tenant, User
from supabase_jobs.session.identity import Identity

ANON, NEWCOMER, STRANGER, OWNER, MEMBER, FORMER, FORGER, CLAIM, DECLARED, ANONYMOUS, SERVICE = (
    "anon",
    "newcomer",
    "stranger",
    "owner",
    "member",
    "former",
    "forger",
    "claim",
    "declared",
    "anonymous",
    "service",
)


# claims that Auth sets
_FIXED_CLAIMS = {("role",), ("aud",), ("sub",), ("email",), ("is_anonymous",)}


@dataclass(frozen=True, eq=False)
class Caller:
    """A kind of request. `label` names it in reports; `user` and `tenant` are set for a signed-in
    user or a guest.

    `kind`: anon has no identity, a newcomer has only signed up, the stranger is the owner of tenant
    B, the owner that of tenant A; a member and a former member belong to A's group, or by
    `User.link` to a row of A's owner, as does a header that names a row that has ended; a forger
    sets claims or headers that anyone can choose; a user with a claim has one that only the project
    gives, such as a role. `declared` is an outsider of audit.toml. `anonymous` is the stranger
    after an anonymous sign-in, `service` the role service_role. `ended` is what marks a former
    member.
    """

    label: str
    kind: str
    identity: Identity
    user: User | None
    tenant: Tenant | None
    ended: Ended | None = None

    @property
    def role(self) -> str:
        """The database role."""
        return self.identity.role

    @property
    def is_outsider(self) -> bool:
        """Whether the caller has nothing to do with tenant A."""
        return self.kind in (ANON, NEWCOMER, STRANGER, FORMER, FORGER, DECLARED, ANONYMOUS)

    def own_row(self, oid: int) -> Row | None:
        """The caller's own row of a table."""
        if self.user is None:
            return None
        return self.user.rows.get(oid)


def find(world: World, declared: Sequence[DeclaredCaller] = ()) -> list[Caller]:
    """The callers for a world, and those of audit.toml."""
    return [*_callers(world), *(_declared(world, caller) for caller in declared)]


def _declared(world: World, declared: DeclaredCaller) -> Caller:
    """A caller of audit.toml: an identity of the world with further claims and headers."""
    headers = dict(declared.headers)
    if declared.role != "authenticated":
        claims: dict[str, Any] = {"role": declared.role}
        user, tenant = None, None
    else:
        tenants = {"owner": world.a, "stranger": world.b}
        tenant = tenants.get(declared.user) or Tenant("c", "", [world.newcomer])
        user = tenant.owner
        claims = claims_of(tenant, user)
    for path, value in _leaves(declared.claims, ()):
        place(claims, path, value)
    kind = OWNER if declared.user == "owner" else DECLARED if declared.outsider else CLAIM
    identity = _identity(declared.name, declared.role, claims, headers or None)
    return Caller(declared.name, kind, identity, user, tenant)


def _identity(
    name: str, role: str, claims: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Identity:
    """An identity whose texts are values: those of `Identity` may have placeholders, which begin
    with `$`.
    """

    def plain(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: value.replace("$", "$$") if isinstance(value, str) else value
            for key, value in values.items()
        }

    return Identity(name, role, plain(claims), plain(headers) if headers is not None else None)


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _callers(world: World) -> Iterator[Caller]:
    roles = world.plan.catalog.roles
    if "anon" in roles:
        yield Caller("anon", ANON, _identity("anon", "anon", {"role": "anon"}), None, None)
        if world.a.headers:
            stranger = _identity("guest", "anon", {"role": "anon"}, dict(world.b.headers))
            yield Caller("anon with another header", STRANGER, stranger, world.b.owner, world.b)
            owner = _identity("guest", "anon", {"role": "anon"}, dict(world.a.headers))
            yield Caller("anon with the row's header", OWNER, owner, world.a.owner, world.a)
        for name, value in sorted(world.a.ended_headers.items()):
            former = _identity(
                "former guest", "anon", {"role": "anon"}, {**world.b.headers, name: value}
            )
            yield Caller(
                f"anon with an ended {name}", FORMER, former, None, None, world.a.ended[name][0]
            )
        for name, literals in sorted(world.plan.usage.header_literals.items()):
            for literal in literals:
                label = f"anon with the header {name} = {literal}"
                identity = _identity(
                    label, "anon", {"role": "anon"}, {**world.b.headers, name: literal}
                )
                yield Caller(label, FORGER, identity, None, None)
    if "authenticated" not in roles:
        return
    empty = Tenant("c", "", [world.newcomer])
    yield _signed_in("newcomer", NEWCOMER, empty, world.newcomer)
    yield _signed_in("stranger", STRANGER, world.b, world.b.owner)
    if "is_anonymous" in world.plan.usage.words:
        claims = {**claims_of(world.b, world.b.owner), "is_anonymous": True}
        identity = _identity("anonymous", "authenticated", claims)
        yield Caller("anonymous sign-in", ANONYMOUS, identity, world.b.owner, world.b)
    chosen = {path: value for path, value in world.a.claims.items() if path[0] == "user_metadata"}
    if chosen:
        claims = claims_of(world.b, world.b.owner)
        for path, value in chosen.items():
            place(claims, path, value)
        identity = _identity("forger", "authenticated", claims)
        yield Caller(
            "stranger with the row's user_metadata", FORGER, identity, world.b.owner, world.b
        )
    for path, literals in world.plan.usage.claim_literals.items():
        if path[0] == "user_metadata":
            for literal in literals:
                claims = claims_of(world.b, world.b.owner)
                place(claims, path, _parsed(literal))
                label = f"stranger with {'.'.join(path)} = {literal}"
                yield Caller(
                    label,
                    FORGER,
                    _identity("forger", "authenticated", claims),
                    world.b.owner,
                    world.b,
                )
    yield from _with_claims(world)
    if world.a.claims and not world.plan.memberships:
        yield _signed_in("colleague", MEMBER, world.a, world.a.users[1])
    for user in world.a.users:
        if user.former and user.membership is not None and user.membership.former is not None:
            caller = _signed_in(user.label, FORMER, world.a, user, without_claims=True)
            yield replace(caller, ended=Ended(user.membership.relation, *user.membership.former))
        elif user.in_both and not any(row.part == BOTH for row in user.extra):
            continue  # a user can belong to one group only
        elif user.membership is not None:
            yield _signed_in(user.label, MEMBER, world.a, user)
        elif user.link is not None and user.link[0].oid in user.rows:
            yield _signed_in(user.label, MEMBER, world.a, user, without_claims=True)
    yield _signed_in("owner", OWNER, world.a, world.a.owner)
    if "service_role" in roles:
        yield Caller(
            "service_role",
            SERVICE,
            _identity("service", "service_role", {"role": "service_role"}),
            None,
            None,
        )


def _with_claims(world: World) -> Iterator[Caller]:
    """A stranger, or for the session's level the owner, with each constant that a claim is compared
    with.
    """
    for path, literals in sorted(world.plan.usage.claim_literals.items()):
        if path[0] == "user_metadata" or path in _FIXED_CLAIMS:
            continue
        own = path == ("aal",)
        tenant = world.a if own else world.b
        for literal in literals:
            claims = claims_of(tenant, tenant.owner)
            place(claims, path, _parsed(literal))
            label = f"{'owner' if own else 'user'} with {'.'.join(path)} = {literal}"
            identity = _identity(label, "authenticated", claims)
            yield Caller(label, OWNER if own else CLAIM, identity, tenant.owner, tenant)


def _parsed(literal: str) -> object:
    return {"true": True, "false": False}.get(literal, literal)


def _signed_in(
    label: str, kind: str, tenant: Tenant, user: User, *, without_claims: bool = False
) -> Caller:
    source = Tenant(tenant.name, tenant.token, tenant.users) if without_claims else tenant
    claims = claims_of(source, user)
    return Caller(label, kind, _identity(label, "authenticated", claims, None), user, tenant)
