"""`mutate --run`: the score of a suite, its missing tests, and what remains after the end, Ctrl-C
and kill -9.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from tests.fix_cli import Run
from tests.fix_db import Database, Make
from tests.mutation.suites import CONNECTS, copies, copy_suite, notebooks
from tests.programs import PYTEST, unavailable

pytestmark = pytest.mark.slow

# one fault that the reads detect, faults that they miss, and one that changes nothing
SAMPLE = ("--sample", "5", "--seed", "1")


def by_state(document: Any) -> tuple[set[str], set[str], set[str]]:
    """The ids of the killed, the survived and the equivalent mutants."""
    killed = {m["id"] for m in document["mutants"] if m["killed"]}
    survived = {m["id"] for m in document["mutants"] if not m["killed"]}
    return killed, survived, {m["id"] for m in document["equivalent"]}


def test_a_suite_of_reads_misses_faults_and_the_missing_tests_detect_all(
    cli: Run, make_database: Make, tmp_path: Path
) -> None:
    database = notebooks(make_database, 16)
    copy_suite(tmp_path / "suite")
    words = (
        "mutate",
        "--json",
        "--db-url",
        database.url,
        *SAMPLE,
        "--run",
        " ".join([*PYTEST, "suite"]),
    )
    first = cli(*words, "--tests", "suite")
    assert first.code == 1, first.err
    killed, survived, equivalent = by_state(first.json)
    assert killed
    assert survived
    assert not any("select" in name.lower() and "notes" in name for name in survived)
    assert all(
        m["tests"].keys() == {"pytest", "pgtap"} for m in first.json["mutants"] if not m["killed"]
    )
    assert all("test_reads.py::" in m["by"][0] for m in first.json["mutants"] if m["killed"])
    assert (first.json["killed"], first.json["total"]) == (len(killed), len(killed | survived))

    second = cli(*words)
    assert second.code == 0, second.out
    assert by_state(second.json) == (killed | survived, set(), equivalent)
    assert copies(database) == []


def test_the_missing_tests_for_pgtap_detect_all(
    cli: Run, make_database: Make, tmp_path: Path
) -> None:
    if shutil.which("pg_prove") is None:
        unavailable("pg_prove is not installed (libtap-parser-sourcehandler-pgtap-perl)")
    database = notebooks(make_database, 17)
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create extension pgtap")
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "reads.sql").write_text(
        "begin; select plan(1); set local role anon;"
        " select is_empty('select from notes', 'anon reads no notes'); select * from finish();"
        " rollback;"
    )
    words = (
        "mutate",
        "--json",
        "--db-url",
        database.url,
        *SAMPLE,
        "--run",
        "pg_prove -Q --ext .sql suite",
    )
    first = cli(*words, "--tests", "suite")
    assert first.code == 1, first.err
    killed, survived, equivalent = by_state(first.json)
    assert survived
    second = cli(*words)
    assert second.code == 0, second.out
    assert by_state(second.json) == (killed | survived, set(), equivalent)


def test_a_suite_that_fails_is_refused_with_its_last_lines(cli: Run, make_database: Make) -> None:
    database = notebooks(make_database, 16)
    ran = cli(
        "mutate",
        "--json",
        "--db-url",
        database.url,
        "--run",
        f"{CONNECTS}; echo the reason; exit 3",
    )
    assert (ran.code, ran.json["error"]["code"]) == (2, "config")
    assert "fails without a fault (exit code 3)" in ran.json["error"]["message"]
    assert "the reason" in ran.json["error"]["message"]
    assert copies(database) == []


def test_a_suite_that_passes_only_once_is_refused(
    cli: Run, make_database: Make, tmp_path: Path
) -> None:
    database = notebooks(make_database, 16)
    ran = cli("mutate", "--db-url", database.url, "--run", f"{CONNECTS} && mkdir once")
    assert ran.code == 2
    assert "passes once, and fails when it runs again" in ran.err


def test_a_suite_that_uses_another_database_is_refused(cli: Run, make_database: Make) -> None:
    url = notebooks(make_database, 16).url
    ran = cli("mutate", "--db-url", url, "--run", "echo no tests | tr a-z A-Z")
    assert ran.code == 2
    assert "without a connection to the copy" in ran.err
    assert "NO TESTS" in ran.err


def test_a_mutant_that_hangs_is_killed_by_the_timeout(cli: Run, make_database: Make) -> None:
    database = notebooks(make_database, 16)
    hangs = f'{CONNECTS}; test -z "$SUPABASE_JOBS_MUTANT" || sleep 50'
    ran = cli(
        "mutate",
        "--json",
        "--db-url",
        database.url,
        "--sample",
        "1",
        "--timeout",
        "4",
        "--run",
        hangs,
    )
    assert ran.code == 0
    assert [m["by"] for m in ran.json["mutants"]] == [["timeout"]]


def test_a_suite_that_hangs_without_a_fault_is_refused(cli: Run, make_database: Make) -> None:
    database = notebooks(make_database, 16)
    ran = cli(
        "mutate",
        "--db-url",
        database.url,
        "--timeout",
        "1",
        "--run",
        f"echo waiting; {CONNECTS}; sleep 50",
    )
    assert ran.code == 2
    assert "fails without a fault (stopped after 1.0 s)" in ran.err
    assert "  waiting\n" in ran.err
    assert copies(database) == []


def test_what_the_suite_commits_is_no_effect_of_the_fault(cli: Run, make_database: Make) -> None:
    database = notebooks(make_database, 16)
    ruins = "psql -qc 'alter table notes disable row level security; drop policy \"members read notes\" on notes'"
    ran = cli(
        "mutate", "--json", "--db-url", database.url, *SAMPLE, "--run", f'{ruins} "$DATABASE_URL"'
    )
    assert len(ran.json["equivalent"]) == 1, ran.err
    assert all(m["tests"] for m in ran.json["mutants"])


def test_the_original_is_refused_while_others_are_connected(cli: Run, make_database: Make) -> None:
    database = notebooks(make_database, 16)
    with psycopg.connect(database.url, application_name="the other one"):
        ran = cli("mutate", "--db-url", database.url, "--run", CONNECTS)
    assert ran.code == 5
    assert "the other one" in ran.err


def test_the_settings_of_the_database_apply_to_its_copies(
    cli: Run, make_database: Make, tmp_path: Path
) -> None:
    database = notebooks(make_database, 16)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        for text in (
            f'alter role postgres in database {database.name} set search_path = "$user", public, auth',
            f"alter database {database.name} set work_mem = '5MB'",
            f"alter database {database.name} set app.key = 'only for a superuser'",
        ):
            connection.execute(text.encode())
    (tmp_path / "suite.py").write_text(
        "import os, psycopg\n"
        "with psycopg.connect(os.environ['SUPABASE_DB_URL']) as c:\n"
        "    query = \"select current_setting('search_path'), current_setting('work_mem')\"\n"
        "    found = c.execute(query).fetchone()\n"
        "    assert found == ('\"$user\", public, auth', '5MB'), found\n"
    )
    ran = cli(
        "mutate", "--db-url", database.url, "--sample", "1", "--run", f"{sys.executable} suite.py"
    )
    assert ran.code == 1, ran.err
    assert "only a superuser can make: alter database" in ran.err
    assert "set \"app.key\" = 'only for a superuser'" in ran.err


@pytest.fixture
def hanging(
    make_database: Make, tmp_path: Path
) -> Callable[[], tuple[Database, subprocess.Popen[str]]]:
    """A run whose first mutant is killed, and whose others hang; returns when two of them do."""

    def start() -> tuple[Database, subprocess.Popen[str]]:
        database = notebooks(make_database, 16)
        suite = (
            f'{CONNECTS}; test -z "$SUPABASE_JOBS_MUTANT" && exit 0; mkdir first 2>/dev/null && exit 1;'
            " touch hangs-$$; sleep 61"
        )
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "supabase_jobs",
                "mutate",
                "--json",
                "--jobs",
                "2",
                "--timeout",
                "60",
                "--db-url",
                database.url,
                "--run",
                suite,
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _wait_for(lambda: len(list(tmp_path.glob("hangs-*"))) == 2)
        _wait_for(lambda: len(_sleeping(tmp_path)) == 2)
        return database, process

    return start


def _sleeping(folder: Path) -> list[str]:
    """The processes of the suite that hangs in a folder. Tests beside this one have others."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            if words[0] == b"sleep" and (path / "cwd").readlink() == folder:
                found.append(path.name)
    return found


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_prints_the_results_so_far_and_leaves_nothing(
    hanging: Callable[[], tuple[Database, subprocess.Popen[str]]], tmp_path: Path
) -> None:
    database, process = hanging()
    for _ in range(5):  # an impatient user presses the keys more than once
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert (document["killed"], document["total"]) == (1, 1)
    assert document["not_run"] == document["selected"] - 1
    assert "Traceback" not in err
    assert _sleeping(tmp_path) == []
    assert copies(database) == []


