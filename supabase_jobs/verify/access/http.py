"""The access matrix once more, through the API: does a browser's request come to what SQL impersonation came to?

What a request writes is committed. So every id of a run is marked (it begins with the letters `verify`), the marked
rows are removed after each request that wrote, at the end whatever happens, and at the start of the next run.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from supabase_jobs.api import keys
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import BusyError, ConfigError
from supabase_jobs.findings import Case, Finding, Grid, Severity, Verification
from supabase_jobs.verify import impersonation
from supabase_jobs.verify.access import AREA, declaration, http_cases, requests
from supabase_jobs.verify.access.declaration import Declaration, Matrix, MatrixRow
from supabase_jobs.verify.access.http_cases import SERVICE, Asked
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.identity import Identity

if TYPE_CHECKING:
    import httpx

    from supabase import Client

# A guest's real id is a random UUID, version 4: none begins like this and has version 8.
_MARK = b"verify"
FIRST = uuid.UUID(bytes=_MARK + b"\x80\x00\x80" + bytes(7))
LAST = uuid.UUID(bytes=_MARK + b"\x8f\xff\xbf" + b"\xff" * 7)

_LOCK = "select pg_try_advisory_xact_lock(%s)"
_LOCK_KEY = int.from_bytes(b"vrfyhttp", "big", signed=True)


@dataclass(frozen=True)
class _Run:
    connection: Connection
    declared: Declaration
    session: impersonation.Impersonation
    expectations: Expectations
    target: Endpoint
    http: "httpx.Client"
    clients: dict[str, "Client"] = field(default_factory=dict)


def run(
    connection: Connection, guard: Connection, expectations: Expectations, target: Endpoint, verified: Verification
) -> Verification:
    """Ask the API every cell that can be a request, and add an error for each whose answer is not that of SQL.

    `guard` is a second connection to the same database, which keeps two runs apart. `verified` is what `verify` found
    on this database. Raises ConfigError (2) where the API refuses the keys, serves another database, or an extra
    is missing, BusyError (5) where another run is at work, ConnectError (7) where the API does not answer.
    """
    _must_have_client()
    path = expectations.declaration(declaration.FILE_NAME)
    declared = declaration.load(path)
    seen = {grid.title: grid for grid in verified.grids}
    if not declared.cleanup or not seen:
        raise ConfigError(
            "there is no access matrix to compare the API with",
            hint=f"{path.name} has to say under [api] how to clean up, and SQL has to have been asked the same.",
        )
    session = impersonation.begin(
        connection, AREA, declared.ids, declared.placeholders, expectations.variables, make=_marked
    )
    started = time.monotonic()
    with target.client() as http, guard.transaction():
        this = _Run(connection, declared, session, expectations, target, http)
        if guard.execute(_LOCK, (_LOCK_KEY,)).fetchone() != (True,):
            raise BusyError("another verify is asking the API of this database", hint="Wait until it has ended.")
        with _cleaned(this):
            _must_be_the_same_database(this, seen)
            for matrix in declared.matrices:
                verified = _matrix(this, matrix, seen[matrix.title], verified)
    return replace(verified, milliseconds=verified.milliseconds + (time.monotonic() - started) * 1000)


def _marked() -> uuid.UUID:
    random = bytearray(uuid.uuid4().bytes)
    random[:6] = _MARK
    random[6] = 0x80 | (random[6] & 0x0F)
    return uuid.UUID(bytes=bytes(random))


def _must_have_client() -> None:
    from importlib.util import find_spec

    if find_spec("supabase") is None:
        raise ConfigError("the client for the API is not installed", hint="pip install 'supabase-jobs[api]'")


@contextmanager
def _cleaned(this: _Run) -> Iterator[None]:
    """Remove what an earlier run has left, and whatever this one leaves."""
    _clean(this)
    try:
        yield
    finally:
        _clean(this)


def _clean(this: _Run) -> None:
    """Remove the marked rows, in one transaction."""
    with this.connection.transaction():
        for statement in this.declared.cleanup:
            this.connection.execute(statement.encode(), {"first": FIRST, "last": LAST})


def _plant(this: _Run) -> None:
    _clean(this)
    params = this.session.params({name: name for name in this.declared.ids})
    with this.connection.transaction():
        for statement in this.declared.fixture:
            this.connection.execute(statement.encode(), params)


def _must_be_the_same_database(this: _Run, seen: Mapping[str, Grid]) -> None:
    """What was planted here has to be there for the service: else every `hidden` would be right for nothing."""
    _plant(this)
    for matrix in this.declared.matrices:
        for cell in http_cases.asked(matrix):
            in_sql = seen[matrix.title].cells[cell.r][cell.c]
            if (cell.row.identity.role, cell.request.verb, in_sql) == (SERVICE, "select", "rows"):
                if (outcome := _outcome(this, cell)) != "rows":
                    raise ConfigError(
                        f"the API at {this.target.url} does not show the service a row of {matrix.title} that was just"
                        f" planted in this database: {outcome}",
                        hint="Give the URL of the API that serves this database, or have it read its schema again.",
                    )
                return


def _matrix(this: _Run, matrix: Matrix, in_sql: Grid, verified: Verification) -> Verification:
    title = http_cases.title(matrix)
    scripts = {case.id: case for case in verified.cases}
    cells = [["" for _ in matrix.actions] for _ in matrix.rows]
    cases: list[Case] = []
    findings: list[Finding] = []
    wrong: set[tuple[int, int]] = set()
    sound = False  # whether the rows are as they were planted
    for cell in http_cases.asked(matrix):
        if not sound:
            _plant(this)
        outcome = cells[cell.r][cell.c] = _outcome(this, cell)
        sound = cell.request.verb == "select" or outcome not in ("rows", "hidden")  # an error keeps nothing
        case = http_cases.case(matrix, cell, scripts[http_cases.sql_id(matrix, cell)], this.expectations.variables)
        cases.append(case)
        if outcome != (expected := in_sql.cells[cell.r][cell.c]):
            wrong.add((cell.r, cell.c))
            findings.append(
                Finding(
                    id=case.id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=title,
                    message=f"{cell.row.label}: {cell.action.name} is {outcome} through the API, and {expected} in SQL",
                    fix="The API has another role, schema or setting than SQL was asked with: look at its exposed"
                    " schemas, its db-pre-request function, and what stands between it and the client.",
                )
            )
    grid = _narrowed(Grid(title, in_sql.columns, in_sql.rows, tuple(map(tuple, cells)), frozenset(wrong)))
    return replace(
        verified,
        findings=(*verified.findings, *findings),
        cases=(*verified.cases, *cases),
        grids=(*verified.grids, grid),
    )


def _narrowed(grid: Grid) -> Grid:
    """The grid without the rows and the columns of which nothing was asked."""
    rows = [r for r, cells in enumerate(grid.cells) if any(cells)]
    columns = [c for c in range(len(grid.columns)) if any(cells[c] for cells in grid.cells)]
    return Grid(
        grid.title,
        tuple(grid.columns[c] for c in columns),
        tuple(grid.rows[r] for r in rows),
        tuple(tuple(grid.cells[r][c] for c in columns) for r in rows),
        frozenset((rows.index(r), columns.index(c)) for r, c in grid.mismatches),
    )


def _outcome(this: _Run, cell: Asked) -> str:
    outcome = requests.send(_client(this, cell.row.identity), cell.request, _params(this, cell.row))
    if cell.action.reached is None or outcome not in ("rows", "hidden"):
        return outcome
    reached = this.connection.execute(cell.action.reached.encode(), _params(this, cell.row))
    return "rows" if reached.rowcount > 0 else "hidden"


def _params(this: _Run, row: MatrixRow) -> impersonation.Params:
    return this.session.params(row.binds)


def _client(this: _Run, identity: Identity) -> "Client":
    """A client as supabase-py's documentation makes it: the key of the project, headers of the caller's own."""
    if identity.name not in this.clients:
        from supabase import ClientOptions, create_client

        key = this.target.keys.service_role if identity.role == SERVICE else this.target.keys.anon
        headers = identity.headers_for(this.session.texts) or {}
        if identity.role != SERVICE and (claims := identity.claims_for(this.session.texts)) is not None:
            headers["Authorization"] = "Bearer " + keys.sign(
                this.target.keys.secret,
                {"aud": identity.role, **claims, "role": identity.role, "exp": int(time.time()) + keys.USER_LIFETIME},
            )
        this.clients[identity.name] = create_client(
            this.target.url, key, ClientOptions(headers=headers, httpx_client=this.http)
        )
    return this.clients[identity.name]
