"""The values that checks produce and reports print: findings, cases, grids, verifications."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# the fix for a database without the migrations
APPLY_FIRST = "Apply the migrations first: supabase-jobs apply."


class Severity(StrEnum):
    """The severity of a finding. An error makes `verify` exit 1, and so does a warning that
    something is unchecked.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """A deviation and its fix. The field names are those of `verify --json`.

    `fix` is SQL that psql accepts: statements, or a comment where no statement can repair the
    deviation. `cause` is the id of the finding that explains this one and whose fix repairs both,
    '' if there is none. `accept` are entries for supabase-jobs.toml, as TOML, that accept an
    intended deviation; none if nothing can.
    """

    id: str
    area: str
    severity: Severity
    object: str
    message: str
    fix: str
    cause: str = ""
    accept: tuple[str, ...] = ()


def as_sql(fix: str) -> str:
    """A fix as SQL: statements as they are, a sentence as a comment."""
    statements = [line for line in fix.splitlines() if not line.startswith("--")]
    is_sql = not statements or statements[-1].rstrip().endswith(";")
    return fix if is_sql else as_comment(fix)


def as_comment(text: str) -> str:
    """A text as an SQL comment, whatever it contains."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


@dataclass(frozen=True)
class Case:
    """One check of `object`: it passed unless a finding has its id.

    `name` describes the check. `script` is SQL that repeats it in psql and ends with a rollback; ''
    if there is none. It may be a function, because most reports print no scripts. The script needs
    the preamble that it shares with other cases: the value of `Verification.preambles` for the key
    `preamble`, or for the area if that is ''.
    """

    id: str
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
class Location:
    """A line of a file, counted from 1. The path is relative to the top of the repository, with
    slashes.
    """

    file: str
    line: int


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
    it. `database` describes the database, without a password. `not_applied`: no table and no
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

    def location(self, subject: Case | Finding) -> Location | None:
        """The line that creates the object of a case or finding, or the part of the object that its
        id names.
        """
        name = subject.object.partition("(")[0].rstrip()
        part = subject.id.removeprefix(f"{subject.area}:{subject.object}:").partition(":")[2]
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


@dataclass(frozen=True)
class Explanation:
    """The policy, grant or function that allows something, and the SQL that ends it.

    `policies` are the names of the policies that `cause` names, of the table concerned.
    """

    cause: str
    fix: str
    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditFinding:
    """A leak, or a deviation from the baseline. `cause` names the policy, grant or function that is
    responsible, and `policies` has the names of its policies.

    The other field names are those of `audit --json`. The id contains no generated value.
    """

    id: str
    severity: Severity
    object: str
    message: str
    fix: str
    cause: str
    policies: tuple[str, ...] = ()

    @property
    def explanation(self) -> Explanation:
        """Its cause and its fix."""
        return Explanation(self.cause, self.fix, self.policies)


@dataclass(frozen=True)
class AuditCell:
    """The outcome of an action of a caller on a row; `whose` is own, group, other or none, seen by
    the caller.

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

    object: str
    access: Mapping[str, str]
    leaks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AuditedRelation:
    """A table or view of an audited database. `reachable`: requests can address it."""

    kind: str
    columns: frozenset[str]
    rls: bool
    reachable: bool


