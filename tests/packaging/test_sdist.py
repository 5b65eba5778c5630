"""The source distribution: it holds what its tests need, and its tests run from it."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import build
from tests.packaging.listing import tracked

pytestmark = pytest.mark.slow

# for those who work in the repository
LEFT_OUT = {".ci/run", ".editorconfig", ".pre-commit-config.yaml"}


@pytest.fixture(scope="module")
def unpacked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(root, folder, "sdist")) as archive:
        archive.extractall(folder, filter="data")
    [made] = [path for path in folder.iterdir() if path.is_dir()]
    return made


def test_the_sdist_holds_the_repository_and_nothing_else(unpacked: Path) -> None:
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert held == (tracked() - LEFT_OUT) | {"PKG-INFO"}


def test_a_wheel_built_from_the_sdist_holds_the_same_files(
    unpacked: Path, wheel: Path, tmp_path: Path
) -> None:
    through_sdist = build(unpacked, tmp_path)
    assert sorted(zipfile.ZipFile(through_sdist).namelist()) == sorted(
        zipfile.ZipFile(wheel).namelist()
    )


def test_tests_of_the_sdist_pass(unpacked: Path) -> None:
    """A few that need no server; the sdist has the files of all others too."""
    (unpacked / "tests" / "test_here.py").write_text(
        "import supabase_jobs\n\n\ndef test_the_package_is_that_of_the_sdist(root):\n"
        "    assert supabase_jobs.__file__ == str(root / 'supabase_jobs' / '__init__.py')\n"
    )
    some = (
        "tests/test_here.py",
        "tests/test_schemas.py",
        "tests/test_docs.py::test_every_internal_link_leads_somewhere",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked), "SUPABASE_JOBS_CI": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
