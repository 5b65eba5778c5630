"""What a check reports. Plain values, so that every reporter prints every check alike."""

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; only an error makes `verify` exit 1."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One deviation: what was expected, what was found, and what mends it. Field names are the CLI contract's."""

    id: str
    area: str
    severity: Severity
    object: str
    message: str
    fix: str


@dataclass(frozen=True)
class Grid:
    """One access matrix: `cells[row][column]` is the outcome that was seen, '' where nothing was asked.

    `wrong` holds the (row, column) pairs whose outcome is not the declared one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    wrong: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Verification:
    """What `verify` found in all areas that were asked for; `checks` counts the comparisons made.

    `unchecked` are areas that could not be judged: a warning among the findings says why.
    """

    findings: tuple[Finding, ...]
    checks: int
    milliseconds: float
    grids: tuple[Grid, ...] = field(default=())
    unchecked: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(f.severity is Severity.ERROR for f in self.findings)
