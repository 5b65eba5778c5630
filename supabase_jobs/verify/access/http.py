"""Repeat the access matrix through the API, and compare the outcomes with those of SQL.

What a request writes is committed. So every id of a run is marked, and the same in each run. The
rows with these ids are deleted after each request that wrote, at the end of the run also after an
error, and at the start of the next run.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import count
from string import Template
from typing import TYPE_CHECKING, Any

import psycopg

from supabase_jobs.api import keys
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.api.responses import (
    NO_SUCH_PATH,
    NO_SUCH_TABLE,
    outcome_of_failure,
    require_served,
)
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError, ConnectError, SupabaseJobsError
from supabase_jobs.findings import Case, Finding, Grid, Severity, Verification, as_sql
from supabase_jobs.session import committed, script, sign_up
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import NULL, Impersonation, Params, begin
from supabase_jobs.session.outcome import outcome_of_count
from supabase_jobs.session.sign_up import SignedUp
from supabase_jobs.verify import other_values, ownership
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.cells import Cell
from supabase_jobs.verify.access.matrix import (
    FILE_NAME,
    AccessDeclaration,
    Matrix,
    MatrixRow,
    Request,
    load,
    with_parameters,
)
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.fixture import insert_fixture

if TYPE_CHECKING:
    import httpx

    from supabase import Client

SERVICE = "service_role"

_METHODS = {"select": "GET", "update": "PATCH", "delete": "DELETE"}  # all others: POST


@dataclass(frozen=True)
class ApiCell:
    """A cell that can be a request, and its place in the grid."""

    r: int
    c: int
    cell: Cell
    request: Request


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
    id = f"{AREA}:{title}:{cell.row.label}:{cell.action.name}"
    return Case(id, AREA, title, f"{cell.name}, through the API as in SQL", about + in_sql.sql)


def _request_lines(api_cell: ApiCell, variables: Mapping[str, object]) -> Iterator[str]:
    """The HTTP request, without the headers that supabase-py always adds."""
    request, row = api_cell.request, api_cell.cell.row
    identity = row.identity
    service = identity.role == SERVICE
    texts = {name: str(value) for name, value in variables.items()}
    texts |= {name.upper(): text.upper() for name, text in texts.items()}
    path = f"rpc/{request.target}" if request.verb == "rpc" else request.target
    query = [f"select={','.join(request.columns)}"] if request.verb == "select" else []
    query += [f"on_conflict={request.on_conflict}"] if request.on_conflict else []
    for column, value in _with_id_names(request.where, row).items():
        query.append(f"{column}=is.null" if value is None else f"{column}=eq.{value}")
    yield (
        f"{_METHODS.get(request.verb, 'POST')}"
        f" /rest/v1/{path}{'?' if query else ''}{'&'.join(query)}"
    )
    yield f"apikey: {'$SUPABASE_SERVICE_ROLE_KEY' if service else '$SUPABASE_ANON_KEY'}"
    if identity.claims is not None and not service:
        yield f"Authorization: Bearer (a token with the claims {json.dumps(dict(identity.claims))})"
    for name, value in (identity.headers or {}).items():
        yield f"{Template(name).safe_substitute(texts)}: {Template(value).safe_substitute(texts)}"
    if request.verb not in ("select", "rpc"):
        merge = ["resolution=merge-duplicates"] if request.verb == "upsert" else []
        response = (
            ["return=representation"] if request.returning else ["return=minimal", "count=exact"]
        )
        yield f"Prefer: {','.join([*merge, *response])}"
    if request.verb not in ("select", "delete"):
        yield json.dumps(_with_id_names(request.values, row), ensure_ascii=False)


def _with_id_names(values: Mapping[str, Any], row: MatrixRow) -> dict[str, Any]:
    """Values in which each parameter is replaced by the name of the id that it has in this row."""

    def name(parameter: str) -> str | None:
        bound = row.binds[parameter]
        return None if bound == NULL else f"${bound}"

    return {column: with_parameters(value, name) for column, value in values.items()}


# The run


@dataclass(frozen=True)
class _Run:
    connection: Connection
    declared: AccessDeclaration
    impersonation: Impersonation
    expectations: Expectations
    endpoint: Endpoint
    http: "httpx.Client"
    clients: dict[str, "Client"] = field(default_factory=dict)
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
    if find_spec("supabase") is None:
        raise ConfigError(
            "the client for the API is not installed", hint="pip install 'supabase-jobs[api]'"
        )
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
        make=committed.marked_id,
    )
    started = time.monotonic()
    with connection.transaction(
        force_rollback=True
    ):  # a user constraint may refuse the declared values here too
        inserted = insert_fixture(
            impersonation, AREA, declared.fixture, Context(), ownership.managed_objects(path)
        )
    if inserted is not None:
        declared = other_values.replaced(declared, inserted.texts)
    with endpoint.client() as http, guard.transaction():
        http.event_hooks["response"] = [
            partial(require_served, endpoint, (NO_SUCH_PATH, NO_SUCH_TABLE))
        ]
        this = _Run(connection, declared, impersonation, expectations, endpoint, http)
        committed.lock(guard)
        with _cleaned_up(this):
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
def _cleaned_up(this: _Run) -> Iterator[None]:
    """Delete the marked rows of an earlier run, and at the end those of this one."""
    _delete_marked(this)
    try:
        yield
    finally:
        _delete_marked(this)


def _delete_marked(this: _Run) -> None:
    with this.connection.transaction():
        for statement in this.declared.cleanup:
            this.connection.execute(statement.encode(), {"ids": [*this.impersonation.ids.values()]})
        _clean_up_allow_lists(this)


def _clean_up_allow_lists(this: _Run) -> None:
    for signed_up in this.signed_up:
        sign_up.clean_up(this.connection, signed_up)


def _insert_fixture(this: _Run) -> None:
    _delete_marked(this)
    fixture = this.declared.fixture
    params = this.impersonation.params({name: name for name in this.declared.ids})
    with this.connection.transaction():
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
            if (api_cell.cell.row.identity.role, api_cell.request.verb, outcome_in_sql) == (
                SERVICE,
                "select",
                "rows",
            ):
                if (outcome := _outcome(this, api_cell)) != "rows":
                    raise ConfigError(
                        f"the API at {this.endpoint.url} does not show service_role a row of"
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
        if not unchanged:
            _insert_fixture(this)
        outcome = outcomes[r][c] = _outcome(this, api_cell)
        unchanged = api_cell.request.verb == "select" or outcome not in (
            "rows",
            "hidden",
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
            findings.append(Finding(case.id, AREA, Severity.ERROR, title, message, fix))
    grid = Grid(
        title, in_sql.columns, in_sql.rows, tuple(map(tuple, outcomes)), frozenset(mismatches)
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
        grid.title,
        kept(grid.columns),
        tuple(grid.rows[r] for r in rows),
        tuple(kept(grid.cells[r]) for r in rows),
        frozenset((rows.index(r), columns.index(c)) for r, c in grid.mismatches),
    )


# Requests


def _outcome(this: _Run, api_cell: ApiCell) -> str:
    row, action = api_cell.cell.row, api_cell.cell.action
    params: Params = this.impersonation.params(row.binds)
    outcome = send(_client(this, row.identity), api_cell.request, params)
    if action.reached is None or outcome not in ("rows", "hidden"):
        return outcome
    return outcome_of_count(this.connection.execute(action.reached.encode(), params).rowcount)


def _client(this: _Run, identity: Caller) -> "Client":
    """A client made as supabase-py documents it: with a key of the project and the headers of the
    identity.
    """
    if identity.label not in this.clients:
        from supabase import ClientOptions, create_client

        project = this.endpoint.keys
        caller = identity.filled(this.impersonation.texts)
        headers = dict(caller.headers or {})
        if caller.role != SERVICE and caller.claims is not None:
            token = keys.claims_token(project.secret, caller.role, caller.claims)
            headers["Authorization"] = f"Bearer {token}"
        this.clients[caller.label] = create_client(
            this.endpoint.url,
            project.service_role if caller.role == SERVICE else project.anon,
            ClientOptions(headers=headers, httpx_client=this.http),
        )
    return this.clients[identity.label]


def send(client: "Client", request: Request, params: Mapping[str, Any]) -> str:
    """Send a request; return its outcome: `rows`, `hidden`, `denied`, `violates`, or the code of
    the error.

    Raises ConfigError (2) if the API refuses the key or the token, ConnectError (7) if it does not
    answer.
    """
    import httpx
    from postgrest.exceptions import APIError

    try:
        response = builder(client, request, params).execute()
    except APIError as error:
        return outcome_of_failure(str(error.code or ""), str(error.message or ""))
    except httpx.HTTPError as error:
        raise ConnectError(f"the API does not answer: {error or type(error).__name__}") from error
    return outcome_of_count(bool(response.data or response.count))


def builder(client: "Client", request: Request, params: Mapping[str, Any]) -> Any:
    """The request builder of supabase-py for a request."""
    from postgrest import CountMethod, ReturnMethod

    values = _with_values(request.values, params)
    # without the rows, the response contains their number
    response: dict[str, Any] = (
        {"returning": ReturnMethod.representation}
        if request.returning
        else {"returning": ReturnMethod.minimal, "count": CountMethod.exact}
    )
    built: Any
    match request.verb:
        case "rpc":
            built = client.rpc(request.target, values)
        case "select":
            built = client.table(request.target).select(*request.columns)
        case "insert":
            built = client.table(request.target).insert(values, **response)
        case "upsert":
            built = client.table(request.target).upsert(
                values, on_conflict=request.on_conflict, **response
            )
        case "update":
            built = client.table(request.target).update(values, **response)
        case "delete":
            built = client.table(request.target).delete(**response)
        case other:  # `parse_request` refuses other verbs
            raise SupabaseJobsError(f"unknown verb: {other}")
    for column, value in _with_values(request.where, params).items():
        built = built.is_(column, "null") if value is None else built.eq(column, value)
    return built


def _with_values(texts: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Texts in which each parameter is replaced by its value."""

    def value(parameter: str) -> str | None:
        param = params[parameter]
        return None if param is None else str(param)

    return {name: with_parameters(text, value) for name, text in texts.items()}
