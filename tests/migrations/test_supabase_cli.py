"""Versions 3 and 2 of the real Supabase CLI, and supabase-jobs, on the same files and ledger, in
any order.
"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from supabase_jobs.sources.files import load_migrations, load_sources
from tests.fix_cli import Run, SupabaseCli
from tests.fix_db import Make
from tests.migrations.helpers import LEDGER, rows

pytestmark = pytest.mark.slow

BODY = "create function public.{}() returns integer language sql begin atomic"
# files that both versions push, although version 2 splits similar files wrongly
PUSHED_BY_BOTH = {
    "escape_strings": "create table public.t1 (a text default E'it\\'s'); -- '\n",
    "dollars": "create table public.a$b$c (id integer);\n",
    "nested_comments": "/* a /* b; */ c; */ create table public.t2 (); /* /*/ ; */ */ select 1;\n",
    "body": BODY.format("f1") + "\n  select 1;\n  select 2;\nend;\ncreate table public.t3 ();\n",
    "wrapped": "begin;\n\ncreate table public.t4 ();\n\ncommit;\n",
    "partly_wrapped": "create table public.t5 ();\nbegin;\ncreate table public.t6"
    " ();\ncommit;\nselect 1;\n",
    "one_line": "create table public.t7 ();; select 1 ;-- end;;",
    "crlf": "create table public.t8 ();\r\n-- why\r\nselect 1;\r\n",
    "byte_order_mark": "\ufeffcreate table public.t9 ();\n",
    "comment": "-- nothing; yet\n",
    "empty": "",
    "indexes": "create index concurrently i1 on public.t1 (a);\n-- too\n"
    "create index concurrently i2 on public.t1 (lower(a));\n",
}
# files that version 2 splits inside a statement, so that the server refuses them
PUSHED_BY_3 = {
    "quotes": "create table public.u1 (a text default E'it\\'s; ok'); select E'\\\\', ';';\n",
    "continued": "select E'a' -- b\n  'c\\'; d';\nselect 1;\n",
    "case": (
        BODY.format("f2")
        + "\n  select case when true then case 1 when 1 then 2 end end;\n  select 3 as"
        " end;\nend;\nselect 1;\n"
    ),
    "names": "create table public.d$e$f (id integer); create table public.e$e$e ();\n",
    "two_dollars": "create table public.a$$b (); select 1; select $$;$$;\n",
    "carriage_return": "-- why\rcreate table public.u2 (); select 1;",
}


def project(root: Path, tmp_path: Path) -> Path:
    """A copy of the checkout's supabase folder, as a user clones it."""
    copy = tmp_path / "project"
    shutil.copytree(
        root / "supabase", copy / "supabase", ignore=shutil.ignore_patterns(".temp", ".branches")
    )
    return copy


def test_status_and_verify_pass_after_push(
    root: Path, tmp_path: Path, platform_url: str, each_supabase: SupabaseCli, cli: Run
) -> None:
    there = project(root, tmp_path)
    pushed = each_supabase("db", "push", "--yes", url=platform_url, cwd=there)
    assert pushed.code == 0, pushed.err
    status = cli("status", "--json", "--exit-code", "--db-url", platform_url, cwd=there)
    assert status.code == 0
    assert {m["state"] for m in status.json["migrations"]} == {"applied"}
    assert cli("verify", "--db-url", platform_url, cwd=there).code == 0
    again = cli("apply", "--json", "--db-url", platform_url, cwd=there)
    assert (again.code, again.json["applied"]) == (0, [])


def test_push_reports_up_to_date_after_apply(
    root: Path, tmp_path: Path, platform_url: str, each_supabase: SupabaseCli, cli: Run
) -> None:
    there = project(root, tmp_path)
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    pushed = each_supabase("db", "push", "--yes", url=platform_url, cwd=there)
    assert pushed.code == 0
    assert "up to date" in pushed.out + pushed.err


def test_push_continues_after_a_partial_apply(
    root: Path, tmp_path: Path, platform_url: str, each_supabase: SupabaseCli, cli: Run
) -> None:
    there = project(root, tmp_path)
    first = load_migrations(there / "supabase" / "migrations")[0]
    assert cli("apply", "--to", first.version, "--db-url", platform_url, cwd=there).code == 0
    assert each_supabase("db", "push", "--yes", url=platform_url, cwd=there).code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url, cwd=there).code == 0


