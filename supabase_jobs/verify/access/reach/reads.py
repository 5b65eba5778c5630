"""Reads of tables and views, and of the messages of public topics."""

import re
from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach.candidate import TABLE, Candidate
from supabase_jobs.verify.access.reach.rows import inserted, naming_rows
from supabase_jobs.verify.access.reach.use import Act
from supabase_jobs.verify.access.reach.values import MOST_ROWS, qualified
from supabase_jobs.verify.access.reach.world import World

_FILES = "storage.objects"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-"


def reads(world: World, relation: Candidate, role: str) -> Iterator[Act]:
    """The rows that contain something of the fixture or of the backend. Then the same after another
    user, or a guest, has a row that refers to a managed one.
    """
    shown = "|".join([*map(re.escape, world.shown), f"{world.secret} "])
    pattern: sql.Composable = sql.Literal(shown)
    if relation.relation != TABLE:
        # a table has the addresses that the project keeps
        pattern = sql.SQL("{} || current_setting('verify.of_user')").format(pattern)
    query = sql.SQL(
        "select left(to_jsonb(r)::text, 2000) from {} as r where to_jsonb(r)::text ~ ({}) limit {}"
    ).format(qualified(relation.name), pattern, sql.Literal(MOST_ROWS))
    read = Statement(query.as_string(None))
    if relation.name == _FILES:
        yield from _changes_of_files(world)
    yield Act([read])
    # a key of its own that equals an id shows nothing of others
    referring = [
        column
        for (column, type, _), table in zip(relation.columns, relation.refers, strict=True)
        if table and type == "uuid"
    ]
    become = world.become(relation, role)
    for values in naming_rows(world, relation, referring):
        before = [world.own_role, inserted(relation.name, values), become]
        yield Act(before, is_control=True)
        yield Act([*before, read])


def public_messages(world: World, messages: Candidate) -> Iterator[Act]:
    """The messages of topics that anybody can join, because their names have no random id."""
    shown = sql.Literal("|".join(map(re.escape, world.shown)))
    query = sql.SQL(
        "select left(to_jsonb(r)::text, 2000) from {} as r"
        " where not r.private and to_jsonb(r)::text ~ {} and r.topic !~ {} limit {}"
    ).format(qualified(messages.name), shown, sql.Literal(_UUID), sql.Literal(MOST_ROWS))
    yield Act([world.own_role, Statement(query.as_string(None))])


def _changes_of_files(world: World) -> Iterator[Act]:
    """A delete and an update of the files of another user, as Storage sends them."""
    allowed = Statement("select set_config('storage.allow_delete_query', 'true', true)")
    for change in ("delete from storage.objects", "update storage.objects set name = name"):
        of_other = f"{change} where name like %s returning %s"
        params = (f"{world.other}/%", f"{world.secret} changed")
        yield Act([allowed, Statement(of_other, params)])
