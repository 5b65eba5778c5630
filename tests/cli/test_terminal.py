"""Narration: a spinner for long steps on a terminal, plain lines elsewhere."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supabase_jobs.cli import terminal

# `{seconds}`: the duration of the step; a spinner would appear after half a second
PROGRAM = """
import sys, time
from supabase_jobs.cli.common import narrate, output, progress
narrate("before")
with progress("applying a migration with a name that is far longer than any terminal is wide " * 3):
    time.sleep({seconds})
    narrate("a line in between")
    output("data in between")
    time.sleep(0.3)
with progress("a quick one"):
    pass
narrate("after")
"""


def on_terminal(tmp_path: Path, program: str, term: str = "xterm") -> tuple[int, str, str]:
    """Exit code, stdout (a file), and the output on a terminal that is stderr."""
    master, slave = pty.openpty()
    with (tmp_path / "out").open("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=slave,
            stdout=out,
            stderr=slave,
            env={**os.environ, "TERM": term},
        )
        os.close(slave)
        written = b""
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            written += chunk
        os.close(master)
        code = process.wait(30)
        out.seek(0)
        return code, out.read(), written.decode().replace("\r\n", "\n")


def screen(written: str) -> list[str]:
    """The final lines on the terminal; `ESC [2K` erases a line."""
    return [line.rpartition("\x1b[2K")[2] for line in written.split("\n")]


def test_a_long_step_shows_a_spinner_until_its_end(tmp_path: Path) -> None:
    code, out, written = on_terminal(tmp_path, PROGRAM.format(seconds=1.3))
    assert (code, out) == (0, "data in between\n")
    assert screen(written) == ["before", "a line in between", "after", ""]
    assert re.search(r"\x1b\[2K[-/|\\] 1 s  applying a migration", written)
    assert max(len(frame) for frame in re.findall(r"\x1b\[2K([^\r\n]*)", written)) < 80
    assert "a quick one" not in written


def test_a_step_of_parts_shows_which_of_them_runs(tmp_path: Path) -> None:
    program = (
        "import time\nfrom supabase_jobs.cli.common import advance, progress\n"
        "advance(1, 1)\n"  # no step: nothing to show
        "with progress('applying', quiet=True):\n    advance(2, 12)\n    time.sleep(1.5)\n"
    )
    _code, _out, written = on_terminal(tmp_path, program)
    assert re.search(r" \d s  2/12  applying", written)
    assert screen(written)[-1] == ""
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stderr
        == b""
    )


def test_an_error_erases_the_spinner(tmp_path: Path) -> None:
    program = (
        "import time\nfrom supabase_jobs.cli.common import narrate, progress\n"
        "try:\n    with progress('step'):\n        time.sleep(1.5)\n        raise ValueError\n"
        "except ValueError:\n    narrate('error: it failed')\n"
    )
    _code, _out, written = on_terminal(tmp_path, program)
    assert "step" in written
    assert screen(written) == ["error: it failed", ""]


def test_without_a_terminal_a_step_is_printed_once(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM.format(seconds=0.7)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "data in between\n"
    lines = done.stderr.splitlines()
    assert [line.strip()[:20] for line in lines] == [
        "before",
        "applying a migration",
        "a line in between",
        "a quick one",
        "after",
    ]
    assert "\x1b" not in done.stderr


def test_without_a_terminal_a_long_step_says_that_it_still_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "_REMINDER_SECONDS", 0.05)
    with terminal.progress("auditing"), terminal.progress("one table"):
        terminal.advance(2, 3)
        time.sleep(0.3)
    first, second, *more = capsys.readouterr().err.splitlines()
    assert (first, second) == ("auditing", "one table")
    assert {*more} == {"2/3  auditing: 0 s so far"}
    assert len(more) < 4


def test_a_dumb_terminal_gets_no_spinner(tmp_path: Path) -> None:
    _code, _out, written = on_terminal(tmp_path, PROGRAM.format(seconds=0.7), term="dumb")
    assert "\x1b" not in written
    assert "a quick one" in written


def test_a_long_line_has_the_width_of_the_terminal_and_whole_words(tmp_path: Path) -> None:
    note = f"note: 20250101_create-{'tables' * 12}.sql " + "locks until it commits, " * 5 + "end"
    hint = f"hint: Run supabase-jobs audit --format json {'--table public.notes ' * 5}"
    program = (
        "from supabase_jobs.cli.common import narrate\n"
        f"narrate({note!r})\nnarrate({hint!r}, is_pasted=True)\n"
    )
    _code, _out, written = on_terminal(tmp_path, program)
    *lines, pasted, _ = written.split("\n")
    assert [line for line in lines if len(line) > 80] == [f"  {note.split()[1]}"]
    assert " ".join(lines).split() == note.split()
    assert pasted == hint
