"""apply, plan and status against real databases: what they promise when all is well and when it is not."""

from pathlib import Path

import psycopg
import pytest

from supabase_jobs import ledger, migrate
from supabase_jobs.database import connect
from supabase_jobs.errors import BusyError
from supabase_jobs.runner import LOCK_KEY, Patience
from supabase_jobs.sqlfiles import Files, load_migrations
from supabase_jobs.verify.areas import verify
from tests.fix_cli import Run
from tests.fix_db import PROMISE, Make, packaged

LEDGER = "select version, name, statements from supabase_migrations.schema_migrations order by version"
TABLES = (
    "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname in ('public', 'private', 'supabase_migrations') order by 1, 2"
)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """What a query gives on a connection of its own."""
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def write(folder: Path, name: str, text: str) -> Path:
    """A migration file in a folder."""
    path = folder / name
    path.write_text(text, newline="")
    return path


@pytest.mark.parametrize("template", ["platform", "bare"], ids=["default privileges", "no default privileges"])
def test_a_non_superuser_applies_and_verifies(make_database: Make, each_major: int, template: str) -> None:
    database = make_database(template, each_major)
    with connect(database.url) as connection:
        assert connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (False,)
        applied, before = migrate.apply(connection, Files(packaged()))
        assert ([a.version for a in applied], before) == ([m.version for m in packaged()], [])
        assert verify(connection, PROMISE).findings == ()


@pytest.mark.parametrize("owner", ["postgres", "supabase_admin"])
def test_a_project_may_have_a_schema_private_already(make_database: Make, owner: str) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute(f"create schema private authorization {owner}".encode())
        connection.execute("grant create, usage on schema private to postgres with grant option")
        connection.execute("create table private.theirs (id integer)")
    with connect(database.url) as connection:
        migrate.apply(connection, Files(packaged()))
        assert verify(connection, PROMISE).findings == ()
    assert ("private", "theirs") in rows(database.url, TABLES)


def test_a_schema_private_that_cannot_be_opened_stops_the_first_file(make_database: Make, cli: Run) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create schema private authorization supabase_admin")
        connection.execute("grant create, usage on schema private to postgres")
    ran = cli("apply", "--json", "--db-url", database.url)
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "42501")
    assert "grant usage on schema private" in ran.json["error"]["hint"]


def test_default_privileges_of_a_project_on_schema_private_do_no_harm(make_database: Make) -> None:
    database = make_database("platform")
    with psycopg.connect(database.url) as connection:
        connection.execute("create schema private")
        connection.execute("alter default privileges in schema private grant all on functions to anon, authenticated")
    with connect(database.url) as connection:
        migrate.apply(connection, Files(packaged()))
        assert verify(connection, PROMISE).findings == ()


def test_plan_and_status_create_nothing(platform_url: str, cli: Run) -> None:
    before = rows(platform_url, TABLES)
    plan = cli("plan", "--json", "--db-url", platform_url)
    status = cli("status", "--exit-code", "--json", "--db-url", platform_url)
    assert (plan.code, status.code) == (0, 3)
    assert [p["name"] for p in plan.json["pending"]] == [m.name for m in packaged()]
    assert {m["state"] for m in status.json["migrations"]} == {"pending"}
    assert rows(platform_url, TABLES) == before


def test_apply_twice(platform_url: str, cli: Run) -> None:
    first, second = (cli("apply", "--json", "--db-url", platform_url) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert [a["version"] for a in first.json["applied"]] == second.json["already_applied"]
    assert all(a["ms"] > 0 for a in first.json["applied"])
    assert (second.json["applied"], second.json["dry_run"]) == ([], False)
    assert cli("status", "--exit-code", "--db-url", platform_url).code == 0


def test_apply_up_to_a_version(platform_url: str, cli: Run) -> None:
    version = packaged()[1].version
    assert len(cli("apply", "--json", "--to", version, "--db-url", platform_url).json["applied"]) == 2
    unknown = cli("apply", "--json", "--to", "20990101000000", "--db-url", platform_url)
    assert unknown.code == 2
    assert "20990101000000" in unknown.json["error"]["message"]


def test_a_failing_statement_undoes_its_file_and_keeps_those_before(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20260101000000_good.sql", "create table public.good (id integer);")
    bad = write(files, "20260102000000_bad.sql", "create table public.bad (id integer);\n\n-- why\nselect 1 / 0;\n")
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    error = ran.json["error"]
    assert (ran.code, error["sqlstate"], error["file"], error["line"]) == (6, "22012", str(bad), 4)
    found = rows(platform_url, TABLES)
    assert ("public", "good") in found
    assert ("public", "bad") not in found
    assert rows(platform_url, LEDGER)[-1][0] == "20260101000000"


def test_the_line_of_an_error_inside_a_statement(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20260102000000_bad.sql", "-- head\nselect 1;\n\nselect\n  1,\n  no_such_column\n;\n")
    error = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files)).json["error"]
    assert (error["sqlstate"], error["line"]) == ("42703", 6)


def test_a_row_of_the_users_own_that_exists_is_a_failed_migration(platform_url: str, cli: Run, files: Path) -> None:
    write(
        files,
        "20260102000000_x.sql",
        "create table public.x (id int primary key);insert into public.x values (1), (1);",
    )
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "23505")


