"""What `mutate --run` passes on: the functions that it calls, and the files of `--tests`."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from supabase_jobs.cli import mutate
from supabase_jobs.errors import ConfigError
from supabase_jobs.mutation.suite import run
from supabase_jobs.mutation.suite.render import add_to
from supabase_jobs.mutation.suite.run import SuiteOptions
from tests.fix_cli import Run


def test_tests_are_added_to_those_of_an_earlier_run(tmp_path: Path) -> None:
    first = {"pytest": "def test_a(rls):\n    # one\n    pass\n", "pgtap": "-- one\nbegin;\n"}
    again = {"pytest": first["pytest"].replace("one", "two"), "pgtap": first["pgtap"].replace("one", "two")}
    other = {"pytest": "def test_a(rls):\n    assert rls\n", "pgtap": "rollback;\n"}
    for name, text in add_to(tmp_path, [first]).items():
        (tmp_path / name).write_text(text)
    added = add_to(tmp_path, [again, other])
    assert added.keys() == {"test_missing_access.py", "missing_access_002.sql"}
    functions = re.findall(r"^def (\w+)", added["test_missing_access.py"], re.MULTILINE)
    assert functions == ["test_a", "test_a_2"]
    assert add_to(tmp_path, [again]) == {}


@pytest.mark.parametrize("is_embedded", [True, False])
def test_functions_are_called_on_an_embedded_server(
    cli: Run, monkeypatch: pytest.MonkeyPatch, is_embedded: bool
) -> None:
    def stop(_connection: None, options: SuiteOptions) -> None:
        raise ConfigError(f"calls: {options.audit.volatile}")

    monkeypatch.setattr(mutate, "project_database", lambda _: nullcontext((None, is_embedded)))
    monkeypatch.setattr(run, "SuiteRun", stop)
    assert f"calls: {is_embedded}" in cli("mutate", "--run", "true").err


def test_a_file_of_the_user_is_not_replaced(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "test_missing_access.py").write_text("mine")
    url = "postgresql://postgres@localhost:1/x"
    ran = cli("mutate", "--db-url", url, "--run", "touch started; false", "--tests", ".")
    assert (ran.code, "supabase-jobs did not write it" in ran.err) == (2, True)
    assert not (tmp_path / "started").exists()
