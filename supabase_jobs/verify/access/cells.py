"""Run every cell of an access matrix, and judge its outcome against the declared one."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import psycopg

from supabase_jobs.database.errors import public_message, raising_function
from supabase_jobs.findings import Case, Finding, Grid, Id, Severity
from supabase_jobs.outcomes import (
    CLOSED,
    DENIED,
    HIDDEN,
    OUTCOMES,
    REFUSALS,
    ROWS,
    VIOLATES,
    is_constraint_violation,
)
from supabase_jobs.session import script
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import NULL, Impersonation, Names
from supabase_jobs.session.runner import ONLY_PROBES
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import DeclaredAction, Matrix, MatrixRow
from supabase_jobs.verify.access.probe import ControlProbe, GuardProbe, Prober, RowProbe
from supabase_jobs.verify.allowed import narrowing
from supabase_jobs.verify.context import Context, EquivalenceCheck, Trace
from supabase_jobs.verify.ownership import UserObjectConflict

_FIXES = {
    ROWS: "A grant or a policy that should allow this is missing or has another condition.",
    HIDDEN: "The USING expression of a policy allows this, or row level security is disabled.",
    DENIED: "A role has a privilege that it should not have, or a function has lost its own check.",
    VIOLATES: "The WITH CHECK expression of a policy allows this, or row level security is"
    " disabled.",
}
_FIX_CONSTRAINT = "The constraint or trigger that should refuse this is missing or changed."
_FIX_CONTROL = (
    "Connect as the owner of the tables (postgres), so that the control"
    " statement can find the target row."
)

_FIX_LEGACY = "Nothing to fix with PostgREST 12 or newer, which makes one setting of all claims."

# of a cell that needs a row which the project refuses
NOT_RUN = "not run"

_WITHOUT_ERROR = (ROWS, HIDDEN)
_NEEDS_CONTROL = (HIDDEN, DENIED)
# the deadline holds between round trips, and each row of one is small
_CHUNK_CELLS = 200

_Row = tuple["_MatrixRun", int]  # a matrix and the number of a row
_Target = tuple[object, ...]


@dataclass(frozen=True)
class Cell:
    """One action of one row of a matrix."""

    matrix: Matrix
    row: MatrixRow
    action: DeclaredAction

    @property
    def id(self) -> Id:
        """The id of its case and of its finding."""
        return Id(AREA, self.matrix.title, self.row.label, self.action.name)

    @property
    def name(self) -> str:
        """Its row and its action: `guest, its own job: update`."""
        return f"{self.row.label}: {self.action.name}"

    @property
    def expected(self) -> str:
        """The declared outcome."""
        return self.row.expected[self.action.name]

    def case(self, names: Names) -> Case:
        """Its case, with the script that repeats it."""
        return Case(
            id=self.id,
            area=AREA,
            object=self.matrix.object,
            name=self.name,
            script=lambda: self._script(names),
        )

    def finding(self, message: str, fix: str, severity: Severity = Severity.ERROR) -> Finding:
        """A finding about it."""
        return Finding(
            id=self.id,
            area=AREA,
            severity=severity,
            object=self.matrix.object,
            message=message,
            fix=fix,
        )

    def trace(self, outcome: str, error: psycopg.Error | None) -> Trace:
        """The statements and privileges that its outcome depends on."""
        of = Trace(statements=(self.action.sql,), expected=self.expected, actual=outcome)
        if served := self.row.served:  # whose statement may have failed
            return replace(of, statements=(served[-1].statement, self.action.sql))
        raised = "" if error is None else public_message(error)
        role, command = self.row.identity.role, self.action.command
        return replace(of, role=role, command=command, raised=raised)

    def _script(self, names: Names) -> str:
        meaning = f" ({OUTCOMES[self.expected]})" if self.expected in OUTCOMES else ""
        about = [self.name, f"expected outcome: {self.expected}{meaning}"]
        if errors := self.action.row_limit_errors:
            about.append(f"an error {' or '.join(errors)} is the outcome {ROWS}")
        return script.probe(
            about,
            _identity_sql(names, self.row.filled(names.texts)),
            self.action.sql,
            script.quoted(names.params(self.row.binds)),
            guard=self.action.unrestricted_if,
            owner=names.own_role,
            deferred=bool(names.deferred),
            reached=self.action.reached,
        )


def _identity_sql(names: Names, row: MatrixRow) -> str:
    """The statements that make the caller of a row, whose placeholders are replaced."""
    before = "".join(
        f"-- The same connection served this identity before:\n{script.caller(served.caller)}"
        f"{script.filled(served.statement, None)}{script.setting({'role': names.own_role})}"
        for served in row.served
    )
    return before + script.caller(row.identity)


def run_matrices(
    impersonation: Impersonation,
    matrices: Sequence[Matrix],
    managed: Collection[str],
    context: Context,
    frame: Frame = ONLY_PROBES,
) -> None:
    """Run every cell; add the grid of each matrix, and a finding for each cell whose outcome is not
    the declared one.

    A run that may stop does so between two chunks of rows; the rows of a chunk share a round trip.
    """
    prober = Prober(impersonation, context.deadline, frame)
    runs = [_MatrixRun(prober, impersonation, matrix, managed, context) for matrix in matrices]
    rows = [(run, number) for run in runs for number in range(len(run.probes))]
    # A request setting that was never made in this session is null, and differs from an empty one.
    # So the rows at the beginning whose identities make no settings are complete before the next
    # row makes some.
    first = list(takewhile(lambda row: not row[0].makes_settings(row[1]), rows))
    for part in filter(None, (first, rows[len(first) :])):
        if context.should_stop:
            return
        _find_unrestricted(prober, part)
        for chunk in _chunks(part) if context.repeated else [part]:
            if context.should_stop:
                return
            controls = [control for run, number in chunk for control in run.add_controls(number)]
            try:
                prober.run([*(run.probes[number] for run, number in chunk), *controls])
            finally:
                if not impersonation.connection.broken:
                    for run, number in chunk:
                        run.judge_row(number)
            for run in dict.fromkeys(run for run, _ in chunk):
                run.finish()


def _chunks(rows: Sequence["_Row"]) -> Iterator[list["_Row"]]:
    """Split rows into chunks with a limited number of cells."""
    chunk: list[_Row] = []
    cells = 0
    for run, number in rows:
        if chunk and cells + len(run.matrix.actions) > _CHUNK_CELLS:
            yield chunk
            chunk, cells = [], 0
        chunk.append((run, number))
        cells += len(run.matrix.actions)
    if chunk:
        yield chunk


def _find_unrestricted(prober: Prober, rows: Sequence["_Row"]) -> None:
    """Run the `unrestricted_if` queries, once for each role. The actions that reach every row are
    not run.
    """
    guards: dict[tuple[_MatrixRun, str], GuardProbe] = {}
    for run, number in rows:
        role = run.matrix.rows[number].identity.role
        if run.guarded and role not in run.unrestricted and (run, role) not in guards:
            guards[run, role] = run.guard_probe(number)
    prober.run(list(guards.values()))
    for (run, role), guard in guards.items():
        answers = zip(run.guarded, guard.answers, strict=True)
        run.unrestricted[role] = {action.name for action, reaches_all in answers if reaches_all}
    for run, number in rows:
        for name in run.unrestricted.get(run.matrix.rows[number].identity.role, ()):
            run.probes[number].results.setdefault(name, (ROWS, None))


class _MatrixRun:
    """A matrix while it runs: the probes of its rows, the controls of its cells, and the mismatches
    so far.

    `guarded` are the actions with an `unrestricted_if` query, `unrestricted` the names of those
    that reach every row as a role.
    """

    def __init__(
        self,
        prober: Prober,
        impersonation: Impersonation,
        matrix: Matrix,
        managed: Collection[str],
        context: Context,
    ) -> None:
        self._prober = prober
        self._impersonation = impersonation
        self._managed = managed
        self._context = context
        self.matrix = matrix
        literals = {**script.quoted(impersonation.ids), NULL: script.literal(None)}
        self._literals: list[dict[str, str]] = []
        self.probes: list[RowProbe] = []
        for row in matrix.rows:
            values = {name: literals[bind] for name, bind in row.binds.items()}
            together = {name for name, e in row.expected.items() if e in _WITHOUT_ERROR}
            filled = row.filled(impersonation.texts)
            self._literals.append(values)
            probe = RowProbe(row=filled, actions=matrix.actions, literals=values, together=together)
            for label, name in matrix.not_run:
                if label == row.label:
                    probe.results[name] = (NOT_RUN, None)
            self.probes.append(probe)
        self.guarded = [action for action in matrix.actions if action.unrestricted_if is not None]
        self.unrestricted: dict[str, set[str]] = {}
        self._controls: dict[_Target, ControlProbe] = {}
        self._judged: set[int] = set()
        self._mismatches: set[tuple[int, int]] = set()

    def makes_settings(self, number: int) -> bool:
        """Whether the identity of a row makes request settings."""
        row = self.matrix.rows[number]
        return bool(row.served or row.identity.all_settings())

    def guard_probe(self, number: int) -> GuardProbe:
        """The `unrestricted_if` queries, run as the identity of a row."""
        queries = [
            a.unrestricted_if % self._literals[number]
            for a in self.guarded
            if a.unrestricted_if is not None
        ]
        identity = self.matrix.rows[number].identity
        return GuardProbe(identity.filled(self._impersonation.texts), queries)

    def add_controls(self, number: int) -> Iterator[ControlProbe]:
        """The controls that a row needs and no row before it, if its outcomes are the declared
        ones.
        """
        row = self.matrix.rows[number]
        for action in self.matrix.actions:
            target = _target(row, action)
            if (row.label, action.name) in self.matrix.not_run:
                continue
            if row.expected[action.name] in _NEEDS_CONTROL and target not in self._controls:
                control = ControlProbe((action.control or action.sql) % self._literals[number])
                self._controls[target] = control
                yield control

    def judge_row(self, number: int) -> None:
        """Judge every cell of a row, if it is complete."""
        probe, row = self.probes[number], self.matrix.rows[number]
        if not probe.complete:
            return
        self._judged.add(number)
        for c, action in enumerate(self.matrix.actions):
            cell = Cell(self.matrix, row, action)
            outcome, error = probe.results[action.name]
            if outcome == NOT_RUN:
                continue
            self._context.equivalence.probed.add(
                EquivalenceCheck(self.matrix.object, row.identity.role, action.command)
            )
            if not self._context.repeated:
                self._context.cases.append(cell.case(self._impersonation))
            if not _judge_cell(self._prober, cell, outcome, error, self._managed, self._context):
                self._mismatches.add((number, c))

    def finish(self) -> None:
        """Once every row is judged, judge the controls and add the grid."""
        rows = self.matrix.rows
        if len(self._judged) < len(rows):
            return
        self._mismatches |= self._judge_controls()
        names = [action.name for action in self.matrix.actions]
        outcomes = tuple(probe.outcomes(names) for probe in self.probes)
        self._context.grids.append(
            Grid(
                title=self.matrix.title,
                columns=tuple(names),
                rows=tuple(row.label for row in rows),
                cells=outcomes,
                mismatches=frozenset(self._mismatches),
            )
        )

    def _judge_controls(self) -> set[tuple[int, int]]:
        """Judge the control of each cell that is `hidden` or `denied` as declared; return the cells
        that fail it.

        Such an outcome proves something only if the owner can reach the target row.
        """
        failed = set()
        failures: dict[_Target, str | None] = {}
        for r, row in enumerate(self.matrix.rows):
            for c, action in enumerate(self.matrix.actions):
                outcome, _ = self.probes[r].results[action.name]
                if outcome not in _NEEDS_CONTROL or (r, c) in self._mismatches:
                    continue
                target = _target(row, action)
                if target not in failures:
                    failures[target] = self._prober.control_failure(
                        self._controls[target], self._managed
                    )
                if (failure := failures[target]) is not None:
                    failed.add((r, c))
                    cell = Cell(self.matrix, row, action)
                    message = (
                        f"{cell.name} is {outcome}, but this proves nothing: as the"
                        f" owner, the statement {failure}"
                    )
                    self._context.findings.append(cell.finding(message, _FIX_CONTROL))
                    self._context.evidence.traces[cell.id] = Trace(
                        statements=(action.control or action.sql,)
                    )
        return failed


def _target(row: MatrixRow, action: DeclaredAction) -> "_Target":
    """The key of the control statement of a cell: the action, and the ids of its parameters."""
    return (action.name, *((name, row.binds[name]) for name in action.target))


def _raised(error: psycopg.Error | None) -> str | None:
    """The hint for an exception that a function raises, with the place; None for another error."""
    if (
        error is None
        or not isinstance(error, psycopg.errors.RaiseException)
        or not error.diag.context
    ):
        return None
    place = raising_function(error) or error.diag.context.splitlines()[0]
    return f"Look at {place}, which raised: {public_message(error)}"


def _judge_cell(
    prober: Prober,
    cell: Cell,
    outcome: str,
    error: psycopg.Error | None,
    managed: Collection[str],
    context: Context,
) -> bool:
    """Compare the outcome of a cell with the declared one. Report a deviation; return whether they
    are equal.

    If a user object stopped the statement, the cell is unchecked, provided that the statement was
    expected to reach its target or a constraint, or that it may have failed on rows other than its
    target. If policies or privileges should have refused the statement before, its failure is an
    error, unless a user trigger refuses it as they would.
    """
    expected = cell.expected
    if outcome == expected:
        return True
    if error is not None and (
        expected == ROWS or is_constraint_violation(expected) or cell.action.reached is not None
    ):
        conflict = prober.conflict(error, managed)
        if conflict is not None:
            _add_conflict(cell, outcome, error, conflict, context)
            return False
    message = f"{cell.name} should be {expected} and is {outcome}"
    if {expected, outcome} <= {*REFUSALS} and error is not None:
        refusing = prober.trigger_conflict(error, managed)
        if refusing is not None:
            message = f"{message}: {refusing.why}, before the policy does"
            context.findings.append(cell.finding(message, refusing.fix, Severity.INFO))
            return False
    table = cell.matrix.object if cell.matrix.object in managed else None
    role, command = cell.row.identity.role, cell.action.command
    if policy := narrowing.of_cell(context, table, role, command, expected, outcome):
        message = f"{message}: {policy.explanation}"
        context.findings.append(cell.finding(message, narrowing.FIX, Severity.INFO))
        return False
    if outcome in CLOSED and prober.ignores_legacy_settings(cell.row.identity):
        message = (
            f"{message}: auth.uid() ignores the settings of older versions of"
            " PostgREST, so this caller is nobody"
        )
        context.findings.append(cell.finding(message, _FIX_LEGACY, Severity.INFO))
        return False
    if context.allowed.narrowings_unknown:
        context.equivalence.needed[cell.id] = []
    fix = _raised(error) or _FIXES.get(expected, _FIX_CONSTRAINT)
    context.findings.append(cell.finding(message, fix))
    context.evidence.traces[cell.id] = cell.trace(outcome, error)
    return False


def _add_conflict(
    cell: Cell, outcome: str, error: psycopg.Error, conflict: UserObjectConflict, context: Context
) -> None:
    """Report a cell that a user object stopped: an error if it stops a managed function, a row
    because of one of another owner, or whatever a request inserts.
    """
    message = f"{cell.name}: {conflict.why}"
    action = cell.action
    refuses_every = action.command == "insert" and conflict.refuses_every(action.sql)
    if refuses_every:
        why = "no row of today has a place" if conflict.of_now else "no column of a request decides"
        message = f"{message}, which refuses every insert: {why}"
    if conflict.severity is not Severity.ERROR and not refuses_every:
        context.mark_unchecked(
            AREA,
            cell.matrix.object,
            message,
            conflict.fix,
            id=cell.id,
            refusing=conflict.texts,
        )
        return
    context.refusing += conflict.texts
    context.findings.append(cell.finding(message, conflict.fix))
    context.evidence.traces[cell.id] = cell.trace(outcome, error)
