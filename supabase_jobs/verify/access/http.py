"""Repeat the access matrix through the API, and compare the outcomes with those of SQL.

What a request writes is committed. So every id of a run is marked, and the same in each run. The
rows with these ids are deleted after each request that wrote, at the end of the run also after an
error, and at the start of the next run.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from string import Template

import psycopg

from supabase_jobs.api import marked_ids
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.api.sender import NO_SUCH_PATH, NO_SUCH_TABLE, Sender, require_client
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection, open_or_new, session_of
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Case, Finding, Grid, Id, Severity, Verification, as_sql
from supabase_jobs.outcomes import HIDDEN, ROWS
from supabase_jobs.session import script, sign_up
from supabase_jobs.session.impersonation import NULL, Impersonation, Params, begin
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.request import SERVICE
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.sign_up import SignedUp
from supabase_jobs.verify import other_values, ownership
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.cells import NOT_RUN, Cell
from supabase_jobs.verify.access.matrix import (
    FILE_NAME,
    AccessDeclaration,
    DeclaredRequest,
    Matrix,
    MatrixRow,
    load,
)
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.fixture import insert_fixture


@dataclass(frozen=True)
class ApiCell:
    """A cell that can be a request, and its place in the grid."""

    r: int
    c: int
    cell: Cell
    declared: DeclaredRequest


def api_cells(matrix: Matrix) -> Iterator[ApiCell]:
    """Every cell of a matrix that can be a request."""
    for r, row in enumerate(matrix.rows):
        for c, action in enumerate(matrix.actions):
            if action.api is not None and _can_send(row):
                yield ApiCell(r, c, Cell(matrix, row, action), action.api)


def _can_send(row: MatrixRow) -> bool:
    """Whether a client can send a request of the identity of a row.

    It cannot choose the settings, claims of another role, or what the connection has served before.
    """
    identity = row.identity
    claimed = (identity.claims or {}).get("role", identity.role)
    return not identity.settings and claimed == identity.role and not row.served


# Cases


def declared_cases(expectations: Expectations, context: Context) -> None:
    """Add the cases of the requests to those of SQL, without an API or a database."""
    file = expectations.declaration(FILE_NAME)
    if not file.is_file():  # the area is already marked as unchecked
        return
    in_sql = {case.id: case for case in context.cases}
    for matrix in load(file, expectations.variables).matrices:
        for api_cell in api_cells(matrix):
            context.cases.append(
                api_case(api_cell, in_sql[api_cell.cell.id], expectations.variables)
            )


def api_title(matrix: Matrix) -> str:
    """The title of the matrix through the API."""
    return f"{matrix.title} (API)"


def api_case(api_cell: ApiCell, in_sql: Case, variables: Mapping[str, object]) -> Case:
    """The case of a request: the request as comments, then the script of the SQL case that it is
    compared with.
    """
    cell = api_cell.cell
    about = script.comment(
        f"{cell.name}, through the API. $… are the keys of the project, and the ids of rows that"
        " are inserted before:",
        *(f"  {line}" for line in _request_lines(api_cell, variables)),
        "The outcome must be that of this SQL:",
    )
    title = api_title(cell.matrix)
    id = Id(AREA, title, cell.row.label, cell.action.name)
    return Case(
        id=id,
        area=AREA,
        object=title,
        name=f"{cell.name}, through the API as in SQL",
        script=about + in_sql.sql,
    )


def _request_lines(api_cell: ApiCell, variables: Mapping[str, object]) -> Iterator[str]:
    """The HTTP request with the names of ids."""
    row = api_cell.cell.row
    texts = {name: str(value) for name, value in variables.items()}
    texts |= {name.upper(): text.upper() for name, text in texts.items()}
    caller = row.identity.mapped(lambda text: Template(text).safe_substitute(texts))

    def name(parameter: str) -> str | None:
        bound = row.binds[parameter]
        return None if bound == NULL else f"${bound}"

    yield from api_cell.declared.request(caller, name).lines()


# The run


@dataclass(frozen=True)
class _Run:
    connection: Connection
    declared: AccessDeclaration
    impersonation: Impersonation
    expectations: Expectations
    sender: Sender
    signed_up: list[SignedUp] = field(default_factory=list)


def run(
    connection: Connection,
    guard: Connection,
    expectations: Expectations,
    endpoint: Endpoint,
    verified: Verification,
    advance: Callable[[int, int], None] = lambda _number, _total: None,
) -> Verification:
    """Send every cell that can be a request, and add an error for each outcome that differs from
    that in SQL.

    `guard` is a second connection to the same database, which holds the lock against a second run.
    `verified` is the result of `verify` on this database. `advance` gets the number of a request,
    and of all.

    Raises ConfigError (2) if the API refuses the keys, does not serve the tables, or serves another
    database, or if an extra is missing, BusyError (5) if another run is in progress, ConnectError
    (7) if the API does not answer.
    """
    require_client()
    path = expectations.declaration(FILE_NAME)
    declared = load(path, expectations.variables)
    in_sql = {grid.title: grid for grid in verified.grids}
    if not declared.cleanup or any(matrix.title not in in_sql for matrix in declared.matrices):
        raise ConfigError(
            "there is no access matrix to compare the API with",
            hint=f"Declare in {path.name}, under [api], how to clean up, and check the access area"
            " in the same run.",
        )
    impersonation = begin(
        connection,
        AREA,
        declared.ids,
        declared.placeholders,
        expectations.variables,
        make=marked_ids.marked_id,
    )
    started = time.monotonic()
    # a user constraint may refuse the declared values here too
    with rolled_back(connection):
        inserted = insert_fixture(
            impersonation,
            AREA,
            declared.fixture,
            Context(),
            ownership.managed_objects(expectations),
        )
    if inserted is not None:
        declared = other_values.replaced(declared, inserted.texts).without(inserted.left_out)
    with endpoint.client() as http, guard.transaction():
        sender = Sender(endpoint, http, (NO_SUCH_PATH, NO_SUCH_TABLE))
        this = _Run(
            connection=connection,
            declared=declared,
            impersonation=impersonation,
            expectations=expectations,
            sender=sender,
        )
        marked_ids.lock(guard)
        with _cleaned_up(this, guard):
            _require_same_database(this, in_sql)
            sent = _counted(
                sum(1 for matrix in declared.matrices for _ in api_cells(matrix)), advance
            )
            for matrix in declared.matrices:
                verified = _run_matrix(this, matrix, in_sql[matrix.title], verified, sent)
    return replace(
        verified, milliseconds=verified.milliseconds + (time.monotonic() - started) * 1000
    )


def _counted(total: int, advance: Callable[[int, int], None]) -> Callable[[], None]:
    numbers = count(1)
    return lambda: advance(next(numbers), total)


@contextmanager
def _cleaned_up(this: _Run, guard: Connection) -> Iterator[None]:
    """Delete the marked rows of an earlier run, and at the end those of this one."""
    session = session_of(this.connection)
    with this.connection.transaction():
        _delete_marked(this)
    try:
        yield
    finally:
        with open_or_new(this.connection, session, guard) as connection, connection.transaction():
            _delete_marked(replace(this, connection=connection))


def _delete_marked(this: _Run) -> None:
    for statement in this.declared.cleanup:
        this.connection.execute(statement.encode(), {"ids": [*this.impersonation.ids.values()]})
    _clean_up_allow_lists(this)


def _clean_up_allow_lists(this: _Run) -> None:
    for signed_up in this.signed_up:
        sign_up.clean_up(this.connection, signed_up)


def _insert_fixture(this: _Run) -> None:
    """Replace the marked rows in one transaction, so that no other session sees none."""
    fixture = this.declared.fixture
    params = fixture.values(this.impersonation.ids)
    with this.connection.transaction():
        _delete_marked(this)
        if this.signed_up:
            [result] = run_groups(this.connection, [this.signed_up[0].statements])
            result.answer()
        elif users := fixture.new_users(this.impersonation.ids):
            this.signed_up.append(sign_up.run(this.connection, users))
        # before the commit, because a later run could not tell the rows of a killed one from the
        # project's
        with suppress(psycopg.errors.ForeignKeyViolation), this.connection.transaction():
            _clean_up_allow_lists(this)
        for statement in fixture.statements:
            this.connection.execute(statement.encode(), params)


def _require_same_database(this: _Run, in_sql: Mapping[str, Grid]) -> None:
    """Raise ConfigError if the API does not show service_role a fixture row of this database.

    With another database, every `hidden` would match without proving anything.
    """
    _insert_fixture(this)
    for matrix in this.declared.matrices:
        for api_cell in api_cells(matrix):
            outcome_in_sql = in_sql[matrix.title].cells[api_cell.r][api_cell.c]
            if (api_cell.cell.row.identity.role, api_cell.declared.verb, outcome_in_sql) == (
                SERVICE,
                "select",
                ROWS,
            ):
                if (outcome := _outcome(this, api_cell)) != ROWS:
                    raise ConfigError(
                        f"the API at {this.sender.url} does not show service_role a row of"
                        f" {matrix.title} that was"
                        f" just inserted in this database: {outcome}",
                        hint="Pass the URL of the API that serves this database, or reload the"
                        " API's schema cache.",
                    )
                return


def _run_matrix(
    this: _Run, matrix: Matrix, in_sql: Grid, verified: Verification, sent: Callable[[], None]
) -> Verification:
    title = api_title(matrix)
    sql_cases = {case.id: case for case in verified.cases}
    outcomes = [[""] * len(matrix.actions) for _ in matrix.rows]
    cases: list[Case] = []
    findings: list[Finding] = []
    mismatches: set[tuple[int, int]] = set()
    unchanged = False  # whether the fixture rows are as they were inserted
    for api_cell in api_cells(matrix):
        cell, r, c = api_cell.cell, api_cell.r, api_cell.c
        sent()
        if in_sql.cells[r][c] == NOT_RUN:
            continue
        if not unchanged:
            _insert_fixture(this)
        outcome = outcomes[r][c] = _outcome(this, api_cell)
        unchanged = api_cell.declared.verb == "select" or outcome not in (
            ROWS,
            HIDDEN,
        )  # an error writes nothing
        case = api_case(api_cell, sql_cases[cell.id], this.expectations.variables)
        cases.append(case)
        if outcome != (expected := in_sql.cells[r][c]):
            mismatches.add((r, c))
            message = f"{cell.name} is {outcome} through the API, and {expected} in SQL"
            fix = as_sql(
                "The API uses another role, schema or setting than SQL. Check its exposed schemas,"
                " its db-pre-request"
                " function, and any proxy between the client and the API."
            )
            findings.append(
                Finding(
                    id=case.id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=title,
                    message=message,
                    fix=fix,
                )
            )
    grid = Grid(
        title=title,
        columns=in_sql.columns,
        rows=in_sql.rows,
        cells=tuple(map(tuple, outcomes)),
        mismatches=frozenset(mismatches),
    )
    return replace(
        verified,
        findings=(*verified.findings, *findings),
        cases=(*verified.cases, *cases),
        grids=(*verified.grids, _without_empty(grid)),
    )


def _without_empty(grid: Grid) -> Grid:
    """The grid without the rows and columns that have no outcome."""
    rows = [r for r, cells in enumerate(grid.cells) if any(cells)]
    columns = [c for c, column in enumerate(zip(*grid.cells, strict=True)) if any(column)]

    def kept(cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(cells[c] for c in columns)

    return Grid(
        title=grid.title,
        columns=kept(grid.columns),
        rows=tuple(grid.rows[r] for r in rows),
        cells=tuple(kept(grid.cells[r]) for r in rows),
        mismatches=frozenset((rows.index(r), columns.index(c)) for r, c in grid.mismatches),
    )


# Requests


def _outcome(this: _Run, api_cell: ApiCell) -> str:
    row, action = api_cell.cell.row, api_cell.cell.action
    params: Params = this.impersonation.params(row.binds)

    def value(parameter: str) -> str | None:
        param = params[parameter]
        return None if param is None else str(param)

    caller = row.identity.filled(this.impersonation.texts)
    outcome = this.sender.send(api_cell.declared.request(caller, value)).outcome
    if action.reached is None or outcome not in (ROWS, HIDDEN):
        return outcome
    return outcome_of_count(this.connection.execute(action.reached.encode(), params).rowcount)
