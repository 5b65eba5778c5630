"""Changes that a project may make without a fault: `*.toml`, a name and its SQL each.

[changes."a version counter"]
sql = "alter table public.async_jobs add column version int not null default 0"
apart = "version"   # optional: of the entries with this word, a database can have only one
alone = true        # optional: that it is harmless cannot be seen next to others
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Change:
    """One entry of a catalogue."""

    name: str
    sql: str
    apart: str = ""
    alone: bool = False


def changes(stem: str) -> list[Change]:
    """The entries of a catalogue."""
    with Path(__file__).with_name(f"{stem}.toml").open("rb") as file:
        return [Change(name, **table) for name, table in tomllib.load(file)["changes"].items()]


def groups(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in few groups, each of which can share a database."""
    found: list[list[Change]] = []
    for change in (c for c in changes if not c.alone):
        group = next(
            (g for g in found if change.apart not in {one.apart for one in g} - {""}), None
        )
        if group is None:
            found.append([change])
        else:
            group.append(change)
    return [*found, *([c] for c in changes if c.alone)]


def named(stem: str, *names: str) -> bytes:
    """The SQL of entries of a catalogue."""
    return ";".join(
        change.sql for name in names for change in changes(stem) if change.name == name
    ).encode()


def each_change(stem: str) -> pytest.MarkDecorator:
    """Run a test for every entry of a catalogue."""
    return pytest.mark.parametrize("change", changes(stem), ids=lambda change: change.name)
