"""The project's tables, columns, constraints, policies and functions, from the catalogs in two
round trips.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from psycopg import sql

from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_files

USERS = "auth.users"
VAULT_SCHEMA, VAULT_VIEW = "vault", "decrypted_secrets"
VAULT = f"{VAULT_SCHEMA}.{VAULT_VIEW}"
# the commands of policies in pg_policy
_COMMANDS = {"select": "r", "insert": "a", "update": "w", "delete": "d"}

_QUERIES = sql_files(Path(__file__).with_name("catalog"))
_PER_SCHEMA = ("relations", "columns", "constraints", "policies", "functions", "sequences")


@dataclass(frozen=True)
class Column:
    """A column. `base` is the type's name without its domain; `attributes` is the number of those
    of a composite type; `granted` has pairs such as "anon UPDATE", `listed` those of a GRANT that
    names the column.
    """

    name: str
    type: str
    base: str
    typtype: str
    category: str
    typmod: int
    element: str | None
    element_typtype: str
    not_null: bool
    default: str | None
    identity: str
    generated: str
    labels: tuple[str, ...]
    checks: tuple[str, ...]
    granted: frozenset[str]
    attributes: int = 0
    comment: str = ""
    listed: frozenset[str] = frozenset()

    @property
    def filled_by_server(self) -> bool:
        """Whether an INSERT omits the column: identity, generated, or a sequence's next value."""
        return bool(self.identity or self.generated) or "nextval(" in (self.default or "")

    @property
    def is_demanded(self) -> bool:
        """Whether an INSERT must give it a value: it is NOT NULL, and nothing else fills it."""
        return self.not_null and self.default is None and not self.filled_by_server

    @property
    def starts_constant(self) -> bool:
        """Whether the default is a constant, such as 'pending'; not a document or an empty text."""
        is_constant = re.match(r"'[^'{]|'\{[^}]|\(?-?\d|true\b|false\b", self.default or "")
        return is_constant is not None and self.base not in ("json", "jsonb")

    @property
    def is_on_at_first(self) -> bool:
        """Whether the column is a flag that is set at first."""
        return self.base == "bool" and self.default == "true"

    @property
    def is_caller(self) -> bool:
        """Whether the default is the user of the request."""
        return re.match(r"(auth\.)?uid\(\)$", self.default or "") is not None

    @property
    def differs_in_each_run(self) -> bool:
        """Whether the server fills the column with a random value or a number that no other row
        gets.
        """
        return (
            bool(self.identity)
            or re.search(r"random|uuid|nextval\(", self.default or "") is not None
        )

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name."""
        return sql.Identifier(self.name)


def plain_column(
    name: str, type: str, base: str, category: str, element: str | None = None
) -> Column:
    """A column that no table has, such as an argument: not null, without a default."""
    return Column(
        name=name,
        type=type,
        base=base,
        typtype="b",
        category=category,
        typmod=-1,
        element=element,
        element_typtype="",
        not_null=True,
        default=None,
        identity="",
        generated="",
        labels=(),
        checks=(),
        granted=frozenset(),
    )


@dataclass(frozen=True)
class Constraint:
    """A constraint, or a unique index. `target` is the table of a foreign key, `schema.name` for
    platform tables. `cascades`: a row is deleted with the one that it refers to.

    `kind` is that of pg_constraint, or r for a reference that no foreign key demands.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    target: int | None
    target_name: str | None
    target_columns: tuple[str, ...]
    definition: str | None
    deferrable: bool
    cascades: bool = False


@dataclass(frozen=True)
class Policy:
    """A policy; `visible` is its USING expression and `checked` its WITH CHECK expression."""

    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    visible: str | None
    checked: str | None

    def applies_to(self, role: str) -> bool:
        """Whether the policy applies to an API role."""
        return "public" in self.roles or role in self.roles

    def governs(self, action: str) -> bool:
        """Whether the policy is for an action, such as "select"."""
        return self.command in ("*", _COMMANDS[action])


class Named:
    """A table or view with the name of its schema."""

    schema: str
    name: str

    @property
    def label(self) -> str:
        """`schema.name`, as findings print it."""
        return f"{self.schema}.{self.name}"

    @cached_property
    def identifier(self) -> sql.Identifier:
        """The quoted name with its schema."""
        return sql.Identifier(self.schema, self.name)

    @property
    def is_storage(self) -> bool:
        """Whether the relation is storage.objects."""
        return self.schema == "storage"