@dataclass(frozen=True)
class Audit:
    """The result of `audit`. `tables` is the number of tables that requests reach, `planted` of
    those with rows.

    `access` maps objects to callers to actions, and `functions` maps functions to roles, as a
    baseline records them. `explained` maps `object:caller:action` of wider access to its
    explanation. `callers` maps each caller to the SQL that makes the rest of a transaction
    its request. `locations` are those of `Verification`. `baseline` is the file that the access was
    compared with, if any. `relations` are the tables and views by name. `tested` maps (object,
    caller) to the kinds of actions that were tried with a certain outcome. `api_cells` is the
    number of cells that were also sent to an API, if one was given.
    """

    findings: tuple[AuditFinding, ...]
    cells: tuple[AuditCell, ...]
    summaries: tuple[AccessSummary, ...]
    not_tested: tuple[NotTested, ...]
    tables: int
    planted: int
    milliseconds: float
    access: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    explained: Mapping[str, Explanation] = field(default_factory=dict)
    database: str = ""
    callers: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, Location] = field(default_factory=dict)
    baseline: str = ""
    relations: Mapping[str, AuditedRelation] = field(default_factory=dict)
    tested: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    api_cells: int | None = None

    @property
    def ok(self) -> bool:
        """Whether no finding is an error, and everything was tested or its omission accepted."""
        return not any(f.severity is Severity.ERROR for f in self.findings) and not self.unchecked

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The objects that make the audit fail because they were not tested."""
        return tuple(item.object for item in self.not_tested if item.fails)


@dataclass(frozen=True)
class AccessChange:
    """A difference between two states of the migrations: an access, an object or a leak.

    `change`: wider or narrower (a caller may do an action, or may not any more), new or removed (an
    object, with the `access` of each caller to it), leak or closed (a leak that is new, or gone).
    `action` is a word of the baseline, such as `update(title)`, and `verb` its phrase in a
    sentence; '' for an object or a leak. `policies` are the names of the policies in the cause.
    """

    id: str
    severity: Severity
    change: str
    object: str
    caller: str
    action: str
    message: str
    cause: str = ""
    fix: str = ""
    access: Mapping[str, str] = field(default_factory=dict)
    verb: str = ""
    policies: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """The caller without the rows that its label may name."""
        return self.caller.removesuffix(f", {self.rows}")

    @property
    def rows(self) -> str:
        """Whose rows the label of the caller names: `own rows`, `rows of members`; '' if it names
        none.
        """
        return next(
            (rows for rows in ("own rows", "rows of members") if self.caller.endswith(f", {rows}")),
            "",
        )

    @property
    def target(self) -> str:
        """The object, with the rows that the label of the caller names."""
        return f"{self.object} ({self.rows})" if self.rows else self.object


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
class DriftFinding:
    """A difference between the catalogs of a database and those that its migrations create.

    `capture` is SQL that makes it part of the migrations, `restore` SQL that removes it from the
    database. `access` is what it changes in who can do what, seen from the migrations. `untried`
    says why the SQL was not tried with success on the embedded server, '' if it was. The field
    names are those of `drift --json`.
    """

    id: str
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


@dataclass(frozen=True)
class SuiteMutant:
    """A fault that a project's suite ran with.

    `state`: killed, survived, equivalent, untested (it may be equivalent), or rejected by the
    database.

    `object` is the table, view or function, and `kind` policies, privileges or functions.
    `sentence` says what no test fails for if it survived. `by` are the failed tests, or the error
    of the database. `tests` are the missing test for pytest and for pgTAP; `note` says why there is
    none, or why nothing could be tested.
    """

    id: str
    object: str
    kind: str
    sentence: str
    sql: str
    state: str
    by: tuple[str, ...] = ()
    seconds: float = 0.0
    tests: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class SuiteMutation:
    """The result of `mutate --run`. `selected` mutants were to run; those that are missing did not
    because of Ctrl-C.

    `derived` is the number of faults before `--sample`, and `seed` its seed. The suite took
    `suite_seconds` without a fault, and may take `timeout`.
    """

    mutants: tuple[SuiteMutant, ...]
    selected: int
    derived: int
    seed: int | None
    command: str
    suite_seconds: float
    timeout: float
    jobs: int
    seconds: float
    database: str = ""

    def of(self, *states: str) -> tuple[SuiteMutant, ...]:
        """The mutants in these states."""
        return tuple(m for m in self.mutants if m.state in states)

    @property
    def scored(self) -> tuple[SuiteMutant, ...]:
        """The mutants that count: killed and survived."""
        return self.of("killed", "survived")

    @property
    def survivors(self) -> tuple[SuiteMutant, ...]:
        """The mutants that no test has detected."""
        return self.of("survived")

    @property
    def ok(self) -> bool:
        """Whether every mutant ran, none survived, and the database accepted a fault."""
        return (
            not self.survivors and self.is_complete and len(self.of("rejected")) < len(self.mutants)
        )

    @property
    def is_complete(self) -> bool:
        """Whether every mutant ran."""
        return len(self.mutants) == self.selected
