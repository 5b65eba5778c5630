"""The callers of the audit: every kind of request that can reach the project's tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from supabase_jobs.audit.configuration import DeclaredCaller
from supabase_jobs.audit.policies.expressions import EACH
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import claims_of, place, remove
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import BOTH, Ended, Listed, Row, Standing, Tenant, User
from supabase_jobs.findings import Holds
from supabase_jobs.session.caller import Caller

(
    ANON,
    NEWCOMER,
    STRANGER,
    OWNER,
    MEMBER,
    INVITED,
    FORMER,
    FORGER,
    IMPOSTOR,
    CLAIM,
    DECLARED,
    ANONYMOUS,
    LAPSED,
    SERVICE,
) = (
    "anon",
    "newcomer",
    "stranger",
    "owner",
    "member",
    "invited",
    "former",
    "forger",
    "impostor",
    "claim",
    "declared",
    "anonymous",
    "lapsed",
    "service",
)


_MEANINGS = {
    ANON: "without signing in",
    NEWCOMER: "signed in, without rows",
    STRANGER: "signed in, with rows of their own",
    ANONYMOUS: "signed in anonymously, with rows of their own",
    OWNER: "the user whose rows they are",
    FORGER: "signed in, with rows of their own, and user_metadata of their choice",
    DECLARED: "a caller of audit.toml",
    SERVICE: "the backend",
}

# the outsiders, from the most to the least general
OUTSIDERS = (
    ANON,
    NEWCOMER,
    STRANGER,
    ANONYMOUS,
    INVITED,
    FORMER,
    FORGER,
    IMPOSTOR,
    DECLARED,
)
# the outsiders, then those of a group
GENERAL = (*OUTSIDERS, MEMBER)
ANONYMOUS_SIGN_IN = "anonymous sign-in"
_OPERATION = "storage.operation"
# claims that Auth sets
FIXED_CLAIMS = {("role",), ("aud",), ("sub",), ("email",), ("is_anonymous",)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Persona(Caller):
    """A caller, and what it has to do with the generated rows. `user` and `tenant` are set for a
    signed-in user or a guest.

    `kind`: anon has no identity, a newcomer has only signed up, the stranger is the owner of tenant
    B, the owner that of tenant A; a member and a former member belong to A's group, or by
    `User.link` to a row of A's owner, as does a header that names a row that has ended; an invited
    person has not accepted the membership yet; an impostor signs up with metadata that anyone can
    choose; a forger
    sets claims or headers that anyone can choose; a user with a claim has one that only the project
    gives, such as a role. `declared` is an outsider of audit.toml. `anonymous` is the stranger
    after an anonymous sign-in, `service` the role service_role. `ended` is what marks a former
    member. A `lapsed` one is a member in a state that closes tables to them: it calls functions
    only, since what it reads is known. `operation` is set for a request to Storage whose operation
    policies ask for. `claim` is that in which a user has a value that policies know.
    `is_elsewhere`: the user has a role that counts in the own group only, that of B. `bears` are
    the words for the header or the metadata that distinguish the caller, '' for others;
    `has_header_of_row`: a signed-in user sends a header that names the group of the row.
    `row_of` is the table of which a row gives the user a role or a state, '' for others.
    """

    kind: str
    user: User | None = None
    tenant: Tenant | None = None
    ended: Ended | None = None
    operation: str = ""
    claim: tuple[str, ...] = ()
    is_elsewhere: bool = False
    bears: str = ""
    has_header_of_row: bool = False
    row_of: str = ""

    def during(self, operation: str) -> "Persona":
        """The caller in a request to Storage with this operation."""
        return replace(
            self,
            label=f"{self.label} during {operation}",
            bears=f"{self.bears} during {operation}" if self.bears else "",
            settings={**self.settings, _OPERATION: operation},
            operation=operation,
        )

    @property
    def is_outsider(self) -> bool:
        """Whether the caller has nothing to do with tenant A."""
        return self.kind in OUTSIDERS or self.is_elsewhere

    @property
    def has_role_elsewhere(self) -> bool:
        """Whether the row of the user has a role beside another tenant."""
        return self.is_elsewhere and self.kind == STRANGER

    @property
    def is_made(self) -> bool:
        """Whether the user was made for a policy, so that another text of it may need another
        one.
        """
        return self.user is not None and self.user.solved is not None

    @property
    def is_inactive(self) -> bool:
        """Whether the caller was a member of the group, or has not accepted the membership yet."""
        return self.kind in (FORMER, INVITED)

    def claim_at(self, path: Sequence[str]) -> str | None:
        """The claim at a path as text; None if the caller has none."""
        found: Any = self.claims
        for name in path:
            if name == EACH:
                found = found[0] if isinstance(found, list) and found else None
                continue
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else str(found)

    @property
    def meaning(self) -> str:
        """Who the caller is, in words."""
        user = self.user
        if user is not None and user.beside is not None:
            whose = "" if self.kind == OWNER else "signed in, with rows of their own, "
            return f"{whose}a user with a row of {user.beside.name}, which the owner cannot have"
        if self.role == "anon" and self.kind != ANON:
            return "without signing in, with this header"
        if self.has_header_of_row:
            return "signed in, with rows of their own, and the header of another group"
        if user is None or (self.kind in _MEANINGS and not user.membership and not user.state):
            return _MEANINGS[self.kind]
        if user.membership is not None:
            return _meaning_of_member(self, user, user.membership)
        if user.post is not None:
            return f"a user whose row in {user.post.relation.name} has {user.post.name}"
        if user.listed is not None:
            lists = "listed" if user.listed.has_left else "lists"
            return f"a member of another group, which {user.listed.listing.relation.name} {lists}"
        if user.link is not None:
            return f"the user whom {user.link.relation.name}.{user.link.column} names"
        if user.solved is not None:
            return f"a {user.label}, which a policy asks for"
        if user.state is not None:
            whose = "a user of another group" if self.kind == STRANGER else "a user"
            return f"{whose} whose row in {user.state.relation.name} has: {user.state.part}"
        if self.kind == MEMBER:
            return "another user of the owner's group"
        return f"a {self.label}"

    def own_row(self, oid: int) -> Row | None:
        """The caller's own row of a table."""
        if self.user is None:
            return None
        return self.user.rows.get(oid)


