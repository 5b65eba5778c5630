"""Make the persons for whom nobody else stands, with the rows and claims that a policy asks for."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies.paths import Cell, ClaimStep
from supabase_jobs.audit.rows import solved
from supabase_jobs.audit.rows.beside import NewUserOf
from supabase_jobs.audit.rows.insert import Inserter
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.solved import Making, Wanted
from supabase_jobs.audit.rows.tenants import Row, Solved, Tenant, User
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import RowState
from supabase_jobs.session import sign_up
from supabase_jobs.session.savepoint import AFTER_STEPS, BEFORE_STEPS, run_undone
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError


def insert(
    connection: Connection,
    plan: Plan,
    tenants: Sequence[Tenant],
    inserter: Inserter,
    user_of: NewUserOf,
) -> None:
    """Sign up the persons, insert their rows, and add those to their tenants who satisfy what they
    were made for.
    """
    chosen = _chosen(connection, plan, tenants)
    if not chosen or not plan.catalog.has_auth:
        return
    labels = [_label(plan, one) for one in chosen]
    made = [
        (one, _user(plan, tenants, one, _numbered(labels, number), user_of))
        for number, one in enumerate(chosen)
    ]
    try:
        new = [NewUser(id=uuid.UUID(user.id), name=user.name) for _, user in made]
        for (_, user), row in zip(made, sign_up.run(connection, new).rows, strict=True):
            user.email = row["email"]
    except SignUpRejectedError:
        return
    run_groups(connection, [[BEFORE_STEPS]])[0].answer()
    bases: dict[int, User] = {}
    for number, tenant in enumerate(tenants):
        own = [user for one, user in made if one.is_stranger == bool(number)]
        inserter.insert_profiles(tenant, own)
    for one, user in made:
        maker = _Maker(plan, tenants, inserter, one, user)
        if not maker.make():
            continue
        maker.tenant.users.append(user)
        if one.lapsed is None:
            bases[id(one.paths)] = user
        elif user.solved is not None:
            user.place = replace(user.solved, base=bases.get(id(one.paths)))
    run_groups(connection, [[AFTER_STEPS]])[0].answer()


def _numbered(labels: Sequence[str], number: int) -> str:
    """A label, with a number if one before it is the same."""
    same = labels[:number].count(labels[number])
    return f"{labels[number]} ({same + 1})" if same else labels[number]


def _user(
    plan: Plan, tenants: Sequence[Tenant], one: Wanted, label: str, user_of: NewUserOf
) -> User:
    user = user_of(tenants[one.is_stranger], label)
    user.place = Solved(
        has_role=one.is_elsewhere,
        is_free=one.is_stranger and not one.is_elsewhere,
        ended=None if one.lapsed is None else solved.ended(plan, one),
        closed=solved.closed(plan, one),
    )
    return user


def _label(plan: Plan, one: Wanted) -> str:
    """The person by the tables and the values that decide."""
    names = dict.fromkeys(plan.by_label[label].name for label in one.tables)
    claims = dict.fromkeys(_path_name(steps) for steps, _ in one.paths[0].claims)
    by = ", ".join([*names, *(f"the claim {name}" for name in claims)])
    states = [solved.named(plan, one, test) for test in one.tests]
    states += [
        f"{_path_name(steps)} = {text}" for steps, text in sorted(one.paths[0].wanted, key=str)
    ]
    told = ", ".join(dict.fromkeys(filter(None, states)))
    return "user " + " with ".join(filter(None, [f"by {by}" if by else "", told]))


def _path_name(steps: Sequence[ClaimStep]) -> str:
    return ".".join("…" if isinstance(step, Cell) else step for step in steps)


def _chosen(connection: Connection, plan: Plan, tenants: Sequence[Tenant]) -> list[Wanted]:
    """The persons to make: those whose paths nobody satisfies yet, and those whose rows have
    ended.
    """
    all_ = [one for one in solved.wanted(plan) if not _is_known(plan, one)]
    asked = [one for one in all_ if one.lapsed is None]
    queries = []
    for one in asked:
        tenant = tenants[one.is_stranger]
        others = [] if solved.has_known_rows(plan, one) else [tenant.owner]
        users = [u.id for u in tenant.users if u not in others and not u.is_inactive]
        queries.append(solved.is_met(plan, tenants[0], users, one))
    sent = [[query] for query in queries if query is not None]
    results = iter(run_undone(connection, sent) if sent else ())
    missing = []
    for one, query in zip(asked, queries, strict=True):
        result = None if query is None else next(results)
        if result is None:
            missing += [one] if solved.needs_claims(plan, tenants[0], one) else []
        elif result.error is None and not result.answers[-1].rows[0][0]:
            missing.append(one)
    lapsed = [one for one in all_ if one.lapsed is not None]
    ended = {id(one.paths) for one in lapsed}
    bases = [one for one in asked if id(one.paths) in ended]
    found = dict.fromkeys([*missing[: LIMITS.solved], *bases, *lapsed])
    return list(found)[: LIMITS.solved + LIMITS.solved_ended]


def _is_known(plan: Plan, one: Wanted) -> bool:
    """Whether other persons stand for a row in this state: members, posts, and users in states of
    the row that each has.
    """
    if one.lapsed is None or len(solved.undetermined(plan, one.paths[0])) > 1:
        return False
    relation = plan.by_label[one.paths[0].tables[one.lapsed.cell.row]]
    membership = plan.memberships.get(relation.oid)
    if membership is not None:
        return one.lapsed.cell.column in {membership.role, *solved.states_of(membership)}
    return relation.oid in plan.per_user | plan.staff


class _Maker:
    """Makes the rows and claims of one person."""

    def __init__(
        self, plan: Plan, tenants: Sequence[Tenant], inserter: Inserter, one: Wanted, user: User
    ) -> None:
        self._plan, self._inserter, self._one, self._user = plan, inserter, one, user
        self.tenant = tenants[one.is_stranger]
        self._making = Making(plan, one)
        self._placed: set[int] = set()

    def make(self) -> bool:
        """Whether the person has all rows."""
        target = None if self._one.is_stranger else self.tenant
        if not self._making.begin(target, self._user.id):
            return False
        while len(self._placed) < len(self._one.tables):
            left = [r for r in range(1, len(self._one.tables) + 1) if r not in self._placed]
            if not (self._find(left) or self._insert(left)):
                return False
        self._user.claims = tuple(self._claims())
        return True

    def _find(self, left: Sequence[int]) -> bool:
        """Take a row that exists: one whose key is known, or one of a table without owners."""
        for row in left:
            relation, known = self._making.relation(row), self._making.values(row)
            named = {name: value for name, value in known.items() if value is not None}
            is_key = any(named.keys() >= set(key) for key in relation.unique_keys if key)
            if is_key:
                keys = {name for key in relation.unique_keys for name in key}
                named = {name: value for name, value in named.items() if name in keys}
                found = self._inserter.existing(relation, _condition(named))
            elif not self._plan.owned(relation):
                tests = solved.conditions(self._plan, self._one, row)
                condition = sql.SQL(" and ").join([_condition(known), *tests])
                found = self._inserter.existing(relation, condition)
            else:
                continue
            if found is None:
                continue
            own = self._user.rows.get(relation.oid)
            if own is not None and own.values == found and not self._making.fits(row, found):
                changed = self._inserter.change(own, known)
                if changed is None:
                    continue
                self._user.rows[relation.oid], found = changed, {**changed.values}
            if self._making.fits(row, found):
                self._making.take(row, found)
                self._placed.add(row)
                return True
        return False

    def _insert(self, left: Sequence[int]) -> bool:
        """Insert a row that refers to none of those that are missing."""
        free = [row for row in left if not self._making.needs(row, frozenset(self._placed))]
        for row in free[:1]:
            self._add_groups(row)
            relation, known = self._making.relation(row), self._making.values(row)
            inserted = self._row(relation, known, is_own=self._making.is_of_user(row))
            if inserted is not None:
                self._making.take(row, inserted.values)
                self._placed.add(row)
                return True
        return False

    def _add_groups(self, row: int) -> None:
        """Insert the group by which rows of the person are joined, if it is no row of the path:
        that of the tenant would open more.
        """
        for cell, target in self._making.groups(row):
            if self._plan.owned(target) and target.oid not in self._plan.per_user:
                group = self._row(target, {}, is_own=False)
                key = None if group is None else group.values[target.primary_key[0]]
                if key is not None:
                    self._making.bind(cell, key)

    def _row(self, relation: Relation, known: dict[str, str | None], *, is_own: bool) -> Row | None:
        if is_own and relation.oid not in self._user.rows:
            return self._inserter.insert_bound(relation, self.tenant, self._user, known)
        # it belongs to the owner of the rows that the person reaches
        owner = self.tenant.owner
        of_person = RowState.remark(self._user.label)
        row = self._inserter.insert_bound(relation, self.tenant, owner, known, of_person)
        if row is not None:
            owner.extra.remove(row)
            self._user.extra.append(row)
        return row

    def _claims(self) -> Iterator[tuple[tuple[str, ...], str]]:
        path = self._one.paths[0]
        own = self.tenant.rows.get(self._plan.by_label[path.tables[0]].oid)

        def value(cell: Cell) -> str:
            if cell.row:
                return self._making.values(cell.row).get(cell.column) or ""
            return "" if own is None else own.values.get(cell.column) or ""

        found = [(steps, value(cell)) for steps, cell in path.claims]
        found += [(steps, text) for steps, text in path.wanted]
        for steps, text in sorted(found, key=lambda one: str(one[0])):
            yield tuple(value(s) if isinstance(s, Cell) else s for s in steps), text


def _condition(known: Mapping[str, str | None]) -> sql.Composable:
    """The condition that a row has these values."""
    parts: list[sql.Composable] = [sql.SQL("true")]
    for name, value in known.items():
        column = sql.Identifier(name)
        if value is None:
            parts.append(sql.SQL("{} is null").format(column))
        else:
            parts.append(sql.SQL("{}::text = {}").format(column, sql.Literal(value)))
    return sql.SQL(" and ").join(parts)