def test_apply_and_push_write_identical_ledger_rows(
    root: Path, tmp_path: Path, platform_url: str, each_supabase: SupabaseCli, cli: Run
) -> None:
    there = project(root, tmp_path)
    tricky = (
        "-- a; b\nselect ';' as \"x;y\", $q$;$q$; -- after\n\n"
        "create table public.t (a int);;\n/* ; */ select 1;\n-- end"
    )
    (there / "supabase" / "migrations" / "20260101000000_tricky.sql").write_text(tricky, newline="")
    (there / "supabase" / "migrations" / "20260101000001_crlf.sql").write_text(
        "select 1;\r\nselect 2;\r\n", newline=""
    )
    (there / "supabase" / "migrations" / "20260101000002_empty.sql").write_text("", newline="")
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    written_by_apply = rows(platform_url, LEDGER)
    with psycopg.connect(platform_url) as connection:
        connection.execute("drop schema supabase_migrations, private cascade")
        connection.execute("drop table public.async_jobs, public.guest_users, public.t cascade")
        connection.execute(
            "drop function migrate_guest_jobs, cleanup_old_jobs, cleanup_inactive_guests"
        )
        connection.execute("drop function complete_job, complete_jobs, fail_job, fail_jobs")
        connection.execute("drop function heartbeat_job, requeue_stale_jobs")
    pushed = each_supabase("db", "push", "--yes", url=platform_url, cwd=there)
    assert pushed.code == 0, pushed.err
    assert rows(platform_url, LEDGER) == written_by_apply
    assert len(written_by_apply) == 3 + len(load_sources().sources)


def awkward(tmp_path: Path, files: dict[str, str]) -> Path:
    """A project with these migrations."""
    there = tmp_path / "awkward"
    (there / "supabase" / "migrations").mkdir(parents=True)
    (there / "supabase" / "config.toml").write_text('project_id = "awkward"\n')
    for number, (name, text) in enumerate(files.items(), 20990101000000):
        (there / "supabase" / "migrations" / f"{number}_{name}.sql").write_text(text, newline="")
    return there


def test_awkward_files_are_applied_after_a_push(
    make_database: Make, tmp_path: Path, each_supabase: SupabaseCli, cli: Run
) -> None:
    files = PUSHED_BY_BOTH if each_supabase.major == 2 else PUSHED_BY_BOTH | PUSHED_BY_3
    there, url = awkward(tmp_path, files), make_database("platform").url
    pushed = each_supabase("db", "push", "--yes", url=url, cwd=there)
    assert pushed.code == 0, pushed.err
    status = cli("status", "--json", "--exit-code", "--db-url", url, cwd=there)
    assert {m["name"]: m["state"] for m in status.json["migrations"]} == dict.fromkeys(
        files, "applied"
    )
    assert status.code == 0
    again = cli("apply", "--json", "--db-url", url, cwd=there)
    assert (again.code, again.json["applied"]) == (0, [])

    pushed_rows = rows(url, LEDGER)
    with psycopg.connect(url) as connection:
        connection.execute("drop schema supabase_migrations cascade")
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = 'public'"
        ).fetchall()
        for (name,) in tables:
            connection.execute(sql.SQL("drop table public.{}").format(sql.Identifier(name)))
        connection.execute("drop function if exists f1, f2")
    assert cli("apply", "--db-url", url, cwd=there).code == 0
    # version 2 does not split after an escaped quote or after a$b$
    different = {"escape_strings", "dollars"} if each_supabase.major == 2 else set()
    pairs = zip(rows(url, LEDGER), pushed_rows, strict=True)
    assert {row[1] for row, pushed_row in pairs if row != pushed_row} == different


def test_awkward_files_are_up_to_date_after_apply(
    platform_url: str, tmp_path: Path, each_supabase: SupabaseCli, cli: Run
) -> None:
    there = awkward(tmp_path, PUSHED_BY_BOTH | PUSHED_BY_3)
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    pushed = each_supabase("db", "push", "--yes", url=platform_url, cwd=there)
    assert pushed.code == 0
    assert "up to date" in pushed.out + pushed.err


def test_rows_that_were_split_inside_a_statement_are_applied(
    platform_url: str, tmp_path: Path, each_supabase: SupabaseCli, cli: Run
) -> None:
    """`migration repair` writes the rows of files without running them."""
    there = awkward(tmp_path, PUSHED_BY_BOTH | PUSHED_BY_3)
    versions = sorted(
        path.name.split("_")[0] for path in (there / "supabase" / "migrations").iterdir()
    )
    repair = ("--yes", "migration", "repair", "--status", "applied", *versions)
    assert each_supabase(*repair, url=platform_url, cwd=there).code == 0
    status = cli("status", "--json", "--exit-code", "--db-url", platform_url, cwd=there)
    assert {m["name"]: m["state"] for m in status.json["migrations"]} == dict.fromkeys(
        PUSHED_BY_BOTH | PUSHED_BY_3, "applied"
    )


@pytest.mark.parametrize("head_start", [0.0, 0.3, 0.5])
def test_apply_succeeds_during_a_push(
    root: Path,
    tmp_path: Path,
    platform_url: str,
    each_supabase: SupabaseCli,
    cli: Run,
    head_start: float,
) -> None:
    """The CLI does not take the runner lock and writes its row last: it may fail, but apply may
    not.
    """
    there = project(root, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(each_supabase, "db", "push", "--yes", url=platform_url, cwd=there)
        time.sleep(head_start)
        applied = cli("apply", "--db-url", platform_url, cwd=there)
        pushed = pushing.result()
    assert applied.code in (0, 5), applied.err
    assert 0 in (applied.code, pushed.code)
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url, cwd=there).code == 0
    assert cli("verify", "--db-url", platform_url, cwd=there).code == 0
