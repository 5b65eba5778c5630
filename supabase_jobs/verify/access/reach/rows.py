"""Rows of a table that a caller writes, which name another user or have a text of its choice."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import product, repeat

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach import texts
from supabase_jobs.verify.access.reach.candidate import Candidate, Kind
from supabase_jobs.verify.access.reach.values import (
    ADDRESS,
    call_of,
    insert_of,
    is_text,
    ordinary,
    qualified,
    value_of,
)
from supabase_jobs.verify.access.reach.world import World

# the columns of a row, and their values
Row = Mapping[str, sql.Composable]
Texts = Sequence[Sequence[sql.Composable]]

# the key of the row that the caller has written
WRITTEN_KEY = sql.SQL("current_setting('verify.row', true)")
_SETTINGS_OF_CALLER = (
    ("role", "service_role"),
    ("request.jwt.claims", '{"role": "service_role"}'),
)


def naming_rows(
    world: World,
    table: Candidate,
    named_columns: Sequence[str] | None = None,
    *,
    complete: bool = False,
) -> Iterator[Row]:
    """Rows with only the columns that have to have a value, and for each id those that may name it:
    all of type uuid, or the given ones. `complete`: the others of type uuid are the caller.
    """
    columns = table.columns
    ids = [column for column, type, _ in columns if type == "uuid"]
    if complete and len(ids) < 2 and table.kind is not Kind.KEPT:
        return
    for id, named in product(world.ids, ids if named_columns is None else named_columns):
        yield {
            column: ordinary(type, id if column == named else world.own)
            for column, type, required in columns
            if required or column == named or (complete and type == "uuid")
        }


def own_rows(world: World, table: Candidate, choices: Texts) -> Iterator[Row]:
    """Rows of the caller with the columns that have to have a value, and for each text one with it
    in each column.
    """
    named = [column for column, type, _ in table.columns if is_text(type)]
    for text, name in product(choices, named or [""]):
        rest = iter([*text, *[text[-1]] * len(table.types)])
        yield {
            column: value_of(type, rest, sql.Literal(0), world.own)
            for column, type, required in table.columns
            if required or column == name
        }


def json_rows(world: World, table: Candidate) -> Iterator[Row]:
    """Rows of the caller whose objects name another user by what the triggers read."""
    objects = [column for column, type, _ in table.columns if type in ("json", "jsonb")]
    named = sql.Literal(json.dumps(dict.fromkeys(table.literals, str(world.other))))
    for values in own_rows(world, table, [[sql.Literal("verify")]]) if objects else ():
        yield {**values, **dict.fromkeys(objects, named)}


def inserted(table: str, values: Row, *, returning: bool = False, key: str = "") -> Statement:
    """An insert, which returns the row, or keeps its key."""
    insert = insert_of(table, values)
    if returning:
        row = sql.SQL(" returning left(to_jsonb({}.*)::text, 2000)")
        insert += row.format(qualified(table))
    elif key:
        insert += sql.SQL(" returning set_config('verify.row', {}::text, true)").format(
            qualified(key)
        )
    return Statement(insert.as_string(None))


def written(
    world: World, source: Candidate, *, is_dynamic: bool, of_users: bool = False
) -> Iterator[Statement]:
    """Writes of the caller into a table that something reads, `of_users` also an address that
    nobody has.
    """
    values = world.values
    choices = values.of_texts(source.types) if is_dynamic else values.addresses(source.types)
    if of_users:
        choices = [*choices, [sql.Literal(values.address)]]
    if source.kind is Kind.CHANGED:
        yield from updates(source, choices)
        return
    for row in [*own_rows(world, source, choices), *naming_rows(world, source)]:
        yield inserted(source.name, row, key=source.key)


def updates(source: Candidate, choices: Texts) -> Iterator[Statement]:
    """Updates of all rows that the caller may change: each text in each column."""
    named = [column for column, type, _ in source.columns if is_text(type)]
    for text, column in product(choices, named):
        update = sql.SQL("update {} set {} = {}").format(
            qualified(source.name), qualified(column), text[-1]
        )
        yield Statement(update.as_string(None))


def changes(table: Candidate, values: Row) -> Iterator[Statement]:
    """An update that changes nothing and a delete of the rows with one of these values."""
    name = qualified(table.name)
    for column, type, _ in table.columns:
        if column not in values or not (type == "uuid" or is_text(type)):
            continue
        of_row = sql.SQL(" where {} = {}").format(qualified(column), values[column])
        same = sql.SQL("update {0} set {1} = {1}").format(name, qualified(column))
        delete = sql.SQL("delete from {}").format(name)
        for change in (same, delete):
            yield Statement((change + of_row).as_string(None))


def suggested(world: World, candidate: Candidate) -> list[Sequence[sql.Composable]]:
    """Texts that a function or trigger suggests to write: its own literals, alone and with
    the address of the other user, an address that nobody has, settings and fragments of statements.
    """
    found: list[Sequence[sql.Composable]] = []
    several = sum(map(is_text, candidate.types)) > 1
    for one in map(sql.Literal, candidate.literals):
        found.append([one])
        found += [[one, sql.SQL(ADDRESS)], [sql.SQL(ADDRESS), one]] if several else []
    for pattern, of_other in product(candidate.patterns, map(str, world.ids)):
        found.append([sql.Literal(pattern.replace("%", of_other))])
    if texts.reads_users(candidate.text):
        found.append([sql.Literal(world.values.address)])
    if texts.is_dynamic(candidate.text):
        found += world.values.fragments()
    if texts.sets(candidate.text):
        found += [[*map(sql.Literal, pair)] for pair in _SETTINGS_OF_CALLER]
    return found


def rows_of(table: Candidate, user: uuid.UUID, other: uuid.UUID) -> Iterator[str]:
    """Statements that insert a row each that names the user in one column, and another user in the
    other columns of this type.
    """
    ids = [column for column, type, _ in table.columns if type == "uuid"]
    for own in ids:
        values = {
            column: ordinary(type, user if column == own else other)
            for column, type, required in table.columns
            if required or column in ids
        }
        yield insert_of(table.name, values, overriding=True).as_string(None)


def writes_of(source: Candidate, user: uuid.UUID, text: str) -> tuple[str, list[str]]:
    """A statement that inserts a row of the user, and those that write a text into each column: the
    calls of a function write one too.
    """
    chosen = sql.Literal(text)
    if source.kind is Kind.FUNCTION:
        values = [value_of(type, repeat(chosen), sql.Literal(1), user) for type in source.types]
        return "select", [call_of(source.name, values).as_string(None)]
    of_user = [column for column, type, _ in source.columns if type == "uuid"]
    named = [column for column, type, _ in source.columns if is_text(type)]
    own = {
        column: ordinary(type, user)
        for column, type, required in source.columns
        if required or column == source.key or type == "uuid"
    }
    writes = []
    for column in named:
        writes.append(insert_of(source.name, {**own, column: chosen}).as_string(None))
        for id in of_user:
            update = sql.SQL("update {} set {} = {} where {} = {}").format(
                qualified(source.name),
                qualified(column),
                chosen,
                qualified(id),
                sql.Literal(str(user)),
            )
            writes.append(update.as_string(None))
    return insert_of(source.name, own).as_string(None), writes
