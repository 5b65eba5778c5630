"""Writes into tables and views: inserts, updates and deletes of a caller."""

from collections.abc import Iterator
from itertools import chain, product

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach.candidate import VIEW, Candidate
from supabase_jobs.verify.access.reach.rows import (
    WRITTEN_KEY,
    Row,
    Texts,
    changes,
    inserted,
    json_rows,
    naming_rows,
    own_rows,
    suggested,
    updates,
)
from supabase_jobs.verify.access.reach.use import Act
from supabase_jobs.verify.access.reach.values import (
    ADDRESS,
    insert_of,
    is_text,
    ordinary,
    qualified,
)
from supabase_jobs.verify.access.reach.world import World

# rows that one caller writes, of which a trigger may count some
_SEVERAL = 5


def writes(world: World, table: Candidate) -> Iterator[Act]:
    """Inserts of each kind of text, after which the caller reads the table, and an update or delete
    of the row behind it. Then an update or delete of a row of another user.
    """
    more, before = suggested(world, table), world.identified(table)
    values: Row
    for profile in world.values.profiles(table.types, more=more):
        values = dict(zip(table.names or (), profile, strict=True))
        insert = inserted(table.name, values)
        yield Act([*before, insert])
        for change in changes(table, values):
            yield Act([*before, insert, change])
    for values in [
        *own_rows(world, table, [*world.values.of_texts(table.types), *more]),
        *naming_rows(world, table),
        *naming_rows(world, table, complete=True),
        *json_rows(world, table),
    ]:
        insert = inserted(table.name, values)
        yield Act([*before, insert])
        yield Act([inserted(table.name, values, returning=True)])
        for change in changes(table, values):
            yield Act([insert, change])
        if any(table.refers):
            yield from map(Act, deletes(world, insert))
    yield from _moves(world, table)
    for values in naming_rows(world, table):
        # what a trigger does may depend on the number of rows
        yield Act([inserted(table.name, values)] * _SEVERAL)
        yield from _changes_after(world, table, values)
    yield from _changes_of_view(world, table)


def changes_of_kept(world: World, table: Candidate) -> Iterator[Act]:
    """An update or delete of a row of another user, and of the caller's own, also with the texts
    that the triggers of the table suggest.
    """
    for values in naming_rows(world, table, complete=True):
        yield from _changes_after(world, table, values)
    own = {
        column: ordinary(type, world.own)
        for column, type, required in table.columns
        if required or type == "uuid"
    }
    yield from _changes_after(world, table, own, [*suggested(world, table), [sql.SQL(ADDRESS)]])
    yield from _changes_of_view(world, table)


def deletes_of_parent(world: World, parent: Candidate, role: str) -> Iterator[Act]:
    """A delete of the row of another user, to which its job and guest refer."""
    values = {
        column: ordinary(type, world.other)
        for column, type, required in parent.columns
        if required or type == "uuid"
    }
    # a row that nobody has
    needed = {column for column, _, required in parent.columns if required}
    of_nobody = {column: value for column, value in values.items() if column in needed}
    key = sql.SQL("{}::{}").format(WRITTEN_KEY, sql.SQL(parent.type_of_key or "bigint"))
    delete = sql.SQL("delete from {} where {} = {}").format(
        qualified(parent.name), qualified(parent.key), key
    )
    for row in (values, of_nobody):
        before = [
            world.own_role,
            inserted(parent.name, row, key=parent.key),
            Statement(parent.text),
            world.become(parent, role),
        ]
        yield Act(before, is_control=True)
        yield Act([*before, Statement(delete.as_string(None))])


def deletes(world: World, before: Statement) -> Iterator[list[Statement]]:
    """A statement of the caller, and after it each delete of the owner of a job."""
    for text in world.reach.deletes:
        yield [before, world.own_role, world.statement(text)]


def _changes_after(
    world: World, table: Candidate, values: Row, choices: Texts = ()
) -> Iterator[Act]:
    """Changes by the caller after the own role has written a row, unless there is one."""
    insert = insert_of(table.name, values) + sql.SQL(" on conflict do nothing")
    before = [world.own_role, Statement(insert.as_string(None)), world.become(table)]
    yield Act(before, is_control=True)
    for change in chain(changes(table, values), updates(table, choices)):
        yield Act([*before, *world.identified(table), change])


def _changes_of_view(world: World, view: Candidate) -> Iterator[Act]:
    """Changes of all rows that the caller sees in a view: its role, its address, or whose they
    are.
    """
    if view.relation != VIEW:
        return
    choices = [[sql.Literal(text)] for text in ("service_role", world.values.address)]
    for change in updates(view, choices):
        yield Act([change])
    other = sql.Literal(str(world.other))
    for column in (column for column, type, _ in view.columns if type == "uuid"):
        update = sql.SQL("update {} set {} = {}").format(
            qualified(view.name), qualified(column), other
        )
        yield Act([Statement(update.as_string(None))])


def _moves(world: World, table: Candidate) -> Iterator[Act]:
    """Updates by which the caller gives a row that it has to another user, with other texts."""
    ids = [name for name, type, _ in table.columns if type == "uuid"]
    for moved, id in product(ids, world.ids):
        # the rows that it has without being given one, as in a view of managed rows
        update = sql.SQL("update {} set {} = {} where true").format(
            qualified(table.name), qualified(moved), sql.Literal(str(id))
        )
        yield Act([Statement(update.as_string(None))])
    named = [column for column, type, _ in table.columns if is_text(type)]
    chosen = sql.Literal(world.values.address)
    for moved in ids if "update" in table.events else ():
        values = {
            column: ordinary(type, world.own)
            for column, type, required in table.columns
            if required or column == moved
        }
        before = [world.own_role, inserted(table.name, values), world.become(table)]
        assignments = [
            *(sql.SQL("{} = {}").format(qualified(column), chosen) for column in named),
            sql.SQL("{} = {}").format(qualified(moved), sql.Literal(str(world.other))),
        ]
        # a condition that reads columns would ask the policies for SELECT too
        update = sql.SQL("update {} set {} where true").format(
            qualified(table.name), sql.SQL(", ").join(assignments)
        )
        yield Act(before, is_control=True)
        yield Act([*before, Statement(update.as_string(None))])
