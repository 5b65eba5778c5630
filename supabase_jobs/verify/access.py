"""Run the access matrix: every identity × action × target, as PostgREST would, judged by what happened.

Works for any declaration; knows no table. Expects to be called inside a transaction that is rolled back.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.findings import Case, Finding, Grid, Severity
from supabase_jobs.project import Promise
from supabase_jobs.verify import declaration
from supabase_jobs.verify.collected import Collected
from supabase_jobs.verify.declaration import NULL, Action, Declaration, Identity, Matrix, Row

AREA = "access"
WRITES = True

# everything by which a policy could recognise a caller; must be as at the start before every probe
_STATE = """
select
  current_user::text, current_setting('role'),
  coalesce(current_setting('request.jwt.claims', true), ''),
  coalesce(current_setting('request.jwt.claim.sub', true), ''),
  coalesce(current_setting('request.headers', true), '')
"""
_SET = "select set_config(%s, %s, true)"

# 42501 has two meanings; the C function that raised it tells them apart in every language of the server
_RAISED_BY_POLICY = "ExecWithCheckOptions"

# somebody else's lock, or a slow server: says nothing of who may do what
NOT_AN_ANSWER = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)

Params = Mapping[str, uuid.UUID | None]


@dataclass(frozen=True)
class _Run:
    """What stays the same through one run: the connection, its own role, the ids made for it."""

    connection: Connection
    ids: Mapping[str, uuid.UUID]
    texts: Mapping[str, str]
    state: tuple[str, ...]
    own_role: str


def check(connection: Connection, promise: Promise, result: Collected) -> None:
    """The area: the matrix of these sources, against this database."""
    if (file := result.declared(AREA, promise, declaration.DEFAULT_FILE)) is not None:
        run(connection, declaration.load(file), promise.variables, result)


def run(connection: Connection, declared: Declaration, variables: Mapping[str, object], result: Collected) -> None:
    """Try every cell of every matrix; one finding for each cell that is not as declared.

    `variables` fill the placeholders in headers that are not ids (`$guest_header`). Everything is
    undone by savepoints; the fixture rows stay until the caller rolls its transaction back.
    """
    if missing := declared.placeholders - set(variables):
        raise ConfigError(f"the access matrix uses ${min(missing)}, which is no id and no variable of the SQL sources")
    ids = {name: uuid.uuid4() for name in declared.ids}
    state = _one(connection.execute(_STATE))
    texts = {name: str(value) for name, value in {**variables, **ids}.items()}
    this = _Run(connection, ids, texts, state, state[1])
    # A setting that no identity of this session has made yet does not exist at all; that case differs
    # from an empty one, so the probes of the first identity come before the first set_config.
    if _planted(this, declared, result):
        for matrix in declared.matrices:
            _run_matrix(this, matrix, result)


def _planted(this: _Run, declared: Declaration, result: Collected) -> bool:
    params = _params(this, {name: name for name in declared.ids})
    try:
        with this.connection.transaction():
            for statement in declared.fixture:
                this.connection.execute(statement.encode(), params)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        why = f"planting the test rows failed with {error.sqlstate}: {error.diag.message_primary}"
        # a missing object is a fault of the schema; anything else (a trigger of the project's own on
        # auth.users, say) means that we do not know, and not knowing is never reported as passed
        if (error.sqlstate or "").startswith(("42", "3F")) and error.sqlstate != "42501":
            result.unchecked.append(AREA)
            result.findings.append(
                Finding(
                    id=f"{AREA}:fixture",
                    area=AREA,
                    severity=Severity.ERROR,
                    object="fixture",
                    message=f"access was not checked: {why}",
                    fix="Apply the migrations first (supabase-jobs apply).",
                )
            )
        else:
            result.not_checked(
                AREA,
                "fixture",
                why,
                "Let the connecting role insert into these tables; a trigger of the project's own may be in the way.",
                id=f"{AREA}:fixture",
            )
        return False
    return True


def _run_matrix(this: _Run, matrix: Matrix, result: Collected) -> None:
    cells, wrong = [], set()
    controls: dict[tuple[object, ...], str | None] = {}
    for r, row in enumerate(matrix.rows):
        params = _params(this, row.binds)
        seen = []
        for c, action in enumerate(matrix.actions):
            outcome = probe(this, row, action, params)
            seen.append(outcome)
            result.cases.append(Case(_id(matrix, row, action), AREA, matrix.title, f"{row.label}: {action.name}"))
            if outcome != row.expected[action.name]:
                wrong.add((r, c))
                result.findings.append(_deviation(matrix, row, action, outcome))
            elif outcome in ("hidden", "denied"):
                key = (action.name, *sorted(row.binds.items()))
                if key not in controls:
                    controls[key] = _control(this, action, params)
                if (reason := controls[key]) is not None:
                    wrong.add((r, c))
                    result.findings.append(_empty(matrix, row, action, outcome, reason))
        cells.append(tuple(seen))
    result.grids.append(
        Grid(
            matrix.title,
            tuple(a.name for a in matrix.actions),
            tuple(row.label for row in matrix.rows),
            tuple(cells),
            frozenset(wrong),
        )
    )


def probe(this: _Run, row: Row, action: Action, params: Params) -> str:
    """The outcome of one action as one identity; undone before this returns."""
    outcome = "rows"
    try:
        with this.connection.transaction(force_rollback=True):
            _become(this, row.identity)
            if action.allowed_if and _one(this.connection.execute(action.allowed_if.encode(), params))[0]:
                return outcome
            count = _affected(this.connection.execute(action.sql.encode(), params))
            if action.reached is not None and (action.bound is None or count < action.bound):
                this.connection.execute(_SET, ("role", this.own_role))
                count = _affected(this.connection.execute(action.reached.encode(), params))
            outcome = "rows" if count else "hidden"
    except NOT_AN_ANSWER:
        raise
    except psycopg.errors.InsufficientPrivilege as error:
        return "violates" if error.diag.source_function == _RAISED_BY_POLICY else "denied"
    except psycopg.Error as error:
        if this.connection.broken:
            raise
        return error.sqlstate or "error"
    return outcome


def _become(this: _Run, identity: Identity) -> None:
    if (now := _one(this.connection.execute(_STATE))) != this.state:
        raise SupabaseJobsError(f"role, claims or headers were left over from an earlier probe: {now}")
    with this.connection.pipeline():
        for name, text in identity.settings_for(this.texts).items():
            this.connection.execute(_SET, (name, text))
        this.connection.execute(_SET, ("role", identity.role))
        now = _one(this.connection.execute("select current_user::text"))
    if now[0] != identity.role:
        raise SupabaseJobsError(f"could not take on the role {identity.role}: still {now[0]}")


def _control(this: _Run, action: Action, params: Params) -> str | None:
    """None where the same statement as the owner finds its target; else why it did not."""
    try:
        with this.connection.transaction(force_rollback=True):
            if _affected(this.connection.execute((action.control or action.sql).encode(), params)):
                return None
            return "finds nothing either"
    except NOT_AN_ANSWER:
        raise
    except psycopg.Error as error:
        if this.connection.broken:
            raise
        return f"fails with {error.sqlstate}: {error.diag.message_primary}"


def _params(this: _Run, binds: Mapping[str, str]) -> Params:
    return {name: None if bind == NULL else this.ids[bind] for name, bind in binds.items()}


def _affected(cursor: psycopg.Cursor[Any]) -> int:
    return max(cursor.rowcount, 0)


def _one(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101  a select without FROM has one row
    return tuple(row)


def _id(matrix: Matrix, row: Row, action: Action) -> str:
    return f"{AREA}:{matrix.title}:{row.label}:{action.name}"


def _deviation(matrix: Matrix, row: Row, action: Action, outcome: str) -> Finding:
    expected = row.expected[action.name]
    return Finding(
        id=_id(matrix, row, action),
        area=AREA,
        severity=Severity.ERROR,
        object=matrix.title,
        message=f"{row.label}: {action.name} should be {expected} and is {outcome}",
        fix=_FIXES.get(expected, "The constraint that should refuse this is missing or changed.")
        + " `verify --only structure` names the object that differs.",
    )


def _empty(matrix: Matrix, row: Row, action: Action, outcome: str, reason: str) -> Finding:
    return Finding(
        id=_id(matrix, row, action),
        area=AREA,
        severity=Severity.ERROR,
        object=matrix.title,
        message=f"{row.label}: {action.name} is {outcome}, but that proves nothing: as the owner it {reason}",
        fix="Connect as the owner of the tables (postgres), so that the target row can be found.",
    )


_FIXES = {
    "rows": "A grant or a policy that should allow this is missing, or asks for something else.",
    "hidden": "A policy's USING lets this through, or row level security is off.",
    "denied": "A privilege is granted that should not be, or a function has lost its own check.",
    "violates": "A policy's WITH CHECK lets this through, or row level security is off.",
}
