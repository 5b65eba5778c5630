"""`mutate --run` runs the test files that use the faulty object first, and stops at a failed test."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supabase_jobs.findings import Fault
from supabase_jobs.mutation.suite.faults import SuiteFault
from supabase_jobs.mutation.suite.learned import Learned, learning
from supabase_jobs.mutation.suite.objects import ProjectObject
from supabase_jobs.mutation.suite.suite_run import Plan
from supabase_jobs.testing.order import words
from tests.fix_cli import Run
from tests.fix_db import Make
from tests.mutation.suites import copies, notebooks
from tests.programs import PYTEST, unavailable

SUITE = {
    "test_a.py": "def test_nothing():\n    pass\n",
    "test_b.py": """
import pytest

@pytest.fixture
def note(rls):
    insert = "insert into notebooks (owner_id, title) values (%s, 'plans') returning id"
    notebook = rls.owner.value(insert, [rls.new_user()])
    rls.owner.execute("insert into notes (notebook_id, body) values (%s, 'secret')", [notebook])

def test_anon_reads_no_notes(rls, note):
    rls.as_anon().assert_hidden("select from notes")

def test_users_read_no_notes(rls, note):
    rls.as_user(rls.new_user()).assert_hidden("select from public.notes")
""",
    "test_c.py": """
import os, psycopg

def test_of_another_client():
    with psycopg.connect(os.environ["SUPABASE_DB_URL"]) as connection:
        connection.execute(psycopg.sql.SQL("select from {}").format(psycopg.sql.Identifier("members")))
""",
}
NOTES = ProjectObject("public.notes", "public", "notes", is_function=False)
MEMBERS = ProjectObject("public.members", "public", "members", is_function=False)
FUNCTION = ProjectObject("public.f(uuid,text)", "public", "f", is_function=True)
# after the dot it is like the table
ODD = ProjectObject('public."odd.notes"', "public", "odd.notes", is_function=False)
SAMPLE = ("--sample", "5", "--seed", "1")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    for name, text in SUITE.items():
        (folder / name).write_text(text)
    return folder


def test_words_are_names_as_the_database_has_them() -> None:
    sql = 'select "Odd ""name""", N.title from public.Notes as n -- done'
    assert words(sql) >= {'Odd "name"', "title", "notes", "public", "n"}
    assert "Notes" not in words(sql)


def test_the_files_that_use_an_object_come_first() -> None:
    learned = Learned({"a": frozenset({"notes"}), "b": frozenset({"f"}), "c": frozenset({"notes"})})
    assert learned.files(NOTES) == ["a", "c"]
    assert learned.files(FUNCTION) == ["b"]
    assert learned.files(ODD) == []
    assert json.loads(learned.order(NOTES)["SUPABASE_JOBS_ORDER"]) == ["a", "c"]
    assert Learned().order(NOTES) == {}


