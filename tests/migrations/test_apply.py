"""`apply`, `plan` and `status` against real databases."""

from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.findings import Severity
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import MigrationFiles
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database, Make, every_major, packaged
from tests.migrations.helpers import LEDGER, TABLES, dump, rows, write


@every_major
def test_a_non_superuser_applies_and_verifies(make_database: Make, each_major: int) -> None:
    applies_and_verifies(make_database("platform", each_major))


@pytest.mark.parametrize(
    "template",
    # the roles of an older image need a server of their own
    [
        "bare",
        pytest.param("older", marks=pytest.mark.slow),
        pytest.param("older_bare", marks=pytest.mark.slow),
    ],
)
def test_a_non_superuser_applies_and_verifies_on_other_images(
    make_database: Make, template: str
) -> None:
    """On older images, and with the switch "expose new tables" off (bare)."""
    applies_and_verifies(make_database(template))


def applies_and_verifies(database: Database) -> None:
    """Apply the packaged migrations as postgres; `verify` finds nothing."""
    with connect(database.url) as connection:
        assert connection.execute(
            "select rolsuper from pg_roles where rolname = current_user"
        ).fetchone() == (False,)
        applied, before = apply_pending(connection, MigrationFiles(packaged()))
        assert ([a.version for a in applied], before) == ([m.version for m in packaged()], [])
        result = verify(connection, EXPECTATIONS)
        assert (result.findings, result.unchecked) == ((), ())
        assert {grid.title for grid in result.grids} >= {"public.async_jobs", "public.guest_users"}


@pytest.mark.parametrize("owner", ["postgres", "supabase_admin"])
def test_an_existing_schema_private_is_used(make_database: Make, owner: str) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute(f"create schema private authorization {owner}".encode())
        connection.execute("grant create, usage on schema private to postgres with grant option")
        connection.execute("create table private.existing (id integer)")
    with connect(database.url) as connection:
        apply_pending(connection, MigrationFiles(packaged()))
        assert verify(connection, EXPECTATIONS).findings == ()
    assert ("private", "existing") in rows(database.url, TABLES)


def test_a_schema_private_without_grant_option_fails_the_first_file(
    make_database: Make, cli: Run
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create schema private authorization supabase_admin")
        connection.execute("grant create, usage on schema private to postgres")
    ran = cli("apply", "--json", "--db-url", database.url)
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "42501")
    assert "grant usage on schema private" in ran.json["error"]["hint"]


def test_default_privileges_on_schema_private_are_a_warning(make_database: Make) -> None:
    """The managed functions get the declared grants; the warning is about functions that are
    created later.
    """
    database = make_database("platform")
    with psycopg.connect(database.url) as connection:
        connection.execute("create schema private")
        connection.execute(
            "alter default privileges in schema private grant all on functions to anon,"
            " authenticated"
        )
    with connect(database.url) as connection:
        apply_pending(connection, MigrationFiles(packaged()))
        assert {(f.id, f.severity) for f in verify(connection, EXPECTATIONS).findings} == {
            (
                f"structure:private:default privilege:{role} on functions of postgres",
                Severity.WARNING,
            )
            for role in ("anon", "authenticated")
        }


def test_plan_and_status_create_nothing(platform_url: str, cli: Run) -> None:
    before = rows(platform_url, TABLES)
    plan = cli("plan", "--json", "--db-url", platform_url)
    status = cli("status", "--exit-code", "--json", "--db-url", platform_url)
    assert (plan.code, status.code) == (0, 3)
    assert [p["name"] for p in plan.json["pending"]] == [m.name for m in packaged()]
    assert {m["state"] for m in status.json["migrations"]} == {"pending"}
    assert rows(platform_url, TABLES) == before


def test_a_second_apply_does_nothing(platform_url: str, cli: Run) -> None:
    first, second = (cli("apply", "--json", "--db-url", platform_url) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert [a["version"] for a in first.json["applied"]] == second.json["already_applied"]
    assert all(a["ms"] > 0 for a in first.json["applied"])
    assert (second.json["applied"], second.json["dry_run"]) == ([], False)
    assert cli("status", "--exit-code", "--db-url", platform_url).code == 0


def test_apply_up_to_a_version(platform_url: str, cli: Run) -> None:
    version = packaged()[1].version
    assert (
        len(cli("apply", "--json", "--to", version, "--db-url", platform_url).json["applied"]) == 2
    )
    unknown = cli("apply", "--json", "--to", "20990101000000", "--db-url", platform_url)
    assert unknown.code == 2
    assert "20990101000000" in unknown.json["error"]["message"]


def test_a_failed_statement_rolls_back_its_file_only(
    platform_url: str, cli: Run, files: Path
) -> None:
    write(files, "20260101000000_good.sql", "create table public.good (id integer);")
    bad = write(
        files,
        "20260102000000_bad.sql",
        "create table public.bad (id integer);\n\n-- why\nselect 1 / 0;\n",
    )
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    error = ran.json["error"]
    assert (ran.code, error["sqlstate"], error["file"], error["line"]) == (6, "22012", str(bad), 4)
    tables = rows(platform_url, TABLES)
    assert ("public", "good") in tables
    assert ("public", "bad") not in tables
    assert rows(platform_url, LEDGER)[-1][0] == "20260101000000"


def test_a_failed_file_leaves_the_database_unchanged(
    applied_url: str, files: Path, cli: Run
) -> None:
    bad = write(
        files,
        "20260101000000_bad.sql",
        "alter table public.async_jobs add more text;\n\nselect 1 / 0;\n",
    )
    before = dump(applied_url)
    ran = cli("apply", "--json", "--db-url", applied_url, "--migrations", str(files))
    error = ran.json["error"]
    assert (ran.code, error["file"], error["line"]) == (6, str(bad), 3)
    assert dump(applied_url) == before


def test_an_error_has_the_line_inside_its_statement(
    platform_url: str, cli: Run, files: Path
) -> None:
    write(
        files, "20260102000000_bad.sql", "-- head\nselect 1;\n\nselect\n  1,\n  no_such_column\n;\n"
    )
    error = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files)).json[
        "error"
    ]
    assert (error["sqlstate"], error["line"]) == ("42703", 6)


