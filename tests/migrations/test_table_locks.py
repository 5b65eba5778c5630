"""The locks that `plan` and `apply` report beforehand, compared with those that the server takes."""

from pathlib import Path

from supabase_jobs.database.connection import connect
from supabase_jobs.database.parser.locks import BLOCKING_MODES
from supabase_jobs.migrations.dry_run import dry_run
from supabase_jobs.migrations.table_locks import TableLock, expected_locks
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.fix_cli import Run
from tests.migrations.helpers import write

_TABLES = """
create schema other;
create table other.a (id integer primary key, x text constraint named check (x <> ''));
create table other.b (id integer references other.a (id) deferrable);
create table other.parts (id integer) partition by list (id);
create table public.one (id integer);
create index i on other.a (x);
create trigger t before update on other.a for each row execute function suppress_redundant_updates_trigger();
create policy p on other.a;
create rule r as on insert to other.b do nothing;
create materialized view other.m as select 1 as one;
"""
STATEMENTS = (
    "alter table other.a add column y text",
    "alter table other.a alter x set statistics 10",
    "alter table other.a disable trigger t",
    "alter table other.a enable row level security",
    "alter table other.a rename to z",
    "alter table other.a set (fillfactor = 50)",
    "alter table other.a set schema public",
    "alter table other.a validate constraint named",
    "alter table public.one add foreign key (id) references other.a (id)",
    "alter table other.parts attach partition public.one for values in (1)",
    "alter policy p on other.a using (true)",
    "alter trigger t on other.a rename to u",
    "alter index other.i rename to j",
    "cluster other.a using i",
    "comment on table other.a is 'x'",
    "create index on other.a (x)",
    "create policy q on other.a",
    "create rule q as on update to other.a do nothing",
    "create table public.two (id integer references other.a (id))",
    "create table public.two (id integer, foreign key (id) references other.a (id))",
    "create table public.two partition of other.parts for values in (2)",
    "create trigger u before update on other.a for each row execute function"
    " suppress_redundant_updates_trigger()",
    "create view public.v as select * from other.a",
    "drop index other.i",
    "drop materialized view other.m",
    "drop policy p on other.a",
    "drop rule r on other.b",
    "drop table other.parts",
    "drop trigger t on other.a",
    "grant select on other.a to anon",
    "insert into other.a values (1)",
    "lock table other.a in share mode",
    "lock table other.a in exclusive mode",
    "lock table other.a in row exclusive mode",
    "refresh materialized view other.m",
    "reindex table other.a",
    "truncate other.b",
)


def test_the_expected_locks_are_those_that_the_server_takes(
    platform_url: str, tmp_path: Path
) -> None:
    expected, taken = {}, {}
    with connect(platform_url) as connection:
        connection.execute(_TABLES)
        for statement in STATEMENTS:
            write(tmp_path, "20260101000000_x.sql", f"{statement};")
            files = MigrationFiles(load_migrations(tmp_path))
            found = expected_locks(connection, files.migrations, files.migrations)
            expected[statement] = found.get("20260101000000_x.sql", ())
            run, _ = dry_run(connection, files)
            taken[statement] = run.files[0].locks
    assert expected == taken
    assert {lock.mode for locks in taken.values() for lock in locks} == set(BLOCKING_MODES)
    assert () in taken.values()


def test_tables_that_the_files_create_are_left_out(platform_url: str, tmp_path: Path) -> None:
    write(
        tmp_path, "20260101000000_a.sql", "create table notes (id uuid references auth.users (id));"
    )
    write(tmp_path, "20260101000001_b.sql", "alter table public.notes add column x text;")
    write(
        tmp_path,
        "20260101000002_c.sql",
        "do $$ begin execute 'lock table auth.users in exclusive mode'; end $$;",
    )
    files = MigrationFiles(load_migrations(tmp_path))
    with connect(platform_url) as connection:
        expected = expected_locks(connection, files.migrations, files.migrations)
        run, _ = dry_run(connection, files)
    assert expected == {
        "20260101000000_a.sql": (TableLock("ShareRowExclusiveLock", ("auth.users",)),)
    }
    assert [file.locks for file in run.files] == [
        expected["20260101000000_a.sql"],
        (),
        (TableLock("ExclusiveLock", ("auth.users",)),),
    ]


def test_plan_reports_the_locks_of_code_on_request(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(
        tmp_path,
        "20260101000000_a.sql",
        "create table public.notes (id uuid references auth.users (id));",
    )
    write(tmp_path, "20260101000001_b.sql", "do $$ begin execute 'lock table auth.users'; end $$;")
    there = ("--db-url", platform_url, "--migrations", str(tmp_path))
    foreign_key = {
        "20260101000000_a.sql": [{"mode": "ShareRowExclusiveLock", "tables": ["auth.users"]}]
    }
    assert cli("plan", "--json", *there).json["locks"] == foreign_key
    found = cli("plan", "--json", "--locks", *there).json
    assert found["locks"] == {
        **foreign_key,
        "20260101000001_b.sql": [{"mode": "AccessExclusiveLock", "tables": ["auth.users"]}],
    }
    ran = cli("plan", "--locks", *there)
    assert (
        "note: 20260101000001_b.sql locks until it commits: auth.users (AccessExclusiveLock: reads"
        " and writes wait)" in (ran.err)
    )
    assert "pending  20260101000000  a" in ran.out
    assert cli("status", "--exit-code", *there).code == 3
    ran = cli("apply", "--dry-run", *there)
    assert (
        "note: 20260101000000_a.sql locks until it commits: auth.users (ShareRowExclusiveLock:"
        " writes wait)" in ran.err
    )
    assert (
        "note: 20260101000000_a.sql locks until it commits: auth.users" in cli("apply", *there).err
    )


def test_plan_with_locks_reports_a_file_that_fails(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "20260101000000_a.sql", "select 1;\nselect missing;")
    ran = cli("plan", "--json", "--locks", "--db-url", platform_url, "--migrations", str(tmp_path))
    assert (ran.code, ran.json["error"]["line"]) == (6, 2)
