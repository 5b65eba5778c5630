"""The result of a command, ready to be written in any format.

A producer builds one Document; a format writes it. What differs between the commands is data here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, TypeVar

from supabase_jobs.findings import Case, Finding, Grid, Id, Location, Severity

# consumers show no result without a file; the location of results without any SQL file
DEFAULT_LOCATION = Location("supabase-jobs.toml", 1)


# -------------------------------------------------------------------------------------------------
# texts


@dataclass(frozen=True)
class Code:
    """A name or a command in a sentence."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that stand out in a sentence."""

    text: str


Prose = tuple[str | Code | Strong, ...]


class Extent(Enum):
    """How much of a result a text shows."""

    SHORT = "short"
    WHOLE = "whole"


@dataclass(frozen=True)
class Line:
    """A line of a text report: in reports of one extent, or of both (None)."""

    text: str
    extent: Extent | None = None


@dataclass(frozen=True)
class Detail:
    """A text that belongs to an entry: code in a `language`, or a sentence if that is ''.

    `is_pasted`: psql has to accept it as text reports print it, so they do not indent it.
    """

    title: str
    text: str
    language: str = ""
    is_pasted: bool = False


# -------------------------------------------------------------------------------------------------
# findings at lines, and checks, for the programs that read them


@dataclass(frozen=True)
class Result:
    """A finding and the line that it concerns. `explained` is the number of findings whose cause it
    is. `accepted` is the reason for which the project accepts it.
    """

    finding: Finding
    location: Location | None = None
    explained: int = 0
    accepted: str = ""


@dataclass(frozen=True)
class Remark:
    """Why a check failed, or was skipped. `label` is its kind or severity."""

    is_failure: bool
    label: str
    message: str
    details: str = ""

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> "Remark | None":
        """The remark of a check with these findings.

        An error is a failure. A warning and an unchecked area are skipped, so they count neither as
        passed nor as failed.
        """
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        shown = errors or findings
        if not shown:
            return None
        return cls(
            is_failure=bool(errors),
            label=shown[0].severity,
            message="; ".join(finding.message for finding in shown),
            details="\n".join(_details(finding) for finding in shown),
        )


def _details(finding: Finding) -> str:
    fix = f"fix: {finding.fix}\n" if finding.fix else ""
    return f"{finding.object}: {finding.message}\n{fix}id: {finding.id}\n"


@dataclass(frozen=True)
class Check:
    """Something that was tested: it passed unless it has a remark."""

    id: Id
    area: str
    object: str
    name: str
    group: str
    location: Location | None = None
    seconds: float = 0.0
    remark: Remark | None = None


@dataclass(frozen=True)
class Rules:
    """The description and the help of every rule in SARIF. `with_cells` are the areas whose ids may
    name a cell of a matrix; its action, the last part, is the rule.
    """

    description: str
    help: str
    with_cells: tuple[str, ...] = ()


# -------------------------------------------------------------------------------------------------
# sections of a page


@dataclass(frozen=True)
class Message:
    """A sentence of an entry. `case` is the check behind it, whose SQL a page can show."""

    text: str
    area: str = ""
    case: Case | None = None


@dataclass(frozen=True)
class Entry:
    """Findings with one cause and one fix, a change in the access, or a fault.

    `label` begins its line in a text report, and `badge` is its severity or state in words.
    `is_list`: its messages are the items of a list, not sentences. `is_named`: its sentences do not
    name the object. `is_graded`: Markdown shows the badge. `explained` are findings that exist only
    because of it. `accept` are entries for supabase-jobs.toml. `footer` is the last line on a page.
    `id` is in text reports only. `position` is its place there: they have the entries of all
    sections in one list. `brief` is the sentence of a shortened text, which entries may share.
    """

    severity: Severity
    object: str
    messages: tuple[Message, ...]
    label: str
    badge: str
    is_list: bool = False
    is_named: bool = True
    is_graded: bool = True
    explained: tuple[Message, ...] = ()
    cause: str = ""
    accept: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    footer: str = ""
    id: str = ""
    position: int = 0
    brief: str = ""

    @property
    def findings(self) -> int:
        """The number of findings."""
        return len(self.messages) + len(self.explained)

    @property
    def is_several(self) -> bool:
        """Whether it lists several messages of equal rank."""
        return self.is_list and len(self.messages) > 1


@dataclass(frozen=True)
class Findings:
    """Entries under a title; '' if only a page has one, the `heading`.

    Markdown collapses them under the title `folded`, if it is not ''. A checklist has an item with
    a box for each entry.
    """

    kind: ClassVar[str] = "findings"
    title: str
    entries: tuple[Entry, ...]
    anchor: str = ""
    heading: str = ""
    folded: str = ""
    is_checklist: bool = False


@dataclass(frozen=True)
class Omission:
    """Something that was not tested: why, and what would help."""

    object: str
    why: str
    help: str = ""


@dataclass(frozen=True)
class Omissions:
    """Untested objects and actions. `label` begins each line of a text report, `noun` counts them.

    Without a title they are in text reports only.
    """

    kind: ClassVar[str] = "omissions"
    title: str
    label: str
    items: tuple[Omission, ...]
    anchor: str = ""
    noun: str = ""


@dataclass(frozen=True)
class Outcomes:
    """A grid with the cases of its cells: (row, column) → case."""

    kind: ClassVar[str] = "outcomes"
    grid: Grid
    anchor: str
    cases: Mapping[tuple[int, int], Case] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempts:
    """Callers with the same outcome of an action. `sql` and `request` repeat that of the first."""

    outcome: str
    rows: str
    callers: tuple[str, ...]
    sql: Callable[[], str]
    request: Callable[[], str]


