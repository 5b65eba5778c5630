"""What the areas of `verify` have asked and found so far, and where an area's declarations are."""

import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from supabase_jobs.findings import Case, Finding, Grid, Severity
from supabase_jobs.verify.expectations import Expectations


@dataclass(frozen=True)
class EquivalenceCheck:
    """What has to be tried before a policy that is written otherwise can be called the same: a role's command."""

    object: str
    role: str
    command: str


class DeadlineError(Exception):
    """A run has taken all the time that it may take."""


@dataclass
class Context:
    """What one run has come to so far; every area adds to it.

    `probed` is what the access matrix has cells for, `sound` the tables where all of them are as declared. `disputed`
    holds the ids of errors that are only a matter of wording where both is so. A run that is `repeated` for one fault
    after another wants a single error: an area may stop there, lists no cases, and asks what `questions` has prepared.
    It may last until `deadline`, by `time.monotonic`.
    """

    repeated: bool = False
    deadline: float = math.inf

    cases: list[Case] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    preambles: dict[str, str] = field(default_factory=dict)
    unexpected: list[Case] = field(default_factory=list)
    probed: set[EquivalenceCheck] = field(default_factory=set)
    matching: set[str] = field(default_factory=set)
    equivalences: dict[str, list[EquivalenceCheck]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """The errors that nothing can dispute."""
        return [f for f in self.findings if f.severity is Severity.ERROR and f.id not in self.equivalences]

    def check_deadline(self) -> None:
        """Called before each part that may take a while; raises DeadlineError where there is no time left for it."""
        if time.monotonic() > self.deadline:
            raise DeadlineError

    @property
    def should_stop(self) -> bool:
        """Whether an area may stop here."""
        return self.repeated and bool(self.errors)

    def downgrade_equivalent(self) -> None:
        """Turn the disputed errors into warnings where the access matrix was tried and is as declared."""
        for number, finding in enumerate(self.findings):
            needed = self.equivalences.get(finding.id)
            if needed and all(dispute in self.probed and dispute.object in self.matching for dispute in needed):
                message = f"{finding.message}; the access matrix shows no difference"
                self.findings[number] = replace(finding, severity=Severity.WARNING, message=message)

    def mark_unchecked(self, area: str, subject: str, why: str, fix: str, *, id: str | None = None) -> None:
        """Say that an area, or a part of it, could not be judged: a warning, and never a pass."""
        if area not in self.unchecked:
            self.unchecked.append(area)
        self.findings.append(
            Finding(
                id=id or f"{area}:unchecked",
                area=area,
                severity=Severity.WARNING,
                object=subject,
                message=f"{area} was not checked: {why}",
                fix=fix,
            )
        )

    def declaration_file(self, area: str, expectations: Expectations, name: str) -> Path | None:
        """The file `name` that declares an area; None, and the area is unchecked, where other sources have none."""
        file = expectations.declaration(name)
        if file.is_file():
            return file
        self.mark_unchecked(
            area,
            name,
            f"{file.parent} has no {name}",
            f"Declare what the sources promise in {file}.",
            id=f"{area}:undeclared",
        )
        return None
