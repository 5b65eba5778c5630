"""docs/audit.md, followed from top to bottom: its files, commands and outputs."""

import os
import re
import shlex
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline, configuration
from supabase_jobs.report.producers.audit import MEANINGS
from tests.audit.catalogue import names, project
from tests.audit.test_migrations_from import git
from tests.fix_cli import Run

GUIDE = Path(__file__).parents[2] / "docs" / "audit.md"
TEXT = GUIDE.read_text(encoding="utf-8")
REFERENCE = GUIDE.with_name("audit-reference.md").read_text(encoding="utf-8")
ACCURACY = GUIDE.with_name("accuracy.md").read_text(encoding="utf-8")
# they write files that the guide does not show, or need a database or an API
NOT_SHOWN = ("--format", "plan --access", "--api-url")
RECORD = bool(os.environ.get("SUPABASE_JOBS_RECORD"))
_BLOCK = re.compile(r"(?:<!-- (file|shown): (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)


def plain(text: str) -> str:
    """A text without the time and the number of cells, which depend on the machine and the version."""
    return re.sub(r"(\d+ cells)?, [\d.]+ s$", "N cells, N s", text, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_the_guide_shows_what_the_commands_print(cli: Run, tmp_path: Path) -> None:
    """Also `scripts/record` runs it: it writes the outputs."""
    printed, shown = "", 0
    git(tmp_path, "init")

    def follow(found: re.Match[str]) -> str:
        nonlocal printed, shown
        kind, name, language, text = found.groups()
        if kind == "file":
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif language == "sh" and text.startswith("git "):
            for command in text.split("&&"):
                git(tmp_path, *shlex.split(command)[1:])
        elif language == "sh" and not any(words in text for words in NOT_SHOWN):
            [line] = text.splitlines()
            ran = cli(*shlex.split(line)[1:], cwd=tmp_path)
            assert ran.code in (0, 1), ran.err
            printed = ran.out
        elif "pg_temp." in text:  # a part of a generated file
            [suite] = tmp_path.rglob("access_notes.sql")
            assert text in suite.read_text()
        elif kind == "shown" or language == "text":
            shown += 1
            text = (tmp_path / name).read_text() if kind else printed
        return f"{found[0].partition('```')[0]}```{language}\n{text}```\n"

    followed = _BLOCK.sub(follow, TEXT)
    assert shown == 4
    if RECORD and plain(followed) != plain(TEXT):
        GUIDE.write_text(followed, encoding="utf-8")
    else:
        assert plain(followed) == plain(TEXT), "run scripts/record"


def test_the_counts_are_those_of_the_example_projects() -> None:
    projects = [project(name) for name in names()]
    faults, harmless = (
        sum(map(len, found))
        for found in zip(*((p.faults, p.harmless) for p in projects), strict=True)
    )
    text = " ".join(ACCURACY.split())
    assert f"The {len(projects)} example projects" in text
    assert f"have {faults} catalogued faults" in text
    assert f"and {harmless} harmless changes" in text


def test_the_guide_and_the_reference_have_valid_configuration(tmp_path: Path) -> None:
    texts = [
        text for _, _, language, text in _BLOCK.findall(TEXT + REFERENCE) if language == "toml"
    ]
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
    assert re.findall(r"^\| `(\w+)` \| ", TEXT, flags=re.MULTILINE)[: len(MEANINGS)] == list(
        MEANINGS
    )
