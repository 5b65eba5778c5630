"""Users who sign up with metadata of their choice: the role of an administrator, the id of another.

Auth stores `raw_user_meta_data` as the client sends it. A trigger or function that reads a key of
it believes what the user says.
"""

import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import Literal, Reference
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Tenant, User
from supabase_jobs.database.connection import Connection
from supabase_jobs.session import sign_up
from supabase_jobs.session.sign_up import NewUser, SignUpRejectedError

# raw_user_meta_data->>'role', and what the text compares it with behind it
_KEY = re.compile(r"raw_user_meta_data\s*\)?\s*->>?\s*'(\w+)'(?=(.{0,60}))", re.DOTALL)
_LITERAL = re.compile(r"^\s*\)*\s*(?:=|in\b)\s*\(?\s*'([^']+)'")


@dataclass(frozen=True)
class Choice:
    """A key of the metadata with a value; `shown` names both without a generated value."""

    key: str
    value: object
    shown: str
    is_of_another: bool = False


@dataclass(frozen=True)
class Choices:
    """The keys that one user chooses at once, such as a role and the school of another."""

    chosen: tuple[Choice, ...]

    @property
    def shown(self) -> str:
        """The keys and values in words."""
        return ", ".join(choice.shown for choice in self.chosen)

    @property
    def metadata(self) -> dict[str, object]:
        """The keys with their values, as the client sends them."""
        return {choice.key: choice.value for choice in self.chosen}


def choices(plan: Plan, victim: Tenant) -> list[Choices]:
    """The values worth trying: each alone, but first each together with what belongs to
    another, as a role counts in a tenant.
    """
    single = _single(plan, victim)
    foreign = [choice for choice in single if choice.is_of_another]
    own = [choice for choice in single if not choice.is_of_another]
    together = [Choices((choice, *foreign)) for choice in own if foreign]
    return [*together, *(Choices((choice,)) for choice in single)][: LIMITS.impostors]


def reading(plan: Plan, keys: Collection[str]) -> list[Function]:
    """The functions that read one of these keys."""
    found = []
    for function in plan.catalog.functions:
        if any(key in keys for key, _ in _KEY.findall(function.body)):
            found.append(function)
    return found


def _single(plan: Plan, victim: Tenant) -> list[Choice]:
    """The values worth trying for each key that functions and policies read."""
    found: dict[tuple[str, str], Choice] = {}
    for function in plan.catalog.functions:
        tables = plan.usage.bodies.function_reads.get(function.oid, set())
        written = _written(plan, function)
        for key, behind in _KEY.findall(function.body):
            if plan.words.own_metadata.matches(key):
                continue
            if compared := _LITERAL.match(behind):
                choice = Choice(key, compared[1], f"{key} = {compared[1]}")
                found.setdefault((key, choice.shown), choice)
            columns = written.get(key, []) or _columns(plan, key, tables)
            of_columns = (
                choice for r, c in columns for choice in _of_column(plan, victim, r, c, key)
            )
            for choice in (*of_columns, *_of_claims(plan, key)):
                found.setdefault((key, choice.shown), choice)
    return list(found.values())


def _written(plan: Plan, function: Function) -> dict[str, list[tuple[Relation, Column]]]:
    """Key of the metadata → the columns that a function inserts its value into."""
    found: dict[str, list[tuple[Relation, Column]]] = {}
    trees = parse_trees.body_trees(function.language, function.body)
    tables = {r.label: r for r in plan.catalog.tables}
    tables |= {r.name: r for r in reversed(plan.catalog.tables)}

    def columns_of(table: str) -> Sequence[str]:
        return list(tables[table].by_name) if table in tables else []

    for table, name, value in queries.inserted(trees, columns_of):
        relation = tables.get(table)
        if relation is not None and name in relation.by_name:
            for key in _keys(value):
                found.setdefault(key, []).append((relation, relation.by_name[name]))
    return found


def _keys(value: Node) -> Iterator[str]:
    """The keys of the metadata in an expression."""
    for fields in parse_trees.nodes(value, "A_Expr"):
        left = expressions.value(fields.get("lexpr"))
        right = expressions.value(fields.get("rexpr"))
        is_metadata = isinstance(left, Reference) and left.column == "raw_user_meta_data"
        if is_metadata and isinstance(right, Literal):
            yield right.text


def _of_claims(plan: Plan, key: str) -> Iterator[Choice]:
    """The values that policies compare a claim of this name with: a hook may copy it from a key."""
    for path, literals in plan.usage.request.claim_literals.items():
        if path[-1] == key:
            yield from (Choice(key, value, f"{key} = {value}") for value in literals)


def _columns(plan: Plan, key: str, tables: set[int]) -> list[tuple[Relation, Column]]:
    """The columns that a key may be written to: those of its name, or else all that policies
    compare.
    """
    relations = [plan.catalog.by_oid[oid] for oid in sorted(tables) if oid in plan.catalog.by_oid]
    named = [(r, r.by_name[key]) for r in relations if key in r.by_name]
    return named or [
        (r, c)
        for r in relations
        for c in r.columns
        if (r.oid, c.name) in plan.usage.constants.literals
    ]


def _of_column(
    plan: Plan, victim: Tenant, relation: Relation, column: Column, key: str
) -> Iterator[Choice]:
    row = victim.rows.get(relation.oid)
    is_foreign = any(column.name in k.columns for k in relation.foreign_keys)
    is_foreign |= (relation.oid, column.name) in plan.tenant_values
    is_foreign |= column.name in user_columns(relation, plan.usage, plan.per_user)
    if is_foreign:
        value = None if row is None else row.values.get(column.name)
        if value is not None:
            yield Choice(key, value, f"{key} of another", is_of_another=True)
        return
    if column.base == "bool":
        yield Choice(key, True, f"{key} = true")
        return
    limits = plan.limits.get(relation.oid, {}).get(column.name)
    known = list(plan.usage.constants.literals.get((relation.oid, column.name), ()))
    known += [value for value in (limits.allowed if limits else ()) if value not in known]
    known += [label for label in column.labels if label not in known]
    powerful = sorted(known, key=plan.words.powerful_roles.rank)
    yield from (Choice(key, value, f"{key} = {value}") for value in powerful[:2])


def sign_up_as(connection: Connection, user: User, chosen: Choices) -> bool:
    """Sign a user up with these values; False if the project refuses them."""
    new = NewUser(id=uuid.UUID(user.id), name=user.name, metadata=chosen.metadata)
    try:
        [row] = sign_up.run(connection, [new]).rows
    except SignUpRejectedError:
        return False
    user.email, user.chosen = row["email"], tuple(chosen.metadata)
    return True
