"""docs/audit.md, followed from top to bottom: its files, commands and outputs."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline, configuration
from supabase_jobs.report.audit.matrix import MEANINGS
from tests.fix_cli import Run

GUIDE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"(?:<!-- (file|shown): (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of the guide. `kind` is `file` for a file to write, and `shown` for one that a command has written."""

    kind: str
    path: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    return (Block(kind or "", path or "", *rest) for kind, path, *rest in _BLOCK.findall(GUIDE))


def plain(output: str) -> str:
    """An output without the time and the number of cells, which depend on the machine and the version."""
    return re.sub(r"\d+ cells, [\d.]+ s$", "N cells, N s", output.strip(), flags=re.MULTILINE)


@pytest.mark.slow
def test_the_guide_shows_what_the_commands_print(cli: Run, tmp_path: Path) -> None:
    printed, compared = "", 0
    for block in blocks():
        path = tmp_path / block.path
        if block.kind == "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "shown":
            assert block.text == path.read_text()
            compared += 1
        elif block.language == "sh":
            [line] = block.text.splitlines()
            if "--format" not in line:  # that run would print nothing to compare
                ran = cli(*shlex.split(line)[1:], cwd=tmp_path)
                assert ran.code in (0, 1), ran.err
                printed = ran.out
        elif block.language == "text":
            assert plain(block.text) == plain(printed)
            compared += 1
    assert compared == 3


def test_the_guide_has_valid_configuration(tmp_path: Path) -> None:
    texts = [block.text for block in blocks() if block.language == "toml"]
    [declared] = [text for text in texts if "[callers." in text]
    file = tmp_path / "audit.toml"
    file.write_text(declared)
    read = configuration.load(file)
    assert read.callers
    assert read.rows
    assert read.excluded
    for text in texts:
        if text is not declared:
            file.write_text(text)
            assert baseline.load(file) != baseline.Baseline()


def test_the_guide_explains_every_word_of_the_matrix() -> None:
    assert re.findall(r"^\| `(\w+)` \| ", GUIDE, flags=re.MULTILINE)[: len(MEANINGS)] == list(MEANINGS)
