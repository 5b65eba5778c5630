"""The result of `verify`: cases, findings and access matrices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from supabase_jobs.findings.finding import Finding, Location, Severity
from supabase_jobs.findings.id import Id


@dataclass(frozen=True)
class Case:
    """One check of `object`: it passed unless a finding has its id.

    `name` describes the check. `script` is SQL that repeats it in psql and ends with a rollback; ''
    if there is none. It may be a function, because most reports print no scripts. The script needs
    the preamble that it shares with other cases: the value of `Verification.preambles` for the key
    `preamble`, or for the area if that is ''.
    """

    id: Id
    area: str
    object: str
    name: str
    script: str | Callable[[], str] = ""
    preamble: str = ""

    @property
    def sql(self) -> str:
        """The part of the script after the preamble."""
        return self.script if isinstance(self.script, str) else self.script()


@dataclass(frozen=True)
class Grid:
    """An access matrix: `cells[row][column]` is the actual outcome, or '' if the cell was not run.

    `mismatches` holds the (row, column) pairs whose outcome is not the expected one. The id of a
    cell's case is `access:TITLE:ROW:COLUMN`.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    mismatches: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Verification:
    """The result of `verify`: its cases and findings.

    `unchecked` are the areas that could not be checked completely; a warning gives the reason.
    `accepted_unchecked` maps the id of each finding about something unchecked that the project
    accepts to its reason. `preambles` begin the scripts of the cases. `downgradable` are the ids of
    errors that become warnings if the access matrix shows no difference. `unexpected` are cases of
    findings that are not among `cases`: objects that no migration creates. `locations` maps an
    object (`public.things`), or a part of it (`public.things:its policy`), to the line that creates
    it. `problems` maps the ids of findings to their messages without what was expected. `database`
    describes the database, without a password. `not_applied`: no table and no
    function of the migrations exists.
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
    accepted_unchecked: Mapping[str, str] = field(default_factory=dict)
    not_applied: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)

    def location(self, subject: Case | Finding) -> Location | None:
        """The line that creates the object of a case or finding, or the part of the object that its
        id names.
        """
        name = subject.object.partition("(")[0].rstrip()
        part = ":".join(subject.id.within(subject.area, subject.object)[1:])
        return self.locations.get(f"{name}:{part}") or self.locations.get(name)

    def script(self, case: Case) -> str:
        """The whole script of a case, to paste into psql; '' if there is none."""
        return self.preambles.get(case.preamble or case.area, "") + own if (own := case.sql) else ""

    @property
    def checks(self) -> int:
        """The number of cases."""
        return len(self.cases)

    @property
    def has_errors(self) -> bool:
        """Whether a finding is an error."""
        return any(f.severity is Severity.ERROR for f in self.findings)

    @property
    def ok(self) -> bool:
        """Whether everything was checked, or its omission accepted, and no finding is an error."""
        return not self.has_errors and not self.unchecked
