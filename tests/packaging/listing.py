"""The files that belong to the repository."""

import subprocess
from functools import cache
from pathlib import Path

from tests.checkout import program

ROOT = Path(__file__).parents[2]


@cache
def tracked() -> frozenset[str]:
    """The paths of all files that git does not ignore, also those that are not committed yet."""
    listed = subprocess.run(
        [program("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(path for path in listed.stdout.split("\0") if path and (ROOT / path).exists())
