"""Calls of functions, and reads of computed columns."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach import metadata, texts
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.access.reach.rows import (
    WRITTEN_KEY,
    inserted,
    naming_rows,
    own_rows,
    suggested,
    written,
)
from supabase_jobs.verify.access.reach.use import Act
from supabase_jobs.verify.access.reach.values import (
    ADDRESS,
    MOST_ROWS,
    call_of,
    is_text,
    number_of,
    qualified,
    row_of,
    value_of,
)
from supabase_jobs.verify.access.reach.world import World


def called(function: Candidate, values: Sequence[sql.Composable]) -> Statement:
    """A call of a function."""
    return Statement(call_of(function.name, values).as_string(None))


def calls(world: World, function: Candidate) -> Iterator[Act]:
    """Calls with each kind of text; the first text is a time of pg_cron in the last one. Then calls
    with metadata and headers of the caller's choice, and for a row that it has written before.
    """
    numbers: list[sql.Composable] = [sql.Literal(number) for number in (1, 0, -1)]
    is_dynamic = texts.is_dynamic(function.text)
    if is_dynamic:
        oids = [number_of(table) for table in world.tables]
        numbers = [*oids, *numbers] if "regclass" in function.types else [*numbers, *oids]
    more = suggested(world, function)
    if texts.computes(function.text):
        more += world.values.computed()
    names = function.literals if function.may_change_caller else ()
    if texts.names_bucket(function.text):
        more.append([sql.Literal("verify")])
    profiles = world.values.profiles(function.types, numbers, more, names)
    tables = world.tables if is_dynamic else ()
    for values in chain(profiles, world.values.of_tables(function.types, tables)):
        yield Act([*world.identified(function), called(function, values)])
    ordinary = called(function, next(world.values.profiles(function.types, numbers)))
    if texts.reads_metadata(function.text):
        for value in (sql.SQL(ADDRESS), *(sql.Literal(str(id)) for id in world.ids)):
            chosen = [metadata.chosen(function.text, value), metadata.given(world)]
            yield Act([world.own_role, *chosen, world.become(function), ordinary])
    if texts.reads_request(function.text):
        for forged in _forged(world, function):
            yield Act([forged, ordinary])
    for source in filter(function.reads, world.sources):
        yield from _calls_for_written(world, function, source)


def computed(world: World, function: Candidate) -> Iterator[Act]:
    """The computed column of rows that the caller makes up, as for a function of the API, and of
    those that it sees: one names the other user.
    """
    for id in world.ids:
        row = row_of(function.relation, id)
        made_up = sql.SQL("select left({}({})::text, 2000)").format(qualified(function.name), row)
        yield Act([Statement(made_up.as_string(None))])
    query = sql.SQL("select left({}(r)::text, 2000) from {} as r limit {}").format(
        qualified(function.name), qualified(function.relation), sql.Literal(MOST_ROWS)
    )
    answer = Statement(query.as_string(None))
    if function.names is None:
        yield Act([answer])
        return
    for values in naming_rows(world, function):
        insert = inserted(function.relation, values)
        yield Act([world.own_role, insert, world.become(function), answer])


def _calls_for_written(world: World, function: Candidate, source: Candidate) -> Iterator[Act]:
    """Calls for a row that the caller has written, by its key or by a text in it."""
    ordinary = next(world.values.profiles(function.types, [WRITTEN_KEY]))
    by_key = [
        sql.SQL("{}::{}").format(WRITTEN_KEY, sql.SQL(type))
        if type == "uuid" or (type == "text" and is_text(source.type_of_key))
        else value
        for type, value in zip(function.types, ordinary, strict=True)
    ]
    of_users = texts.reads_users(function.text)
    is_dynamic = texts.is_dynamic(function.text)
    for write in written(world, source, is_dynamic=is_dynamic, of_users=of_users):
        yield Act([write, called(function, by_key)])
    if not of_users:
        return
    # a text that the caller need not see again
    text = sql.Literal(world.values.address)
    same = [value_of(type, repeat(text), sql.Literal(1), world.own) for type in function.types]
    for values in own_rows(world, source, [[text]]):
        yield Act([inserted(source.name, values), called(function, same)])


def _forged(world: World, function: Candidate) -> Iterator[Statement]:
    """Metadata and headers of the caller's choice: each value under each name."""
    names = [*function.literals, *metadata.NAMES, "role"]
    for value in (*function.literals, "service_role", "true", str(world.other)):
        chosen = dict.fromkeys(names, value)
        claims = {"role": "authenticated", "sub": str(world.own), "user_metadata": chosen}
        yield Statement(
            "select where set_config('request.jwt.claims', %s, true) is null"
            " or set_config('request.headers', %s, true) is null",
            (json.dumps(claims), json.dumps(chosen)),
        )
