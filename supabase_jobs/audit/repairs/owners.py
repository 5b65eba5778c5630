"""Conditions that a row belongs to the caller, by a claim, a column or a row above."""

from collections.abc import Collection, Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Constraint, Policy, Relation
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.repairs import ended as ended_rows
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan

# Storage fills owner_id; `owner` is the former column
OWNERS_OF_FILES = ("owner_id", "owner")


def owner_condition(plan: Plan, relation: Relation) -> str | None:
    """The first of `owner_conditions`."""
    return next(iter(owner_conditions(plan, relation)), None)


def owner_conditions(plan: Plan, relation: Relation) -> list[str]:
    """The conditions that a row belongs to the caller, the most probable one first: by a claim, a
    user's id, or a parent that the caller can read.
    """
    claimed = [c for c in relation.columns if (relation.oid, c.name) in plan.usage.claim_columns]
    found = [_claim_of(c, plan.usage.claim_columns[relation.oid, c.name]) for c in claimed]
    persons = [_is_caller(relation, name) for name in named_persons(plan, relation)]
    found += persons
    if len(persons) > 1:
        found.append(sql.SQL("({})").format(sql.SQL(" or ").join(persons)))
    if through := _of_own_parent(plan, relation):
        found.append(through)
    if parents := readable_parents(plan, relation, required=True):
        found.append(sql.SQL(" and ").join(parents))
    found += _owned_parents(plan, relation)
    return list(dict.fromkeys(one.as_string(None) for one in found))


def undecided_owners(plan: Plan, relation: Relation) -> dict[str, str]:
    """The conditions of `owner_conditions` by a column that names a person although nothing says
    that the row is theirs, with the column: no policy compares one of this name with its caller,
    no default fills it with the caller, and the person has other rows of the table.
    """
    if relation.oid in plan.per_user or relation.is_storage:
        return {}
    compared = {name for _, name in plan.usage.persons.owners}
    return {
        _is_caller(relation, name).as_string(None): name
        for name in named_persons(plan, relation)
        if name not in compared and "uid()" not in (relation.by_name[name].default or "")
    }


def named_persons(plan: Plan, relation: Relation) -> list[str]:
    """The columns that hold a user, the most probable owner first."""
    filled = [c for c in OWNERS_OF_FILES if relation.is_storage and c in relation.by_name]
    if filled:
        return filled
    users = [c.name for c in relation.columns if (relation.oid, c.name) in plan.usage.persons.users]
    return sorted(users, key=lambda name: _rank_of_person(plan, relation, name))


def authors(plan: Plan, relation: Relation, names: Collection[str]) -> list[str]:
    """Those of some columns that most probably name who adds a row; several if nothing tells them
    apart.
    """
    ranks = {name: _rank_of_person(plan, relation, name) for name in names}
    return [name for name in names if ranks[name] == min(ranks.values())]


def _rank_of_person(plan: Plan, relation: Relation, name: str) -> tuple[bool, ...]:
    """The order of the columns that hold a user: first those that policies compare with the caller,
    those that the caller fills by default, and those that name the author.
    """
    key, persons = (relation.oid, name), plan.usage.persons
    return (
        key not in persons.checked,
        key not in persons.owners,
        "uid()" not in (relation.by_name[name].default or ""),
        not plan.words.author_columns.matches(name),
    )


def _is_caller(relation: Relation, column: str, *, of: str = "") -> sql.Composable:
    """Whether a column has the id of the caller."""
    name = sql.Identifier(of, column) if of else sql.Identifier(column)
    text = (
        "{} = (select auth.uid())"
        if relation.by_name[column].base == "uuid"
        else "{} = (select auth.uid()::text)"
    )
    return sql.SQL(text).format(name)


def _of_own_parent(plan: Plan, relation: Relation) -> sql.Composable | None:
    """The condition that a row refers to the caller's row of a table that has one row for each
    user.
    """
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if parent is None or parent.oid not in plan.per_user or len(key.columns) != 1:
            continue
        users = user_columns(parent, plan.usage, frozenset())
        if key.target_columns[0] in users:
            return _is_caller(relation, key.columns[0])
        if users and not _queries(plan, parent, relation):
            text = "exists (select 1 from {} as parent where parent.{} = {}.{} and {})"
            return sql.SQL(text).format(
                parent.identifier,
                sql.Identifier(key.target_columns[0]),
                sql.Identifier(relation.name),
                sql.Identifier(key.columns[0]),
                _is_caller(parent, users[0], of="parent"),
            )
    return None


