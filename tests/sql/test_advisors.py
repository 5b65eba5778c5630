"""Supabase's advisors and linter report nothing on these migrations; `verify` finds the same faults
as they do.
"""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.verify.verify import verify
from tests.fix_cli import SupabaseCli
from tests.fix_db import EXPECTATIONS, Make, oldest_and_newest

# (name in Supabase's advisors, SQL that causes it, start of the id in verify)
ADVISORIES = [
    (
        "unindexed_foreign_keys",
        "drop index public.idx_guest_users_migrated_to_user_id",
        "plans:foreign key",
    ),
    (
        "auth_rls_initplan",
        'alter policy "users read their own jobs" on public.async_jobs using (user_id = auth.uid())',
        "plans:once",
    ),
    (
        "multiple_permissive_policies",
        "create policy oops on public.async_jobs for select to authenticated using (url = 'x')",
        "structure:public.async_jobs:policy:oops",
    ),
    (
        "rls_disabled_in_public",
        "alter table public.guest_users disable row level security",
        "structure:public.guest_users:row level security",
    ),
    (
        "security_definer_view",
        "create view public.all_jobs as select * from public.async_jobs",
        "structure:",
    ),
    (
        "function_search_path_mutable",
        "alter function private.migrate_guest_jobs reset search_path",
        "structure:private.migrate_guest_jobs(uuid,uuid):settings",
    ),
    (
        "duplicate_index",
        "create index twice on public.async_jobs (created_at)",
        "plans:duplicate_index",
    ),
]

# reported for every index of a new database
UNUSED = {"unused_index"}

Advisors = Callable[[str], set[str]]


@pytest.fixture
def advisors(supabase: SupabaseCli, tmp_path: Path) -> Advisors:
    """The names of what Supabase's advisors report about a database."""

    def run(url: str) -> set[str]:
        options = ("--level", "info", "--output-format", "json")
        ran = supabase("db", "advisors", *options, url=url, cwd=tmp_path)
        assert ran.code == 0, ran.err
        return {issue["name"] for issue in json.loads(ran.out)["results"]} - UNUSED

    return run


@oldest_and_newest
def test_advisors_report_nothing(make_database: Make, each_major: int, advisors: Advisors) -> None:
    assert advisors(make_database("applied", each_major).url) == set()


def test_verify_finds_what_the_advisors_report(applied_url: str, advisors: Advisors) -> None:
    """Each fault alone in `verify`, and all of them in one run of the advisors."""
    found = {}
    with psycopg.connect(applied_url, autocommit=True) as connection:
        for name, sql, id in ADVISORIES:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.encode())
                findings = verify(connection, EXPECTATIONS, ("structure", "plans")).findings
                found[name] = any(f.id.startswith(id) for f in findings)
        for _, sql, _ in ADVISORIES:
            connection.execute(sql.encode())
    reported = advisors(applied_url)
    assert found == {name: True for name, _, _ in ADVISORIES}
    assert reported >= found.keys()


@pytest.mark.slow
def test_linter_reports_nothing(make_database: Make, supabase: SupabaseCli, tmp_path: Path) -> None:
    """`db lint` uses plpgsql_check, which Debian packages for PostgreSQL 17."""
    database = make_database("applied", 17)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("create extension plpgsql_check with schema extensions")
        connection.execute("grant usage on schema extensions to public")
    lint = ("db", "lint", "--level", "warning", "--fail-on", "warning", "--output-format", "json")
    ran = supabase(*lint, url=database.url, cwd=tmp_path)
    assert ran.code == 0, ran.out + ran.err
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "create function public.broken() returns int language plpgsql as $$ begin return"
            " nothing; end $$"
        )
    assert supabase(*lint, url=database.url, cwd=tmp_path).code == 1
