"""The cases of the access matrix that are asked through the API too: which they are, and how each is asked, in text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from supabase_jobs.findings import Case
from supabase_jobs.verify import script
from supabase_jobs.verify.access import AREA, declaration
from supabase_jobs.verify.access.declaration import Action, Matrix, MatrixRow
from supabase_jobs.verify.access.requests import Request
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.identity import NULL, Identity

SERVICE = "service_role"

_METHODS = {"select": "GET", "update": "PATCH", "delete": "DELETE"}  # of all others: POST


@dataclass(frozen=True)
class Asked:
    """A cell that can be a request, and its place in the matrix."""

    r: int
    c: int
    row: MatrixRow
    action: Action
    request: Request


def asked(matrix: Matrix) -> Iterator[Asked]:
    """Every cell that can be a request."""
    for r, row in enumerate(matrix.rows):
        for c, action in enumerate(matrix.actions):
            if action.api is not None and _sendable(row.identity):
                yield Asked(r, c, row, action, action.api)


def title(matrix: Matrix) -> str:
    """What the matrix is called when it is asked through the API."""
    return f"{matrix.title} (API)"


def case(matrix: Matrix, cell: Asked, in_sql: Case, variables: Mapping[str, object]) -> Case:
    """The case of a cell: the request as comments, then the SQL of the case that it is compared with."""
    name = f"{cell.row.label}: {cell.action.name}"
    about = script.comment(
        f"{name}, through the API. $… stand for the keys of the project, and for ids that are planted first:",
        *(f"  {line}" for line in _lines(cell, variables)),
        "It has to come to what this comes to in SQL:",
    )
    id = _id(title(matrix), cell)
    return Case(id, AREA, title(matrix), f"{name}, through the API as in SQL", about + in_sql.sql)


def sql_id(matrix: Matrix, cell: Asked) -> str:
    """The id of the case in SQL that a cell is compared with."""
    return _id(matrix.title, cell)


def _id(title: str, cell: Asked) -> str:
    return f"{AREA}:{title}:{cell.row.label}:{cell.action.name}"


def declared_cases(expectations: Expectations, result: Context) -> None:
    """Add the cases to those of SQL, which `result` has already, without an API and a database."""
    file = expectations.declaration(declaration.FILE_NAME)
    if not file.is_file():
        return  # as the area has said
    in_sql = {case.id: case for case in result.cases}
    for matrix in declaration.load(file).matrices:
        for cell in asked(matrix):
            result.cases.append(case(matrix, cell, in_sql[sql_id(matrix, cell)], expectations.variables))


def _sendable(identity: Identity) -> bool:
    """Settings made as they stand cannot be sent, nor claims of another role than the one that is acted as.

    What a connection served before is for SQL to choose.
    """
    claimed = (identity.claims or {}).get("role", identity.role)
    return not identity.settings and claimed == identity.role and identity.previous is None


def _lines(cell: Asked, variables: Mapping[str, object]) -> Iterator[str]:
    """The request as it goes over the wire, but for what supabase-py adds of itself."""
    request, identity = cell.request, cell.row.identity
    service = identity.role == SERVICE
    texts = {name: str(value) for name, value in variables.items()}
    texts |= {name.upper(): text.upper() for name, text in texts.items()}
    path = f"rpc/{request.target}" if request.verb == "rpc" else request.target
    query = [f"select={','.join(request.columns)}"] if request.verb == "select" else []
    query += [f"on_conflict={request.on_conflict}"] if request.on_conflict else []
    for column, value in _bound(request.where, cell.row).items():
        query.append(f"{column}=is.null" if value is None else f"{column}=eq.{value}")
    yield f"{_METHODS.get(request.verb, 'POST')} /rest/v1/{path}{'?' if query else ''}{'&'.join(query)}"
    yield f"apikey: {'$SUPABASE_SERVICE_ROLE_KEY' if service else '$SUPABASE_ANON_KEY'}"
    if identity.claims is not None and not service:
        yield f"Authorization: Bearer (a token with the claims {json.dumps(dict(identity.claims))})"
    for name, value in (identity.headers or {}).items():
        yield f"{Template(name).safe_substitute(texts)}: {Template(value).safe_substitute(texts)}"
    if request.verb not in ("select", "rpc"):
        merge = ["resolution=merge-duplicates"] if request.verb == "upsert" else []
        back = ["return=representation"] if request.returning else ["return=minimal", "count=exact"]
        yield f"Prefer: {','.join([*merge, *back])}"
    if request.verb not in ("select", "delete"):
        yield json.dumps(_bound(request.values, cell.row), ensure_ascii=False)


def _bound(values: Mapping[str, Any], row: MatrixRow) -> dict[str, Any]:
    """Values with the names of the ids that they stand for in this row."""

    def name(value: Any) -> Any:
        if not (isinstance(value, str) and value.startswith("$")):
            return value
        bound = row.binds[value[1:]]
        return None if bound == NULL else f"${bound}"

    return {column: name(value) for column, value in values.items()}
