"""Without PostgREST, the tests that require it are skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = (
    "test_a_request_without_a_key_is_rejected",
    "test_a_key_other_than_anon_and_service_role_is_rejected",
)
TESTS = [f"tests/local/test_gateway.py::{name}" for name in NAMES]
PLUGIN = """
from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.api import postgrest

def find(*_):
    raise LocalServerError("PostgREST is not installed")

postgrest.find = find
"""


@pytest.mark.slow
def test_tests_are_skipped_without_postgrest(tmp_path: Path) -> None:
    (tmp_path / "without_postgrest.py").write_text(PLUGIN)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SUPABASE", "PYTEST"))
    }
    completed = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "0",
            "-p",
            "without_postgrest",
            "-p",
            "no:cacheprovider",
            *TESTS,
        ],
        cwd=Path(__file__).parents[2],
        env={**environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert " 2 skipped" in completed.stdout.splitlines()[-1], completed.stdout
