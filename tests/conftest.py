"""The pytest plugins of the tests, and the selection of slow tests; most fixtures are in the
`fix_*` modules.
"""

import gc
import os
import signal
from pathlib import Path

import pytest

from supabase_jobs.cli import COLLECT_AFTER

pytest_plugins = [
    "pytester",
    "tests.fix_memory",
    "tests.fix_initdb",
    "tests.fix_db",
    "tests.fix_cli",
    "tests.fix_api",
    "tests.api.case_runner",
    "tests.fix_pooler",
    "tests.fix_browser",
    "tests.fix_cron",
    "tests.fix_in_use",
]

ROOT = Path(__file__).parent.parent

gc.set_threshold(COLLECT_AFTER)  # as a command does

# a shell starts a job in the background with SIGINT ignored, and the programs of the tests would
# inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("COLUMNS", None)  # reports would have its width


def pytest_report_header() -> list[str]:
    """The servers of this run, and whether a missing program skips a test or fails it."""
    from tests.programs import MAJORS, find

    found = [str(major) for major in MAJORS if find(major) is not None]
    strict = (
        "a missing program fails"
        if os.environ.get("SUPABASE_JOBS_CI")
        else "a missing program skips"
    )
    return [
        f"PostgreSQL: {', '.join(found) or 'none'}; {strict}; as"
        f" {'root' if os.geteuid() == 0 else 'an ordinary user'}"
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests to `scripts/test --all`, unless one is named by its id."""
    from tests.programs import EVERYTHING

    if EVERYTHING or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


def pytest_collection_finish() -> None:
    """Look for cycles only in what the tests make: what was collected stays until the end."""
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
