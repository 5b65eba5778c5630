"""docs/testing-rls.md: every example runs, and the printed output is real."""

import re
import sys
from pathlib import Path

import pytest

from tests import programs
from tests.testing.conftest import LOOPS

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing-rls.md"
README = DOCUMENT.parents[1] / "README.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"<!-- ([a-z-]+)(?:: (\S+))? -->\n```\w+\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(autouse=True)
def _without_environment(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_DB_URL", "SUPABASE_URL", "PYTEST_ADDOPTS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.run(
        sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *LOOPS, *arguments
    )


def write(pytester: pytest.Pytester, name: str, text: str) -> None:
    path = pytester.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_every_example_has_a_marker() -> None:
    python = [kind for kind, name, _ in BLOCKS if kind != "output" and "sql" not in name]
    assert TEXT.count("```python") == len(python)
    assert TEXT.count("```text") == len([kind for kind, _, _ in BLOCKS if kind == "output"])


def test_quick_start_fails_then_passes(pytester: pytest.Pytester) -> None:
    """pytest runs on the files before each output block, and prints its lines in this order, except
    for ids.
    """
    runs = []
    for kind, name, text in BLOCKS:
        if kind == "file":
            write(pytester, name, text)
        elif kind == "output":
            result = run(pytester)
            printed = [UUID.sub("ID", line) for line in result.outlines]
            for line in (UUID.sub("ID", line) for line in text.splitlines()):
                matches = [number for number, actual in enumerate(printed) if line in actual]
                assert matches, f"not printed: {line}"
                printed = printed[matches[0] + 1 :]
            runs.append(result.parseoutcomes())
    assert runs == [{"failed": 1}, {"passed": 1}]


def test_the_first_test_file_has_ten_lines() -> None:
    (first,) = (text for kind, name, text in BLOCKS if name == "test_notes.py")
    assert len(first.splitlines()) == 10


def test_all_other_examples_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_JOBS_POSTGREST_BIN", str(programs.postgrest()))
    for number, (kind, name, text) in enumerate(BLOCKS):
        if kind == "file":
            write(pytester, name, text)
        elif kind == "runs":
            write(pytester, f"test_example_{number}.py", text)
    (readme_example,) = re.findall(
        r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    write(pytester, "test_readme.py", readme_example)
    result = run(pytester)
    expected = (
        "\n".join(text for kind, _, text in BLOCKS if kind in ("file", "runs")).count("def test_")
        + 7
    )  # README, 7 cases
    result.assert_outcomes(passed=expected)


def test_pytest_postgresql_example_passes(
    pytester: pytest.Pytester, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server_16")
    request.getfixturevalue("platform_16")  # creates the roles of the server
    (text,) = (text for kind, _, text in BLOCKS if kind == "pytest-postgresql")
    login = f'port={server.port}, user="{server.user}", password="{server.password}"'
    write(
        pytester,
        "test_pytest_postgresql.py",
        text.replace('port=54322, user="postgres", password="postgres"', login),
    )
    assert server.password in (pytester.path / "test_pytest_postgresql.py").read_text()
    run(pytester).assert_outcomes(passed=1)


def test_every_method_is_documented() -> None:
    from supabase_jobs.testing import Caller, Rls, RlsApi

    for cls in (Caller, Rls, RlsApi):
        for name in vars(cls):
            if not name.startswith("_") and name not in ("connection", "identity", "close", "url"):
                assert re.search(rf"\b{name}\b", TEXT), name


def test_every_option_is_documented(pytester: pytest.Pytester) -> None:
    listed = re.findall(
        r"--supabase-[a-z-]+|supabase_[a-z_]+(?= \()", str(run(pytester, "--help").stdout)
    )
    assert len(listed) >= 5
    assert all(name in TEXT for name in listed)
