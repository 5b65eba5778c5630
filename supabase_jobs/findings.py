"""What a check reports. Plain values, so that every reporter prints every check alike."""

from collections.abc import Callable, Mapping
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
class Case:
    """One thing that was asked of the database, whatever the answer: it passed unless a finding has its id.

    `name` says what is asked of `object`, in words. `script` is SQL that asks it again in psql, after the opening
    that it shares with others (`Verification.preambles`, by `preamble`, or by the area's name where that is ''), in
    a transaction that is rolled back; '' where the area has none to show. It may be what writes it: most reports ask
    for none.
    """

    id: str
    area: str
    object: str
    name: str
    script: str | Callable[[], str] = ""
    preamble: str = ""

    @property
    def sql(self) -> str:
        """Its own part of the script, as text."""
        return self.script if isinstance(self.script, str) else self.script()


@dataclass(frozen=True)
class Location:
    """A line of a file, counted from 1; the file is named from the top of the repository, with slashes."""

    file: str
    line: int


@dataclass(frozen=True)
class Grid:
    """One access matrix: `cells[row][column]` is the outcome that was seen, '' where nothing was asked.

    `mismatches` holds the (row, column) pairs whose outcome is not the declared one. The id of a cell's case is
    `access:TITLE:ROW:COLUMN`.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    mismatches: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Verification:
    """What `verify` asked (`cases`) and found in all areas that it was to look at.

    `unchecked` are areas that could not be judged: a warning among the findings says why. `preambles` open the
    scripts of the cases, each once. `downgradable` are the ids of findings that are errors only until the access
    matrix, run at the same time, shows no difference. `unexpected` show where findings come from that answer no
    case: an object that is in no migration. `locations` says which lines create an object (`public.things`), or a part
    of it (`public.things:its policy`), where a report asks for it. `database` says which one it was, without a
    password.
    """

    findings: tuple[Finding, ...]
    cases: tuple[Case, ...]
    milliseconds: float
    grids: tuple[Grid, ...] = field(default=())
    unchecked: tuple[str, ...] = field(default=())
    preambles: Mapping[str, str] = field(default_factory=dict)
    downgradable: frozenset[str] = field(default=frozenset())
    unexpected: tuple[Case, ...] = field(default=())
    locations: Mapping[str, Location] = field(default_factory=dict)
    database: str = ""

    def location(self, subject: Case | Finding) -> Location | None:
        """The line that creates what a case or finding is about: the part of the object that its id names, if any."""
        name = subject.object.partition("(")[0]
        part = subject.id.removeprefix(f"{subject.area}:{subject.object}:").partition(":")[2]
        return self.locations.get(f"{name}:{part}") or self.locations.get(name)

    def script(self, case: Case) -> str:
        """The whole SQL that asks a case again, to paste into psql; '' where there is none."""
        return self.preambles.get(case.preamble or case.area, "") + own if (own := case.sql) else ""

    @property
    def checks(self) -> int:
        """How many things were asked."""
        return len(self.cases)

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(f.severity is Severity.ERROR for f in self.findings)
