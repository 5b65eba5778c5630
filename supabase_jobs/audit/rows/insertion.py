"""A row to insert: the candidates of its columns, its statement, and what its error says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.audit.catalog import Column, Constraint, Relation
from supabase_jobs.audit.configuration import Expression
from supabase_jobs.audit.policies import check_constraints
from supabase_jobs.audit.rows.tenants import ROW_DIGITS, Row, Tenant, User
from supabase_jobs.findings import RowState
from supabase_jobs.session.action import Constant

# behind the rows that are inserted: one that is refused undoes no other
_SET = "select set_config(%s, %s, true), set_config(%s, %s, true)"


# in the order in which the server checks a row: NOT NULL, CHECK, unique, exclusion, foreign key
_CHECKED = ("23502", "23514", "23505", "23P01", "23503")


DEFAULT = object()  # leaves the column out of the INSERT
Choice = Any  # str, None, DEFAULT or an Expression


@dataclass(eq=False)
class Insertion:
    """A row to insert: the candidates of each column, the chosen ones, and the last error."""

    relation: Relation
    tenant: Tenant
    user: User
    choices: dict[str, list[Choice]]
    chosen: dict[str, Choice]
    number: int = 0
    part: RowState | None = None
    state_of: Relation | None = None
    depth: int = 0
    with_claims: bool = True
    error: psycopg.Error | None = None
    found_by: tuple[str, ...] = ()
    row: Row | None = None
    tried: set[tuple[Any, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class Place:
    """A column of a row to insert: the row's number, its tenant and user, the foreign keys that are
    filled later, and what CHECK constraints demand of the column.
    """

    relation: Relation
    column: Column
    tenant: Tenant
    user: User
    later: Sequence[Constraint]
    limits: check_constraints.Limits
    number: int


def row_token(tenant: Tenant, number: int) -> str:
    """The token of one row: of a fixed length, so that none is the beginning of another."""
    return f"{tenant.token}{number:0{ROW_DIGITS}d}"


def statement_of(relation: Relation, chosen: Mapping[str, Choice]) -> sql.Composed:
    """The INSERT of a row, which returns its place and its columns."""
    named = {name: value for name, value in chosen.items() if value is not DEFAULT}
    if not named:
        return sql.SQL("insert into {} default values returning ctid::text, {}").format(
            relation.identifier, texts_of(relation)
        )
    return sql.SQL("insert into {} ({}) {}values ({}) returning ctid::text, {}").format(
        relation.identifier,
        sql.SQL(", ").join(map(sql.Identifier, named)),
        sql.SQL(
            "overriding system value "
            if any(relation.by_name[name].identity for name in named)
            else ""
        ),
        sql.SQL(", ").join(
            _value(value, relation.by_name[name].type) for name, value in named.items()
        ),
        texts_of(relation),
    )


def _value(value: str | Expression | None, type_: str) -> sql.Composable:
    return sql.SQL(f"({value.text})") if isinstance(value, Expression) else Constant(value, type_)


def texts_of(relation: Relation) -> sql.Composed:
    """Every column as text."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text").format(column.identifier) for column in relation.columns
    )


def signature(chosen: Mapping[str, Choice], claims: bool) -> tuple[Any, ...]:
    """The choices as a value, which is equal for equal rows."""
    return claims, *(
        (name, "default" if value is DEFAULT else value) for name, value in chosen.items()
    )


def least(options: Sequence[Choice], chosen: Choice) -> Choice:
    """The value of a column that says the least: its default, null, or else the chosen one."""
    if DEFAULT in options:
        return DEFAULT
    return None if None in options else chosen


def lacks_default(error: psycopg.Error, chosen: Mapping[str, Choice]) -> bool:
    """Whether a column that was left to its default is null, as without claims: other values got
    further.
    """
    return (
        isinstance(error, psycopg.errors.NotNullViolation)
        and chosen.get(error.diag.column_name or "") is DEFAULT
    )


def is_progress(new: psycopg.Error, old: psycopg.Error | None) -> bool:
    """Whether an error is about something else, and not an earlier check, so that its values are
    the better ones.
    """
    if old is None or (new.sqlstate, new.diag.constraint_name) == (
        old.sqlstate,
        old.diag.constraint_name,
    ):
        return False
    return not ({new.sqlstate, old.sqlstate} <= set(_CHECKED)) or (
        _CHECKED.index(new.sqlstate or "") >= _CHECKED.index(old.sqlstate or "")
    )


def columns_at_fault(insertion: Insertion) -> list[str]:
    """The columns that the last error names, itself or by its constraint."""
    error = insertion.error
    name = error.diag.constraint_name if error else None
    constraint = next((c for c in insertion.relation.constraints if c.name == name), None)
    if constraint is not None and constraint.definition:
        return check_constraints.columns(constraint.definition)
    if constraint is not None:
        return list(constraint.columns)
    return [str(error.diag.column_name)] if error and error.diag.column_name else []