def _meaning_of_member(caller: Persona, user: User, membership: Membership) -> str:
    """Who a member is, by the table of memberships."""
    table, role = membership.relation.name, user.role
    if caller.kind == FORMER:
        return f"a member by {table} whose membership has ended"
    if caller.kind == INVITED:
        return f"a person who has not accepted a membership by {table}"
    if user.standing is not None:
        return f"a member by {table} with {membership.state(*user.standing)}"
    if caller.kind == STRANGER:
        return f"a member of another group whose role in {table} is {role}"
    if user.in_both:
        return f"a member by {table} who has a stronger role in another group"
    return f"a member whose role in {table} is {role}" if role else f"a member by {table}"


def find(world: World, declared: Sequence[DeclaredCaller] = ()) -> list[Persona]:
    """The callers for a world, and those of audit.toml."""
    found = [*_callers(world), *(_declared(world, caller) for caller in declared)]
    operations = world.plan.usage.request.operations
    found += [caller.during(operation) for operation in operations for caller in found]
    # as in a request, whose headers are an object even if it has none
    return [replace(caller, headers=caller.headers or _sent(world, caller)) for caller in found]


def _sent(world: World, caller: Persona) -> dict[str, str]:
    """The headers by which the app says which group its user has selected, who belongs to it."""
    is_member = not caller.is_inactive and caller.kind != LAPSED
    if caller.role != "authenticated" or caller.tenant is None or not is_member:
        return {}
    own = caller.tenant.headers.items()
    return {name: value for name, value in own if _names_group(world.plan, name)}


def current(standings: Sequence[Standing], everyone: Sequence[Persona]) -> list[Standing]:
    """Those of users who are not known as former members or invited persons."""
    inactive = {id(caller.user) for caller in everyone if caller.is_inactive}
    return [one for one in standings if id(one.user) not in inactive]


