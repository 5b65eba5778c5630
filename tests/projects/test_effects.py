"""The effect of a file is proven if the database has everything that the file changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from supabase_jobs.projects.built import Built
from supabase_jobs.projects.catalog import read_facts_here
from supabase_jobs.projects.effects import Candidate, Effects, prove
from supabase_jobs.sources.files import Migration, MigrationFiles
from tests.fix_db import Database
from tests.programs import DEFAULT_MAJOR

THERE = "create table public.there (id bigint, size varchar(9) check (size in ('s', 'l')));"
TABLE = "create table public.notes (id bigint primary key, body text);\n"
Prove = Callable[[str, str], Effects]


@pytest.fixture(scope="module")
def attempt(request: pytest.FixtureRequest) -> Iterator[Prove]:
    """`attempt(file, made)`: prove the effect of a file in a database where `made` ran."""
    template: Database = request.getfixturevalue(f"services_{DEFAULT_MAJOR}")
    server = template.server
    server.create("effects", template.name)
    with psycopg.connect(server.url("effects"), autocommit=True) as connection:
        connection.execute(THERE)
    numbers = count()

    def attempt(text: str, made: str) -> Effects:
        with psycopg.connect(server.url("effects")) as connection:
            connection.execute(made.encode())
            connection.execute("set local search_path = ''")
            facts = read_facts_here(connection)
            connection.rollback()
        name = f"effects_{next(numbers)}"
        server.create(name, "effects")
        place = SimpleNamespace(url=server.url(name), own_url=server.url(name, server.user))

        @contextmanager
        def build(_files: MigrationFiles) -> Iterator[Built]:
            yield Built(cast(Any, place), ())

        migration = Migration("2", "file", text, "2_file.sql")
        try:
            return prove(build, MigrationFiles(()), [Candidate(migration)], facts)
        finally:
            server.drop(name)

    yield attempt
    server.drop("effects")


BUCKET = "insert into storage.buckets (id, name) values ('a', 'a');"
JOB = "select cron.schedule('nightly', '0 3 * * *', 'select 1');"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (TABLE, TABLE),
        ("drop table public.there;", "drop table public.there;"),
        ("grant select on public.there to anon;", ""),
        ("set search_path = public; " + TABLE, TABLE),
        (BUCKET, BUCKET),
        (JOB, JOB),
        # as a dump has it
        (
            TABLE + "alter table notes add check (body in ('a', 'b'));",
            TABLE + "alter table notes add check (body = any (array['a', 'b']));",
        ),
        (
            "alter table there add check (size in ('x', 'y'));",
            "alter table there add check ((size)::text = any"
            " (array[('x'::character varying)::text, ('y'::character varying)::text]));",
        ),
    ],
)
def test_the_effect_is_there(text: str, made: str, attempt: Prove) -> None:
    assert attempt(text, made) == Effects(frozenset({"2"}), {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "made", "reason"),
    [
        (TABLE, "", "table of public.notes"),
        (TABLE, TABLE.replace("body text", "body varchar"), 'column "body" of public.notes'),
        ("create table if not exists public.notes (id int);", "", "table of public.notes"),
        ("drop table public.there;", "", "table of public.there"),
        ("revoke select on public.there from anon;", "", 'grant "anon" of public.there'),
        (BUCKET, "", "bucket of a"),
        (JOB, JOB.replace("3", "4"), "cron job of nightly"),
        (TABLE + "insert into public.notes values (1);", TABLE, "what line 2 does"),
        ("do $$ begin create table public.notes (); end $$;", TABLE, "what line 1 does"),
        ("alter role anon set statement_timeout = '1s';", "", "what line 1 does"),
        ("select 1;", "", "what line 1 does"),
        ("create table public.there ();", "", "it fails after the applied migrations"),
        ("--! transaction:false\ndrop index concurrently i;", "", "cannot run in a transaction"),
    ],
)
def test_the_effect_is_not_proven(text: str, made: str, reason: str, attempt: Prove) -> None:
    found = attempt(text, made)
    assert found.proven == frozenset()
    assert reason in found.reasons["2"]


def test_a_file_whose_effect_is_missing_is_not_proven(attempt: Prove) -> None:
    assert "table of public.notes" in attempt(TABLE, "").reasons["2"]