def with_readable_parent(plan: Plan, relation: Relation, checked: str) -> str:
    """Require that the caller can read the parent: its policies apply inside the subquery.

    No row is accepted if the policies of the parent query this table: a policy here that queries
    the parent has no end.
    """
    parents = readable_parents(plan, relation, required=False)
    return (
        sql.SQL(" and ").join([sql.SQL(f"({checked})"), *parents]).as_string(None)
        if parents
        else "false"
    )


def readable_parents(plan: Plan, relation: Relation, *, required: bool) -> list[sql.Composable]:
    """Conditions that the caller can read the owned rows that a row refers to; with `required`,
    that it must have.
    """
    found: list[sql.Composable] = []
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if (
            parent is None
            or not plan.owned(parent)
            or parent.oid in plan.per_user
            or parent is relation
        ):
            continue
        if required and not all(relation.by_name[c].not_null for c in key.columns):
            continue
        if _queries(plan, parent, relation):
            continue
        exists = sql.SQL("exists (select 1 from {} as parent where {})")
        condition = exists.format(parent.identifier, _same(relation, key))
        optional = [c for c in key.columns if not relation.by_name[c].not_null]
        if optional:
            absent = [sql.SQL("{} is null").format(sql.Identifier(c)) for c in optional]
            condition = sql.SQL("({})").format(sql.SQL(" or ").join([*absent, condition]))
        found.append(condition)
    return found


def through_queried(relation: Relation, plan: Plan, policies: Sequence[Policy]) -> list[str]:
    """The condition that the caller can read a row's parents that these policies query: who reads
    the parent was to read the row, whoever wrote it.
    """
    trees = [parse_trees.expression_tree(text) for p in policies for text in texts_of(p)]
    queried = parse_trees.tables(trees)
    targets = [plan.catalog.by_oid.get(key.target or 0) for key in relation.foreign_keys]
    if not any(t is not None and {t.name, t.label} & queried for t in targets):
        return []
    parents = readable_parents(plan, relation, required=True)
    return [sql.SQL(" and ").join(parents).as_string(None)] if parents else []


def texts_of(policy: Policy) -> list[str]:
    """The expressions of a policy that exist."""
    return [text for text in (policy.visible, policy.checked) if text]


def _owned_parents(plan: Plan, relation: Relation) -> Iterator[sql.Composable]:
    """Conditions that the row that a row must refer to belongs to the caller, for those that
    everybody reads.
    """
    for key in relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if parent is None or parent is relation or _queries(plan, parent, relation):
            continue
        if parent.oid in plan.per_user or not all(
            relation.by_name[c].not_null for c in key.columns
        ):
            continue
        for name in named_persons(plan, parent)[:1]:
            owner = _is_caller(parent, name, of="parent")
            exists = sql.SQL("exists (select 1 from {} as parent where {} and {})")
            yield exists.format(parent.identifier, _same(relation, key), owner)


def _same(relation: Relation, key: Constraint) -> sql.Composable:
    """Whether the row `parent` is the one that a row refers to."""
    return sql.SQL(" and ").join(
        sql.SQL("parent.{} = {}.{}").format(
            sql.Identifier(at), sql.Identifier(relation.name), sql.Identifier(own)
        )
        for own, at in zip(key.columns, key.target_columns, strict=True)
    )


def _queries(plan: Plan, start: Relation, target: Relation) -> bool:
    """Whether the policies of a table query another one as the caller: a policy there that queries
    it has no end.
    """
    given = [(start, policy) for policy in start.policies if policy.command in ("r", "*")]
    reached = [
        relation
        for role in ("anon", "authenticated")
        for relation, _ in ended_rows.policies(plan.catalog, given, role)
    ]
    return target in reached


def _claim_of(column: Column, path: Sequence[str]) -> sql.Composable:
    """Compare a column with a claim; user_metadata is no claim that the project controls."""
    names = ["app_metadata" if name == "user_metadata" else name for name in path]
    claim: sql.Composable = sql.SQL("(select auth.jwt())")
    for name in names[:-1]:
        claim += sql.SQL(" -> {}").format(sql.Literal(name))
    claim += sql.SQL(" ->> {}").format(sql.Literal(names[-1]))
    return sql.SQL("{} = ({})::{}").format(column.identifier, claim, sql.SQL(column.type))