def _declared(world: World, declared: DeclaredCaller) -> Persona:
    """A caller of audit.toml: an identity of the world with further claims and headers."""
    headers = dict(declared.headers or {})
    if declared.role != "authenticated":
        claims: dict[str, Any] = {"role": declared.role}
        user, tenant = None, None
    else:
        tenants = {"owner": world.a, "stranger": world.b}
        tenant = tenants.get(declared.user) or Tenant(name="c", token="", users=[world.newcomer])
        user = tenant.owner
        claims = claims_of(tenant, user)
    for path, value in _leaves(declared.claims or {}, ()):
        place(claims, path, value)
    return Persona(
        label=declared.label,
        kind=_kind(declared),
        role=declared.role,
        claims=claims,
        headers=headers,
        user=user,
        tenant=tenant,
    )


def _kind(declared: DeclaredCaller) -> str:
    if declared.user == "owner":
        return OWNER
    return DECLARED if declared.outsider else CLAIM


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _callers(world: World) -> Iterator[Persona]:
    roles = world.plan.catalog.roles
    if "anon" in roles:
        yield from _guests(world)
    if "authenticated" in roles:
        yield from _users(world)
        if "service_role" in roles:
            yield Persona(
                label="service_role",
                kind=SERVICE,
                role="service_role",
                claims={"role": "service_role"},
            )


def _guests(world: World) -> Iterator[Persona]:
    """The requests without a user: without and with the headers that policies read."""
    a, b = world.a, world.b
    anon = Persona(label="anon", kind=ANON, role="anon", claims={"role": "anon"})
    yield anon
    if a.headers:
        yield replace(
            anon,
            label="anon with another header",
            kind=STRANGER,
            headers=dict(b.headers),
            user=b.owner,
            tenant=b,
        )
        yield replace(
            anon,
            label="anon with the row's header",
            kind=OWNER,
            headers=dict(a.headers),
            user=a.owner,
            tenant=a,
        )
    for name, value in sorted(a.ended_headers.items()):
        yield replace(
            anon,
            label=f"anon with an ended {name}",
            bears=f"an ended {name}",
            kind=FORMER,
            headers={**b.headers, name: value},
            ended=a.ended[name][0],
        )
    for name, literals in sorted(world.plan.usage.request.header_literals.items()):
        for literal in literals:
            yield replace(
                anon,
                label=f"anon with the header {name} = {literal}",
                bears=f"the header {name} = {literal}",
                kind=FORGER,
                headers={**b.headers, name: literal},
            )


def _users(world: World) -> Iterator[Persona]:
    """The requests of the generated users."""
    empty = Tenant(name="c", token="", users=[world.newcomer])
    yield _signed_in("newcomer", NEWCOMER, empty, world.newcomer)
    stranger = _signed_in("stranger", STRANGER, world.b, world.b.owner)
    yield stranger
    for user in world.b.users:
        if user.membership is not None and user.membership.relation.oid in user.rows:
            yield _signed_in(user.label, STRANGER, world.b, user)
    if "is_anonymous" in world.plan.usage.mentions.words:
        claims = {**claims_of(world.b, world.b.owner), "is_anonymous": True}
        yield replace(stranger, label=ANONYMOUS_SIGN_IN, kind=ANONYMOUS, claims=claims)
    for user in world.impostors:
        impostor = _signed_in(user.label, IMPOSTOR, empty, user)
        yield replace(impostor, bears=user.signs_up_with)
    yield from _forgers(world, stranger)
    yield from _with_claims(world)
    if (world.a.claims and not world.plan.memberships) or world.plan.tenants:
        yield _signed_in("colleague", MEMBER, world.a, world.a.users[1])
    for user in world.a.users:
        member = user.member
        if member is not None and member.invited:
            invited = _signed_in(user.label, INVITED, world.a, user, without_claims=True)
            mark = member.membership.invited
            yield replace(invited, ended=mark and Ended(member.membership.relation, *mark))
        elif member is not None and member.former and member.membership.former is not None:
            former = _signed_in(user.label, FORMER, world.a, user, without_claims=True)
            ended = Ended(member.membership.relation, *member.membership.former)
            yield replace(former, ended=ended)
        elif user.standing is not None:
            if any(standing.user is user for standing in world.observed.standings):
                yield _signed_in(user.label, LAPSED, world.a, user, without_claims=True)
        elif user.in_both and not any(row.part == BOTH for row in user.extra):
            continue  # a user can belong to one group only
        elif user.membership is not None:
            yield _signed_in(user.label, MEMBER, world.a, user)
        elif user.listed is not None:
            if user.listed.listing.relation.oid in user.rows:
                yield _of_listed_group(world, user, user.listed)
        elif user.link is not None and user.link.relation.oid in user.rows:
            yield _signed_in(user.label, MEMBER, world.a, user, without_claims=True)
    yield from _in_states(world)
    for user in world.observed.local:
        if user.state is not None:
            label = f"{_label_of_state(user.state)} in another group"
            person = _signed_in(label, STRANGER, world.b, user)
            yield replace(person, is_elsewhere=True, row_of=user.state.relation.name)
    yield from _with_posts(world)
    yield from _made(world)
    yield _signed_in("owner", OWNER, world.a, world.a.owner)
    for tenant, kind in ((world.a, OWNER), (world.b, STRANGER)):
        for user in tenant.users:
            if user.beside is not None:
                yield _of_other_kind(user, kind, tenant)


