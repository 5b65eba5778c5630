"""`audit --performance` on the command line, in reports, and beside other options."""

import json
import shutil
from pathlib import Path

import pytest

from supabase_jobs.report import FORMATS
from tests.fix_cli import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("embedded")]
_FILE = Path("supabase", "migrations", "20260101000000_library.sql")
_DOCS = Path(__file__).parents[3] / "docs" / "audit-reference.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the planted project."""
    (tmp_path / _FILE).parent.mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("library.sql"), tmp_path / _FILE)
    return tmp_path


def test_it_adds_suggestions_and_fails_nothing(cli: Run, folder: Path) -> None:
    formats = ("--format", "text", "--format", "json", "--output", "a.txt", "--output", "a.json")
    without = cli("audit", "--json", cwd=folder)
    ran = cli("audit", "--performance", *formats, cwd=folder)
    assert (without.code, ran.code) == (0, 0), ran.err
    text, report = (folder / "a.txt").read_text(), json.loads((folder / "a.json").read_text())
    assert "; performance: 6 warnings, 6 info; rows for" in text
    [section] = _DOCS.read_text(encoding="utf-8").split("## Performance\n")[1:]
    assert section.split("```text\n")[1].split("```")[0] in text
    found = {finding["id"]: finding for finding in report["performance"]}
    own = found["performance:row-call:public.loans:loans: own"]
    assert (own["proven"], own["file"], own["line"]) == (True, _FILE.as_posix(), 38)
    assert report["findings"] == without.json["findings"]
    assert "performance" not in without.json


def test_strict_fails_on_a_warning(cli: Run, folder: Path) -> None:
    assert cli("audit", "--strict", cwd=folder).code == 0
    ran = cli("audit", "--strict", "--performance", cwd=folder)
    assert ran.code == 1
    assert "performance: 6 errors, 6 info" in ran.out


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"text"}))
def test_every_format_has_them(cli: Run, folder: Path, form: str) -> None:
    ran = cli("audit", "--performance", "--format", form, cwd=folder)
    assert ran.code == 0, ran.err
    assert "loans_by_title_again" in ran.out
    assert "again for each row of a statement" in ran.out


def test_a_comparison_of_migrations_has_none(cli: Run, folder: Path) -> None:
    ran = cli("audit", "--performance", "--migrations-from", ".", cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert "--performance conflicts with --migrations-from" in ran.err
