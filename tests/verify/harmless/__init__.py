"""Changes that a project may make without a fault: `*.toml`, a name and its SQL each.

[changes."a version counter"]
sql = "alter table public.async_jobs add column version int not null default 0"
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Change:
    """One entry of a catalogue."""

    name: str
    sql: str


def changes(stem: str) -> list[Change]:
    """The entries of a catalogue."""
    with Path(__file__).with_name(f"{stem}.toml").open("rb") as file:
        return [Change(name, **table) for name, table in tomllib.load(file)["changes"].items()]


def named(stem: str, *names: str) -> bytes:
    """The SQL of entries of a catalogue."""
    return ";".join(
        change.sql for name in names for change in changes(stem) if change.name == name
    ).encode()


def each_change(stem: str) -> pytest.MarkDecorator:
    """Run a test for every entry of a catalogue."""
    return pytest.mark.parametrize("change", changes(stem), ids=lambda change: change.name)
