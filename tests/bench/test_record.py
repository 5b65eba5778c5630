"""Recorded figures: the documents equal their JSON files; no figure is compared with this machine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import chart, record, report

ROOT = Path(__file__).parents[2]
RECORDED = [
    name
    for name in (*record.SIZES.values(), record.PARTITIONED, record.PRODUCTION)
    if (ROOT / "docs" / f"{name}.json").exists()
]
each_recorded = pytest.mark.parametrize("name", RECORDED)


def load_document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (ROOT / "docs" / f"{name}.json").read_text(encoding="utf-8")
    )
    return document


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the documents."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def test_runs_with_a_million_jobs_and_with_ten_million_in_partitions_are_recorded() -> None:
    assert {"performance", "performance-partitions"} <= set(RECORDED)
    [subject] = load_document("performance-partitions")["subjects"]
    assert len(subject["figures"]) == 36


@each_recorded
def test_recording_the_same_figures_changes_nothing(copied: Path, name: str) -> None:
    record.record(load_document(name), copied)
    files = ["docs/reference.md", "docs/performance.md", f"docs/{name}.json"]
    if name != record.PRODUCTION:  # it has no chart
        files.append(f"docs/{name}.svg")
    for path in files:
        assert (copied / path).read_text(encoding="utf-8") == (ROOT / path).read_text(
            encoding="utf-8"
        ), path


def test_recording_replaces_figures(copied: Path) -> None:
    document = load_document("performance")
    [figure] = [
        f for s in document["subjects"] for f in s["figures"] if f["name"] == "verify: time"
    ]
    figure["value"], figure["ok"] = 123.4, False
    record.record(document, copied)
    row = "| verify: time | 123 s | at most 1 s **missed** |"
    assert row in record.between(
        (copied / "docs" / "reference.md").read_text(encoding="utf-8"), "headlines"
    )
    assert row in (copied / "docs" / "performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("load", "noted"), [(0.9, False), (9.6, True)])
def test_a_busy_machine_is_noted(copied: Path, load: float, noted: bool) -> None:
    document = load_document("performance")
    document["machine"] |= {"load_before": load, "cores": 2}
    record.record(document, copied)
    for name, mark in (("reference.md", "headlines"), ("performance.md", "1,000,000 jobs")):
        table = record.between((copied / "docs" / name).read_text(encoding="utf-8"), mark)
        assert ("The machine was busy" in table) == noted


def test_a_document_without_marks_is_an_error(copied: Path) -> None:
    (copied / "docs" / "performance.md").write_text("# Performance\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no marks"):
        record.record(load_document("performance"), copied)


def test_the_chart_has_a_bar_for_each_figure() -> None:
    drawn = chart.draw(load_document("performance"))
    assert drawn.count('class="bar"') == 9 + 2 + 1
    assert drawn.count('class="plain"') == 9 + 1 + 1
    assert "prefers-color-scheme: dark" in drawn


def test_the_table_marks_missed_limits() -> None:
    figures = [
        {"name": "slow", "value": 2, "unit": "ms", "limit": 1, "at_least": False, "ok": False},
        {"name": "there", "value": 1, "unit": "yes/no", "limit": 1, "at_least": True, "ok": True},
        {"name": "many", "value": 1234, "unit": "/s", "detail": "of them"},
    ]
    document = {
        **load_document("performance"),
        "subjects": [{"name": "workers", "figures": figures}],
    }
    lines = report.markdown(document).splitlines()
    assert "| slow | 2 ms | at most 1 ms **missed** |  |" in lines
    assert "| there | yes | yes |  |" in lines
    assert "| many | 1,234/s |  | of them |" in lines