def test_a_duplicate_user_row_is_a_failed_migration(
    platform_url: str, cli: Run, files: Path
) -> None:
    write(
        files,
        "20260102000000_x.sql",
        "create table public.x (id int primary key);insert into public.x values (1), (1);",
    )
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "23505")


def test_settings_of_a_file_end_with_it(platform_url: str, cli: Run, files: Path) -> None:
    write(
        files, "20260101000000_dump.sql", "select pg_catalog.set_config('search_path', '', false);"
    )
    write(files, "20260102000000_next.sql", "create table unqualified (id integer);")
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0
    assert ("public", "unqualified") in rows(platform_url, TABLES)


def test_refused_files_stop_apply_before_anything_runs(
    platform_url: str, cli: Run, files: Path
) -> None:
    write(files, "20260101000000_good.sql", "create table public.good (id integer);")
    commits = write(
        files, "20260101000001_commits.sql", "create table public.kept (id integer);\ncommit;\n"
    )
    write(files, "20260101000002_x.down.sql", "drop table public.good;")
    write(files, "forgotten.sql", "select 1;")
    before = rows(platform_url, TABLES)
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    error = ran.json["error"]
    assert ran.code == 2
    for word in ("forgotten.sql", f"{commits}:2", "x.down.sql"):
        assert word in error["message"]
    assert rows(platform_url, TABLES) == before
    problems = cli("plan", "--json", "--db-url", platform_url, "--migrations", str(files)).json[
        "problems"
    ]
    assert [(p["kind"], p["line"]) for p in problems] == [
        ("refused", None),
        ("refused", 2),
        ("refused", None),
    ]


def test_an_applied_file_is_not_refused(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20240101000000_x.down.sql", "begin;")
    with psycopg.connect(platform_url) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute(
            "create table supabase_migrations.schema_migrations"
            " (version text primary key, name text, statements text[])"
        )
        connection.execute(
            "insert into supabase_migrations.schema_migrations values ('20240101000000', 'x.down',"
            " '{begin}')"
        )
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0


def test_a_procedure_that_commits_fails(platform_url: str, cli: Run, files: Path) -> None:
    write(
        files,
        "20260101000000_commits.sql",
        "create procedure public.p() language plpgsql as $$ begin commit; end $$;\ncall"
        " public.p();\n",
    )
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "2D000")


def test_a_role_without_privileges_exits_7(make_database: Make, cli: Run) -> None:
    database = make_database("platform")
    url = database.url.replace("postgres@", "authenticator@")
    ran = cli("apply", "--json", "--db-url", url)
    assert (ran.code, ran.json["error"]["sqlstate"]) == (7, "42501")


def test_two_commands_in_one_statement_are_refused_by_the_server(
    platform_url: str, cli: Run, files: Path
) -> None:
    """The CLI's splitter takes `a$b$` for the start of a dollar quote; neither program may run both
    at once.
    """
    write(
        files,
        "20260101000000_x.sql",
        "create table public.a (a$b$ int); commit; create table public.b (a$b$ int);",
    )
    for words in (("apply", "--dry-run"), ("apply",)):
        ran = cli(
            *words,
            "--json",
            "--to",
            "20260101000000",
            "--db-url",
            platform_url,
            "--migrations",
            str(files),
        )
        assert ran.code in (2, 6)
    assert ("public", "a") not in rows(platform_url, TABLES)


WRAPPED = "-- why\nbegin;\ncreate table public.a (id integer);\ncommit;\n"
PARTLY = "create table public.b ();\nbegin;\ncreate table public.c ();\ncommit;\nselect 1/{};\n"