def run_suite(folder: Path, url: str, **variables: str) -> str:
    """The output of the suite, and the tests in the order in which they ran."""
    done = subprocess.run(
        [*PYTEST, "-vv", "--color=no", folder.name],
        cwd=folder.parent,
        env={"PATH": "/usr/bin:/bin", "SUPABASE_DB_URL": url, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.slow
def test_a_run_tells_which_objects_its_files_use(suite: Path, make_database: Make) -> None:
    url = notebooks(make_database, 16).url
    with learning() as run:
        shown = run_suite(suite, url, **run.variables)
        learned = run.result()
    assert "4 passed" in shown
    assert list(learned.words) == ["suite/test_a.py", "suite/test_b.py", "suite/test_c.py"]
    assert learned.files(NOTES) == ["suite/test_b.py"]
    assert learned.files(MEMBERS) == ["suite/test_c.py"]
    shown = run_suite(suite, url, **learned.reversed)
    assert shown.index("test_c.py::") < shown.index("test_b.py::") < shown.index("test_a.py::")
    (suite / "test_c.py").write_text(
        "def test_fails():\n    assert False\n\ndef test_fails_too():\n    assert False\n"
    )
    shown = run_suite(suite, url, **learned.order(MEMBERS))
    assert "1 failed" in shown
    assert "passed" not in shown


@pytest.mark.slow
def test_the_outcome_is_that_of_all_tests_in_their_order(
    cli: Run, suite: Path, make_database: Make
) -> None:
    database = notebooks(make_database, 16)
    command = " ".join([*PYTEST, "suite"])
    wanted = ("mutate", "--json", "--db-url", database.url, *SAMPLE)
    found = {}
    for selected in ("auto", "off"):
        ran = cli(*wanted, "--run", command, "--select-tests", selected)
        found[selected] = {m["id"]: m["killed"] for m in ran.json["mutants"]}
    assert found["auto"] == found["off"]
    assert set(found["auto"].values()) == {True, False}
    assert copies(database) == []


@pytest.mark.slow
def test_a_suite_that_depends_on_its_order_keeps_it(
    cli: Run, suite: Path, make_database: Make
) -> None:
    database = notebooks(make_database, 16)
    (suite / "test_a.py").write_text(
        "import builtins\n\ndef test_first():\n    builtins.first = 1\n"
    )
    (suite / "test_b.py").write_text(
        "import builtins\n\ndef test_second(rls):\n    assert builtins.first\n"
        "    rls.owner.execute('select from notes')\n"
    )
    ran = cli(
        "mutate", "--db-url", database.url, "--sample", "1", "--run", " ".join([*PYTEST, "suite"])
    )
    assert ran.code == 1
    assert "the suite fails if its files run in another order" in ran.err


@pytest.mark.slow
def test_the_faults_of_an_object_that_no_test_names_are_one_line(
    cli: Run, suite: Path, make_database: Make
) -> None:
    database = notebooks(make_database, 16)
    (suite / "test_c.py").unlink()
    given = ("mutate", "--db-url", database.url, "--table", "members", "--sample", "2")
    ran = cli(*given, "--run", " ".join([*PYTEST, "suite"]))
    [line] = [line for line in ran.out.splitlines() if "No test names" in line]
    assert line.startswith("SURVIVED  No test names public.members (")
    assert line.endswith(" survivors)")


@pytest.mark.slow
def test_a_process_with_a_session_of_its_own_is_ended(
    cli: Run, tmp_path: Path, make_database: Make
) -> None:
    if not Path("/proc/self/environ").exists():
        unavailable("only Linux shows the environment of a process")
    database = notebooks(make_database, 16)
    program = tmp_path / "server.py"
    program.write_text(
        "import os, subprocess, sys, psycopg\n"
        "psycopg.connect(os.environ['DATABASE_URL']).close()\n"
        "words = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "child = subprocess.Popen(words, start_new_session=True, stdin=subprocess.DEVNULL)\n"
        "open('pids', 'a').write(f'{child.pid}\\n')\n"
    )
    cli("mutate", "--db-url", database.url, "--sample", "1", "--run", f"{sys.executable} server.py")
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) > 2
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process of the suite still runs"
        time.sleep(0.05)


def is_running(pid: str) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_time_left_does_not_rise_where_the_first_faults_are_killed_early() -> None:
    fault = Fault(family="grants", parts=("grant",), object="notes", description="", sql="")
    plan = Plan(
        faults=[SuiteFault(fault=fault, target=NOTES, kind="privileges", rank=0, sentence="")] * 40,
        derived=40,
        suite_seconds=4,
        timeout=60,
        jobs=2,
    )
    # the first half is killed in 0.4 s each, the suite runs to its end for the other half
    elapsed = [0.4 * min(ended, 20) + 2 * max(0, ended - 20) for ended in range(41)]
    left = [plan.seconds_left(elapsed[ended], ended) for ended in range(0, 41, 4)]
    assert left == sorted(left, reverse=True)
    assert left[0] == 80
    assert left[-1] == 0
