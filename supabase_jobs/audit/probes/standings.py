"""The states in which policies let somebody pass, found by trying: ordinary members get one of
them, and users in a state that closes tables are noted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.probes.readable import Reads, queries
from supabase_jobs.audit.probes.statements import constants
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import claims_of
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.tenants import Row, Standing, Tenant, User
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.session.action import equal
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import Deadline
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.savepoint import keeping

_ROLE = "authenticated"
# the values of a row that policies tell apart, by their columns
_Values = dict[str, str | None]


@dataclass(frozen=True, eq=False)
class _Placed:
    """A user with the row of a table that says what they may do, and the tables that they read."""

    user: User
    relation: Relation
    values: _Values
    reads: frozenset[int]


def settle(impersonation: Impersonation, world: World, deadline: Deadline) -> World:
    """The world with its standings; members whose state lets nobody pass get another one."""
    users = [user for user in world.a.users if _relation_of(user) is not None]
    made = any(user.solved is not None and user.solved.ended for user in world.users)
    settled = {user.label for user in world.a.users if _has_begun(user)}
    if not (users or made) or _ROLE not in world.plan.catalog.roles:
        observed = replace(world.observed, settled=frozenset(settled))
        return replace(world, observed=observed)
    trial = _Trial(impersonation, world, Runner(impersonation, deadline))
    placed = trial.placed(users)
    for membership in world.plan.memberships.values():
        of_table = [one for one in placed if _stands_by(one.user, membership)]
        for column in dict.fromkeys(name for name, _ in membership.states):
            settled |= trial.let_pass(membership, column, of_table)
        if of_table and len(membership.roles) > 1:
            again = {one.user: one for one in trial.with_strongest_role(membership, of_table)}
            placed = [again.get(one.user, one) for one in placed]
    found: dict[User, Standing] = {}
    for one in placed:
        for standing in _closing(world, one, placed):
            found.setdefault(one.user, standing)
    found |= {standing.user: standing for standing in trial.of_ended()}
    observed = replace(world.observed, standings=tuple(found.values()), settled=frozenset(settled))
    return replace(world, observed=observed)


def _has_begun(user: User) -> bool:
    """Whether the membership of a user has another state than the one in which it begins."""
    membership = user.membership
    row = None if membership is None else user.rows.get(membership.relation.oid)
    return row is not None and bool(row.begun)


def _stands_by(user: User, membership: Membership) -> bool:
    return user.standing is not None and user.membership is membership


def _relation_of(user: User) -> Relation | None:
    """The table of the row that says what a user may do."""
    relation = None
    if user.standing is not None and user.membership is not None:
        relation = user.membership.relation
    elif user.post is not None:
        relation = user.post.relation
    elif user.state is not None:
        relation = user.state.relation
    return relation if relation is not None and relation.oid in user.rows else None


class _Trial:
    """Reads as users, and changes their rows."""

    def __init__(self, impersonation: Impersonation, world: World, runner: Runner) -> None:
        self._impersonation, self._world, self._runner = impersonation, world, runner
        owner = world.a.owner
        self._rows = [*owner.all_rows]
        self._queries = queries(world.plan.catalog, _ROLE, self._rows)
        self._of_everybody: set[int] | None = None

    def placed(self, users: Sequence[User]) -> list[_Placed]:
        """The users in a state, with the tables that each reads."""
        tables = zip(users, self._reads(users), strict=True)
        return [_placed(user, read) for user, read in tables]

    def _reads(self, users: Sequence[User]) -> list[frozenset[int]]:
        """The tables of which each user reads rows of the owner that a new user does not read."""
        everybody = Tenant(name="c", token="", users=[self._world.newcomer])
        a, b = self._world.a, self._world.b
        callers = [_caller(b if user in b.users else a, user) for user in users]
        reads = [Reads(caller, self._queries) for caller in callers]
        if self._of_everybody is None:
            first = Reads(_caller(everybody, everybody.owner), self._queries)
            self._runner.run([first, *reads])
            self._of_everybody = first.readable
        else:
            self._runner.run(reads)
        found = []
        for read in reads:
            seen = read.readable - self._of_everybody
            found.append(frozenset(r.relation.oid for r in self._rows if id(r) in seen))
        return found

    def of_ended(self) -> Iterator[Standing]:
        """The users who were made beside another one with the same rows, of which one has ended."""
        by_oid = self._world.plan.catalog.by_oid
        for user in self._world.users:
            made = user.solved
            if made is None or made.ended is None or made.base is None:
                continue
            relation, column, value = made.ended
            before, reads = self._reads([made.base, user])
            closed = {relation.oid for relation in made.closed} | (before - reads)
            if reads <= before and closed - reads:
                yield Standing(
                    user=user,
                    relation=relation,
                    column=column,
                    value=value,
                    open=_relations(by_oid, reads),
                    closed=_relations(by_oid, closed - reads),
                )

    def let_pass(self, membership: Membership, column: str, placed: Sequence[_Placed]) -> set[str]:
        """Give members the state that opens the most, if theirs opens less; their labels."""
        by_value = {
            one.values[column]: one
            for one in placed
            if one.user.standing is not None and one.user.standing[0] == column
        }
        best = max(by_value, key=lambda value: len(by_value[value].reads), default=None)
        if not by_value or not by_value[best].reads:
            return set()
        changed = []
        for user in self._members(membership):
            value = user.rows[membership.relation.oid].values[column]
            is_valid = self._world.plan.words.valid_states.matches(value or "")
            known = by_value.get(value)
            if known is not None and not is_valid and known.reads < by_value[best].reads:
                changed.append(user)
        return self._change(changed, membership.relation, {column: best})

    def _members(self, membership: Membership) -> list[User]:
        """The members of both groups; their owners too, if no name tells who has not accepted."""
        found = []
        for tenant in (self._world.a, self._world.b):
            for user in tenant.users:
                is_owner = user is tenant.owner and membership.invited is None
                is_member = user.membership is membership or is_owner
                is_current = user.standing is None and not user.is_inactive
                if is_member and is_current and membership.relation.oid in user.rows:
                    found.append(user)
        return found

    def with_strongest_role(
        self, membership: Membership, placed: Sequence[_Placed]
    ) -> list[_Placed]:
        """The users in the states of a membership with the role that reads the most; none if they
        have it.
        """
        users = [
            user
            for user in self._world.a.users
            if user.membership is membership and user.is_member and not user.in_both
            if membership.relation.oid in user.rows
        ]
        reads = zip(users, self._reads(users), strict=True)
        strongest, most = max(reads, key=lambda one: len(one[1]), default=(None, frozenset()))
        known = max(len(one.reads) for one in placed)
        if strongest is None or membership.role is None or len(most) <= known:
            return []
        standing = [one.user for one in placed]
        self._change(standing, membership.relation, {membership.role: strongest.role})
        for user in standing:
            if user.member is not None:
                user.place = replace(user.member, role=strongest.role)
        return self.placed(standing)

    def _change(
        self, users: Sequence[User], relation: Relation, values_: Mapping[str, str | None]
    ) -> set[str]:
        """Change the rows of users in a table; the labels of those whose row has changed."""
        groups = [keeping(_update(user.rows[relation.oid], values_)) for user in users]
        changed = set[str]()
        results = run_groups(self._impersonation.connection, groups) if groups else []
        for user, result in zip(users, results, strict=True):
            if result.error is None and result.answers[1].rows:
                ctid, *texts = result.answers[1].rows[0]
                found = dict(zip(relation.by_name, texts, strict=True))
                row = user.rows[relation.oid]
                begun = {**{name: row.values[name] for name in values_}, **row.begun}
                user.rows[relation.oid] = replace(row, values=found, ctid=ctid, begun=begun)
                changed.add(user.label)
        return changed


def _placed(user: User, reads: frozenset[int]) -> _Placed:
    relation = _relation_of(user)
    assert relation is not None  # noqa: S101  checked by settle
    return _Placed(user, relation, _values_of(user, relation), reads)


def _caller(tenant: Tenant, user: User) -> Caller:
    return Caller(label=user.label, role=_ROLE, claims=claims_of(tenant, user), headers={})


def _values_of(user: User, relation: Relation) -> _Values:
    """The values by which the row of a user differs from others of its table."""
    row = user.rows[relation.oid]
    if user.post is not None:
        return dict(user.post.values)
    if user.standing is not None and user.membership is not None:
        names = dict.fromkeys(name for name, _ in user.membership.states)
        return {name: row.values[name] for name in names}
    columns = () if row.part is None else row.part.columns
    return {one.name: row.values[one.name] for one in columns}


def _update(row: Row, values_: Mapping[str, str | None]) -> Statement:
    texts = sql.SQL(", ").join(
        sql.SQL("{}::text").format(one.identifier) for one in row.relation.columns
    )
    assigned = equal(constants(row.relation, values_), ", ")
    text = sql.SQL("update {} set {} where {} returning ctid::text, {}").format(
        row.relation.identifier, assigned, row.condition, texts
    )
    return Statement(text.as_string(None))


def _closing(world: World, one: _Placed, placed: Sequence[_Placed]) -> Iterator[Standing]:
    """How the state of a user closes tables: somebody who differs in one column reads more."""
    by_oid = world.plan.catalog.by_oid
    for other in placed:
        if other.relation is not one.relation or not one.reads < other.reads:
            continue
        names = {*one.values, *other.values}
        differing = [name for name in names if one.values.get(name) != other.values.get(name)]
        for name in differing if len(differing) == 1 else ():
            if name in one.values and _says_end(world, one, other, name):
                yield Standing(
                    user=one.user,
                    relation=one.relation,
                    column=name,
                    value=one.values[name],
                    open=_relations(by_oid, one.reads),
                    closed=_relations(by_oid, other.reads - one.reads),
                )


def _relations(by_oid: Mapping[int, Relation], oids: Collection[int]) -> tuple[Relation, ...]:
    return tuple(by_oid[oid] for oid in sorted(oids))


def _says_end(world: World, one: _Placed, other: _Placed, name: str) -> bool:
    """Whether a column says that a row is not valid: not if it is a role, or a privilege that few
    have.
    """
    if one.user.standing is not None:
        return one.user.standing[0] == name and other.user.standing is not None
    column = one.relation.by_name[name]
    if column.base == "bool":
        return column.is_on_at_first and one.values[name] in ("false", "f")
    if column.base in values.TIMES:
        return values.may_be_unset(column) and one.values[name] is not None
    return world.plan.words.state_columns.matches(name)
