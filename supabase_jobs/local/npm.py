"""Programs in packages of npm, which have one package for each system."""

import platform
from collections.abc import Iterator
from pathlib import Path


def system() -> str:
    """This system in npm's terms: linux-x64."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine()
    )
    return f"{platform.system().lower()}-{machine}"


def find(directory: Path, pattern: str) -> Iterator[Path]:
    """Paths that match a pattern in `node_modules` of the directory, then of its parents."""
    for folder in (directory, *directory.parents):
        yield from sorted((folder / "node_modules").glob(pattern))