@dataclass(frozen=True)
class Relation(Named):
    """A table or view. `granted` has pairs such as "anon SELECT"; `reads` are the relations that a
    view reads, and `calls`: it calls a function that may read what its caller cannot.

    `partitions` are the schemas and names of all partitions, also of those of partitions;
    `definition` is the query of a view, `partial` the conditions of a table's indexes of some rows.
    `triggers` are the functions of all triggers, `insert_triggers` those that run for new rows.
    `statement_triggers`: some trigger runs once for each statement, also if a policy leaves it no
    row.
    """

    oid: int
    schema: str
    name: str
    kind: str
    rls: bool
    owner: str
    invoker: bool
    updatable: int
    partition_of: int | None
    partition_key: str | None
    granted: frozenset[str]
    triggers: tuple[int, ...]
    reads: tuple[int, ...]
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    policies: tuple[Policy, ...]
    bounds: tuple[str, ...] = field(default=())
    insert_triggers: tuple[int, ...] = ()
    statement_triggers: bool = False
    partitions: frozenset[tuple[str, str]] = frozenset()
    calls: bool = False
    definition: str | None = None
    partial: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether the relation holds rows that can be inserted."""
        return self.kind in ("r", "p")

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key; empty if there is none."""
        return next((c.columns for c in self.constraints if c.kind == "p"), ())

    @cached_property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """The columns of each primary key, unique constraint and unique index that all rows
        satisfy.
        """
        return tuple(c.columns for c in self.constraints if c.kind in ("p", "u") and c.columns)

    @cached_property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """The foreign keys, and the references without one that conditions reveal."""
        return tuple(c for c in self.constraints if c.kind in ("f", "r"))

    def become(self, other: "Relation") -> None:
        """Take the privileges and triggers of a relation, in the trial of a change: rows keep
        referring to it.
        """
        for name in ("granted", "columns", "triggers", "insert_triggers", "statement_triggers"):
            object.__setattr__(self, name, getattr(other, name))
        self.__dict__.pop("by_name", None)

    def may(self, role: str, privilege: str, column: str | None = None) -> bool:
        """Whether a role has a privilege on the relation, or on a column."""
        key = f"{role} {privilege}"
        if column is not None:
            return key in self.granted or key in self.by_name[column].granted
        return key in self.granted or any(key in c.granted for c in self.columns)


@dataclass(frozen=True)
class Function:
    """A function; `callers` are the API roles that may execute it.

    Of each argument, `argument_labels` has the labels of its enum as JSON, or '', and
    `argument_relations` the oid of the table whose row type it has, or 0.
    `takes_any_number`: the last one is an array of any number of arguments, VARIADIC.
    """

    oid: int
    schema: str
    name: str
    signature: str
    language: str
    body: str
    definer: bool
    volatility: str
    kind: str
    returns_set: bool
    result: str
    argument_names: tuple[str, ...]
    argument_types: tuple[str, ...]
    argument_labels: tuple[str, ...]
    argument_relations: tuple[int, ...]
    defaults: int
    callers: tuple[str, ...]
    takes_any_number: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name with its schema."""
        return sql.Identifier(self.schema, self.name)

    def argument(self, name: str) -> str:
        """The argument that a body names so, also by its position, as in $1; '' if none is."""
        names = (*self.argument_names, *[""] * len(self.argument_types))
        if name.startswith("$"):
            return names[int(name[1:]) - 1]
        return name if name in self.argument_names else ""


@dataclass(frozen=True)
class SettableSequence:
    """A sequence; `roles` are the API roles that may set it."""

    schema: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Catalog:
    """The objects of the project. `served` are the schemas that the API serves.

    `users` is the oid of auth.users. `buckets` maps each bucket of Storage to whether it is public.
    `topic_policies` are those of realtime.messages.
    """

    own_role: str
    bypasses: bool
    roles: tuple[str, ...]
    users: int | None
    has_storage: bool
    is_read_only: bool
    served: tuple[str, ...]
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    schema_users: Mapping[str, tuple[str, ...]]
    sequences: tuple[SettableSequence, ...]
    buckets: Mapping[str, bool]
    topic_policies: tuple[Policy, ...]

    @property
    def has_auth(self) -> bool:
        """Whether auth.users exists."""
        return self.users is not None

    @cached_property
    def by_oid(self) -> Mapping[int, Relation]:
        """The relations by their oid."""
        return {relation.oid: relation for relation in self.relations}

    @cached_property
    def tables(self) -> tuple[Relation, ...]:
        """The project's tables and partitioned tables, without partitions."""
        return tuple(
            r for r in self.relations if r.is_table and r.partition_of is None and not r.is_storage
        )

    @cached_property
    def storage(self) -> Relation | None:
        """The table storage.objects."""
        return next((r for r in self.relations if r.is_storage), None)

    @cached_property
    def reachable(self) -> tuple[Relation, ...]:
        """The relations that the API serves and on which anon or authenticated have a privilege."""
        return tuple(
            r for r in self.relations if self.reaches(r, "anon") or self.reaches(r, "authenticated")
        )

    def reaches(self, relation: Relation, role: str) -> bool:
        """Whether a request of this role can address a relation."""
        usable = relation.schema in self.served and role in self.schema_users.get(
            relation.schema, ()
        )
        return usable and any(
            relation.may(role, p) for p in ("SELECT", "INSERT", "UPDATE", "DELETE")
        )

    def policies_open(self, relation: Relation, role: str) -> bool:
        """Whether policies decide what a role reads of a relation: a request addresses it, or views
        and functions with the rights of their caller do, as in a schema that is not served.
        """
        is_behind = relation.rls and role in self.schema_users.get(relation.schema, ())
        return relation.may(role, "SELECT") and (is_behind or self.reaches(relation, role))


