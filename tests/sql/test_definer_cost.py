"""The cost of the query for functions that bypass row level security, in a project with many
functions.
"""

import re
from pathlib import Path

import psycopg

from supabase_jobs.verify.structure import catalog, snapshot
from tests.fix_db import Make

FUNCTIONS = 300
QUERY = Path(catalog.__file__).parent / "queries" / "bypass_functions.sql"


def test_wrong_statistics_do_not_make_the_query_quadratic(make_database: Make) -> None:
    """A quadratic plan exceeded the statement timeout of 10 s with 1500 functions."""
    scope = snapshot.load().names
    removed: list[int] = []
    with psycopg.connect(make_database("applied").superuser_url) as connection:
        connection.execute(
            f"do $do$ begin for i in 1..{FUNCTIONS} loop execute format('create function"
            " public.f_%s() returns void"
            " language plpgsql as %L', i, 'begin ' || repeat('perform public.g_' || i || '(); ',"
            " 40) || 'end');"
            " end loop; end $do$".encode()
        )
        connection.execute("analyze")
        connection.execute("select set_config('search_path', '', true)")
        explain = b"explain (analyze, timing off, costs off) " + QUERY.read_bytes()
        for rows in (1, 1000, 10000, 100000):
            connection.execute(
                "update pg_class set reltuples = %s, relpages = 100000 where oid ="
                " 'pg_proc'::regclass",
                (rows,),
            )
            plan = psycopg.RawCursor(connection).execute(explain, [scope]).fetchall()
            removed += [
                int(n)
                for (line,) in plan
                for n in re.findall(r"Removed by Join Filter: (\d+)", line)
            ]
    assert max(removed) < FUNCTIONS * FUNCTIONS / 2