def test_the_next_run_removes_what_kill_9_leaves_and_nothing_else(
    hanging: Callable[[], tuple[Database, subprocess.Popen[str]]], cli: Run, tmp_path: Path
) -> None:
    database, process = hanging()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    _wait_for(lambda: _sleeping(tmp_path) == [])
    assert copies(database)
    others = ["supabase_jobs_mutate_mine", "supabase_jobs_mutate_1_abcdef_2 of mine"]
    for name in others:
        database.server.create(name, "template1")
    try:
        assert cli("mutate", "--db-url", database.url, "--run", "false").code == 2
        assert sorted(copies(database)) == sorted(others)
    finally:
        for name in others:
            database.server.drop(name)


def test_a_run_keeps_the_copies_of_another_that_is_alive(
    hanging: Callable[[], tuple[Database, subprocess.Popen[str]]], cli: Run
) -> None:
    database, process = hanging()
    before = copies(database)
    try:
        assert (
            cli("mutate", "--db-url", database.url, "--run", "false").code == 5
        )  # others are connected
        assert set(before) <= set(copies(database))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert copies(database) == []


@pytest.mark.parametrize(
    "words",
    [
        ("--run", "true", "--allow-remote"),
        ("--sample", "3"),
        ("--tests", "x"),
        ("--format", "html"),
        ("--run", " "),
    ],
)
def test_conflicting_options_are_refused(cli: Run, words: tuple[str, ...]) -> None:
    ran = cli("mutate", "--db-url", "postgresql://postgres@localhost:1/x", *words)
    assert ran.code == 2
    assert "hint:" in ran.err


def test_a_database_in_use_is_copied_into_an_embedded_server(
    cli: Run, in_use: Database, tmp_path: Path
) -> None:
    """Its server gets no database, and the suite runs elsewhere."""
    (tmp_path / "supabase").mkdir()
    with connect(in_use.url) as connection:
        connection.execute(
            "create table public.letters (id uuid primary key default gen_random_uuid(), owner uuid);"
            "alter table public.letters enable row level security;"
            "create policy mine on public.letters using (owner = (select auth.uid()))"
        )
    words = ("--table", "public.letters", "--sample", "1", "--jobs", "1")
    ran = cli(
        "mutate", "--db-url", in_use.url, "--run", f"echo $PGPORT >> ports; {CONNECTS}", *words
    )
    assert "copies the schema; nothing is written" in ran.err
    assert "0 of 1 faults" in ran.out or "survived" in ran.out, ran.out + ran.err
    ports = set((tmp_path / "ports").read_text().split())
    assert str(in_use.server.port) not in ports
    assert copies(in_use) == []
