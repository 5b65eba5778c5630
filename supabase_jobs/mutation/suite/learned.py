"""The objects that each test file uses, learned from a run of the suite without a fault.

Only pytest with the plugin of this package tells it: see `testing.order`. Of other suites nothing
is known, and they run as they are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from supabase_jobs.mutation.suite.objects import ProjectObject
from supabase_jobs.settings import LEARN_VARIABLE, ORDER_VARIABLE, REVERSED_ORDER

# an environment variable has at most 128 kB on Linux
_MOST_CHARACTERS = 100_000


@dataclass(frozen=True)
class Learned:
    """The words of the SQL that each test file sent."""

    words: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.words)

    def files(self, one: ProjectObject) -> Sequence[str]:
        """The test files that name an object."""
        return [file for file, words in self.words.items() if one.plain in words]

    def order(self, one: ProjectObject) -> Mapping[str, str]:
        """The variables of a run with a fault in the object."""
        order = json.dumps(self.files(one))
        return {ORDER_VARIABLE: order} if self and len(order) < _MOST_CHARACTERS else {}

    @property
    def reversed(self) -> Mapping[str, str]:
        """The variables of a run in another order."""
        return {ORDER_VARIABLE: REVERSED_ORDER}


@contextmanager
def learning() -> Iterator["Learning"]:
    """A run that tells which objects each test file uses."""
    with TemporaryDirectory() as folder:
        yield Learning(Path(folder) / "words")


@dataclass(frozen=True)
class Learning:
    """Where the run writes it."""

    file: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the run."""
        return {LEARN_VARIABLE: str(self.file)}

    def result(self) -> Learned:
        """The words of all processes of the run; nothing if it did not tell."""
        if not self.file.exists():
            return Learned()
        found: dict[str, set[str]] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines():
            for file, words in json.loads(line).items():
                found.setdefault(file, set()).update(words)
        return Learned({file: frozenset(words) for file, words in found.items()})
