"""In a GitHub workflow errors and findings are also annotations, on stderr; on a terminal long steps have a spinner."""

import json
import os
import pty
import re
import subprocess
import sys
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
def test_elsewhere_nothing_is_annotated(cli: Run, platform_url: str, tmp_path: Path, value: str | None) -> None:
    broken(tmp_path)
    ran = cli("apply", "--db-url", platform_url, **({} if value is None else {"GITHUB_ACTIONS": value}))
    assert ran.code == 6
    assert annotations(ran) == []


def test_a_file_outside_the_checkout_keeps_its_path(cli: Run, platform_url: str, tmp_path: Path) -> None:
    file = broken(tmp_path / "project")
    (tmp_path / "checkout").mkdir()
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "checkout")}
    ran = cli("apply", "--db-url", platform_url, cwd=tmp_path / "project", **environ)
    assert annotations(ran)[0].startswith(f"::error file={file},line=3,")


def test_errors_without_a_file(cli: Run) -> None:
    ran = cli("apply", GITHUB_ACTIONS="true")
    (line,) = annotations(ran)
    assert line.startswith("::error title=supabase-jobs%3A config::no target database%0Ahint: ")
    assert ran.code == 2


@pytest.mark.parametrize("words", [("bogus",), ("apply", "--bogus"), ("apply", "--bogus", "--json")], ids=" ".join)
def test_wrong_usage(cli: Run, words: tuple[str, ...]) -> None:
    ran = cli(*words, GITHUB_ACTIONS="true")
    (line,) = annotations(ran)
    assert line.startswith("::error title=supabase-jobs%3A usage::No such ")


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_findings_of_verify(cli: Run, applied_url: str, form: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute("alter table public.async_jobs disable row level security")
    ran = cli("verify", "--format", form, "--db-url", applied_url, GITHUB_ACTIONS="true")
    assert ran.code == 1
    found = annotations(ran)
    assert found
    assert all(line.startswith("::error title=supabase-jobs verify%3A ") for line in found)  # no file is here
    assert any("public.async_jobs" in line for line in found)
    if form == "json":
        assert len(json.loads(ran.out)["findings"]) == len(found)


def test_findings_stand_where_the_checkout_creates_their_object(cli: Run, applied_url: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    project = tmp_path / "backend"
    project.mkdir()
    assert cli("render", cwd=project).code == 0
    with psycopg.connect(applied_url) as connection:
        connection.execute("alter table public.async_jobs disable row level security")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}
    ran = cli("verify", "--only", "structure", "--db-url", applied_url, cwd=project, **environ)
    assert ran.code == 1
    (file, number), *_ = re.findall(r"^::error file=(backend/supabase/[^,]+),line=(\d+),", ran.err, flags=re.MULTILINE)
    line = (tmp_path / file).read_text().splitlines()[int(number) - 1]
    assert "create table public.async_jobs" in line


PROGRAM = """
import sys, time
from supabase_jobs.cli.common import narrate, output, progress
narrate("before")
with progress("applying a migration with a name that is far longer than any terminal is wide " * 3):
    time.sleep(1.3)
    narrate("a line in between")
    output("data in between")
    time.sleep(0.3)
with progress("a quick one"):
    pass
narrate("after")
"""


def on_terminal(tmp_path: Path, program: str, term: str = "xterm") -> tuple[int, str, str]:
    """Exit code, stdout (a file) and what was written to a terminal as stderr."""
    master, slave = pty.openpty()
    with (tmp_path / "out").open("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=slave, stdout=out, stderr=slave, env={**os.environ, "TERM": term}
        )
        os.close(slave)
        written = b""
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # Linux: nobody has the other end any more
                break
            if not chunk:
                break
            written += chunk
        os.close(master)
        code = process.wait(30)
        out.seek(0)
        return code, out.read(), written.decode().replace("\r\n", "\n")


def screen(written: str) -> list[str]:
    """The lines as they stand on the terminal in the end: `ESC [2K` empties a line."""
    return [line.rpartition("\x1b[2K")[2] for line in written.split("\n")]


def test_a_long_step_has_a_line_that_goes_away(tmp_path: Path) -> None:
    code, out, written = on_terminal(tmp_path, PROGRAM)
    assert (code, out) == (0, "data in between\n")
    assert screen(written) == ["before", "a line in between", "after", ""]
    assert re.search(r"\x1b\[2K[-/|\\] 1 s  applying a migration", written)
    assert max(len(frame) for frame in re.findall(r"\x1b\[2K([^\r\n]*)", written)) < 80
    assert "a quick one" not in written


def test_an_error_ends_the_line(tmp_path: Path) -> None:
    program = (
        "import time\nfrom supabase_jobs.cli.common import narrate, progress\n"
        "try:\n    with progress('step'):\n        time.sleep(0.8)\n        raise ValueError\n"
        "except ValueError:\n    narrate('error: it failed')\n"
    )
    _code, _out, written = on_terminal(tmp_path, program)
    assert "step" in written
    assert screen(written) == ["error: it failed", ""]


def test_without_a_terminal_the_step_is_told_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "data in between\n"
    lines = done.stderr.splitlines()
    assert [line.strip()[:20] for line in lines] == [
        "before", "applying a migration", "a line in between", "a quick one", "after",
    ]  # fmt: skip
    assert "\x1b" not in done.stderr


def test_a_dumb_terminal_gets_no_spinner(tmp_path: Path) -> None:
    _code, _out, written = on_terminal(tmp_path, PROGRAM, term="dumb")
    assert "\x1b" not in written
    assert "a quick one" in written