def test_drift_stops_apply_before_anything_runs(applied_url: str, cli: Run, files: Path) -> None:
    edited = next(files.glob("*_create_async_jobs_table.sql"))
    edited.write_text(edited.read_text().replace("progress >= 0", "progress >= 1"), newline="")
    next(files.glob("*_create_guest_users_table.sql")).unlink()
    write(files, "20200101000000_late.sql", "create table public.late (id integer);")
    write(files, "20990101000000_next.sql", "create table public.next (id integer);")
    before = rows(applied_url, TABLES), rows(applied_url, LEDGER)
    there = ("--db-url", applied_url, "--migrations", str(files))

    ran = cli("apply", "--json", *there)
    assert ran.code == 4
    message = ran.json["error"]["message"]
    for word in ("(edited)", "(remote-only)", "(out-of-order)", "create_async_jobs_table", "late"):
        assert word in message
    assert (rows(applied_url, TABLES), rows(applied_url, LEDGER)) == before

    states = {m["name"]: m["state"] for m in cli("status", "--json", *there).json["migrations"]}
    assert states == {
        "late": "pending",
        "create_guest_users_table": "remote-only",
        "create_async_jobs_table": "edited",
        "create_guest_job_functions": "applied",
        "next": "pending",
    }
    assert cli("status", "--exit-code", *there).code == 4
    kinds = [p["kind"] for p in cli("plan", "--json", *there).json["problems"]]
    assert kinds == ["out-of-order", "remote-only", "edited"]


def test_include_all_applies_late_files(applied_url: str, cli: Run, files: Path) -> None:
    write(files, "20200101000000_late.sql", "create table public.late (id integer);")
    there = ("--db-url", applied_url, "--migrations", str(files))
    assert cli("apply", *there).code == 4
    ran = cli("apply", "--json", "--include-all", *there)
    assert (ran.code, [a["version"] for a in ran.json["applied"]]) == (0, ["20200101000000"])


def test_a_ledger_with_more_columns_or_fewer(platform_url: str, files: Path) -> None:
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute("create table supabase_migrations.schema_migrations (version text primary key)")
        connection.execute("insert into supabase_migrations.schema_migrations values ('20200101000000')")
        assert ledger.read(connection) == [ledger.Row("20200101000000", None, None)]
        connection.execute(
            "alter table supabase_migrations.schema_migrations"
            " add created_by text, add rollback text[], add idempotency_key text"
        )
    write(files, "20200101000000_first.sql", "select 1;")
    with connect(platform_url) as connection:
        applied, before = migrate.apply(connection, Files(load_migrations(files)))
    assert (len(applied), before) == (3, ["20200101000000"])


