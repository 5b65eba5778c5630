"""Supabase's own advisors and linter on our database: nothing to say, and where they speak, so does `verify`."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.verify.run import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Make

# What Supabase's own advisors call it, and what breaks it; each is theirs and ours.
BOTH = [
    ("unindexed_foreign_keys", "drop index public.idx_guest_users_migrated_to_user_id", "plans:foreign key"),
    ("auth_rls_initplan", 'alter policy "users read their own jobs" on public.async_jobs using (user_id = auth.uid())',
     "plans:once"),
    ("multiple_permissive_policies",
     "create policy oops on public.async_jobs for select to authenticated using (url = 'x')",
     "structure:public.async_jobs:policy:oops"),
    ("rls_disabled_in_public", "alter table public.async_jobs disable row level security",
     "structure:public.async_jobs:row level security"),
    ("security_definer_view", "create view public.all_jobs as select * from public.async_jobs", "structure:"),
    ("function_search_path_mutable", "alter function private.migrate_guest_jobs reset search_path",
     "structure:private.migrate_guest_jobs(uuid,uuid):settings"),
    ("duplicate_index", "create index twice on public.async_jobs (created_at)", "plans:duplicate_index"),
]  # fmt: skip

# says of each index of a new database that no query has used it yet
UNUSED = {"unused_index"}

Ask = Callable[[str], set[str]]


@pytest.fixture
def advisors(supabase: Run, tmp_path: Path) -> Ask:
    """The names of what Supabase's advisors report about a database."""

    def ask(url: str) -> set[str]:
        options = ("--level", "info", "--output-format", "json")
        ran = supabase("db", "advisors", "--db-url", f"{url}?sslmode=disable", *options, cwd=tmp_path)
        assert ran.code == 0, ran.err
        return {issue["name"] for issue in json.loads(ran.out)["results"]} - UNUSED

    return ask


def test_the_advisors_have_nothing_to_say(make_database: Make, each_major: int, advisors: Ask) -> None:
    assert advisors(make_database("applied", each_major).url) == set()


@pytest.mark.parametrize(("name", "sql", "ours"), BOTH, ids=[name for name, _, _ in BOTH])
def test_where_they_speak_so_does_verify(applied_url: str, advisors: Ask, name: str, sql: str, ours: str) -> None:
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(sql.encode())
        findings = verify(connection, EXPECTATIONS, ("structure", "plans")).findings
    assert name in advisors(applied_url)
    assert any(f.id.startswith(ours) for f in findings)


def test_the_linter_has_nothing_to_say(make_database: Make, supabase: Run, tmp_path: Path) -> None:
    """`db lint` asks plpgsql_check, which Debian has for PostgreSQL 17."""
    database = make_database("applied", 17)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("create extension plpgsql_check with schema extensions")
        connection.execute("grant usage on schema extensions to public")
    lint = ("db", "lint", "--level", "warning", "--fail-on", "warning", "--output-format", "json", "--db-url")
    ran = supabase(*lint, f"{database.url}?sslmode=disable", cwd=tmp_path)
    assert ran.code == 0, ran.out + ran.err
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "create function public.broken() returns int language plpgsql as $$ begin return nothing; end $$"
        )
    assert supabase(*lint, f"{database.url}?sslmode=disable", cwd=tmp_path).code == 1
