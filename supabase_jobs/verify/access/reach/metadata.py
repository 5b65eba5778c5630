"""Metadata that a user chooses: what a new user sends, or has in its row of auth.users."""

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.verify.access.reach import texts
from supabase_jobs.verify.access.reach.world import World

# what metadata may be called besides the literals of a text
NAMES = ("id", "user_id", "guest_id", "email")


def chosen(text: str, value: sql.Composable) -> Statement:
    """Chooses a JSON object: the value under each name that a text mentions."""
    query = sql.SQL(
        "select from (select coalesce(jsonb_object_agg(k, {})::text, '{{}}') as text"
        " from unnest({}::text[]) as k) as o where set_config('verify.chosen', text, true) = ''"
    )
    names = sorted(set(texts.literals(text)))
    return Statement(query.format(value, sql.Literal(names)).as_string(None))


def given(world: World) -> Statement:
    """Gives the caller what is chosen."""
    update = sql.SQL(
        "update auth.users set raw_user_meta_data = current_setting('verify.chosen')::jsonb"
        " where id = {}"
    )
    return Statement(update.format(sql.Literal(str(world.own))).as_string(None))
