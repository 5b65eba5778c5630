"""The run of a suite: failed tests in its output, and the guard that kills what an interrupted run
leaves.
"""

import os
import signal
import subprocess
import sys

import pytest

from supabase_jobs.mutation.suite.command import SuiteOutcome
from supabase_jobs.mutation.suite.guard import watch


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("FAILED a/test_x.py::test_y - AssertionError: no\n1 failed", ("a/test_x.py::test_y",)),
        ("not ok 2 - anon reads nothing\n# Failed test 2", ("anon reads nothing",)),
        ('# Failed test 1: "owners write"\n', ("owners write",)),
        ("  ✕ hides notes (12 ms)\n", ("hides notes",)),
        ("Segmentation fault", ("exit code 1",)),
    ],
)
def test_failed_tests_are_named(output: str, names: tuple[str, ...]) -> None:
    assert SuiteOutcome(1, 0.1, output).failed_tests == names


def test_a_timeout_is_named() -> None:
    assert SuiteOutcome(None, 10, "FAILED x").failed_tests == ("timeout",)


def test_the_name_of_a_fault_reaches_the_suite_in_any_locale() -> None:
    code = (
        "from supabase_jobs.mutation.suite.command import Suite; from"
        " supabase_jobs.mutation.suite.copies import Copy;"
        "copy = Copy('x', 'url', {'PGUSER': '\\xe9'}); suite = Suite('printenv"
        " SUPABASE_JOBS_MUTANT PGUSER | od -tx1');"
        "print(suite.run(copy, '\\u043b', 5).output); suite.close()"
    )
    environ = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert "d0 bb 0a c3 a9 0a" in done.stdout, done.stderr


def test_the_guard_kills_the_groups_that_are_left() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    left, ended = (subprocess.Popen(sleep, start_new_session=True) for _ in range(2))
    try:
        watch([f"+{left.pid}", f"+{ended.pid}", f"-{ended.pid}"])
        assert left.wait(10) == -signal.SIGKILL
        assert ended.poll() is None
    finally:
        ended.kill()
        ended.wait()