def test_settings_of_one_file_end_with_it(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20260101000000_dump.sql", "select pg_catalog.set_config('search_path', '', false);")
    write(files, "20260102000000_next.sql", "create table unqualified (id integer);")
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0
    assert ("public", "unqualified") in rows(platform_url, TABLES)


def test_a_table_lock_held_by_another_is_given_up_on_in_time(applied_url: str, cli: Run, files: Path) -> None:
    write(files, "20260101000000_wants_a_lock.sql", "alter table public.async_jobs add column more text;")
    with psycopg.connect(applied_url) as holder:
        holder.execute("select 1 from public.async_jobs")
        ran = cli(
            "apply", "--json", "--lock-timeout", "100ms", "--retries", "1", "--db-url", applied_url,
            "--migrations", str(files),
        )  # fmt: skip
    assert (ran.code, ran.json["error"]["sqlstate"]) == (5, "55P03")
    assert rows(applied_url, LEDGER)[-1][0] == packaged()[-1].version


def test_another_runner_at_work_is_waited_for_and_given_up_on(platform_url: str) -> None:
    with psycopg.connect(platform_url) as other, connect(platform_url) as connection:
        other.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        with pytest.raises(BusyError, match="another supabase-jobs"):
            migrate.apply(connection, Files(packaged()), patience=Patience(runner_seconds=0.5))
        other.rollback()
        assert len(migrate.apply(connection, Files(packaged()))[0]) == len(packaged())


def test_refused_files_stop_apply_before_anything_runs(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20260101000000_good.sql", "create table public.good (id integer);")
    commits = write(files, "20260101000001_commits.sql", "create table public.kept (id integer);\ncommit;\n")
    write(files, "20260101000002_x.down.sql", "drop table public.good;")
    write(files, "forgotten.sql", "select 1;")
    before = rows(platform_url, TABLES)
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    error = ran.json["error"]
    assert ran.code == 2
    for word in ("forgotten.sql", f"{commits}:2", "x.down.sql"):
        assert word in error["message"]
    assert rows(platform_url, TABLES) == before
    problems = cli("plan", "--json", "--db-url", platform_url, "--migrations", str(files)).json["problems"]
    assert [(p["kind"], p["line"]) for p in problems] == [("refused", None), ("refused", 2), ("refused", None)]


def test_a_refused_file_that_is_applied_already_stops_nothing(platform_url: str, cli: Run, files: Path) -> None:
    write(files, "20240101000000_x.down.sql", "begin;")
    with psycopg.connect(platform_url) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute(
            "create table supabase_migrations.schema_migrations"
            " (version text primary key, name text, statements text[])"
        )
        connection.execute(
            "insert into supabase_migrations.schema_migrations values ('20240101000000', 'x.down', '{begin}')"
        )
    assert cli("apply", "--db-url", platform_url, "--migrations", str(files)).code == 0


def test_a_procedure_that_commits_is_an_error_that_says_so(platform_url: str, cli: Run, files: Path) -> None:
    write(
        files,
        "20260101000000_commits.sql",
        "create procedure public.p() language plpgsql as $$ begin commit; end $$;\ncall public.p();\n",
    )
    ran = cli("apply", "--json", "--db-url", platform_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "2D000")


def test_layout_alone_is_noted_and_stops_nothing(applied_url: str, cli: Run, files: Path) -> None:
    path = next(files.glob("*_create_async_jobs_table.sql"))
    path.write_text(path.read_text().replace("create table", "CREATE   TABLE", 1) + "-- a comment\n", newline="")
    there = ("--db-url", applied_url, "--migrations", str(files))
    found = {m["name"]: m for m in cli("status", "--json", *there).json["migrations"]}["create_async_jobs_table"]
    assert (found["state"], found["diff"]) == ("applied", None)
    assert "layout or comments" in found["note"]
    assert cli("apply", *there).code == 0


def test_status_shows_how_an_edited_file_differs(applied_url: str, cli: Run, files: Path) -> None:
    path = next(files.glob("*_create_async_jobs_table.sql"))
    path.write_text(path.read_text().replace("progress <= 100", "progress <= 1000"), newline="")
    ran = cli("status", "--db-url", applied_url, "--migrations", str(files))
    assert "\n-  constraint chk_valid_progress check (progress >= 0 and progress <= 100)," in ran.out
    assert "\n+  constraint chk_valid_progress check (progress >= 0 and progress <= 1000)," in ran.out


def test_a_role_without_rights_gets_7(make_database: Make, cli: Run) -> None:
    database = make_database("platform")
    url = database.url.replace("postgres@", "authenticator@")
    ran = cli("apply", "--json", "--db-url", url)
    assert (ran.code, ran.json["error"]["sqlstate"]) == (7, "42501")


def test_odd_ledger_rows(applied_url: str, cli: Run, files: Path) -> None:
    write(files, "20260101000000_empty.sql", "")
    write(files, "20260101000001_unknown.sql", "select 1;")
    write(files, "20260101000002_null.sql", "select 1;")
    insert = "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, 'x', %s)"
    with psycopg.connect(applied_url) as connection:
        connection.execute(insert, ("20260101000000", []))
        connection.execute(insert, ("20260101000001", None))
        connection.execute(insert, ("20260101000002", [None]))
    there = ("--db-url", applied_url, "--migrations", str(files))

    def states() -> dict[str, tuple[str, str | None]]:
        found = cli("status", "--json", *there).json["migrations"]
        return {m["name"]: (m["state"], m["note"]) for m in found}

    assert states()["empty"] == ("applied", None)
    assert states()["null"][0] == "edited"
    assert "cannot be compared" in (states()["unknown"][1] or "")
    write(files, "20260101000000_empty.sql", "select 2;")
    assert states()["empty"][0] == "edited"


def test_one_piece_that_holds_two_commands_is_refused_by_the_server(platform_url: str, cli: Run, files: Path) -> None:
    """The CLI's splitter takes `a$b$` for the start of a dollar quote; neither program may run both at once."""
    write(files, "20260101000000_x.sql", "create table public.a (a$b$ int); commit; create table public.b (a$b$ int);")
    for words in (("apply", "--dry-run"), ("apply",)):
        ran = cli(*words, "--json", "--to", "20260101000000", "--db-url", platform_url, "--migrations", str(files))
        assert ran.code in (2, 6)
    assert ("public", "a") not in rows(platform_url, TABLES)
