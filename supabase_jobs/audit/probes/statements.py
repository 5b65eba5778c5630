"""The statements of attempts. Names and values are quoted by psycopg."""

from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.rows.tenants import Row, typed
from supabase_jobs.database.batch import Statement


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))


def cursor_name(number: int) -> str:
    """The name of the cursor on a row."""
    return f"audit_row_{number}"


def declare(name: str, row: Row) -> list[Statement]:
    """Open a cursor on a row, as the owner."""
    text = sql.SQL("declare {} no scroll cursor for select from {} where {}")
    return [
        _statement(text.format(sql.Identifier(name), row.relation.identifier, row.condition)),
        _statement(sql.SQL("fetch {}").format(sql.Identifier(name))),
    ]


def select(row: Row, role: str) -> Statement:
    """Read a row: by its key, or by the columns that the role may read."""
    return _statement(
        sql.SQL("select 1 from {} where {}").format(
            row.relation.identifier, readable_condition(row, role)
        )
    )


def exists(rows: Iterable[tuple[Row, str]]) -> Statement:
    """One boolean for each row: whether the caller can read it."""
    parts = [
        sql.SQL("exists (select from {} where {})").format(
            row.relation.identifier, readable_condition(row, role)
        )
        for row, role in rows
    ]
    return _statement(sql.SQL("select {}").format(sql.SQL(", ").join(parts)))


def readable_condition(row: Row, role: str) -> sql.Composable:
    """A condition that identifies the row with columns that a role may read."""
    if may_read(row, row.key, role):
        return row.condition
    known = known_columns(row, role)
    if not known:
        return sql.SQL("true")
    return sql.SQL(" and ").join(
        sql.SQL("{}::text = {}").format(sql.Identifier(c), sql.Literal(row.values[c]))
        for c in known
    )


def may_read(row: Row, columns: Sequence[str], role: str) -> bool:
    """Whether a role may read these columns."""
    return all(row.relation.may(role, "SELECT", column) for column in columns)


def known_columns(row: Row, role: str) -> list[str]:
    """The columns that have a value and that a role may read."""
    return [
        c.name
        for c in row.relation.columns
        if may_read(row, [c.name], role) and row.values.get(c.name) is not None
    ]


def blind(cursor: str) -> sql.Composable:
    """The condition that reads no column, so that no SELECT policy applies: the row of a cursor."""
    return sql.SQL("current of {}").format(sql.Identifier(cursor))


def update(
    relation: Relation, values: Mapping[str, str | None], condition: sql.Composable
) -> Statement:
    """Update a row with constants."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), typed(value, relation.by_name[name].type))
        for name, value in values.items()
    )
    return _statement(
        sql.SQL("update {} set {} where {}").format(relation.identifier, assignments, condition)
    )


def has_value(row: Row, column: str, value: str | None) -> Statement:
    """Whether a column of a row has a value now."""
    type_ = row.relation.by_name[column].type
    where = row.condition
    if column in row.key:
        where = sql.SQL("true")
    return _statement(
        sql.SQL(
            "select exists (select from {} where {} and {}::text is not distinct from {}::text)"
        ).format(row.relation.identifier, where, sql.Identifier(column), typed(value, type_))
    )


def delete(relation: Relation, condition: sql.Composable) -> Statement:
    """Delete a row."""
    return _statement(sql.SQL("delete from {} where {}").format(relation.identifier, condition))


def insert(
    relation: Relation, values: Mapping[str, str | None], columns: Sequence[Column]
) -> Statement:
    """Insert a row with these columns."""
    names = sql.SQL(", ").join(column.identifier for column in columns)
    literals = sql.SQL(", ").join(typed(values[column.name], column.type) for column in columns)
    if not columns:
        return _statement(sql.SQL("insert into {} default values").format(relation.identifier))
    return _statement(
        sql.SQL("insert into {} ({}) values ({})").format(relation.identifier, names, literals)
    )


def count(relation: Relation, values: Mapping[str, str | None]) -> Statement:
    """The number of rows with these values."""
    where = sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), typed(value, relation.by_name[name].type))
        for name, value in values.items()
    )
    return _statement(
        sql.SQL("select count(*) from {} where {}").format(relation.identifier, where)
    )
