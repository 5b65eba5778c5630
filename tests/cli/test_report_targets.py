"""`--format` and `--output` in pairs: several reports of one run."""

import json
from pathlib import Path

import pytest

from supabase_jobs.cli.reports import Target, targets
from supabase_jobs.errors import ConfigError
from tests.fix_cli import Run


def test_without_options_the_report_is_text_on_stdout() -> None:
    assert targets((), (), as_json=False) == [Target("text")]
    assert targets((), (), as_json=True) == [Target("json")]
    assert targets(("json",), (), as_json=True) == [Target("json")]


def test_formats_and_files_are_paired_in_their_order(tmp_path: Path) -> None:
    files = (tmp_path / "a.sarif", tmp_path / "a.md")
    assert targets(("sarif", "markdown"), files, as_json=False) == [
        Target("sarif", files[0]),
        Target("markdown", files[1]),
    ]
    assert targets((), files[:1], as_json=False) == [Target("text", files[0])]


@pytest.mark.parametrize(
    ("forms", "names", "message"),
    [
        (("sarif", "html"), (), "2 formats, but 0 files"),
        (("sarif", "html"), ("a",), "2 formats, but 1 file"),
        (("sarif",), ("a", "b"), "1 format, but 2 files"),
        (("sarif", "html"), ("a", "a"), "two reports have the same --output"),
        (("html",), ("no/such/folder/a",), "cannot write"),
    ],
)
def test_other_numbers_and_files_are_refused(
    tmp_path: Path, forms: tuple[str, ...], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        targets(forms, tuple(tmp_path / name for name in names), as_json=False)
    assert refused.value.hint


def test_json_conflicts_with_another_format() -> None:
    with pytest.raises(ConfigError, match="--json conflicts with --format html"):
        targets(("json", "html"), (), as_json=True)


def test_one_run_of_verify_writes_a_report_in_each_format(
    applied_url: str, cli: Run, tmp_path: Path
) -> None:
    as_json = ("--format", "json", "--output", "verify.json")
    junit = ("--format", "junit", "--output", "verify.xml")
    words = ("verify", "--only", "structure", *as_json, *junit)
    ran = cli(*words, "--db-url", applied_url, cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    assert json.loads((tmp_path / "verify.json").read_text())["ok"] is True
    assert "<testsuites" in (tmp_path / "verify.xml").read_text()
