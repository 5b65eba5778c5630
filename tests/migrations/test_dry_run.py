"""`apply --dry-run`: locks, verification, errors, and that nothing is left."""

from pathlib import Path

import pytest

from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, TABLES, dump, rows, write


def test_locks_and_times_are_reported_per_file(applied_url: str, files: Path, cli: Run) -> None:
    write(files, "20260101000000_column.sql", "alter table public.async_jobs add column more text;")
    write(
        files, "20260101000001_index.sql", "create index more on public.guest_users (created_at);"
    )
    write(files, "20260101000002_new.sql", "create table public.fresh (id integer);")
    write(files, "20260101000003_rows.sql", "insert into public.guest_users default values;")
    write(files, "20260101000004_drop.sql", "drop table public.async_jobs cascade;")
    ran = cli("apply", "--dry-run", "--json", "--db-url", applied_url, "--migrations", str(files))
    locks = {f["name"]: f["lock"] for f in ran.json["applied"]}
    assert locks["column"] == {"mode": "AccessExclusiveLock", "tables": ["public.async_jobs"]}
    assert locks["index"] == {"mode": "ShareLock", "tables": ["public.guest_users"]}
    assert locks["new"] is None
    assert locks["rows"] == {"mode": "RowExclusiveLock", "tables": ["public.guest_users"]}
    assert "public.guest_users" in locks["drop"]["tables"]  # because the foreign key is dropped too
    assert all(f["ms"] > 0 for f in ran.json["applied"])
    assert ran.json["dry_run"] is True


def test_errors_of_verify_exit_1(applied_url: str, files: Path, cli: Run) -> None:
    there = ("--dry-run", "--db-url", applied_url, "--migrations", str(files))
    write(files, "20260101000000_fine.sql", "create table public.fine (id integer);")
    good = cli("apply", "--json", *there)
    assert (good.code, good.json["verify"]["ok"]) == (0, True)
    write(
        files,
        "20260101000001_opens.sql",
        "alter table public.async_jobs disable row level security;",
    )
    bad = cli("apply", "--json", *there)
    assert (bad.code, bad.json["verify"]["ok"]) == (1, False)
    assert "FAILED" in cli("apply", *there).out
    assert cli("verify", "--db-url", applied_url, "--migrations", str(files)).code == 0


def test_a_first_dry_run_does_not_create_the_ledger(platform_url: str, cli: Run) -> None:
    before = rows(platform_url, TABLES)
    ran = cli("apply", "--dry-run", "--json", "--db-url", platform_url)
    assert ran.code == 0
    assert [f["version"] for f in ran.json["applied"]] == [m.version for m in packaged()]
    assert ran.json["applied"][0]["lock"] == {
        "mode": "ShareRowExclusiveLock",
        "tables": ["auth.users"],
    }
    assert rows(platform_url, TABLES) == before


def test_nontransactional_files_are_reported_and_skipped(
    applied_url: str, files: Path, cli: Run
) -> None:
    write(
        files,
        "20260101000000_i.sql",
        "--! transaction:false\ncreate index concurrently i on public.async_jobs (error);",
    )
    ran = cli("apply", "--dry-run", "--json", "--db-url", applied_url, "--migrations", str(files))
    assert (ran.code, ran.json["applied"]) == (0, [])
    assert ran.json["skipped"] == [{"version": "20260101000000", "name": "i"}]
    assert (
        "skipped"
        in cli("apply", "--dry-run", "--db-url", applied_url, "--migrations", str(files)).out
    )