def _made(world: World) -> Iterator[Persona]:
    """The persons who were made for a policy that nobody else satisfies."""
    for tenant in (world.a, world.b):
        for user in tenant.users:
            if user.solved is None:
                continue
            if user.solved.ended is not None:
                if any(standing.user is user for standing in world.observed.standings):
                    yield _signed_in(user.label, LAPSED, tenant, user)
            elif user.solved.has_role:
                yield replace(_signed_in(user.label, STRANGER, tenant, user), is_elsewhere=True)
            else:
                kind = CLAIM if user.solved.is_free else MEMBER
                yield _signed_in(user.label, kind, tenant, user)


def _of_other_kind(user: User, kind: str, tenant: Tenant) -> Persona:
    """Somebody with a row that the owner, or the stranger, cannot have."""
    label = user.label if kind == OWNER else f"stranger as {user.label}"
    return _signed_in(label, kind, tenant, user)


def _of_listed_group(world: World, user: User, listed: Listed) -> Persona:
    """A member of a group that a row lists beside that of the owner, or has listed."""
    member = _signed_in(user.label, MEMBER, world.a, user, without_claims=True)
    listing = listed.listing
    if not listed.has_left or listing.former is None:
        return member
    return replace(member, kind=FORMER, ended=Ended(listing.relation, *listing.former))


def _with_posts(world: World) -> Iterator[Persona]:
    """The users with a role on the whole project, which has ended or has not begun for some."""
    for user in world.a.users:
        post = user.post
        if post is None or post.relation.oid not in user.rows:
            continue
        kind, mark = CLAIM, None
        if post.former is not None:
            kind, mark = FORMER, post.former
        elif post.invited is not None:
            kind, mark = INVITED, post.invited
        persona = _signed_in(user.label, kind, world.a, user, without_claims=True)
        ended = mark and Ended(post.relation, *mark)
        yield replace(persona, ended=ended, row_of=post.relation.name)


def _in_states(world: World) -> Iterator[Persona]:
    """The users whose own row is in a state on which policies of other tables depend, such as the
    profile of an administrator.
    """
    kind = MEMBER if world.a.claims or world.plan.tenants else CLAIM
    for user in world.a.users:
        row = user.state
        if row is None or row.relation.oid not in world.plan.opening:
            continue
        label = _label_of_state(row)
        end = _end(world.plan, row) if row.relation.oid in world.plan.tenants else None
        person = _signed_in(label, kind, world.a, user)
        if end is not None:
            former = _signed_in(label, FORMER, world.a, user, without_claims=True)
            person = replace(former, ended=end)
        yield replace(person, row_of=row.relation.name)


