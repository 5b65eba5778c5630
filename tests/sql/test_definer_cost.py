"""What it costs to look for definer functions that come to our tables, in a project with many functions."""

import re
from pathlib import Path

import psycopg

from supabase_jobs.verify.structure import catalog, snapshot
from tests.fix_db import Make

FUNCTIONS = 300
QUERY = Path(catalog.__file__).parent / "queries" / "bypass_functions.sql"


def test_statistics_that_are_wrong_do_not_have_each_name_looked_for_in_each_body(make_database: Make) -> None:
    """With one and a half thousand functions that took longer than the ten seconds a statement has."""
    scope = snapshot.load().names
    removed: list[int] = []
    with psycopg.connect(make_database("applied").superuser_url) as connection:
        connection.execute(
            f"do $do$ begin for i in 1..{FUNCTIONS} loop execute format('create function public.f_%s() returns void"
            " language plpgsql as %L', i, 'begin ' || repeat('perform public.g_' || i || '(); ', 40) || 'end');"
            " end loop; end $do$".encode()
        )
        connection.execute("analyze")
        connection.execute("select set_config('search_path', '', true)")
        explain = b"explain (analyze, timing off, costs off) " + QUERY.read_bytes()
        for rows in (1, 1000, 10000, 100000):
            connection.execute(
                "update pg_class set reltuples = %s, relpages = 100000 where oid = 'pg_proc'::regclass", (rows,)
            )
            plan = psycopg.RawCursor(connection).execute(explain, [scope]).fetchall()
            removed += [int(n) for (line,) in plan for n in re.findall(r"Removed by Join Filter: (\d+)", line)]
    assert max(removed) < FUNCTIONS * FUNCTIONS / 2
