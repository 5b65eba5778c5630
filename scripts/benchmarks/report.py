"""A document of figures as text, Markdown, JSON and files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.figures import Figure, from_dict

TITLES = {
    "queries": "Fast queries, with row level security",
    "owners": "All jobs of an owner",
    "cleanup": "Cleanup",
    "workers": "Workers",
    "writes": "Inserts and heartbeats",
    "verify": "verify and mutate",
    "apply": "apply and the program itself",
    "hosted": "A database 50 ms away",
    "audit": "audit",
    "partitions": "In partitions",
    "production": "A shop with eight clients",
}
_MARKS = {True: "ok", False: "MISSED", None: "-"}

Document = Mapping[str, Any]


def figures(document: Document) -> Iterator[tuple[str, list[Figure]]]:
    """The title and the figures of each subject."""
    for subject in document["subjects"]:
        yield TITLES[subject["name"]], [from_dict(figure) for figure in subject["figures"]]


def text(document: Document) -> str:
    """A table for a terminal."""
    lines = [about(document)]
    for title, measured in figures(document):
        lines += ["", title]
        width = max(len(figure.name) for figure in measured)
        for f in measured:
            line = (
                f"  {_MARKS[f.ok]:<6} "
                f" {f.name:<{width}}  {f.shown():>12}  {f.limit_text():<16}  {f.detail}"
            )
            lines.append(line.rstrip())
    every = [figure for _, measured in figures(document) for figure in measured]
    missed = sum(figure.ok is False for figure in every)
    lines += [
        "",
        f"{'ok' if document['ok'] else 'FAILED'}: {len(every)} figures, {missed} outside their"
        " limits",
    ]
    return "".join(f"{line}\n" for line in lines)


def markdown(document: Document) -> str:
    """A table for each subject."""
    lines = [f"Measured with {about(document)}.{busy(document)}", ""]
    for title, measured in figures(document):
        lines += [
            f"### {title}",
            "",
            "| figure | measured | limit | |",
            "| --- | --- | --- | --- |",
        ]
        lines += [f"| {f.name} | {f.shown()} | {limit(f)} | {f.detail} |" for f in measured]
        lines.append("")
    return "\n".join(lines)


def limit(figure: Figure) -> str:
    """The limit as a Markdown cell, with a mark if it was missed."""
    return figure.limit_text() + (" **missed**" if figure.ok is False else "")


def about(document: Document) -> str:
    """The machine, the versions and the size."""
    machine = document["machine"]
    in_use = [subject["name"] for subject in document["subjects"]] == ["production"]
    return (
        f"{document['rows']:,} {'orders' if in_use else 'jobs'} on PostgreSQL"
        f" {machine['postgresql']}, Python"
        f" {machine['python']},"
        f" {machine['cores']} cores ({machine['system']})"
    )


def busy(document: Document) -> str:
    """A note if other programs used the cores; empty otherwise."""
    machine = document["machine"]
    if machine["load_before"] <= machine["cores"] / 2:
        return ""
    return (
        f" **The machine was busy** with other work (load {machine['load_before']} on"
        f" {machine['cores']} cores): times"
        " are too long, and ratios vary by chance."
    )


def as_json(document: Document) -> str:
    """The document as JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(document: Document, folder: Path, stem: str) -> None:
    """Write the JSON file, and the chart if it has a bar."""
    (folder / f"{stem}.json").write_text(as_json(document), encoding="utf-8")
    if drawn := chart.draw(document):
        (folder / f"{stem}.svg").write_text(drawn, encoding="utf-8")
