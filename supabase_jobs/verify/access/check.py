"""Run the access matrix: every identity × action × target, as PostgREST would, judged by what happened.

Works for any declaration; knows no table. Expects to be called inside a transaction that is rolled back.
"""

from collections.abc import Collection, Mapping

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Case, Finding, Grid, Severity
from supabase_jobs.verify import ownership, script
from supabase_jobs.verify.access import AREA, declaration, privileges, probe
from supabase_jobs.verify.access.declaration import Action, Declaration, Matrix, MatrixRow
from supabase_jobs.verify.context import Context, EquivalenceCheck
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import Impersonation, Names, begin, insert_fixture, make_names


def check(connection: Connection, expectations: Expectations, result: Context) -> None:
    """The area: the matrix of these sources, against this database."""
    if (file := result.declaration_file(AREA, expectations, declaration.FILE_NAME)) is None:
        return
    declared = declaration.load(file)
    tables = {table for table, _, _ in declared.privileges} | ownership.managed_relations(file)
    privileges.check(connection, AREA, declared, tables, expectations, result)
    run(connection, declared, expectations.variables, result, ownership.managed_objects(file))


def declared_cases(expectations: Expectations, result: Context) -> None:
    """The cases, without a database."""
    if (file := result.declaration_file(AREA, expectations, declaration.FILE_NAME)) is not None:
        declared = declaration.load(file)
        names = make_names(AREA, declared.ids, declared.placeholders, expectations.variables)
        result.preambles[AREA] = _opening(declared, names)
        result.cases += [
            _case(matrix, row, action, names)
            for matrix in declared.matrices
            for row in matrix.rows
            for action in matrix.actions
        ]


def run(
    connection: Connection,
    declared: Declaration,
    variables: Mapping[str, object],
    result: Context,
    ours: Collection[str] = (),
) -> None:
    """Try every cell of every matrix; one finding for each cell that is not as declared.

    `variables` fill the placeholders in headers that are not ids (`$guest_header`). A cell that should reach its
    target, or a constraint, and is stopped by a table or a constraint that is not among `ours`, is not checked.
    Everything is undone by savepoints; the fixture rows stay until the caller rolls its transaction back.
    """
    session = begin(connection, AREA, declared.ids, declared.placeholders, variables)
    # A setting that no identity of this session has made yet does not exist at all; that case differs
    # from an empty one, so the probes of the first identity come before the first set_config.
    result.preambles[AREA] = _opening(declared, session)
    if insert_fixture(session, AREA, declared.fixture, result, ours):
        with probe.begun(session):
            for matrix in declared.matrices:
                if result.should_stop:
                    break
                _run_matrix(session, matrix, ours, result)
        wrong = {f.object for f in result.findings if f.area == AREA}
        result.matching |= {matrix.object for matrix in declared.matrices} - wrong


def _run_matrix(session: Impersonation, matrix: Matrix, ours: Collection[str], result: Context) -> None:
    cells, wrong = [], set()
    unreached: list[tuple[int, int, str]] = []
    allowed: dict[tuple[str, str], bool] = {}
    for r, row in enumerate(matrix.rows):
        result.check_deadline()
        seen = _run_row(session, matrix, row, allowed)
        cells.append(tuple(outcome for outcome, _ in seen))
        for c, (action, (outcome, cause)) in enumerate(zip(matrix.actions, seen, strict=True)):
            result.probed.add(EquivalenceCheck(matrix.object, row.identity.role, action.command))
            if not result.repeated:
                result.cases.append(_case(matrix, row, action, session))
            if outcome != row.expected[action.name]:
                wrong.add((r, c))
                _differs(session, matrix, row, action, outcome, cause, ours, result)
            elif outcome in ("hidden", "denied"):
                unreached.append((r, c, outcome))
    controls: dict[tuple[object, ...], str | None] = {}
    for r, c, outcome in unreached:
        row, action = matrix.rows[r], matrix.actions[c]
        target = (action.name, *((name, row.binds[name]) for name in action.target))
        if target not in controls:
            result.check_deadline()
            controls[target] = probe.control(session, action, session.params(row.binds), ours)
        if (reason := controls[target]) is not None:
            wrong.add((r, c))
            result.findings.append(_empty(matrix, row, action, outcome, reason))
    result.grids.append(
        Grid(
            matrix.title,
            tuple(a.name for a in matrix.actions),
            tuple(row.label for row in matrix.rows),
            tuple(cells),
            frozenset(wrong),
        )
    )