def _label_of_state(row: Row) -> str:
    return f"user with {row.relation.name}: {row.part}"


def _end(plan: Plan, row: Row) -> Ended | None:
    """How the user of a row has left the tenant, if the state of the row says it."""
    words = plan.words
    for column in () if row.part is None else row.part.columns:
        is_ended = words.ending_columns.matches(column.name)
        is_ended &= column.holds is Holds.SET or column.value == "true"
        is_ended |= words.valid_columns.matches(column.name) and column.value == "false"
        is_ended |= words.state_columns.matches(column.name) and words.ended_states.matches(
            column.value
        )
        if is_ended:
            return Ended(row.relation, column.name, row.values[column.name])
    return None


def _forgers(world: World, stranger: Persona) -> Iterator[Persona]:
    """The stranger with user_metadata, which every user can choose."""
    b = world.b
    chosen = {path: value for path, value in world.a.claims.items() if path[0] == "user_metadata"}
    if chosen:
        claims = claims_of(b, b.owner)
        for path, value in chosen.items():
            _choose(world, claims, path, value)
        label = "stranger with the row's user_metadata"
        yield replace(stranger, label=label, kind=FORGER, claims=claims)
    for name, value in sorted(world.a.headers.items()):
        if _names_group(world.plan, name):
            headers = {**b.headers, name: value}
            yield replace(
                stranger,
                label=f"stranger with the row's header {name}",
                kind=FORGER,
                headers=headers,
                bears=name,
                has_header_of_row=True,
            )
    for path, literals in world.plan.usage.request.claim_literals.items():
        if path[0] != "user_metadata":
            continue
        for literal in literals:
            claims = claims_of(b, b.owner)
            _choose(world, claims, path, parsed(literal))
            label = f"stranger with {'.'.join(path)} = {literal}"
            yield replace(stranger, label=label, kind=FORGER, claims=claims)


def _names_group(plan: Plan, header: str) -> bool:
    """Whether policies compare a header with the id of a group, which is no secret."""
    for oid, column in plan.usage.request.headers.get(header, ()):
        relation = plan.catalog.by_oid[oid]
        targets = {key.target for key in relation.foreign_keys if key.columns == (column,)}
        is_key = oid in plan.groups and relation.primary_key == (column,)
        if is_key or not targets.isdisjoint(plan.groups):
            return True
    return False


def _choose(world: World, claims: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Set a claim of user_metadata. Those that count before it are not given to everybody."""
    place(claims, path, value)
    for before in world.plan.usage.request.preferred.get(path, ()):
        if before not in FIXED_CLAIMS:
            remove(claims, before)


def _with_claims(world: World) -> Iterator[Persona]:
    """A stranger, or for the session's level the owner, with each constant that a claim is compared
    with.
    """
    for path, literals in sorted(world.plan.usage.request.claim_literals.items()):
        if path[0] == "user_metadata" or path in FIXED_CLAIMS:
            continue
        own = path == ("aal",)
        tenant = world.a if own else world.b
        for literal in literals:
            claims = claims_of(tenant, tenant.owner)
            place(claims, path, parsed(literal))
            yield Persona(
                label=f"{'owner' if own else 'user'} with {'.'.join(path)} = {literal}",
                kind=OWNER if own else CLAIM,
                claim=path,
                is_elsewhere=(path, literal) in world.observed.local_claims,
                role="authenticated",
                claims=claims,
                user=tenant.owner,
                tenant=tenant,
            )


def parsed(literal: str) -> object:
    """The value of a claim that a policy compares with this constant."""
    return {"true": True, "false": False}.get(literal, literal)


def _signed_in(
    label: str, kind: str, tenant: Tenant, user: User, *, without_claims: bool = False
) -> Persona:
    source = (
        Tenant(name=tenant.name, token=tenant.token, users=tenant.users)
        if without_claims
        else tenant
    )
    return Persona(
        label=label,
        kind=kind,
        role="authenticated",
        claims=claims_of(source, user),
        user=user,
        tenant=tenant,
    )
