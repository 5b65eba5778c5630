"""The real Supabase CLI and supabase-jobs on the same files and the same ledger, in any order."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.sources.files import load_migrations, load_sources
from tests.fix_cli import Run
from tests.migrations.helpers import LEDGER, rows

PUSH = ("db", "push", "--yes", "--db-url")


def project(root: Path, tmp_path: Path) -> Path:
    """A copy of the checkout's supabase folder, as a user clones it."""
    copy = tmp_path / "project"
    shutil.copytree(root / "supabase", copy / "supabase", ignore=shutil.ignore_patterns(".temp", ".branches"))
    return copy


def test_status_and_verify_pass_after_push(
    root: Path, tmp_path: Path, platform_url: str, supabase: Run, cli: Run
) -> None:
    there = project(root, tmp_path)
    pushed = supabase(*PUSH, f"{platform_url}?sslmode=disable", cwd=there)
    assert pushed.code == 0, pushed.err
    status = cli("status", "--json", "--exit-code", "--db-url", platform_url, cwd=there)
    assert status.code == 0
    assert {m["state"] for m in status.json["migrations"]} == {"applied"}
    assert cli("verify", "--db-url", platform_url, cwd=there).code == 0
    again = cli("apply", "--json", "--db-url", platform_url, cwd=there)
    assert (again.code, again.json["applied"]) == (0, [])


def test_push_reports_up_to_date_after_apply(
    root: Path, tmp_path: Path, platform_url: str, supabase: Run, cli: Run
) -> None:
    there = project(root, tmp_path)
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    pushed = supabase(*PUSH, f"{platform_url}?sslmode=disable", cwd=there)
    assert pushed.code == 0
    assert "up to date" in pushed.out + pushed.err


def test_push_continues_after_a_partial_apply(
    root: Path, tmp_path: Path, platform_url: str, supabase: Run, cli: Run
) -> None:
    there = project(root, tmp_path)
    first = load_migrations(there / "supabase" / "migrations")[0]
    assert cli("apply", "--to", first.version, "--db-url", platform_url, cwd=there).code == 0
    assert supabase(*PUSH, f"{platform_url}?sslmode=disable", cwd=there).code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url, cwd=there).code == 0


def test_apply_and_push_write_identical_ledger_rows(
    root: Path, tmp_path: Path, platform_url: str, supabase: Run, cli: Run
) -> None:
    there = project(root, tmp_path)
    tricky = (
        "-- a; b\nselect ';' as \"x;y\", $q$;$q$; -- after\n\n"
        "create table public.t (a int);;\n/* ; */ select 1;\n-- end"
    )
    (there / "supabase" / "migrations" / "20260101000000_tricky.sql").write_text(tricky, newline="")
    (there / "supabase" / "migrations" / "20260101000001_crlf.sql").write_text("select 1;\r\nselect 2;\r\n", newline="")
    (there / "supabase" / "migrations" / "20260101000002_empty.sql").write_text("", newline="")
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    written_by_apply = rows(platform_url, LEDGER)
    with psycopg.connect(platform_url) as connection:
        connection.execute("drop schema supabase_migrations, private cascade")
        connection.execute("drop table public.async_jobs, public.guest_users, public.t cascade")
        connection.execute("drop function migrate_guest_jobs, cleanup_old_jobs, cleanup_inactive_guests")
        connection.execute("drop function heartbeat_job, complete_job, fail_job, requeue_stale_jobs")
    pushed = supabase(*PUSH, f"{platform_url}?sslmode=disable", cwd=there)
    assert pushed.code == 0, pushed.err
    assert rows(platform_url, LEDGER) == written_by_apply
    assert len(written_by_apply) == 3 + len(load_sources().sources)


@pytest.mark.parametrize("head_start", [0.0, 0.3, 0.5])
def test_apply_succeeds_during_a_push(
    root: Path, tmp_path: Path, platform_url: str, supabase: Run, cli: Run, head_start: float
) -> None:
    """The CLI does not take the runner lock and writes its row last: it may fail, but apply may not."""
    there = project(root, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(supabase, *PUSH, f"{platform_url}?sslmode=disable", cwd=there)
        time.sleep(head_start)
        applied = cli("apply", "--db-url", platform_url, cwd=there)
        pushed = pushing.result()
    assert applied.code in (0, 5), applied.err
    assert 0 in (applied.code, pushed.code)
    assert cli("apply", "--db-url", platform_url, cwd=there).code == 0
    assert cli("status", "--exit-code", "--db-url", platform_url, cwd=there).code == 0
    assert cli("verify", "--db-url", platform_url, cwd=there).code == 0
