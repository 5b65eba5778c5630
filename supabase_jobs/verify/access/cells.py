"""Run every cell of an access matrix, and judge its outcome against the declared one."""

from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from supabase_jobs.findings import Case, Finding, Grid, Severity
from supabase_jobs.outcomes import OUTCOMES
from supabase_jobs.verify import script
from supabase_jobs.verify.access import AREA, probe
from supabase_jobs.verify.access.matrix import Action, Matrix, MatrixRow
from supabase_jobs.verify.context import Context, EquivalenceCheck
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import Impersonation, Names

_FIXES = {
    "rows": "A grant or a policy that should allow this is missing or has another condition.",
    "hidden": "The USING expression of a policy allows this, or row level security is disabled.",
    "denied": "A role has a privilege that it should not have, or a function has lost its own check.",
    "violates": "The WITH CHECK expression of a policy allows this, or row level security is disabled.",
}
_FIX_CONSTRAINT = "The constraint that should refuse this is missing or changed."
_FIX_CONTROL = "Connect as the owner of the tables (postgres), so that the control statement can find the target row."


@dataclass(frozen=True)
class Cell:
    """One action of one row of a matrix."""

    matrix: Matrix
    row: MatrixRow
    action: Action

    @property
    def id(self) -> str:
        """The id of its case and of its finding."""
        return f"{AREA}:{self.matrix.title}:{self.row.label}:{self.action.name}"

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
        return Case(self.id, AREA, self.matrix.object, self.name, lambda: self._script(names))

    def _script(self, names: Names) -> str:
        meaning = f" ({OUTCOMES[self.expected]})" if self.expected in OUTCOMES else ""
        return script.probe(
            (self.name, f"expected outcome: {self.expected}{meaning}"),
            _identity_sql(names, self.row.identity),
            self.action.sql,
            script.quoted(names.params(self.row.binds)),
            guard=self.action.unrestricted_if,
            owner=names.own_role,
            reached=self.action.reached,
        )


def _identity_sql(names: Names, identity: Identity) -> str:
    settings = script.identity(identity.role, identity.settings_for(names.texts))
    if identity.previous is None:
        return settings
    previous = script.identity(identity.previous.role, identity.previous.settings_for(names.texts))
    reset = script.setting({"role": names.own_role})
    statement = script.filled(identity.previous_statement, None)
    return f"-- The same connection served this identity before:\n{previous}{statement}{reset}{settings}"


def run_matrix(impersonation: Impersonation, matrix: Matrix, managed: Collection[str], context: Context) -> None:
    """Run every cell of a matrix; add its grid, and a finding for each cell whose outcome is not the declared one."""
    outcomes: list[tuple[str, ...]] = []
    mismatches: set[tuple[int, int]] = set()
    unrestricted: dict[tuple[str, str], bool] = {}
    for r, row in enumerate(matrix.rows):
        context.check_deadline()
        results = _run_row(impersonation, matrix, row, unrestricted)
        outcomes.append(tuple(outcome for outcome, _ in results))
        for c, (action, (outcome, error)) in enumerate(zip(matrix.actions, results, strict=True)):
            cell = Cell(matrix, row, action)
            context.probed.add(EquivalenceCheck(matrix.object, row.identity.role, action.command))
            if not context.repeated:
                context.cases.append(cell.case(impersonation))
            if not judge_cell(impersonation, cell, outcome, error, managed, context):
                mismatches.add((r, c))
    mismatches |= _run_controls(impersonation, matrix, outcomes, mismatches, managed, context)
    context.grids.append(
        Grid(
            matrix.title,
            tuple(action.name for action in matrix.actions),
            tuple(row.label for row in matrix.rows),
            tuple(outcomes),
            frozenset(mismatches),
        )
    )


def _run_row(
    impersonation: Impersonation, matrix: Matrix, row: MatrixRow, unrestricted: dict[tuple[str, str], bool]
) -> list[tuple[str, psycopg.Error | None]]:
    """The outcome of each action of a row, and its error if it failed.

    `unrestricted` caches which actions reach every row as which role. Those actions are not run.
    """
    params = impersonation.params(row.binds)
    if (failed := probe.set_identity(impersonation, row.identity)) is not None:
        return [(failed, None)] * len(matrix.actions)
    for action in matrix.actions:
        key = (action.name, row.identity.role)
        if action.unrestricted_if is not None and key not in unrestricted:
            unrestricted[key] = probe.is_unrestricted(impersonation, action.unrestricted_if, params)
    known = {action.name: "rows" for action in matrix.actions if unrestricted.get((action.name, row.identity.role))}
    # actions that should not fail are sent together
    together = [a for a in matrix.actions if a.name not in known and row.expected[a.name] in ("rows", "hidden")]
    if (outcomes := probe.run_together(impersonation, together, params)) is not None:
        known |= {action.name: outcome for action, outcome in zip(together, outcomes, strict=True)}
    return [
        (known[action.name], None) if action.name in known else probe.run(impersonation, action, params)
        for action in matrix.actions
    ]


def judge_cell(
    impersonation: Impersonation,
    cell: Cell,
    outcome: str,
    error: psycopg.Error | None,
    managed: Collection[str],
    context: Context,
) -> bool:
    """Compare the outcome of a cell with the declared one. Report a deviation; return whether they are equal.

    If a user object stopped the statement, the cell is unchecked, provided that the statement was expected to reach its
    target or a constraint, or that it may have failed on rows other than its target. If policies or privileges should
    have refused the statement before, its failure is an error.
    """
    expected = cell.expected
    if outcome == expected:
        return True
    if error is not None and (expected == "rows" or expected.startswith("23") or cell.action.reached is not None):
        conflict = probe.user_object_conflict(impersonation, error, managed)
        if conflict is not None:
            context.mark_unchecked(AREA, cell.matrix.object, f"{cell.name}: {conflict.why}", conflict.fix, id=cell.id)
            return False
    message = f"{cell.name} should be {expected} and is {outcome}"
    fix = f"{_FIXES.get(expected, _FIX_CONSTRAINT)} `verify --only structure` names the object that differs."
    context.findings.append(Finding(cell.id, AREA, Severity.ERROR, cell.matrix.object, message, fix))
    return False


def _run_controls(
    impersonation: Impersonation,
    matrix: Matrix,
    outcomes: list[tuple[str, ...]],
    mismatches: set[tuple[int, int]],
    managed: Collection[str],
    context: Context,
) -> set[tuple[int, int]]:
    """Run the control statement of each cell that is `hidden` or `denied` as declared; return the cells that fail it.

    Such an outcome proves something only if the owner can reach the target row.
    """
    failed = set()
    failures: dict[tuple[object, ...], str | None] = {}
    for r, row in enumerate(matrix.rows):
        for c, action in enumerate(matrix.actions):
            outcome = outcomes[r][c]
            if outcome not in ("hidden", "denied") or (r, c) in mismatches:
                continue
            target = (action.name, *((name, row.binds[name]) for name in action.target))
            if target not in failures:
                context.check_deadline()
                params = impersonation.params(row.binds)
                failures[target] = probe.control_failure(impersonation, action, params, managed)
            if (failure := failures[target]) is not None:
                failed.add((r, c))
                cell = Cell(matrix, row, action)
                message = f"{cell.name} is {outcome}, but this proves nothing: as the owner, the statement {failure}"
                context.findings.append(Finding(cell.id, AREA, Severity.ERROR, matrix.object, message, _FIX_CONTROL))
    return failed
