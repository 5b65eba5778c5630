"""The actions of attempts, and queries about their effects."""

from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.action import Constant, Cursor, Delete, Insert, Select, Update, equal


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))


def cursor(number: int, row: Row) -> Cursor:
    """A cursor on a row; the number makes its name."""
    name = sql.Identifier(f"audit_row_{number}")
    query = sql.SQL("select from {} where {}").format(row.relation.identifier, row.condition)
    return Cursor(name, query)


def select(row: Row, role: str) -> Select:
    """Read a row: by its key, or by the columns that the role may read."""
    return Select(row.relation.identifier, readable_condition(row, role))


def delete_alike(row: Row, role: str) -> Statement:
    """Delete the other rows that a role cannot tell from this one."""
    return _statement(
        sql.SQL("delete from {} where {} and not ({})").format(
            row.relation.identifier, readable_condition(row, role), row.condition
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


def all_texts(relation: Relation) -> sql.Composable:
    """The rows of a table as one text."""
    return sql.SQL("(select string_agg(copied::text, ' ') from {} as copied)").format(
        relation.identifier
    )


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


def constants(relation: Relation, values: Mapping[str, str | None]) -> dict[str, Constant]:
    """Values of columns as constants of their types."""
    return {name: Constant(value, relation.by_name[name].type) for name, value in values.items()}


def update(row: Row, values: Mapping[str, str | None], cursor: Cursor | None = None) -> Update:
    """Update a row with constants."""
    new = constants(row.relation, values)
    return Update(row.relation.identifier, row.condition, cursor, values=new)


def has_value(row: Row, column: str, value: str | None) -> Statement:
    """Whether a column of a row has a value now."""
    type_ = row.relation.by_name[column].type
    where = row.condition
    if column in row.key:
        where = sql.SQL("true")
    return _statement(
        sql.SQL(
            "select exists (select from {} where {} and {}::text is not distinct from {}::text)"
        ).format(row.relation.identifier, where, sql.Identifier(column), Constant(value, type_))
    )


def lasting_update(row: Row, column: str, value: str | None) -> Statement:
    """Set a column of a row; whether the row has the value then."""
    new = Constant(value, row.relation.by_name[column].type)
    return _statement(
        sql.SQL(
            "update {} set {} = {} where {} returning {}::text is not distinct from {}::text"
        ).format(
            row.relation.identifier,
            sql.Identifier(column),
            new,
            row.condition,
            sql.Identifier(column),
            new,
        )
    )


def update_where(
    relation: Relation, where: Mapping[str, str | None], values: Mapping[str, str | None]
) -> Statement:
    """Set columns of the rows with these values."""
    return _statement(
        sql.SQL("update {} set {} where {}").format(
            relation.identifier,
            equal(constants(relation, values), ", "),
            equal(constants(relation, where), " and "),
        )
    )


def delete(row: Row, cursor: Cursor | None = None) -> Delete:
    """Delete a row."""
    return Delete(row.relation.identifier, row.condition, cursor)


def insert(
    relation: Relation, values: Mapping[str, str | None], columns: Sequence[Column]
) -> Insert:
    """Insert a row with these columns."""
    chosen = {column.name: values[column.name] for column in columns}
    return Insert(relation.identifier, constants(relation, chosen))


def count(relation: Relation, values: Mapping[str, str | None]) -> Statement:
    """The number of rows with these values."""
    where = equal(constants(relation, values), " and ")
    return _statement(
        sql.SQL("select count(*) from {} where {}").format(relation.identifier, where)
    )
