"""The uninstall migration drops all managed objects, keeps user objects, and deletes data only with
--drop-data.
"""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.errors import MigrationError
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import Migration, MigrationFiles, load_sources
from supabase_jobs.sources.render import render_uninstall
from tests.fix_cli import Run, SupabaseCli
from tests.fix_db import Database, Make, packaged
from tests.impersonation import insert_fixture_rows

# all objects and privileges that a migration could leave; the ledger belongs to the runner and
# stays
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
    """The objects and privileges of a database."""
    with psycopg.connect(url) as connection:
        return connection.execute(CATALOGS.encode()).fetchall()


def removal(**variables: object) -> Migration:
    """The uninstall migration with a version after all others."""
    rendered = render_uninstall(load_sources(), variables)
    return Migration("20990101000000", rendered.source.name, rendered.text, "uninstall.sql")


def apply(url: str, *migrations: Migration) -> list[str]:
    """Apply migrations after the packaged ones; returns the notices."""
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
def test_uninstall_restores_the_original_catalogs(
    make_database: Make, each_major: int, template: str
) -> None:
    url = make_database(template, each_major).url
    before = catalogs(url)
    apply(url)
    assert catalogs(url) != before
    assert apply(url, removal()) == []
    assert catalogs(url) == before


def test_data_is_deleted_only_with_drop_data(make_database: Make) -> None:
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
def test_rows_in_either_table_prevent_uninstall(make_database: Make, kept: str) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as connection:
        insert_fixture_rows(connection)
        if kept == "public.guest_users":
            connection.execute("delete from public.async_jobs")
        else:
            connection.execute(
                "update public.async_jobs set guest_id = null, user_id = (select id from"
                " auth.users limit 1)"
            )
            connection.execute("delete from public.guest_users")
    with pytest.raises(MigrationError, match="deletes all of them"):
        apply(url, removal())


def test_schema_with_user_objects_stays(make_database: Make) -> None:
    database = make_database("platform")
    run(database, "create schema private; create table private.user_table (a integer)")
    before = catalogs(database.url)
    apply(database.url)
    [notice] = apply(database.url, removal())
    assert notice.startswith("schema private stays: ")
    after = catalogs(database.url)
    assert [row for row in after if row[1] != "private"] == [
        row for row in before if row[1] != "private"
    ]


def test_schema_of_another_role_stays(make_database: Make) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create schema private; grant all on schema private to postgres")
        connection.execute("grant usage on schema private to anon, authenticated, service_role")
    before = catalogs(database.url)
    apply(database.url)
    [notice] = apply(database.url, removal())
    assert notice.startswith("schema private stays: ")
    assert catalogs(database.url) == before


def test_dependent_user_object_prevents_uninstall(make_database: Make) -> None:
    database = make_database("applied")
    run(database, "create view public.user_view as select id from public.async_jobs")
    full = catalogs(database.url)
    with pytest.raises(MigrationError) as refused:
        apply(database.url, removal(drop_data=True))
    assert refused.value.sqlstate == "2BP01"
    assert catalogs(database.url) == full


def test_uninstall_works_without_the_later_versions(make_database: Make) -> None:
    url = make_database("platform").url
    before = catalogs(url)
    with connect(url) as connection:
        apply_pending(connection, MigrationFiles([*packaged()[:3], removal()]))
    assert catalogs(url) == before


def test_uninstall_and_reinstall_with_the_commands(
    cli: Run, supabase: SupabaseCli, platform_url: str, tmp_path: Path
) -> None:
    before = catalogs(platform_url)
    assert cli("render").code == 0
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("render", "--uninstall", "--check").code == 1
    rendered = cli("render", "--uninstall", "--drop-data", "--json")
    [name] = rendered.json["new"]
    assert cli("render", "--check").code == 0
    assert cli("apply", "--dry-run", "--db-url", platform_url).code == 0
    pushed = supabase("db", "push", "--yes", url=platform_url, cwd=tmp_path)
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
    [
        (["--uninstall"], 2),
        (["--drop-data"], 2),
        (["--uninstall", "--reinstall"], 2),
        (["--reinstall"], 0),
    ],
    ids=str,
)
def test_contradictory_render_options_are_rejected(cli: Run, words: list[str], code: int) -> None:
    assert cli("render", *words).code == code


def test_changed_variable_is_rendered_applied_and_verified(
    cli: Run, platform_url: str, tmp_path: Path
) -> None:
    """One source has several versions, and verify compares the database with the newest."""
    assert cli("render").code == 0
    assert cli("apply", "--db-url", platform_url).code == 0
    (tmp_path / "supabase-jobs.toml").write_text(
        '[variables]\nguest_header = "x-client-id"\nretention_days = 14\n'
    )
    assert cli("verify", "--db-url", platform_url).code == 1
    assert cli("render", "--check").code == 1
    assert len(cli("render", "--json").json["new"]) == 3
    assert cli("render", "--check").code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url).code == 3
    assert cli("apply", "--db-url", platform_url).code == 0
    assert cli("verify", "--db-url", platform_url).code == 0
    assert {
        m["state"] for m in cli("status", "--json", "--db-url", platform_url).json["migrations"]
    } == {"applied"}
    with psycopg.connect(platform_url) as connection:
        default = "select pg_get_function_arguments('public.cleanup_old_jobs'::regproc)"
        assert "p_days integer DEFAULT 14" in str(connection.execute(default).fetchone())


def test_user_function_with_a_managed_name_is_not_replaced(
    make_database: Make, each_major: int
) -> None:
    for name in ("private.request_guest_id()", "public.cleanup_old_jobs(integer, integer)"):
        database = make_database("platform", each_major)
        run(
            database,
            f"create schema if not exists private; create function {name} returns int return 1",
        )
        with pytest.raises(MigrationError, match="already exists") as refused:
            apply(database.url)
        assert refused.value.sqlstate == "42723"
        run(database, f"drop function {name}")
