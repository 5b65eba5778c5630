"""Servers for these tests: every major version that is to be had, in directories that are gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from supabase_jobs.local import server
from supabase_jobs.local.binaries import EMBEDDED
from supabase_jobs.local.server import ServerInfo

MAJORS = [15, 16, 17, 18]


def unavailable(reason: str) -> NoReturn:
    """Skip a test that cannot run here; in CI, where everything has to be there, fail it."""
    if os.environ.get("SUPABASE_JOBS_CI") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def debian_bin(major: int) -> Path | None:
    """Debian's folder of a version that the wheel lacks; None for an embedded one."""
    if major in EMBEDDED:
        return None
    folder = Path(f"/usr/lib/postgresql/{major}/bin")
    if not (folder / "initdb").exists():
        unavailable(f"PostgreSQL {major} is not installed in {folder}")
    return folder


def as_root() -> None:
    """The rest of the test is about root."""
    if os.geteuid() != 0:
        unavailable("needs root")


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that every user may enter (pytest's own are closed)."""
    folder = Path(tempfile.mkdtemp(prefix="supabase-jobs-test-"))
    folder.chmod(0o755)
    yield folder
    _remove(folder)


@pytest.fixture
def closed(directory: Path) -> Iterator[Path]:
    """A directory that only we may enter."""
    folder = directory / "closed"
    folder.mkdir(mode=0o700)
    yield folder
    _remove(folder)


@pytest.fixture(scope="session", params=MAJORS)
def plain(request: pytest.FixtureRequest) -> Iterator[ServerInfo]:
    """A running server without the platform, one for each version."""
    major: int = request.param
    with server.throwaway(
        major=None if debian_bin(major) else major, postgres_bin=debian_bin(major), platform=False
    ) as info:
        yield info


def _remove(folder: Path) -> None:
    server.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)
