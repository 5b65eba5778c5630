"""In a GitHub workflow, errors and findings are annotated on stderr."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Ran, Run


def annotations(ran: Ran) -> list[str]:
    assert not re.search(r"^::", ran.out, flags=re.MULTILINE)
    return re.findall(r"^::.*$", ran.err, flags=re.MULTILINE)


def broken(folder: Path) -> Path:
    """A project whose one migration fails in its third line."""
    file = folder / "supabase" / "migrations" / "20260101000000_broken.sql"
    file.parent.mkdir(parents=True)
    file.write_text("select 1;\n\nselect no_such_column;\n")
    return file


@pytest.mark.parametrize("words", [("apply",), ("apply", "--json")], ids=" ".join)
def test_a_failed_migration_is_annotated_at_its_line(
    cli: Run, platform_url: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    project = tmp_path / "repository" / "backend"
    broken(project)
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "repository")}
    ran = cli(*words, "--db-url", platform_url, cwd=project, **environ)
    assert ran.code == 6
    (line,) = annotations(ran)
    assert line.startswith(
        "::error file=backend/supabase/migrations/20260101000000_broken.sql,line=3,"
        "title=supabase-jobs%3A migration_failed::20260101000000_broken.sql failed"
    )
    assert "no_such_column" in line
    if "--json" in words:
        assert json.loads(ran.out)["error"]["line"] == 3


@pytest.mark.parametrize("value", [None, "", "false"])
def test_nothing_is_annotated_outside_of_github(
    cli: Run, platform_url: str, tmp_path: Path, value: str | None
) -> None:
    broken(tmp_path)
    ran = cli(
        "apply", "--db-url", platform_url, **({} if value is None else {"GITHUB_ACTIONS": value})
    )
    assert ran.code == 6
    assert annotations(ran) == []


def test_a_file_outside_the_checkout_keeps_its_path(
    cli: Run, platform_url: str, tmp_path: Path
) -> None:
    file = broken(tmp_path / "project")
    (tmp_path / "checkout").mkdir()
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "checkout")}
    ran = cli("apply", "--db-url", platform_url, cwd=tmp_path / "project", **environ)
    assert annotations(ran)[0].startswith(f"::error file={file},line=3,")


def test_an_error_without_a_file_is_annotated(cli: Run) -> None:
    ran = cli("apply", GITHUB_ACTIONS="true")
    (line,) = annotations(ran)
    assert line.startswith("::error title=supabase-jobs%3A config::no target database%0Ahint: ")
    assert ran.code == 2


@pytest.mark.parametrize(
    "words", [("bogus",), ("apply", "--bogus"), ("apply", "--bogus", "--json")], ids=" ".join
)
def test_wrong_usage_is_annotated(cli: Run, words: tuple[str, ...]) -> None:
    ran = cli(*words, GITHUB_ACTIONS="true")
    (line,) = annotations(ran)
    assert line.startswith("::error title=supabase-jobs%3A usage::no such ")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_findings_of_verify_are_annotated(cli: Run, applied_url: str, form: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute("alter table public.async_jobs disable row level security")
    ran = cli("verify", "--format", form, "--db-url", applied_url, GITHUB_ACTIONS="true")
    assert ran.code == 1
    found = annotations(ran)
    assert found
    assert all(
        line.startswith("::error title=supabase-jobs verify%3A ") for line in found
    )  # no file is here
    assert any("public.async_jobs" in line for line in found)
    if form == "json":
        assert sum(not finding["cause"] for finding in json.loads(ran.out)["findings"]) == len(
            found
        )


def test_findings_are_annotated_where_the_checkout_creates_their_object(
    cli: Run, applied_url: str, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    project = tmp_path / "backend"
    project.mkdir()
    assert cli("render", cwd=project).code == 0
    with psycopg.connect(applied_url) as connection:
        connection.execute("alter table public.async_jobs disable row level security")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    ran = cli("verify", "--only", "structure", "--db-url", applied_url, cwd=project, **environ)
    assert ran.code == 1
    (file, number), *_ = re.findall(
        r"^::error file=(backend/supabase/[^,]+),line=(\d+),", ran.err, flags=re.MULTILINE
    )
    line = (tmp_path / file).read_text().splitlines()[int(number) - 1]
    assert "create table public.async_jobs" in line