def is_partition_column(relation: Relation, column: Column) -> bool:
    """Whether the partition of a row depends on a column."""
    return re.search(rf"\b{re.escape(column.name)}\b", relation.partition_key or "") is not None


def read(connection: Connection, served: Sequence[str]) -> Catalog:
    """Read the catalogs; `served` are the schemas of the API by config.toml or an option."""
    [result] = run_groups(
        connection, [[_QUERIES[name].statement() for name in ("database", "schemas")]]
    )
    result.answer()
    [(own_role, bypasses, roles, has_storage, users, read_only)] = result.answers[0].rows
    schemas = {name: tuple(users) for _, name, users in result.answers[1].rows}
    names = list(schemas)
    statements = [_QUERIES[name].statement(names) for name in _PER_SCHEMA]
    statements += [_QUERIES["topic_policies"].statement()]
    statements += [_QUERIES["buckets"].statement()] if has_storage else []
    [result] = run_groups(connection, [statements])
    result.answer()
    relations, columns, constraints, policies, functions, sequences, topics, *buckets = (
        a.rows for a in result.answers
    )
    return Catalog(
        own_role=own_role,
        bypasses=bypasses,
        roles=tuple(roles),
        users=users,
        has_storage=has_storage,
        is_read_only=read_only,
        served=tuple(schema for schema in (*served, "storage") if schema in schemas),
        relations=tuple(
            _relations(relations, _grouped(columns), _grouped(constraints), _grouped(policies))
        ),
        functions=tuple(Function(*map(_frozen, row)) for row in functions),
        schema_users=schemas,
        sequences=tuple(SettableSequence(*map(_frozen, row)) for row in sequences),
        buckets=dict(buckets[0]) if buckets else {},
        topic_policies=tuple(Policy(*map(_frozen, row[1:])) for row in topics),
    )


Rows = Sequence[tuple[Any, ...]]


def _relations(
    rows: Rows,
    columns: Mapping[int, Rows],
    constraints: Mapping[int, Rows],
    policies: Mapping[int, Rows],
) -> Iterable[Relation]:
    bounds, partitions = _bounds(rows), _partitions(rows)
    for row in rows:
        (
            oid,
            schema,
            name,
            kind,
            rls,
            _forced,
            owner,
            invoker,
            updatable,
            partition_of,
            _bound,
            key,
            granted,
            triggers,
            insert_triggers,
            statement_triggers,
            reads,
            calls,
            definition,
            partial,
        ) = row
        yield Relation(
            oid=oid,
            schema=schema,
            name=name,
            kind=kind,
            rls=rls,
            owner=owner,
            invoker=invoker,
            updatable=updatable,
            partition_of=partition_of,
            partition_key=key,
            granted=frozenset(granted),
            triggers=tuple(triggers),
            insert_triggers=tuple(insert_triggers),
            reads=tuple(reads),
            columns=tuple(_column(c) for c in columns.get(oid, ())),
            constraints=tuple(Constraint(*map(_frozen, c[1:])) for c in constraints.get(oid, ())),
            policies=tuple(Policy(*map(_frozen, p[1:])) for p in policies.get(oid, ())),
            bounds=tuple(bounds.get(oid, ())),
            statement_triggers=statement_triggers,
            partitions=frozenset(partitions.get(oid, ())),
            calls=calls,
            definition=definition,
            partial=tuple(partial),
        )


def _bounds(rows: Rows) -> dict[int, list[str]]:
    """The bounds of the partitions of each table."""
    found: dict[int, list[str]] = {}
    for row in rows:
        if row[9] is not None and row[10] is not None:
            found.setdefault(row[9], []).append(row[10])
    return found


def _partitions(rows: Rows) -> dict[int, set[tuple[str, str]]]:
    """The schemas and names of the partitions of each table, also of partitions of partitions."""
    found: dict[int, set[tuple[str, str]]] = {}
    parents = {row[0]: row[9] for row in rows}
    for row in rows:
        above = row[9]
        while above is not None:
            found.setdefault(above, set()).add((row[1], row[2]))
            above = parents.get(above)
    return found


def _column(row: tuple[Any, ...]) -> Column:
    values = [_frozen(value) for value in row[2:]]
    values[-4], values[-1] = frozenset(values[-4]), frozenset(values[-1])
    return Column(*values)


def _grouped(rows: Rows) -> dict[int, list[tuple[Any, ...]]]:
    groups: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return groups


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
