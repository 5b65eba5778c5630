"""`supabase-jobs stats`: terminal, pipe, JSON, privacy, and errors."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.report.stats import text
from tests.fix_cli import Run
from tests.sql.population import expired, populate

HEADINGS = (
    " jobs\n",
    "by age",
    "last 24 hours",
    "slowest",
    "processing without an update",
    "queued for",
    "table",
    "index",
)


@pytest.fixture
def url(applied_url: str) -> str:
    with psycopg.connect(applied_url) as connection:
        expired(connection, 10)
        populate(connection)
    return applied_url


def test_json_has_a_key_for_each_section(cli: Run, url: str) -> None:
    ran = cli("stats", "--stuck-after", "2000", "--json", "--db-url", url)
    assert ran.code == 0
    assert set(ran.json) == {
        "jobs",
        "ages",
        "hours",
        "slowest",
        "stuck",
        "tables",
        "indexes",
        "stuck_after_minutes",
        "unanswered",
    }
    assert sum(row["jobs"] for row in ran.json["jobs"]) == 610
    assert ran.json["stuck_after_minutes"] == 2000


def test_no_bars_in_a_pipe(cli: Run, url: str) -> None:
    ran = cli("stats", "--db-url", url)
    assert ran.code == 0
    assert all(heading in ran.out for heading in HEADINGS)
    assert "█" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_bars_on_a_terminal_fit_80_columns(url: str, tmp_path: Path) -> None:
    terminal, child_end = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "supabase_jobs", "stats", "--db-url", url],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm"},
        stdout=child_end,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    os.close(child_end)
    shown = b""
    with suppress(OSError):  # raised at the end of a pseudo-terminal
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    lines = shown.decode().splitlines()
    assert any("completed" in line and "█" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_owners_and_urls_are_not_printed(cli: Run, url: str) -> None:
    with psycopg.connect(url) as connection:
        owners = connection.execute(
            "select guest_id::text, user_id::text, url from public.async_jobs"
        ).fetchall()
    for form in ([], ["--json"]):
        shown = cli("stats", *form, "--db-url", url).out
        assert "x.com" not in shown
        assert not [value for row in owners for value in row[:2] if value and value in shown]


def test_an_empty_database_takes_four_lines(cli: Run, applied_url: str) -> None:
    ran = cli("stats", "--db-url", applied_url)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == [
        "no",
        "table",
        "public.async_jobs",
        "public.guest_users",
    ]


def test_without_jobs_an_invalid_index_and_a_timeout_are_shown() -> None:
    index = {"name": "idx_async_jobs_cleanup", "scans": 0, "bytes": 8192, "valid": False}
    sections: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("jobs", "ages", "hours", "slowest", "stuck", "tables")
    }
    sections["jobs"] = [{"status": "queued", "jobs": 0}]
    assert "INVALID" in text({**sections, "indexes": [index]}, [], 15, chart=False)
    assert "no jobs" not in text({**sections, "jobs": [], "indexes": []}, ["jobs"], 15, chart=False)


def test_large_numbers_fit_80_columns() -> None:
    jobs = 9_999_999_999
    ages = dict.fromkeys(
        ("under_1_hour", "under_1_day", "under_7_days", "under_30_days", "older"), 999_999_999
    )
    shown = text(
        {
            "jobs": [{"status": "processing", "jobs": jobs}, {"status": "failed", "jobs": 1}],
            "ages": [{"jobs": "processing", **ages}],
            "hours": [
                {
                    "hour": "2026-01-01T00:00Z",
                    "completed": 10**9 - 1,
                    "failed": 10**9 - 1,
                    "cancelled": 10**9 - 1,
                },
                {"hour": "2026-01-01T01:00Z", "completed": 0, "failed": 1, "cancelled": 0},
            ],
            "slowest": [],
            "stuck": [{"status": "queued", "jobs": jobs, "id": "0" * 36, "seconds": 1e9}],
            "tables": [
                {
                    "name": "public.guest_users",
                    "rows": jobs,
                    "bytes": 2**43,
                    "index_bytes": 2**43,
                    "dead_rows": 999_999_999,
                    "vacuumed": "2026-01-01T00:00Z",
                },
            ],
            "indexes": [
                {
                    "name": "idx_guest_users_migrated_to_user_id",
                    "scans": jobs,
                    "bytes": 2**43,
                    "valid": False,
                }
            ],
        },
        ["slowest"],
        15,
        chart=True,
    )
    assert max(map(len, shown.splitlines())) <= 80
    assert "slowest: the query took longer than 10 s" in shown
    assert "INVALID" in shown
    rows = shown.splitlines()
    assert [line for line in rows if line.startswith("  01:00") and line.endswith("░")]


def test_invalid_option_and_missing_migrations_exit_2(cli: Run, platform_url: str) -> None:
    assert cli("stats", "--stuck-after", "0", "--db-url", platform_url).code == 2
    ran = cli("stats", "--json", "--db-url", platform_url)
    assert (ran.code, ran.json["error"]["code"]) == (2, "not_applied")
