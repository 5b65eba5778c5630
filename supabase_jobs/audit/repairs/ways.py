"""The ways by which somebody has to do with a row: as the seller or as the buyer of an order.

The owner of the generated rows is all of these persons at once. So what only one of them may do is
seen once the others are somebody else. And each row of theirs has all that it may have: what may be
done without it, as by who has not joined a group yet, is seen once it is null.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from psycopg import sql

from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.states import identity
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement


@dataclass(frozen=True, eq=False)
class Way:
    """A column in which a row names the owner. After the statements `alone`, no other one does, nor
    after those for `keys`, as far as other rows do not refer to these. `is_empty`: the column is
    null after them, instead.
    """

    row: Row
    column: str
    alone: tuple[Statement, ...]
    keys: tuple[Statement, ...] = ()
    is_empty: bool = False

    def __str__(self) -> str:
        if self.is_empty:
            return f"while {self.column} of {self.row.relation.label} is null"
        return f"as {self.column} of {self.row.relation.label} only"


def of_tables(world: World, tables: Collection[int]) -> list[Way]:
    """The ways by which the owner has to do with the rows of some tables; none if there is one."""
    places = list(_places(world, tables))
    if len(places) < 2:
        return []
    found = []
    for row, column, _ in places[: LIMITS.ways]:
        others = [one for one in places if one[:2] != (row, column)]
        found.append(
            Way(
                row=row,
                column=column,
                alone=tuple(_named(*one) for one in others if one[1] not in one[0].key),
                keys=tuple(_named(*one) for one in others if one[1] in one[0].key),
            )
        )
    return found


def without_values(world: World, tables: Collection[int], text: str) -> list[Way]:
    """The states of the owner's rows of some tables in which a reference that statements name is
    null: their conditions are those of policies, as the project has written them.
    """
    found = []
    for row in (world.a.rows[oid] for oid in sorted(tables) if oid in world.a.rows):
        relation = row.relation
        names = dict.fromkeys(name for key in relation.foreign_keys for name in key.columns)
        for name in names:
            is_free = row.values.get(name) is not None and not relation.by_name[name].not_null
            if is_free and re.search(rf"\b{re.escape(name)}\b", text):
                emptied = _named(row, name, None)
                found.append(Way(row=row, column=name, alone=(emptied,), is_empty=True))
    return found[: LIMITS.ways]


def _places(world: World, tables: Collection[int]) -> Iterator[tuple[Row, str, str]]:
    """The columns of rows that name the owner, each with the value that names somebody else: a
    colleague, and of a membership, which they may have too, that of the stranger.
    """
    plan, owner, colleague = world.plan, *world.a.users[:2]
    _, colleague_of_stranger = world.b.users[:2]
    for oid in sorted(set(tables) - plan.per_user):
        row = world.a.rows.get(oid)
        if row is None:
            continue
        other = colleague_of_stranger if oid in plan.memberships else colleague
        for name in user_columns(row.relation, plan.usage, plan.per_user):
            value = identity(row.relation, name, other)
            is_owner = row.values.get(name) == identity(row.relation, name, owner)
            if is_owner and value is not None:
                yield row, name, value


def _named(row: Row, column: str, value: str | None) -> Statement:
    """The statement that puts a person, or nobody, into a column of a row."""
    text = sql.SQL("update {} set {} = {} where {}").format(
        row.relation.identifier,
        sql.Identifier(column),
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(row.relation.by_name[column].type)),
        row.condition,
    )
    return Statement(text.as_string(None))
