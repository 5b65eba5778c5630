"""The state that the areas share during one run of `verify`: cases, findings, deadline,
equivalences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from supabase_jobs.findings import Case, Finding, Grid, Id, Severity
from supabase_jobs.session.deadline import NO_LIMIT, Deadline
from supabase_jobs.session.frame import Undo
from supabase_jobs.verify.expectations import Expectations


@dataclass(frozen=True)
class EquivalenceCheck:
    """Cell that must pass before a reworded policy counts as equivalent."""

    object: str
    role: str
    command: str


@dataclass(frozen=True)
class Narrowing:
    """An allowed restrictive policy of a table: it can hide rows of `command` from `roles`, and
    refuse their rows. Or a privilege that `is_revoked` from them.
    """

    object: str
    policy: str
    command: str
    roles: frozenset[str]
    reason: str
    is_revoked: bool = False

    @property
    def explanation(self) -> str:
        """Why a deviation is accepted."""
        return f"{self.policy} explains it, and is allowed: {self.reason}"


@dataclass(frozen=True)
class Change:
    """The part of a managed object that a structural finding reports; '' for a value that is
    missing. `expected_sql` and `actual_sql` create it; '' if no SQL does. `problem` is what a
    report says of it without what was expected, which is in the fix.
    """

    object: str
    kind: str
    name: str
    expected: str
    actual: str
    expected_sql: str = ""
    actual_sql: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Trace:
    """The dependencies of a check: its statements, objects that it is about, the role that runs
    them, and the outcome of an access cell.

    '' stands for any role and any command. `raised` is the server's message, if it refused.
    `index` is the name of the index that a query needs, `columns` are the first columns of one that
    a foreign key needs.
    """

    statements: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    role: str = ""
    command: str = ""
    expected: str = ""
    actual: str = ""
    raised: str = ""
    index: str = ""
    columns: tuple[str, ...] = ()


@dataclass
class Equivalence:
    """The cells that decide whether a reworded policy counts as the expected one.

    `probed` are the cells of the access matrix that were run, `matching` the objects whose cells
    all match. `needed` maps the id of an error to the cells that must match for it to become a
    warning.
    """

    probed: set[EquivalenceCheck] = field(default_factory=set)
    matching: set[str] = field(default_factory=set)
    needed: dict[str, list[EquivalenceCheck]] = field(default_factory=dict)


@dataclass
class Allowed:
    """The findings that the entries of the project accept, see `verify/allowed`.

    `candidates` maps the id of each finding that may be allowed to what names its definition. Of
    these, `judged` were looked up, and `ids` are allowed. `used` are the sections and names of the
    entries with an effect, `narrowings` the allowed restrictive policies. `narrowings_unknown`: the
    structure area, which finds them, is not run, so that a deviation may have one as its cause.
    """

    candidates: dict[str, Mapping[str, str | Sequence[str]]] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    used: set[tuple[str, str]] = field(default_factory=set)
    narrowings: list[Narrowing] = field(default_factory=list)
    narrowings_unknown: bool = False


@dataclass
class Evidence:
    """The changes and traces of findings, by their ids; `causes` explains findings by others."""

    changes: dict[str, Change] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)


@dataclass
class Context:
    """The cases and findings of one run; every area adds its own.

    A `repeated` run belongs to a series (one run for each fault): it stops at the first error,
    lists no cases, and needs the queries that `structure.catalog.prepared` prepares. `undo` undoes
    what an area has changed; an area leaves nothing that it does not undo. `in_use`: others may
    wait for this run, or see what a rollback does not undo. `not_applied`: no table
    and no function of the migrations exists. `unchecked` maps the id of each finding about
    something that was not checked to its area.
    """

    repeated: bool = False
    deadline: Deadline = NO_LIMIT
    undo: Undo = field(default_factory=Undo)
    in_use: bool = False
    not_applied: bool = False

    cases: list[Case] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    preambles: dict[str, str] = field(default_factory=dict)
    unexpected: list[Case] = field(default_factory=list)
    # the ids of warnings that `additions` settles, and those of objects that refuse URLs of clients
    untried: set[str] = field(default_factory=set)
    deciding: set[str] = field(default_factory=set)

    # the texts of the user objects that refused a probe or scenario, which is unchecked therefore
    refusing: list[str] = field(default_factory=list)
    equivalence: Equivalence = field(default_factory=Equivalence)
    allowed: Allowed = field(default_factory=Allowed)
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def errors(self) -> list[Finding]:
        """The errors that no equivalence can turn into warnings."""
        return [
            f
            for f in self.findings
            if f.severity is Severity.ERROR and f.id not in self.equivalence.needed
        ]

    def add_change(self, finding: Finding, change: Change) -> None:
        """Add a structural finding and what it is about."""
        self.findings.append(finding)
        self.evidence.changes[finding.id] = change

    @property
    def should_stop(self) -> bool:
        """Whether the run may stop, because it is `repeated` and has found an error."""
        return self.repeated and bool(self.errors)

    def mark_unchecked(
        self,
        area: str,
        subject: str,
        why: str,
        fix: str,
        *,
        id: Id | None = None,
        severity: Severity = Severity.WARNING,
        refusing: Sequence[str] = (),
        how: str = "was not checked",
    ) -> None:
        """Record that an area, or a part of it, was not checked, so that the run does not pass.

        A warning can be accepted by name; an error shows that a managed object is the cause.
        `refusing` are the texts of the user objects that prevent it.
        """
        self.refusing += refusing
        finding = Finding(
            id=id or Id(area, "unchecked"),
            area=area,
            severity=severity,
            object=subject,
            message=f"{area} {how}: {why}",
            fix=fix,
        )
        self.unchecked[finding.id] = area
        self.findings.append(finding)

    def again(self) -> "Context":
        """A context with the same content, for another attempt at an area."""
        return replace(
            self,
            cases=[*self.cases],
            findings=[*self.findings],
            grids=[*self.grids],
            unchecked={**self.unchecked},
            preambles={**self.preambles},
            refusing=[],
            evidence=Evidence({**self.evidence.changes}, {**self.evidence.traces}),
        )

    def take(self, other: "Context") -> None:
        """Take over the content of another attempt."""
        self.cases, self.findings, self.grids = other.cases, other.findings, other.grids
        self.unchecked, self.preambles = other.unchecked, other.preambles
        self.refusing, self.evidence = other.refusing, other.evidence

    def declaration_file(self, area: str, expectations: Expectations, name: str) -> Path | None:
        """The file that declares an area. If it is missing, mark the area as unchecked and return
        None.
        """
        file = expectations.declaration(name)
        if file.is_file():
            return file
        why, fix = (
            f"{file.parent} has no {name}",
            f"Write the expectations of the sources into {file}.",
        )
        self.mark_unchecked(area, name, why, fix, id=Id(area, "undeclared"))
        return None