def test_begin_and_commit_are_skipped_and_recorded(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "1_wrapped.sql", WRAPPED)
    write(tmp_path, "2_partly.sql", PARTLY.format(1))
    there = ("--db-url", platform_url, "--migrations", str(tmp_path))
    ran = cli("apply", "--json", *there)
    assert ran.code == 0
    assert "warning: 1_wrapped.sql: begin (line 2) and commit (line 4) are not run" in ran.err
    assert "warning: 2_partly.sql: begin (line 2) and commit (line 4) are not run" in ran.err
    assert rows(platform_url, LEDGER) == [
        ("1", "wrapped", ["-- why\nbegin", "create table public.a (id integer)", "commit"]),
        (
            "2",
            "partly",
            [
                "create table public.b ()",
                "begin",
                "create table public.c ()",
                "commit",
                "select 1/1",
            ],
        ),
    ]
    assert cli("status", "--exit-code", *there).code == 0
    assert [table for _, table in rows(platform_url, TABLES) if len(str(table)) == 1] == [
        "a",
        "b",
        "c",
    ]


def test_a_file_with_begin_and_commit_is_atomic(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "1_partly.sql", PARTLY.format(0))
    there = ("--db-url", platform_url, "--migrations", str(tmp_path))
    ran = cli("apply", "--json", *there)
    assert (ran.code, ran.json["error"]["sqlstate"], ran.json["error"]["line"]) == (6, "22012", 5)
    assert [table for _, table in rows(platform_url, TABLES) if len(str(table)) == 1] == []
    assert rows(platform_url, LEDGER) == []


def test_a_dry_run_skips_begin_and_commit(platform_url: str, tmp_path: Path, cli: Run) -> None:
    write(tmp_path, "1_wrapped.sql", WRAPPED)
    write(tmp_path, "2_empty.sql", "begin;\ncommit;\n")
    assert (
        cli("apply", "--dry-run", "--db-url", platform_url, "--migrations", str(tmp_path)).code == 0
    )
    assert rows(platform_url, TABLES) == []


@pytest.mark.parametrize("text", ["create table public.t ();", "--! transaction:false\nvacuum;"])
@pytest.mark.parametrize("option", [(), ("--dry-run",)], ids=["apply", "dry run"])
def test_a_read_only_database_exits_7(
    make_database: Make, tmp_path: Path, cli: Run, text: str, option: tuple[str, ...]
) -> None:
    database = make_database("platform")
    write(tmp_path, "1_first.sql", "select 1;")
    there = ("--db-url", database.url, "--migrations", str(tmp_path))
    assert cli("apply", *there).code == 0
    write(tmp_path, "2_second.sql", text)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            f"alter database {database.name} set default_transaction_read_only = on".encode()
        )
    ran = cli("apply", "--json", *option, *there)
    if option and text.startswith("--!"):
        assert ran.code == 0  # the dry run skips the file
        return
    assert (ran.code, ran.json["error"]["code"]) == (7, "insufficient_privilege")
    assert ran.json["error"]["sqlstate"] == "25006"
    assert "read-only" in ran.json["error"]["message"]


def test_results_that_python_cannot_represent_are_ignored(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(
        tmp_path,
        "1_infinity.sql",
        "select 'infinity'::timestamptz;\nselect '0044-03-15 BC'::date;\n",
    )
    there = ("--json", "--db-url", platform_url, "--migrations", str(tmp_path))
    for words in (("apply", "--dry-run"), ("apply",)):
        ran = cli(*words, *there)
        assert ran.code == 0
        assert [row["version"] for row in ran.json["applied"]] == ["1"]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_file_runs_in_read_committed(
    make_database: Make, tmp_path: Path, cli: Run, isolation: str
) -> None:
    """In another isolation level the ledger would be read as it was before the runner lock was
    taken.
    """
    database = make_database("platform")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            f"alter database {database.name} set default_transaction_isolation = '{isolation}'".encode()
        )
    write(
        tmp_path,
        "1_level.sql",
        "create table public.level as select current_setting('transaction_isolation');",
    )
    write(
        tmp_path,
        "2_check.sql",
        "do $$ begin assert current_setting('transaction_isolation') = 'read committed'; end $$",
    )
    there = ("--db-url", database.url, "--migrations", str(tmp_path))
    assert cli("apply", "--dry-run", *there).code == 0
    assert cli("apply", *there).code == 0
    assert rows(database.url, "select * from public.level") == [("read committed",)]


@pytest.mark.parametrize("option", [(), ("--dry-run",)], ids=["apply", "dry run"])
def test_a_character_that_the_database_cannot_store_is_explained(
    make_database: Make, tmp_path: Path, cli: Run, option: tuple[str, ...]
) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("drop database if exists latin1")
        connection.execute(
            "create database latin1 encoding 'LATIN1' locale 'C' template template0 owner postgres"
        )
    file = write(tmp_path, "1_x.sql", "-- \u6f22\nselect 1;")
    url = database.server.url("latin1")
    ran = cli("apply", *option, "--json", "--db-url", url, "--migrations", str(tmp_path))
    assert (ran.code, ran.json["error"]["sqlstate"], ran.json["error"]["file"]) == (
        6,
        "22P05",
        str(file),
    )
    assert "the encoding of the database" in ran.json["error"]["hint"]
