"""The figures that are best seen, as bars in one SVG file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.cleanup import CLEANUP, NAIVE, ONE_DELETE

_MANY = "jobs for cleanup"
_LEFT, _WIDTH, _ROW, _HEAD = 300, 300, 22, 46


@dataclass(frozen=True)
class Bar:
    """A labelled length; `plain` ones are what the others are compared with."""

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
    """The SVG. It has a ground of its own, so that it can be read on any page, and follows light and dark."""
    found = {f["name"]: f for subject in document["subjects"] for f in subject["figures"]}
    every = (_queries(found, many=False), _queries(found, many=True), _seconds(found), _waits(found))
    panels = [panel for panel in every if panel.bars]
    placed, top = [], 16
    for panel in panels:
        most = max(bar.value for bar in panel.bars) or 1.0
        rows = [(bar, top + _HEAD + _ROW * n, _WIDTH * bar.value / most) for n, bar in enumerate(panel.bars)]
        placed.append((panel, top + 24, rows))
        top += _HEAD + _ROW * len(panel.bars) + 12
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("chart.svg.jinja")
    return template.render(panels=placed, height=top, left=_LEFT) + "\n"


def _queries(found: Mapping[str, Any], *, many: bool) -> Panel:
    """Those that answer few rows, or the one that answers many: next to it the others could not be seen."""
    bars = []
    for name, figure in found.items():
        if name.endswith(": median time") and name.startswith(_MANY) == many:
            also = figure["also"]["without_rls_ms"]
            label = name.removesuffix(": median time")
            bars.append(Bar(label, figure["value"], f"{figure['value']:.2f} ms"))
            bars.append(Bar("without row level security", also, f"{also:.2f} ms", plain=True))
    return Panel(f"Queries that answer {'2,000 jobs' if many else 'a few jobs'}: median time", tuple(bars))


def _seconds(found: Mapping[str, Any]) -> Panel:
    figures = {name: found.get(f"{name}: time, next to one DELETE") for name in (CLEANUP, NAIVE)}
    bars = [Bar(name, f["also"]["seconds"], f"{f['also']['seconds']:.1f} s") for name, f in figures.items() if f]
    if figure := figures[CLEANUP]:
        plain = figure["also"]["one_delete_seconds"]
        bars.append(Bar(ONE_DELETE, plain, f"{plain:.1f} s", plain=True))
    return Panel("Deleting the expired jobs", tuple(bars))


def _waits(found: Mapping[str, Any]) -> Panel:
    return Panel("Longest wait of somebody who writes meanwhile", tuple(_longest(found)))


def _longest(found: Mapping[str, Any]) -> Iterator[Bar]:
    for name, what in ((CLEANUP, "the longest of them"), (ONE_DELETE, "the longest of another's writes")):
        if figure := found.get(f"{name}: {what}"):
            yield Bar(name, figure["value"], f"{figure['value']:,.0f} ms", plain=name == ONE_DELETE)
