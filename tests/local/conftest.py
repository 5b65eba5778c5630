"""Servers of every installed major version, in directories that are removed afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supabase_jobs.local import server
from supabase_jobs.local.server import ServerInfo
from tests.fix_cli import Run
from tests.fix_initdb import without_copies
from tests.programs import MAJORS, postgres_bin, unavailable


def require_root() -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        unavailable("needs root")


@pytest.fixture(autouse=True)
def _own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers start as for users."""
    without_copies(monkeypatch)


@pytest.fixture
def cli(cli_process: Run) -> Run:
    """Commands in processes of their own, which their servers outlive."""
    return cli_process


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that every user can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="supabase-jobs-test-"))
    folder.chmod(0o755)
    yield folder
    _remove(folder)


@pytest.fixture
def closed(directory: Path) -> Iterator[Path]:
    """A directory that only we can enter."""
    folder = directory / "closed"
    folder.mkdir(mode=0o700)
    yield folder
    _remove(folder)


@pytest.fixture(scope="session", params=MAJORS)
def plain(request: pytest.FixtureRequest) -> Iterator[ServerInfo]:
    """A running server without the platform, for each version."""
    major: int = request.param
    with server.throwaway(
        major=None if postgres_bin(major) else major,
        postgres_bin=postgres_bin(major),
        platform=False,
    ) as info:
        yield info


def _remove(folder: Path) -> None:
    server.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)
