"""The result of `audit`: leaks, cells, and what was not tested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from supabase_jobs.findings.access import Access, AccessCaller, AccessObject, Cell
from supabase_jobs.findings.finding import Location, Severity
from supabase_jobs.findings.id import Id

# the kind of findings about access that deviates from a baseline
BASELINE = "baseline"


class Left(StrEnum):
    """Why a finding has no proven repair, as a text about its repair."""

    TAKES = "each repair takes something from somebody"
    UNKNOWN = "nobody in the audit shows what its repair takes"
    NONE = "no statement is known that closes it"
    LATE = "the time of the audit was over"


@dataclass(frozen=True)
class Explanation:
    """The policy, grant or function that allows something, and the SQL that ends it.

    `policies` are the names of the policies that `cause` names, of the table concerned. `proven`:
    the SQL was tried, and takes nothing from those who should have it. `origin` is the object of
    the cause; '' if it is that of the finding. `callers` are the labels of those that the fix
    names. `column` is the column that the access is about, if it is about one. `left` says why no
    repair is proven; None if one is, or if none was to be tried.
    """

    cause: str
    fix: str
    policies: tuple[str, ...] = ()
    proven: bool = False
    origin: str = ""
    callers: tuple[str, ...] = ()
    column: str = ""
    left: Left | None = None


@dataclass(frozen=True)
class AuditFinding:
    """A leak, or a deviation from the baseline. `cause` names the policy, grant or function that is
    responsible, and `policies` has the names of its policies. `proven`, `origin`,
    `callers`, `column` and `left` are those of `Explanation`.

    `kind` is the code of its kind, with which the id begins, and `action` the one that it is about,
    '' for others. `table` is that of a bucket, of a topic or of rows in a state, '' for others. The
    other field names are those of `audit --json`. The id contains no generated value.
    """

    id: Id
    severity: Severity
    object: str
    message: str
    fix: str
    cause: str
    policies: tuple[str, ...] = ()
    proven: bool = False
    origin: str = ""
    callers: tuple[str, ...] = ()
    column: str = ""
    kind: str = ""
    action: str = ""
    left: Left | None = None
    table: str = ""

    @property
    def label(self) -> str:
        """The object, or its table if it is only a part of one."""
        return self.table or self.object

    @property
    def explanation(self) -> Explanation:
        """Its cause and its fix."""
        return Explanation(
            cause=self.cause,
            fix=self.fix,
            policies=self.policies,
            proven=self.proven,
            origin=self.origin,
            callers=self.callers,
            column=self.column,
            left=self.left,
        )


@dataclass(frozen=True)
class AuditCell:
    """The outcome of an action of a caller on a row; `whose` is own, group, other or none, seen by
    the caller, and `detail` the column of an update, or the extension of a message.

    `sql` and `request` repeat the action: a statement, and a curl command for the API; '' if there
    is none. They are functions in most cells, because most reports print neither.
    """

    object: str
    caller: str
    whose: str
    action: str
    outcome: str
    sql: str | Callable[[], str] = field(default="", compare=False)
    request: str | Callable[[], str] = field(default="", compare=False)
    detail: str = ""

    @property
    def does(self) -> str:
        """The action with its detail."""
        return f"{self.action} {self.detail}" if self.detail else self.action


@dataclass(frozen=True)
class NotTested:
    """An object that could not be tested: why, and what would help.

    `fails`: the audit fails, because requests reach the object and no one has accepted that it is
    not tested.
    """

    object: str
    why: str
    help: str
    fails: bool = False


@dataclass(frozen=True)
class AccessSummary:
    """Who may do something with a table or view: action → none, own, group, users (signed in) or
    all.

    `leaks` are the actions with a finding that is an error or a warning.
    """

    object: AccessObject
    access: Mapping[str, str]
    leaks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AuditedRelation:
    """A table or view of an audited database. `reachable`: requests can address it. `mentioned` are
    the columns whose name a policy or function mentions: only they may decide about access;
    `unsettable` those that no update sets, since they are generated or a trigger sets them.
    """

    kind: str
    columns: frozenset[str]
    rls: bool
    reachable: bool
    mentioned: frozenset[str] = frozenset()
    unsettable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Repair:
    """Statements that close findings, by their ids."""

    findings: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Repairs:
    """Proven repairs, tried together: the cells that they close, what they take, and the cells that
    they give because policies permit them.
    """

    repairs: tuple[Repair, ...]
    closes: int
    takes: tuple[str, ...] = ()
    gives: int = 0

    @property
    def sql(self) -> str:
        """All statements, each below the ids of its findings."""
        parts = []
        for repair in self.repairs:
            names = "".join(f"-- {name}\n" for name in repair.findings)
            parts.append(f"{names}{repair.sql}\n")
        return "\n".join(parts)


@dataclass(frozen=True)
class Audit:
    """The result of `audit`. `tables` is the number of tables that requests reach, `planted` of
    those with rows.

    `access` maps objects to callers to what they may do, and `functions` maps functions to roles,
    as a baseline records them. `explained` maps cells of wider access to their explanation.
    `callers` maps each caller to the SQL that makes the rest of a transaction its request.
    `locations` are those of `Verification`. `baseline` is the file that the access was
    compared with, if any. `relations` are the tables and views by name. `tested` maps (object,
    caller) to the kinds of actions that were tried with a certain outcome. `api_cells` is the
    number of cells that were also sent to an API, if one was given. `default_grants` is the state
    of the default privileges, "on" or "off", if it is known. `repairs` are the
    proven ones together, if they were asked for. `performance` is what makes requests slow; its
    warnings fail nothing. `settled` are the callers whose membership has the state that was found
    by trying, instead of the one in which it begins. `meanings` says of each caller who it is.
    `excluded` are the objects that the project excludes.
    """

    findings: tuple[AuditFinding, ...]
    cells: tuple[AuditCell, ...]
    summaries: tuple[AccessSummary, ...]
    not_tested: tuple[NotTested, ...]
    tables: int
    planted: int
    milliseconds: float
    access: Access = field(default_factory=dict)
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    explained: Mapping[Cell, Explanation] = field(default_factory=dict)
    database: str = ""
    callers: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, Location] = field(default_factory=dict)
    baseline: str = ""
    relations: Mapping[str, AuditedRelation] = field(default_factory=dict)
    tested: Mapping[tuple[AccessObject, AccessCaller], frozenset[str]] = field(default_factory=dict)
    api_cells: int | None = None
    default_grants: str | None = None
    repairs: Repairs | None = None
    performance: tuple[AuditFinding, ...] = ()
    settled: frozenset[str] = frozenset()
    meanings: Mapping[str, str] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether no finding is an error, and everything was tested or its omission accepted."""
        found = (*self.findings, *self.performance)
        return not any(f.severity is Severity.ERROR for f in found) and not self.unchecked

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The objects that make the audit fail because they were not tested."""
        return tuple(item.object for item in self.not_tested if item.fails)
