"""Write figures into the documents, between the marks `<!-- bench … -->` and `<!-- /bench -->`."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.programs import ROOT

# rows of the recorded runs → stem of their files in docs/
SIZES: Mapping[int, str] = {1_000_000: "performance", 10_000_000: "performance-10m"}
REFERENCE_SIZE = 1_000_000
# the run with --partitions: its rows, its file in docs/ and its marks in docs/performance.md
PARTITIONED_ROWS = 10_000_000
PARTITIONED = "performance-partitions"
# the run with --only production
PRODUCTION = "performance-production"

# the figures that the reference shows
HEADLINES = (
    "active jobs of a guest, as guest: median time",
    "active jobs of a user, as user: median time",
    "latest job for a URL, as guest: median time",
    "cleanup: time relative to one DELETE",
    "cleanup: concurrent writes, 99th percentile",
    "cleanup: concurrent writes, maximum",
    "8 workers, 10 at a time: jobs",
    "verify: time",
    "apply without pending files: time relative to `supabase db push`",
    "first apply: time relative to `supabase db push`",
    "--help",
)


def target(rows: int, names: Collection[str], subjects: Collection[str]) -> str | None:
    """The stem of the files that a run is recorded in; None if its rows or its subjects are not
    those of the docs.
    """
    if set(names) == {"partitions"}:
        return PARTITIONED if rows == PARTITIONED_ROWS else None
    if set(names) == {"production"}:
        return PRODUCTION if rows == REFERENCE_SIZE else None
    return SIZES.get(rows) if set(names) == set(subjects) else None


def record(document: Mapping[str, Any], root: Path = ROOT) -> None:
    """Write the JSON file, the chart, and the tables of the documents on performance and
    reference.
    """
    rows, names = document["rows"], [subject["name"] for subject in document["subjects"]]
    stem = target(rows, names, names)
    assert stem is not None  # noqa: S101  the caller has checked it
    report.write(document, root / "docs", stem)
    mark = {
        PARTITIONED: f"{rows:,} jobs in partitions",
        PRODUCTION: "a database in use",
    }.get(stem, f"{rows:,} jobs")
    _replace(root / "docs" / "performance.md", mark, report.markdown(document))
    if stem == SIZES[REFERENCE_SIZE]:
        _replace(root / "docs" / "reference.md", "headlines", headlines(document))


def headlines(document: Mapping[str, Any]) -> str:
    """The table in the reference."""
    by_name = {figure.name: figure for _, figures in report.figures(document) for figure in figures}
    lines = ["| figure | measured | limit | |", "| --- | --- | --- | --- |"]
    for figure in (by_name[name] for name in HEADLINES):
        lines.append(
            f"| {figure.name} | {figure.shown()} | {report.limit(figure)} | {figure.detail} |"
        )
    return "\n".join(lines) + f"\n\n{report.busy(document).strip()}"


def between(text: str, name: str) -> str:
    """The text between the marks of a document."""
    match = _marked(name).search(text)
    if match is None:
        raise ValueError(f"no marks for {name!r}")
    return match[2]


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(<!-- bench {re.escape(name)} -->\n\n)(.*?)(\n\n<!-- /bench -->)", re.DOTALL
    )


def _replace(path: Path, name: str, table: str) -> None:
    text = path.read_text(encoding="utf-8")
    between(text, name)
    replaced = _marked(name).sub(lambda match: match[1] + table.strip() + match[3], text)
    path.write_text(replaced, encoding="utf-8")
