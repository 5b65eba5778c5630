"""The ledger next to the files: drift, late files, rows of other programs."""

from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.errors import BusyError
from supabase_jobs.migrations import ledger
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.locks import LockOptions
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.fix_cli import Run
from tests.fix_db import packaged
from tests.migrations.helpers import LEDGER, TABLES, rows, write


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
        **{m.name: "applied" for m in packaged()},
        "create_guest_users_table": "remote-only",
        "create_async_jobs_table": "edited",
        "next": "pending",
    }
    assert cli("status", "--exit-code", *there).code == 4
    kinds = [p["kind"] for p in cli("plan", "--json", *there).json["problems"]]
    assert kinds == ["out-of-order", "remote-only", "edited"]


def test_include_all_applies_out_of_order_files(applied_url: str, cli: Run, files: Path) -> None:
    write(files, "20200101000000_late.sql", "create table public.late (id integer);")
    there = ("--db-url", applied_url, "--migrations", str(files))
    assert cli("apply", *there).code == 4
    ran = cli("apply", "--json", "--include-all", *there)
    assert (ran.code, [a["version"] for a in ran.json["applied"]]) == (0, ["20200101000000"])


def test_a_ledger_may_have_more_columns_or_fewer(platform_url: str, files: Path) -> None:
    with psycopg.connect(platform_url, autocommit=True) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute(
            "create table supabase_migrations.schema_migrations (version text primary key)"
        )
        connection.execute(
            "insert into supabase_migrations.schema_migrations values ('20200101000000')"
        )
        assert ledger.read(connection) == ledger.Ledger(
            (ledger.LedgerRow("20200101000000", None, None),), is_complete=False
        )
        connection.execute(
            "alter table supabase_migrations.schema_migrations"
            " add created_by text, add rollback text[], add idempotency_key text"
        )
    write(files, "20200101000000_first.sql", "select 1;")
    with connect(platform_url) as connection:
        applied, before = apply_pending(connection, MigrationFiles(load_migrations(files)))
    assert (len(applied), before) == (len(packaged()), ["20200101000000"])


def test_a_change_of_layout_is_noted_and_not_drift(applied_url: str, cli: Run, files: Path) -> None:
    path = next(files.glob("*_create_async_jobs_table.sql"))
    path.write_text(
        path.read_text().replace("create table", "CREATE   TABLE", 1) + "-- a comment\n", newline=""
    )
    there = ("--db-url", applied_url, "--migrations", str(files))
    status = {m["name"]: m for m in cli("status", "--json", *there).json["migrations"]}[
        "create_async_jobs_table"
    ]
    assert (status["state"], status["diff"]) == ("applied", None)
    assert "layout or comments" in status["note"]
    assert cli("apply", *there).code == 0


def test_status_shows_how_an_edited_file_differs(applied_url: str, cli: Run, files: Path) -> None:
    path = next(files.glob("*_create_async_jobs_table.sql"))
    path.write_text(path.read_text().replace("progress <= 100", "progress <= 1000"), newline="")
    ran = cli("status", "--db-url", applied_url, "--migrations", str(files))
    assert (
        "\n-  constraint chk_valid_progress check (progress >= 0 and progress <= 100)," in ran.out
    )
    assert (
        "\n+  constraint chk_valid_progress check (progress >= 0 and progress <= 1000)," in ran.out
    )


def test_ledger_rows_with_empty_or_null_statements(applied_url: str, cli: Run, files: Path) -> None:
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
        migrations = cli("status", "--json", *there).json["migrations"]
        return {m["name"]: (m["state"], m["note"]) for m in migrations}

    assert states()["empty"] == ("applied", None)
    assert states()["null"][0] == "edited"
    assert "cannot be compared" in (states()["unknown"][1] or "")
    write(files, "20260101000000_empty.sql", "select 2;")
    assert states()["empty"][0] == "edited"


SUPPRESS = """
create function public.suppress() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger suppress before insert on supabase_migrations.schema_migrations
  for each row execute function public.suppress();
"""


def test_a_trigger_that_suppresses_ledger_rows_is_an_error(
    applied_url: str, cli: Run, files: Path
) -> None:
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(SUPPRESS)
    write(files, "20260101000000_new.sql", "create table public.new (id integer primary key)")
    ran = cli("apply", "--db-url", applied_url, "--migrations", str(files))
    assert ran.code == 6
    assert "the ledger row of 20260101000000_new.sql is missing" in ran.err
    assert rows(applied_url, "select from pg_tables where tablename = 'new'") == []


def test_a_file_that_deletes_its_ledger_row_is_rolled_back(
    applied_url: str, cli: Run, files: Path
) -> None:
    delete = "delete from supabase_migrations.schema_migrations where version = '20260101000000'"
    write(
        files,
        "20260101000000_new.sql",
        f"create table public.new (id integer primary key);\n{delete}",
    )
    ran = cli("apply", "--json", "--db-url", applied_url, "--migrations", str(files))
    assert (ran.code, ran.json["error"]["code"]) == (6, "migration_failed")
    assert rows(applied_url, "select from pg_tables where tablename = 'new'") == []


UNIQUE_NAMES = "alter table supabase_migrations.schema_migrations add unique (name)"
REJECT = """
create function public.reject() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
create trigger reject before insert on supabase_migrations.schema_migrations
  for each row execute function public.reject();
"""


@pytest.mark.parametrize("option", [(), ("--dry-run",)], ids=["apply", "dry run"])
@pytest.mark.parametrize(("cause", "sqlstate"), [(UNIQUE_NAMES, "23505"), (REJECT, "P0001")])
@pytest.mark.parametrize(
    "text", ["select 1;", "--! transaction:false\nselect 1;"], ids=["transaction", "none"]
)
def test_a_row_that_the_ledger_rejects_is_an_error(
    applied_url: str,
    cli: Run,
    files: Path,
    cause: str,
    sqlstate: str,
    text: str,
    option: tuple[str, ...],
) -> None:
    name = packaged()[0].name
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(cause.encode())
    file = write(files, f"20260101000000_{name}.sql", text)
    ran = cli("apply", *option, "--json", "--db-url", applied_url, "--migrations", str(files))
    if option and text.startswith("--!"):
        assert ran.code == 0  # the dry run skips the file
        return
    error = ran.json["error"]
    assert (ran.code, error["sqlstate"], error["file"]) == (6, sqlstate, str(file))
    assert f"the ledger row of {file.name} could not be written" in error["message"]


def test_a_locked_ledger_is_reported_and_not_waited_for(applied_url: str) -> None:
    with (
        psycopg.connect(applied_url, application_name="holder") as holder,
        connect(applied_url) as connection,
    ):
        holder.execute("lock table supabase_migrations.schema_migrations")
        with pytest.raises(
            BusyError, match="migration ledger: could not get a lock within 50 ms, tried 2 times"
        ):
            ledger.read(connection, LockOptions(lock_timeout_ms=50, retries=1))
        with pytest.raises(BusyError, match="within 50 ms, tried once;"):
            ledger.read(connection, LockOptions(lock_timeout_ms=50, retries=0))
        holder.rollback()
        assert ledger.read(connection).is_complete