def _run_row(
    session: Impersonation, matrix: Matrix, row: MatrixRow, allowed: dict[tuple[str, str], bool]
) -> list[tuple[str, psycopg.Error | None]]:
    """The outcome of each action of a row, and its error.

    `allowed` keeps which actions reach every row as which role: those are not run.
    """
    params = session.params(row.binds)
    if (failed := probe.take_on(session, row.identity)) is not None:
        return [(failed, None)] * len(matrix.actions)
    for action in matrix.actions:
        key = (action.name, row.identity.role)
        if action.allowed_if is not None and key not in allowed:
            allowed[key] = probe.allowed(session, action.allowed_if, params)
    known = {action.name: "rows" for action in matrix.actions if allowed.get((action.name, row.identity.role))}
    harmless = [a for a in matrix.actions if a.name not in known and row.expected[a.name] in ("rows", "hidden")]
    if (outcomes := probe.probe_together(session, harmless, params)) is not None:
        known |= {action.name: outcome for action, outcome in zip(harmless, outcomes, strict=True)}
    return [
        (known[action.name], None) if action.name in known else probe.probe(session, action, params)
        for action in matrix.actions
    ]


def _opening(declared: Declaration, names: Names) -> str:
    return script.preamble(
        "The access matrix: who may do what to whose rows.", declared.fixture, script.quoted(names.ids)
    )


def _becoming(names: Names, identity: Identity) -> str:
    settings = script.identity(identity.role, identity.settings_for(names.texts))
    if identity.previous is None:
        return settings
    before = script.identity(identity.previous.role, identity.previous.settings_for(names.texts))
    back = f"{script.filled(identity.previous_statement, None)}{script.setting({'role': names.own_role})}"
    return f"-- Served just before, on the same connection:\n{before}{back}{settings}"


def _case(matrix: Matrix, row: MatrixRow, action: Action, names: Names) -> Case:
    name = f"{row.label}: {action.name}"
    return Case(_id(matrix, row, action), AREA, matrix.object, name, lambda: _script(name, row, action, names))


def _script(name: str, row: MatrixRow, action: Action, names: Names) -> str:
    expected = row.expected[action.name]
    return script.probe(
        (name, f"declared: {_MEANING.get(expected, f'error {expected}')}"),
        _becoming(names, row.identity),
        action.sql,
        script.quoted(names.params(row.binds)),
        guard=action.allowed_if,
        owner=names.own_role,
        reached=action.reached,
    )


def _id(matrix: Matrix, row: MatrixRow, action: Action) -> str:
    return f"{AREA}:{matrix.title}:{row.label}:{action.name}"


def _differs(
    session: Impersonation,
    matrix: Matrix,
    row: MatrixRow,
    action: Action,
    outcome: str,
    cause: psycopg.Error | None,
    ours: Collection[str],
    result: Context,
) -> None:
    """Report a cell that is not as declared.

    A table or a constraint of the project's own says nothing of ours where it stops what should be done, or come as far
    as a constraint, or what may have reached other rows than its target. What a policy or a privilege should have
    refused and has come so far is an error, whatever stops it then.
    """
    expected = row.expected[action.name]
    if cause is not None and (expected == "rows" or expected.startswith("23") or action.reached is not None):
        found = probe.user_object_conflict(session, cause, ours)
        if found is not None:
            why = f"{row.label}: {action.name}: {found.why}"
            result.mark_unchecked(AREA, matrix.object, why, found.fix, id=_id(matrix, row, action))
            return
    result.findings.append(_deviation(matrix, row, action, outcome))


def _deviation(matrix: Matrix, row: MatrixRow, action: Action, outcome: str) -> Finding:
    expected = row.expected[action.name]
    return Finding(
        id=_id(matrix, row, action),
        area=AREA,
        severity=Severity.ERROR,
        object=matrix.object,
        message=f"{row.label}: {action.name} should be {expected} and is {outcome}",
        fix=_FIXES.get(expected, "The constraint that should refuse this is missing or changed.")
        + " `verify --only structure` names the object that differs.",
    )


def _empty(matrix: Matrix, row: MatrixRow, action: Action, outcome: str, reason: str) -> Finding:
    return Finding(
        id=_id(matrix, row, action),
        area=AREA,
        severity=Severity.ERROR,
        object=matrix.object,
        message=f"{row.label}: {action.name} is {outcome}, but that proves nothing: as the owner it {reason}",
        fix="Connect as the owner of the tables (postgres), so that the target row can be found.",
    )


_MEANING = {
    "rows": "rows (it reaches its target)",
    "hidden": "hidden (it runs and reaches nothing)",
    "denied": "denied (error 42501: no grant, or a function that refuses)",
    "violates": "violates (error 42501: a policy refuses the new row)",
}

_FIXES = {
    "rows": "A grant or a policy that should allow this is missing, or asks for something else.",
    "hidden": "A policy's USING lets this through, or row level security is off.",
    "denied": "A privilege is granted that should not be, or a function has lost its own check.",
    "violates": "A policy's WITH CHECK lets this through, or row level security is off.",
}
