"""Uninstalling is a migration: nothing of ours is left, nothing of others' is gone, and no data goes by surprise."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.errors import MigrationError
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import Migration, MigrationFiles, load_sources
from supabase_jobs.sources.render import render_uninstall
from tests.fix_cli import Run
from tests.fix_db import Database, Make, packaged
from tests.impersonation import insert_fixture_rows

# everything that a migration could leave behind, whoever made it; the ledger is the runner's and stays
CATALOGS = """
with space as (
  select oid, nspname, nspacl from pg_namespace where nspname !~ '^pg_' and nspname <> 'supabase_migrations'
)
select 'schema', nspname, nspacl::text from space
union all
select 'relation', c.oid::regclass::text, concat(c.relkind, c.relacl, c.relrowsecurity)
from pg_class as c inner join space as s on c.relnamespace = s.oid
union all
select 'function', p.oid::regprocedure::text, concat(p.prosrc, p.proacl)
from pg_proc as p inner join space as s on p.pronamespace = s.oid
union all
select 'type', t.oid::regtype::text, '' from pg_type as t inner join space as s on t.typnamespace = s.oid
union all
select 'policy', polname, polrelid::regclass::text from pg_policy
union all
select 'trigger', tgrelid::regclass::text, t.tgfoid::regprocedure::text from pg_trigger as t
union all
select 'constraint', conname, conrelid::regclass::text
from pg_constraint as c inner join space as s on c.connamespace = s.oid
union all
select 'default privileges', d.defaclobjtype::text, d.defaclacl::text from pg_default_acl as d
union all
select 'event trigger', evtname, '' from pg_event_trigger
union all
select 'extension', extname, '' from pg_extension
union all
select 'comment', classoid::regclass::text, count(*)::text from pg_description group by classoid
union all
select 'role', rolname, (select count(*) from pg_auth_members as m where m.member = r.oid)::text from pg_roles as r
order by 1, 2, 3
"""


def catalogs(url: str) -> list[tuple[Any, ...]]:
    """What there is in a database."""
    with psycopg.connect(url) as connection:
        return connection.execute(CATALOGS.encode()).fetchall()


def removal(**variables: object) -> Migration:
    """The uninstall migration, as it is rendered after all others."""
    rendered = render_uninstall(load_sources(), variables)
    return Migration("20990101000000", rendered.source.name, rendered.text, "uninstall.sql")


def apply(url: str, *migrations: Migration) -> list[str]:
    """Apply them after the packaged ones; the notices that came."""
    notices: list[str] = []
    with connect(url) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        apply_pending(connection, MigrationFiles([*packaged(), *migrations]))
    return notices


def run(database: Database, statements: str) -> None:
    """Run statements as postgres."""
    with psycopg.connect(database.url) as connection:
        connection.execute(statements.encode())


@pytest.mark.parametrize("template", ["platform", "bare"])
def test_nothing_of_ours_is_left(make_database: Make, each_major: int, template: str) -> None:
    url = make_database(template, each_major).url
    before = catalogs(url)
    apply(url)
    assert catalogs(url) != before
    assert apply(url, removal()) == []
    assert catalogs(url) == before


def test_data_is_deleted_only_where_that_was_said(make_database: Make) -> None:
    url = make_database("platform").url
    before = catalogs(url)
    apply(url)
    with psycopg.connect(url) as connection:
        insert_fixture_rows(connection)
    full = catalogs(url)
    with pytest.raises(MigrationError, match="deletes all of them") as refused:
        apply(url, removal())
    assert refused.value.sqlstate == "55000"
    assert "--drop-data" in (refused.value.hint or "")
    assert catalogs(url) == full
    apply(url, removal(drop_data=True))
    assert catalogs(url) == before


@pytest.mark.parametrize("kept", ["public.guest_users", "public.async_jobs"])
def test_rows_of_either_table_hold_it_back(make_database: Make, kept: str) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        insert_fixture_rows(connection)
        if kept == "public.guest_users":
            connection.execute("delete from public.async_jobs")
        else:
            connection.execute(
                "update public.async_jobs set guest_id = null, user_id = (select id from auth.users limit 1)"
            )
            connection.execute("delete from public.guest_users")
    with pytest.raises(MigrationError, match="deletes all of them"):
        apply(url, removal())


def test_a_schema_that_holds_more_stays(make_database: Make) -> None:
    database = make_database("platform")
    run(database, "create schema private; create table private.theirs (a integer)")
    before = catalogs(database.url)
    apply(database.url)
    [notice] = apply(database.url, removal())
    assert notice.startswith("schema private stays: ")
    after = catalogs(database.url)
    assert [row for row in after if row[1] != "private"] == [row for row in before if row[1] != "private"]


def test_a_schema_of_another_role_stays(make_database: Make) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create schema private; grant all on schema private to postgres")
        connection.execute("grant usage on schema private to anon, authenticated, service_role")
    before = catalogs(database.url)
    apply(database.url)
    [notice] = apply(database.url, removal())
    assert notice.startswith("schema private stays: ")
    assert catalogs(database.url) == before


def test_what_depends_on_our_tables_stops_it(make_database: Make) -> None:
    database = make_database("applied")
    run(database, "create view public.theirs as select id from public.async_jobs")
    full = catalogs(database.url)
    with pytest.raises(MigrationError) as refused:
        apply(database.url, removal(drop_data=True))
    assert refused.value.sqlstate == "2BP01"
    assert catalogs(database.url) == full


def test_an_older_set_without_the_later_files_goes_too(make_database: Make) -> None:
    url = make_database("platform").url
    before = catalogs(url)
    with connect(url) as connection:
        apply_pending(connection, MigrationFiles([*packaged()[:3], removal()]))
    assert catalogs(url) == before


def test_uninstall_and_reinstall_as_a_user_does(cli: Run, supabase: Run, platform_url: str, tmp_path: Path) -> None:
    before = catalogs(platform_url)
    assert cli("render").code == 0
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("render", "--uninstall", "--check").code == 1
    rendered = cli("render", "--uninstall", "--drop-data", "--json")
    [name] = rendered.json["new"]
    assert cli("render", "--check").code == 0
    assert cli("apply", "--dry-run", "--db-url", platform_url).code == 0
    pushed = supabase("db", "push", "--yes", "--db-url", f"{platform_url}?sslmode=disable", cwd=tmp_path)
    assert pushed.code == 0, pushed.err
    assert cli("status", "--exit-code", "--db-url", platform_url).code == 0
    assert catalogs(platform_url) == before
    assert name in cli("render").err
    again = cli("render", "--reinstall", "--json").json
    assert len(again["new"]) == len(packaged())
    assert min(again["new"]) > name
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("verify", "--db-url", platform_url).code == 0
    assert cli("render", "--check").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--uninstall"], 2), (["--drop-data"], 2), (["--uninstall", "--reinstall"], 2), (["--reinstall"], 0)],
    ids=str,
)
def test_options_that_make_no_sense(cli: Run, words: list[str], code: int) -> None:
    assert cli("render", *words).code == code


def test_a_changed_variable_is_applied_and_verified(cli: Run, platform_url: str, tmp_path: Path) -> None:
    """The files of one source follow each other, and verify holds the database against the newest."""
    assert cli("render").code == 0
    assert cli("apply", "--db-url", platform_url).code == 0
    (tmp_path / "supabase-jobs.toml").write_text('[variables]\nguest_header = "x-client-id"\nretention_days = 14\n')
    assert cli("verify", "--db-url", platform_url).code == 1
    assert cli("render", "--check").code == 1
    assert len(cli("render", "--json").json["new"]) == 3
    assert cli("render", "--check").code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url).code == 3
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("verify", "--db-url", platform_url).code == 0
    assert {m["state"] for m in cli("status", "--json", "--db-url", platform_url).json["migrations"]} == {"applied"}
    with psycopg.connect(platform_url) as connection:
        default = "select pg_get_function_arguments('public.cleanup_old_jobs'::regproc)"
        assert "p_days integer DEFAULT 14" in str(connection.execute(default).fetchone())


def test_a_foreign_function_of_one_of_our_names_is_not_replaced(make_database: Make, each_major: int) -> None:
    for name in ("private.request_guest_id()", "public.cleanup_old_jobs(integer, integer)"):
        database = make_database("platform", each_major)
        run(database, f"create schema if not exists private; create function {name} returns int return 1")
        with pytest.raises(MigrationError, match="already exists") as refused:
            apply(database.url)
        assert refused.value.sqlstate == "42723"
        run(database, f"drop function {name}")
