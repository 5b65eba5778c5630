"""A bar chart of some figures, as an SVG file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.cleanup import CLEANUP, NAIVE, ONE_DELETE

_MANY_ROWS = "jobs for cleanup"
_LEFT, _WIDTH, _ROW, _HEAD = 300, 300, 22, 46


@dataclass(frozen=True)
class Bar:
    """A labelled length; a `plain` bar is a reference for the others."""

    label: str
    value: float
    shown: str
    plain: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars of one unit under a title."""

    title: str
    bars: tuple[Bar, ...]


def draw(document: Mapping[str, Any]) -> str:
    """The SVG, with its own background, in light and dark mode; empty without a bar."""
    figures = {f["name"]: f for subject in document["subjects"] for f in subject["figures"]}
    every = (
        _queries(figures, many_rows=False),
        _queries(figures, many_rows=True),
        _deletion(figures),
        _writes(figures),
    )
    panels = [panel for panel in every if panel.bars]
    if not panels:
        return ""
    positioned, top = [], 16
    for panel in panels:
        longest = max(bar.value for bar in panel.bars) or 1.0
        rows = [
            (bar, top + _HEAD + _ROW * n, _WIDTH * bar.value / longest)
            for n, bar in enumerate(panel.bars)
        ]
        positioned.append((panel, top + 24, rows))
        top += _HEAD + _ROW * len(panel.bars) + 12
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("chart.svg.jinja")
    return template.render(panels=positioned, height=top, left=_LEFT) + "\n"


def _queries(figures: Mapping[str, Any], *, many_rows: bool) -> Panel:
    """The queries with few rows, or the one with many rows, which needs another scale."""
    bars = []
    for name, figure in figures.items():
        if name.endswith(": median time") and name.startswith(_MANY_ROWS) == many_rows:
            without_rls = figure["also"]["without_rls_ms"]
            label = name.removesuffix(": median time")
            bars.append(Bar(label, figure["value"], f"{figure['value']:.2f} ms"))
            bars.append(
                Bar("without row level security", without_rls, f"{without_rls:.2f} ms", plain=True)
            )
    return Panel(
        f"Queries that return {'2,000 jobs' if many_rows else 'a few jobs'}: median time",
        tuple(bars),
    )


def _deletion(figures: Mapping[str, Any]) -> Panel:
    ratios = {
        name: figures.get(f"{name}: time relative to one DELETE") for name in (CLEANUP, NAIVE)
    }
    bars = [
        Bar(name, f["also"]["seconds"], f"{f['also']['seconds']:.1f} s")
        for name, f in ratios.items()
        if f
    ]
    if figure := ratios[CLEANUP]:
        plain = figure["also"]["one_delete_seconds"]
        bars.append(Bar(ONE_DELETE, plain, f"{plain:.1f} s", plain=True))
    return Panel("Deleting the expired jobs", tuple(bars))


def _writes(figures: Mapping[str, Any]) -> Panel:
    return Panel("Longest concurrent write", tuple(_longest_writes(figures)))


def _longest_writes(figures: Mapping[str, Any]) -> Iterator[Bar]:
    for name in (CLEANUP, ONE_DELETE):
        if figure := figures.get(f"{name}: concurrent writes, maximum"):
            yield Bar(name, figure["value"], f"{figure['value']:,.0f} ms", plain=name == ONE_DELETE)