@dataclass(frozen=True)
class AccessCell:
    """Who may do something with an object, and what was tried."""

    title: str
    who: str
    is_leak: bool
    anchor: str = ""
    attempts: tuple[Attempts, ...] = ()


@dataclass(frozen=True)
class AccessRow:
    """An object; None stands for an action that it does not have."""

    object: str
    cells: tuple[AccessCell | None, ...]

    @property
    def known(self) -> tuple[AccessCell, ...]:
        """The cells of the actions that the object has."""
        return tuple(cell for cell in self.cells if cell is not None)


@dataclass(frozen=True)
class Access:
    """Who can do what: a row for each object, a column for each action.

    `heading` is that of the objects on a page, `text_heading` that in text, and `folded` the title
    in Markdown, '' if it is not there. `is_in_text`: text reports have it. `has_filters`: a page
    can show a part of the rows. `without` follows the number of cells for whose SQL a page has no
    room.
    """

    kind: ClassVar[str] = "access"
    title: str
    anchor: str
    heading: str
    actions: tuple[str, ...]
    rows: tuple[AccessRow, ...]
    intro: Prose = ()
    folded: str = ""
    is_in_text: bool = True
    text_heading: str = "table"
    has_filters: bool = False
    without: Prose = ()


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, and the heading on a page."""

    title: str
    heading: str
    is_number: bool = False
    # value → CSS class of its badge
    badges: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of numbers. `lines` are its rows in a text report; none if it is not there."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """Tables under a title."""

    kind: ClassVar[str] = "tables"
    title: str
    anchor: str
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Legend:
    """The meaning of words: `words` in text and Markdown, `items` (class, word, meaning) on a page.

    `mark` is the meaning of the mark of a cell in text.
    """

    kind: ClassVar[str] = "legend"
    words: Mapping[str, str]
    items: tuple[tuple[str, str, str], ...]
    mark: str = ""


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


@dataclass(frozen=True)
class CaseGroup:
    """The cases of an object, each with its findings."""

    area: str
    object: str
    cases: tuple[tuple[Case, tuple[Finding, ...]], ...]

    @property
    def failed(self) -> int:
        """The number of cases with an error."""
        return sum(_has_error(findings) for _, findings in self.cases)


@dataclass(frozen=True)
class Cases:
    """The cases that are in no matrix. `without` follows the number of cases for whose SQL a page
    has no room.
    """

    kind: ClassVar[str] = "cases"
    title: str
    anchor: str
    groups: tuple[CaseGroup, ...]
    without: Prose = ()


@dataclass(frozen=True)
class Scripts:
    """SQL by name. `is_needed`: a page has only those that its other scripts need."""

    kind: ClassVar[str] = "scripts"
    title: str
    anchor: str
    intro: Prose
    scripts: Mapping[str, str]
    is_needed: bool = False


Section = Findings | Omissions | Outcomes | Access | Tables | Legend | Cases | Scripts
_S = TypeVar("_S", bound=Section)


# -------------------------------------------------------------------------------------------------
# the document


@dataclass(frozen=True)
class Limit:
    """The size of a Markdown document that `place` accepts, in characters or bytes; the number of
    `noun`s that do not fit is named.
    """

    size: int
    noun: str
    place: str
    in_bytes: bool = False


@dataclass(frozen=True)
class Document:
    """The result of a command.

    `command` names it for programs, `title` for readers. `headline` and `tone` (good, bad or
    unsure) head a page, `heading` a Markdown document. `opening` is the first sentence of a
    Markdown document, `lead` that of a page, `closing` are the last lines of a text report; `hints`
    precede them. `instead` replaces the entries of a shortened text report. `contract` makes the
    document that `--json` prints, and `checks` what only JUnit and SARIF list.

    `is_compact`: its entries are the short items of lists, whose titles text reports print.
    `marker` is the first line of a Markdown document, by which a workflow finds its comment again.
    `counts` (severity → number) are the filters of a page. `findings_bytes` is the room that a page
    has for entries, and `noun` is what they are. `has_contents`: a page lists its sections.
    """

    command: str
    title: str
    ok: bool
    headline: str
    tone: str
    heading: Prose
    opening: Prose
    lead: str
    closing: tuple[Line, ...]
    contract: Callable[[], Mapping[str, object]]
    sections: tuple[Section, ...]
    limit: Limit
    milliseconds: float = 0.0
    database: str = ""
    results: tuple[Result, ...] = ()
    checks: Callable[[], tuple[Check, ...]] = tuple
    unchecked: tuple[str, ...] = ()
    default_location: Location = DEFAULT_LOCATION
    rules: Rules = Rules("", "")
    hints: tuple[Line, ...] = ()
    instead: str = ""
    width: int | None = None
    is_compact: bool = False
    marker: str = ""
    counts: Mapping[Severity, int] = field(default_factory=dict)
    findings_bytes: int = 120_000
    noun: str = "finding"
    rest: Prose = ("The text report has all of them.",)
    has_contents: bool = False

    def of(self, kind: type[_S]) -> tuple[_S, ...]:
        """The sections of a kind."""
        return tuple(section for section in self.sections if isinstance(section, kind))


def default_location(locations: Mapping[str, Location]) -> Location:
    """The first SQL file, for findings on an object that no file creates."""
    files = sorted(source.file for source in locations.values())
    return Location(files[0], 1) if files else DEFAULT_LOCATION