def test_migrations_without_sources_are_not_verified(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    write(folder, "20260101000000_t.sql", "create table public.t (id integer);")
    ran = cli("apply", "--dry-run", "--json", "--db-url", platform_url, "--migrations", str(folder))
    assert (ran.code, ran.json["verify"]) == (0, None)


def test_a_deferred_constraint_fails_as_at_the_commit(
    applied_url: str, files: Path, cli: Run
) -> None:
    write(
        files,
        "20260101000000_deferred.sql",
        "create table public.a (id int primary key);\n"
        "create table public.b (a int references public.a deferrable initially deferred);\n"
        "insert into public.b values (1);\n",
    )
    ran = cli("apply", "--dry-run", "--json", "--db-url", applied_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "23503")
    real = cli("apply", "--json", "--db-url", applied_url, "--migrations", str(files))
    assert (real.code, real.json["error"]["sqlstate"]) == (6, "23503")
    assert rows(applied_url, LEDGER)[-1][0] == packaged()[-1].version


@pytest.mark.parametrize(
    "text",
    ["create table public.t (id integer);", "create table public.t (id integer);\nselect 1 / 0;"],
)
def test_a_dry_run_leaves_the_database_unchanged(
    platform_url: str, files: Path, cli: Run, text: str
) -> None:
    write(files, "20260101000000_t.sql", text)
    before = dump(platform_url)
    ran = cli("apply", "--dry-run", "--db-url", platform_url, "--migrations", str(files))
    assert ran.code == (6 if "1 / 0" in text else 0)
    assert dump(platform_url) == before


def test_a_dry_run_warns_about_transaction_control_that_it_skips(
    applied_url: str, files: Path, cli: Run
) -> None:
    write(
        files,
        "20260101000000_wrapped.sql",
        "begin;\ncreate table public.wrapped (id integer);\ncommit;",
    )
    ran = cli("apply", "--dry-run", "--db-url", applied_url, "--migrations", str(files))
    assert ran.code == 0
    assert (
        "warning: 20260101000000_wrapped.sql: begin (line 1) and commit (line 3) are not run"
        in ran.err
    )


def test_deferred_constraints_are_deferred_in_every_file(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    tables = "create table public.{0} (id int primary key); create table public.{1} (id int references public.{0} {2});"
    rows_of = "insert into public.{1} values (1);\ninsert into public.{0} values (1);\n"
    deferred = "deferrable initially deferred"
    write(tmp_path, "1_tables.sql", tables.format("a", "b", deferred))
    write(tmp_path, "2_rows.sql", rows_of.format("a", "b"))
    write(tmp_path, "3_both.sql", tables.format("c", "d", deferred) + rows_of.format("c", "d"))
    write(tmp_path, "4_immediate.sql", tables.format("e", "f", "deferrable"))
    # fails if the check of the new row is pending
    write(
        tmp_path,
        "5_alter.sql",
        "insert into public.e values (1);\ninsert into public.f values (1);\nalter table public.f"
        " add x int;",
    )
    there = ("--db-url", platform_url, "--migrations", str(tmp_path))
    for words in (
        ("apply", "--dry-run"),
        ("apply", "--to", "3"),
        ("apply", "--dry-run"),
        ("apply",),
    ):
        ran = cli(*words, *there)
        assert ran.code == 0, ran.err


def test_an_enum_value_of_an_earlier_file_is_explained(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "1_type.sql", "create type public.mood as enum ('good');")
    there = ("--db-url", platform_url, "--migrations", str(tmp_path))
    assert cli("apply", *there).code == 0
    write(tmp_path, "2_value.sql", "alter type public.mood add value 'bad';")
    write(tmp_path, "3_use.sql", "select 'bad'::public.mood;")
    ran = cli("apply", "--dry-run", "--json", *there)
    assert (ran.code, ran.json["error"]["sqlstate"]) == (6, "55P04")
    assert "apply commits each file" in ran.json["error"]["hint"]
    assert cli("apply", *there).code == 0


def test_a_connection_lost_in_a_dry_run_changes_nothing(
    platform_url: str, tmp_path: Path, cli: Run
) -> None:
    write(tmp_path, "1_first.sql", "select pg_terminate_backend(pg_backend_pid());")
    write(tmp_path, "2_second.sql", "select 1;")
    ran = cli(
        "apply", "--dry-run", "--json", "--db-url", platform_url, "--migrations", str(tmp_path)
    )
    assert ran.code == 7
    assert (
        ran.json["error"]["message"]
        == "the connection was lost during the dry run; nothing was changed"
    )
