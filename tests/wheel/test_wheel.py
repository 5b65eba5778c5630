"""What users install: the built wheel, alone in a virtualenv of its own and run from somewhere else."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

DATA = {".sql", ".toml", ".json"}


def _run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _build(root: Path, out: Path, *what: str) -> Path:
    """Build from the checkout, with the hatchling that is installed; nothing is downloaded."""
    _run(sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", out, root, cwd=out)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def checkout() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(checkout, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtualenv with the wheel; its dependencies come from the environment of the tests."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    _run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=place)
    packages = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip()
    lines = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(packages, "dependencies.pth").write_text("\n".join(sorted(lines)) + "\n")
    return python.parent


def _data_files(checkout: Path) -> set[str]:
    """SQL, TOML and JSON of the checkout, as they have to be called in a wheel."""
    package = {path.relative_to(checkout) for path in (checkout / "supabase_jobs").rglob("*") if path.suffix in DATA}
    sources = {Path("supabase_jobs", path.relative_to(checkout)) for path in (checkout / "sql").rglob("*.*")}
    return {path.as_posix() for path in package | sources}


def test_the_wheel_holds_every_data_file(checkout: Path, wheel: Path) -> None:
    expected = _data_files(checkout)
    assert {"supabase_jobs/sql/manifest.toml", "supabase_jobs/local/platform.sql"} <= expected
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_built_from_the_sdist_holds_the_same_files(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    through_sdist = _build(checkout, tmp_path)
    assert sorted(zipfile.ZipFile(through_sdist).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_the_installed_program_is_the_wheel_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = _run(installed / "python", "-c", "import supabase_jobs; print(supabase_jobs.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(installed.parent)


def test_the_installed_program_renders_the_committed_migrations(
    checkout: Path, installed: Path, tmp_path: Path
) -> None:
    _run(installed / "supabase-jobs", "render", "--out", "rendered", cwd=tmp_path)
    rendered = {path.name: path.read_bytes() for path in (tmp_path / "rendered").iterdir()}
    committed = {path.name: path.read_bytes() for path in (checkout / "supabase" / "migrations").iterdir()}
    assert rendered == committed


def test_the_installed_program_verifies_a_database(installed: Path, applied_url: str, tmp_path: Path) -> None:
    _run(installed / "supabase-jobs", "verify", "--db-url", applied_url, cwd=tmp_path)


RLS_TEST = """
def test_guests_see_nothing_of_users(rls):
    user = rls.new_user()
    rls.owner.execute("insert into async_jobs (url, user_id) values ('https://x.com/1', %s)", [user])
    rls.as_guest("3f8a1f0e-6f0d-4c0e-9a51-1d4c0f1f2a3b").assert_hidden("select * from async_jobs")
"""


def test_the_installed_pytest_plugin_works(installed: Path, applied_url: str, tmp_path: Path) -> None:
    (tmp_path / "test_rls.py").write_text(RLS_TEST)
    # pytest's own plugins of the environment of the tests are there too, and pytest-asyncio warns of its settings
    pytest_words = ("-m", "pytest", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "--rootdir", tmp_path)
    ran = _run(installed / "python", *pytest_words, "--supabase-db-url", applied_url, cwd=tmp_path)
    assert "supabase-jobs-0.1.0" in ran
    assert "1 passed" in ran


def test_pytest_in_a_program_that_has_loaded_the_package_does_not_warn(installed: Path, tmp_path: Path) -> None:
    """pytest rewrites the modules of installed packages whose files are listed, so the wheel must be installed."""
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    code = (
        "import sys, supabase_jobs.testing, pytest;"
        " sys.exit(pytest.main(['-W', 'error', '-p', 'no:asyncio', '-p', 'no:cacheprovider', '--rootdir', '.']))"
    )
    assert "1 passed" in _run(installed / "python", "-W", "error", "-c", code, cwd=tmp_path)
