"""The installation of users: the built wheel with its own dependencies, in a virtualenv of its own and run
from elsewhere.
"""

import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import run
from tests.packaging.listing import tracked

pytestmark = pytest.mark.slow


def test_the_wheel_holds_the_package_and_the_sources_and_nothing_else(wheel: Path) -> None:
    package = {path for path in tracked() if path.startswith("supabase_jobs/")}
    sources = {f"supabase_jobs/{path}" for path in tracked() if path.startswith("sql/")}
    sources.add("supabase_jobs/cli/init_files/audit.yml")  # a file of docs/
    assert {
        "supabase_jobs/sql/manifest.toml",
        "supabase_jobs/local/platform.sql",
    } <= package | sources
    metadata = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    names = zipfile.ZipFile(wheel).namelist()
    assert set(names) == package | sources | {
        f"supabase_jobs-0.1.0.dist-info/{name}" for name in metadata
    }
    assert len(names) == len(set(names))


def rendered(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_installed_program_renders_the_committed_migrations(
    root: Path, installed: Path, tmp_path: Path
) -> None:
    run(installed / "supabase-jobs", "render", "--out", "rendered", cwd=tmp_path)
    assert rendered(tmp_path / "rendered") == rendered(root / "supabase" / "migrations")


@pytest.mark.parametrize(
    "words", [("uvx", "--from"), ("pipx", "run", "--spec")], ids=["uvx", "pipx run"]
)
def test_the_wheel_runs_without_an_installation(
    root: Path, wheel: Path, pins: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The versions are pinned by the lock of the development environment, which has both programs."""
    program, *options = words
    environ = {
        "PIP_CONSTRAINT": str(pins),
        "UV_CONSTRAINT": str(pins),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    python = ("--python", sys.executable)
    launcher = Path(sys.executable).with_name(program)
    run(
        launcher,
        *options[:-1],
        *python,
        *options[-1:],
        wheel,
        "supabase-jobs",
        "render",
        "--out",
        "rendered",
        cwd=tmp_path,
        **environ,
    )
    assert rendered(tmp_path / "rendered") == rendered(root / "supabase" / "migrations")


def test_the_installed_program_verifies_a_database_and_checks_results(
    installed: Path, applied_url: str, tmp_path: Path
) -> None:
    assert "ok: " in run(
        installed / "supabase-jobs", "verify", cwd=tmp_path, SUPABASE_DB_URL=applied_url
    )
    checked = run(
        installed / "supabase-jobs", "check-results", cwd=tmp_path, SUPABASE_DB_URL=applied_url
    )
    assert checked == "0 newest completed jobs sampled; ok: none of them deviates\n"


IMPORTS = """
import importlib, pkgutil, sys
import supabase_jobs

print(supabase_jobs.__file__)
for module in pkgutil.walk_packages(supabase_jobs.__path__, "supabase_jobs."):
    # the latter two need extras
    if module.name not in ("supabase_jobs.__main__", "supabase_jobs.testing.rls_api", "supabase_jobs.cli.mcp_tools"):
        importlib.import_module(module.name)
"""


def test_every_module_of_the_wheel_can_be_imported(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-W", "error", "-c", IMPORTS, cwd=tmp_path)
    assert Path(where).is_relative_to(installed.parent)


RLS_TEST = """
def test_guests_see_nothing_of_users(rls):
    user = rls.new_user()
    rls.owner.execute("insert into async_jobs (url, user_id) values ('https://x.com/1', %s)", [user])
    rls.as_guest("3f8a1f0e-6f0d-4c0e-9a51-1d4c0f1f2a3b").assert_hidden("select * from async_jobs")
"""


def test_the_installed_pytest_plugin_works(
    installed: Path, applied_url: str, tmp_path: Path
) -> None:
    (tmp_path / "test_rls.py").write_text(RLS_TEST)
    ran = run(
        installed / "pytest",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        tmp_path,
        "--supabase-db-url",
        applied_url,
        cwd=tmp_path,
    )
    assert "supabase-jobs-0.1.0" in ran
    assert "1 passed" in ran


def test_pytest_in_a_program_that_has_loaded_the_package_does_not_warn(
    installed: Path, tmp_path: Path
) -> None:
    """pytest rewrites the modules of installed packages whose files are listed, so the wheel must
    be installed.
    """
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    code = (
        "import sys, supabase_jobs.testing, pytest;"
        " sys.exit(pytest.main(['-W', 'error', '-p', 'no:cacheprovider', '--rootdir', '.']))"
    )
    assert "1 passed" in run(installed / "python", "-W", "error", "-c", code, cwd=tmp_path)
