"""Projects load as far as they can: statements that fail are left out, and named."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.local import stand_ins
from supabase_jobs.migrations.extensions import LocalFiles, prepare, superuser_statements
from supabase_jobs.projects.load import Omission, load, not_tested, warnings
from supabase_jobs.sources.files import Migration, MigrationFiles
from tests.fix_db import Database, Make


def files(*texts: str) -> MigrationFiles:
    return MigrationFiles(
        [Migration(f"{n}", "a", text, f"{n}_a.sql") for n, text in enumerate(texts, 1)]
    )


def loaded(database: Database, *texts: str) -> tuple[list[Omission], LocalFiles]:
    with connect(database.superuser_url) as superuser, superuser_statements(superuser):
        prepared = prepare(superuser, files(*texts))
        with connect(database.url) as connection:
            return load(connection, prepared.files.migrations), prepared


def one(database: Database, query: str) -> object:
    with connect(database.url) as connection:
        [(value,)] = connection.execute(query.encode()).fetchall()
        return value


@pytest.fixture
def database(make_database: Make) -> Database:
    return make_database("services")


def test_a_file_that_fails_is_loaded_without_the_statement(database: Database) -> None:
    omissions, _ = loaded(
        database,
        "create table a (id int);\ncreate policy p on nowhere using (true);\ncreate table b ();",
        "create table c ();",
    )
    assert [(o.place, o.objects, o.is_decisive) for o in omissions] == [
        ("1_a.sql:2", ["public.nowhere"], True)
    ]
    assert one(database, "select to_regclass('b') is not null and to_regclass('c') is not null")
    [item] = not_tested(omissions, ())
    assert (item.object, item.fails) == ("public.nowhere", False)
    assert item.why == '1_a.sql:2 failed: 42P01: relation "nowhere" does not exist'


def test_the_settings_of_a_file_that_fails_apply_to_the_rest_of_it(database: Database) -> None:
    loaded(
        database,
        "create schema s; set local search_path = s; select 1 / 0; create table t ();",
        "create table u ();",
    )
    assert one(database, "select to_regclass('s.t') is not null")
    assert one(database, "select to_regclass('public.u') is not null")


def test_transaction_control_without_a_pair_is_left_out(database: Database) -> None:
    omissions, _ = loaded(database, "create table a ();\ncommit;\nselect 1;\nrollback;\nbegin;")
    assert omissions == []
    assert one(database, "select to_regclass('a') is not null")


def test_a_statement_that_cannot_run_in_a_transaction_runs_alone(database: Database) -> None:
    omissions, _ = loaded(
        database, "create table a (id int);\ncreate index concurrently i on a (id);"
    )
    assert omissions == []
    assert one(database, "select to_regclass('i') is not null")


@pytest.mark.parametrize(
    ("statement", "decisive"),
    [
        ("create index on nowhere (id)", False),
        ("create unique index on nowhere (id)", True),
        ("insert into nowhere values (1)", False),
        ("drop policy p on nowhere", False),
        ("alter table nowhere enable row level security", True),
        ("do $$ begin raise 'no'; end $$", True),
        ("comment on table nowhere is 'x'", False),
    ],
)
def test_statements_that_decide_no_access_do_not_count(
    database: Database, statement: str, decisive: bool
) -> None:
    [omission], _ = loaded(database, statement)
    assert omission.is_decisive == decisive


def test_one_warning_for_each_file(database: Database) -> None:
    omissions, _ = loaded(
        database,
        "alter table x add a int;\nalter table y add b int;",
        *(f"alter table t{n} add a int;" for n in range(11)),
    )
    lines = list(warnings(omissions))
    assert lines[0].startswith("warning: 1_a.sql:1 failed: 42P01")
    assert "(1 more of its statements failed)" in lines[0]
    assert lines[-1] == "warning: statements of 2 more files failed"
    assert len(lines) == 11


def test_a_deferred_constraint_is_reported(database: Database) -> None:
    omissions, _ = loaded(
        database,
        "create table a (id int primary key);"
        " create table b (id int references a deferrable initially deferred);",
        "insert into b values (1);",
    )
    assert [o.error.sqlstate for o in omissions] == ["23503"]


def test_an_extension_without_a_stand_in_is_named_with_its_statement(database: Database) -> None:
    omissions, prepared = loaded(
        database, "select 1;\ncreate extension nonesuch;\ncreate table a (b nonesuch);"
    )
    extension, table = not_tested(omissions, prepared.unknown)
    assert (extension.object, extension.why) == (
        "extension nonesuch",
        "it is not installed, and there is no stand-in for it (1_a.sql:2)",
    )
    assert (table.object, "1_a.sql:3" in table.why) == ("public.a", True)


# one that every server has, and one that has a stand-in on some
DASHBOARD = ('"extensions"."vector"', "extensions.citext")


@pytest.mark.parametrize("type_", DASHBOARD)
def test_an_extension_that_the_dashboard_enabled_is_in_its_schema(
    database: Database, type_: str
) -> None:
    omissions, _ = loaded(database, f"create table a (b {type_});")
    assert omissions == []


USED = """
create table a (id uuid, days daterange, at timestamptz, name text, exclude using gist (id with =, days with &&));
create trigger touched before update on a for each row execute function moddatetime(at);
create index on a using gin (name gin_trgm_ops);
create index on a using gist (lower(name) extensions.gist_trgm_ops (siglen = 32));
"""


@pytest.mark.parametrize("major", [16, 17])  # without and with the modules of contrib
def test_an_extension_that_files_use_and_do_not_create_is_there(
    make_database: Make, major: int
) -> None:
    omissions, _ = loaded(make_database("services", major), USED)
    assert [o.why for o in omissions] == []


def test_an_extension_that_a_file_creates_is_where_the_file_says(database: Database) -> None:
    omissions, _ = loaded(
        database,
        "create table a (b extensions.vector);",
        "create extension vector; create table c (d public.vector);",
    )
    assert [o.place for o in omissions] == ["1_a.sql:1"]


EXTENSIONS: Sequence[tuple[str, str]] = [
    ("vector", "create table t (v public.vector(3) not null); insert into t values ('[1,2,3]');"),
    ("postgis", "create table t (g geography(Point, 4326)); create index on t using gist (g);"),
    ("pgmq", "select pgmq.create('jobs'); select pgmq.send('jobs', '{}');"),
    ("pg_trgm", "create view t as select similarity('a', 'b');"),
    ("http", "create view t as select status from http_get('https://example.com');"),
    ("pg_jsonschema", "create table t (j jsonb check (jsonb_matches_schema('{}', j)));"),
    ("pg_net", "select net.http_post('https://example.com');"),
    ("pg_cron", "select cron.schedule('a', '* * * * *', 'select 1');"),
    ("unaccent", "create view t as select unaccent('é');"),
    ("pgcrypto", "create table t (id uuid default extensions.gen_random_uuid());"),
    ("index_advisor", "create view t as select errors from extensions.index_advisor('select 1');"),
    ("wrappers", "select 1;"),
    ("uuid-ossp", "create view t as select extensions.uuid_generate_v5(uuid_ns_url(), 'a');"),
]


OPERATIONS = [
    ("", "array['object.list']", True),
    ("storage.object.list", "array['object.list', 'object.upload']", True),
    ("object.list", "array['storage.object.list']", True),
    ("storage.object.upload", "array['object.list']", False),
    ("storage.object.upload", "array['']", False),
]


@pytest.mark.parametrize(("operation", "allowed", "expected"), OPERATIONS)
def test_the_operations_of_storage_that_a_policy_allows(
    database: Database, operation: str, allowed: str, expected: bool
) -> None:
    with connect(database.url) as connection:
        connection.execute("select set_config('storage.operation', %s, false)", [operation])
        query = f"select storage.allow_any_operation({allowed})"
        [(found,)] = connection.execute(query.encode()).fetchall()
    assert found is expected


QUEUES = (
    "select pgmq.create('jobs'); select pgmq_public.send('jobs', '{\"a\": 1}');"
    " grant execute on function pgmq_public.pop(text) to authenticated;"
)


def test_the_schema_of_the_queues_api_exists_if_files_use_it(database: Database) -> None:
    omissions, _ = loaded(database, "create extension pgmq;", QUEUES)
    assert [o.why for o in omissions] == []
    assert one(database, "select message ->> 'a' from pgmq_public.read('jobs', 30, 1)") == "1"
    assert (
        one(
            database,
            "select nspowner::regrole::text from pg_namespace where nspname = 'pgmq_public'",
        )
        == "postgres"
    )


def test_the_schema_of_the_queues_api_is_the_projects_own_if_it_creates_it(
    database: Database,
) -> None:
    own = "create schema pgmq_public; create function pgmq_public.pop() returns int return 1;"
    omissions, _ = loaded(database, "create extension pgmq;", own)
    assert [o.why for o in omissions] == []
    assert (
        one(
            database,
            "select count(*) from pg_proc where pronamespace = 'pgmq_public'::regnamespace",
        )
        == 1
    )


def test_the_schema_of_the_queues_api_is_missing_if_nothing_uses_it(database: Database) -> None:
    loaded(database, "create extension pgmq;")
    assert one(database, "select to_regnamespace('pgmq_public') is null")


@pytest.mark.parametrize(("name", "use"), EXTENSIONS)
def test_an_extension_that_is_missing_has_a_stand_in(
    database: Database, name: str, use: str
) -> None:
    omissions, prepared = loaded(
        database,
        f'create extension "{name}";',
        f"""{use}
