"""Differences of access between two states, and those of a database from its migrations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from supabase_jobs.findings.access import AccessCaller
from supabase_jobs.findings.audit import Audit
from supabase_jobs.findings.finding import Severity
from supabase_jobs.findings.id import Id
from supabase_jobs.findings.permission import Permission, Permissions


@dataclass(frozen=True)
class AccessChange:
    """A difference between two states of the migrations: an access, an object or a leak.

    `change`: wider or narrower (a caller may do an action, or may not any more), new or removed (an
    object, with the `access` of each caller to it), leak or closed (a leak that is new, or gone).
    An object and a leak have no `caller` and no `action`; `verb` is its phrase in a sentence.
    `policies` are the names of the policies in the cause; `origin` and `column` are those of
    `Explanation`. `label` is the object without the state of its rows.
    """

    id: Id
    severity: Severity
    change: str
    object: str
    caller: AccessCaller | None
    action: Permission | None
    message: str
    cause: str = ""
    fix: str = ""
    access: Mapping[AccessCaller, Permissions] = field(default_factory=dict)
    verb: str = ""
    policies: tuple[str, ...] = ()
    origin: str = ""
    column: str = ""
    label: str = ""

    @property
    def who(self) -> str:
        """The caller without the rows that its label may name."""
        return self.caller.label if self.caller else ""

    @property
    def target(self) -> str:
        """The object, with the rows that the label of the caller names."""
        rows = self.caller.rows if self.caller else ""
        return f"{self.object} ({rows})" if rows else self.object


@dataclass(frozen=True)
class NotCompared:
    """A cell that was tested on one side only, so that it is no change. `untested` is that side:
    before, after, both.

    `caller` is '' for all cells of the object. `access` is what the caller may do on the side that
    was tested.
    """

    object: str
    caller: str
    untested: str
    access: str
    why: str


@dataclass(frozen=True)
class AccessDiff:
    """The changes of access between two states, which `before` and `after` name; wider access
    first.

    `audit` is that of the state after. `baseline` is the file that accepts changes, if any.
    """

    before: str
    after: str
    changes: tuple[AccessChange, ...]
    not_compared: tuple[NotCompared, ...]
    audit: Audit
    milliseconds: float
    baseline: str = ""

    def of(self, *changes: str) -> tuple[AccessChange, ...]:
        """The changes of some kinds."""
        return tuple(c for c in self.changes if c.change in changes)

    @property
    def ok(self) -> bool:
        """Whether no change is an error."""
        return not any(c.severity is Severity.ERROR for c in self.changes)


@dataclass(frozen=True)
class DefaultGrants:
    """The audit of a project, and what the other state of the default privileges changes."""

    audit: Audit
    difference: AccessDiff


@dataclass(frozen=True)
class DriftFinding:
    """A difference between the catalogs of a database and those that its migrations create.

    `capture` is SQL that makes it part of the migrations, `restore` SQL that removes it from the
    database. `access` is what it changes in who can do what, seen from the migrations. `untried`
    says why the SQL was not tried with success on the embedded server, '' if it was. The field
    names are those of `drift --json`.
    """

    id: Id
    severity: Severity
    object: str
    kind: str
    message: str
    capture: str
    restore: str
    access: tuple[AccessChange, ...] = ()
    untried: str = ""


@dataclass(frozen=True)
class Drift:
    """The result of `drift`: its findings, those that widen access first.

    `access` is what the differences change in who can do what, all of them together; None if that
    was not compared. `migrations` is the number of the migrations that the database has.
    """

    findings: tuple[DriftFinding, ...]
    database: str
    migrations: int
    milliseconds: float
    access: AccessDiff | None = None

    @property
    def unattributed(self) -> tuple[AccessChange, ...]:
        """The changes of access that belong to no finding."""
        known = {change.id for finding in self.findings for change in finding.access}
        changes = () if self.access is None else self.access.changes
        return tuple(change for change in changes if change.id not in known)
