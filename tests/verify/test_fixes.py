"""The fixes of a report, as printed, repair the database in psql."""

import json
import re

import psycopg
import pytest

from supabase_jobs.findings import APPLY_FIRST
from tests.fix_cli import Run
from tests.psql import run_in_psql
from tests.verify.catalogue import every_catalogue

THREE_FAULTS = """
alter policy "guests read their own jobs" on public.async_jobs using (true);
grant delete on public.async_jobs to anon;
drop index public.idx_async_jobs_url;
"""
SCREEN = 60
_FIX = re.compile(
    r"^fix:\n(.*?)\n\n(?=error: |warning: |info: |To see )", flags=re.MULTILINE | re.DOTALL
)


def insert(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def test_three_faults_are_three_groups_whose_fixes_repair_the_database(
    cli: Run, applied_url: str
) -> None:
    insert(applied_url, THREE_FAULTS)
    ran = cli("verify", SUPABASE_DB_URL=applied_url)
    assert ran.code == 1
    assert len(ran.out.splitlines()) <= SCREEN
    assert sorted(re.findall(r"^error: public.async_jobs: (\w+)", ran.out, flags=re.MULTILINE)) == [
        "grant",
        "index",
        "policy",
    ]
    assert (
        len(re.findall("^error: ", ran.out, flags=re.MULTILINE)) == len(_FIX.findall(ran.out)) == 3
    )
    _, errors = run_in_psql(applied_url, "\n".join(_FIX.findall(ran.out)))
    assert errors == ""
    assert cli("verify", SUPABASE_DB_URL=applied_url).code == 0


def test_the_fixes_of_the_json_report_repair_the_database(cli: Run, applied_url: str) -> None:
    insert(
        applied_url,
        THREE_FAULTS
        + "create table public.things (job_id uuid references public.async_jobs);"
        + "alter table public.things enable row level security;",
    )
    findings = json.loads(cli("verify", "--json", SUPABASE_DB_URL=applied_url).out)["findings"]
    assert any(" concurrently " in finding["fix"] for finding in findings)
    causes = {finding["id"] for finding in findings if not finding["cause"]}
    assert {finding["cause"] for finding in findings if finding["cause"]} <= causes
    assert all(finding["cause"] for finding in findings if finding["area"] == "access")
    _, errors = run_in_psql(applied_url, "\n".join(finding["fix"] for finding in findings))
    assert errors == ""
    assert json.loads(cli("verify", "--json", SUPABASE_DB_URL=applied_url).out)["findings"] == []


MISSING = {
    "both tables": "drop table public.guest_users, public.async_jobs cascade",
    "a table and the function of its policies": """
        drop function private.request_guest_id() cascade;
        drop table public.guest_users cascade""",
    "a table and the function of its trigger": """
        drop function private.set_guest_user_times() cascade;
        drop table public.guest_users cascade""",
    "a table and the functions of its constraints": """
        drop function private.is_valid_metadata(jsonb), private.is_valid_json(jsonb, integer) cascade;
        drop table public.async_jobs cascade""",
    "two functions of one name": """
        drop function public.migrate_guest_jobs(uuid, uuid), private.migrate_guest_jobs(uuid, uuid)""",
    "the schema": "drop schema private cascade",
    "the schema and the tables": """
        drop schema private cascade;
        drop table public.guest_users, public.async_jobs cascade""",
}


@pytest.mark.parametrize("sql", MISSING.values(), ids=MISSING)
def test_the_fixes_create_what_other_fixes_use_first(cli: Run, applied_url: str, sql: str) -> None:
    insert(applied_url, sql)
    ran = cli("verify", SUPABASE_DB_URL=applied_url)
    assert ran.code == 1
    _, errors = run_in_psql(applied_url, "\n".join(_FIX.findall(ran.out)))
    assert errors == ""
    assert cli("verify", SUPABASE_DB_URL=applied_url).code == 0


def test_the_fixes_of_a_missing_schema_include_its_privileges(cli: Run, applied_url: str) -> None:
    insert(applied_url, "drop schema private cascade")
    findings = json.loads(cli("verify", "--json", SUPABASE_DB_URL=applied_url).out)["findings"]
    assert findings[0]["id"] == "structure:private:schema"
    assert findings[0]["fix"].splitlines() == [
        "create schema private;",
        "alter schema private owner to postgres;",
        "grant USAGE on schema private to anon;",
        "grant USAGE on schema private to authenticated;",
        "grant USAGE on schema private to service_role;",
    ]
    assert not any(finding["object"] == "private" for finding in findings[1:])


def test_a_database_without_migrations_is_one_error_with_a_hint(
    cli: Run, platform_url: str
) -> None:
    ran = cli("verify", SUPABASE_DB_URL=platform_url)
    assert ran.code == 1
    assert len(ran.out.splitlines()) <= 10
    assert re.findall("^error: (.*)", ran.out, flags=re.MULTILINE) == [
        "none of the tables and functions of the migrations exists"
    ]
    assert f"hint: {APPLY_FIRST}" in ran.out
    assert _FIX.findall(ran.out) == []
    findings = json.loads(cli("verify", "--json", SUPABASE_DB_URL=platform_url).out)["findings"]
    assert {"structure:private:schema", "structure:public.async_jobs:table"} <= {
        finding["id"] for finding in findings
    }


def test_the_fixes_of_the_whole_report_create_everything(cli: Run, platform_url: str) -> None:
    whole = cli("verify", "--all", SUPABASE_DB_URL=platform_url).out
    _, errors = run_in_psql(platform_url, "\n".join(_FIX.findall(whole)))
    assert errors == ""
    assert cli("verify", SUPABASE_DB_URL=platform_url).code == 0


def test_a_missing_function_does_not_count_as_a_database_without_migrations(
    cli: Run, applied_url: str
) -> None:
    insert(applied_url, MISSING["the schema and the tables"])  # functions of schema public are left
    assert APPLY_FIRST not in cli("verify", "--only", "structure", SUPABASE_DB_URL=applied_url).out


def test_no_hint_names_the_area_structure_after_it_has_run(cli: Run, applied_url: str) -> None:
    insert(applied_url, THREE_FAULTS)
    assert "--only structure" not in cli("verify", "--all", SUPABASE_DB_URL=applied_url).out
    assert "--only structure" in cli("verify", "--only", "access", SUPABASE_DB_URL=applied_url).out


def test_few_faults_have_no_fix_in_sql() -> None:
    """Functions of the platform and what it runs, scheduled jobs, policies of buckets, and user
    functions that only their author can write again.
    """
    assert sum(bool(fault.unrepairable) for fault in every_catalogue().values()) == 66


MOVED = {
    "another schema": "create schema app; alter table public.async_jobs set schema app",
    "another name": "alter table public.async_jobs rename to jobs",
    "a column": "alter table public.async_jobs rename column url to address",
    "the schema of the functions": "alter schema private rename to internal",
}


@pytest.mark.parametrize("sql", MOVED.values(), ids=MOVED)
def test_the_fixes_of_what_was_moved_keep_every_row(cli: Run, applied_url: str, sql: str) -> None:
    insert(
        applied_url,
        "with guest as (insert into public.guest_users (guest_id) values (gen_random_uuid()) returning *)"
        " insert into public.async_jobs (url, guest_id) select 'https://x.com/kept', guest_id from guest",
    )
    insert(applied_url, sql)
    ran = cli("verify", SUPABASE_DB_URL=applied_url)
    assert ran.code == 1
    _, errors = run_in_psql(applied_url, "\n".join(_FIX.findall(ran.out)))
    assert errors == ""
    assert cli("verify", SUPABASE_DB_URL=applied_url).code == 0
    with psycopg.connect(applied_url) as connection:
        rows = connection.execute("select url from public.async_jobs").fetchall()
    assert rows == [("https://x.com/kept",)]