comment on extension "{name}" is 'x';
alter extension "{name}" set schema extensions;
""",
    )
    assert [o.why for o in omissions if o.is_decisive] == []
    assert prepared.unknown == ()
    assert one(database, f"select count(*) from pg_extension where extname = '{name}'") == 1


def test_postgres_creates_a_stand_in_that_exists_and_drops_it(database: Database) -> None:
    with connect(database.url) as connection:
        connection.execute("create extension if not exists pg_net")
        found = connection.execute(
            "select extname from pg_extension where extversion like '%stand-in'"
        ).fetchall()
        assert len(found) > 10
        for (name,) in found:
            connection.execute(f'drop extension "{name}"'.encode())
    assert one(database, "select to_regproc('net.http_get') is null")


def test_postgres_creates_event_triggers_as_on_a_hosted_project(database: Database) -> None:
    omissions, _ = loaded(
        database,
        """
create function public.secured() returns event_trigger language plpgsql as $$
declare
  made record;
begin
  for made in select * from pg_event_trigger_ddl_commands() loop
    execute format('alter table %s enable row level security', made.object_identity);
  end loop;
end;
$$;
create event trigger secured on ddl_command_end when tag in ('CREATE TABLE') execute function public.secured();
alter role authenticator set pgrst.db_aggregates_enabled = 'true';
""",
        "create table public.notes ();",
    )
    # a role has its settings in all databases of the server, which other tests use
    setting = "alter role authenticator reset pgrst.db_aggregates_enabled"
    database.server.admin.execute(setting)
    assert omissions == []
    assert one(database, "select relrowsecurity from pg_class where relname = 'notes'")
    assert one(database, "select to_regnamespace('supabase_jobs_load') is null")


def test_the_superuser_runs_nothing_else(database: Database) -> None:
    omissions, _ = loaded(
        database,
        "select supabase_jobs_load.as_superuser('alter role postgres superuser; select 1');"
        "\nselect supabase_jobs_load.as_superuser('create role evil');",
    )
    assert [o.error.sqlstate for o in omissions] == ["42501", "42501"]


def test_files_without_versions_are_repeated_until_nothing_more_loads(database: Database) -> None:
    texts = ("create table b (id int references a);", "create table a (id int primary key);")
    unversioned = [Migration("", f"{n}", text, f"{n}.sql") for n, text in enumerate(texts)]
    with connect(database.url) as connection:
        assert load(connection, unversioned) == []


def test_schemas_of_the_platform_can_be_used(database: Database, tmp_path: Path) -> None:
    omissions, _ = loaded(
        database,
        """
create policy "list" on storage.objects for select using (storage.allow_only_operation('object.list'));
create view mine as select id from auth.sessions where user_id = auth.uid();
create table notes (id int);
create trigger hook after insert on notes for each row
execute function supabase_functions.http_request('https://example.com', 'POST', '{}', '{}', '1000');
select graphql_public.graphql(query => '{}');
select id from auth.identities;
""",
    )
    assert [o.why for o in omissions] == []


def test_the_docs_name_each_stand_in() -> None:
    text = (Path(__file__).parents[2] / "docs" / "audit-reference.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"Stand-ins:\n((?:  `.*\n)+)", text)
    assert re.findall(r"`([^`]+)`", listed) == sorted(stand_ins.names())
