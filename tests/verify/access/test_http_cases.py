"""How a case is asked through the API, in text: it is what the client sends, and names no key."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest
from postgrest import SyncPostgrestClient

from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import Settings
from supabase_jobs.verify import run
from supabase_jobs.verify.access import declaration, http_cases, requests
from supabase_jobs.verify.access.requests import Request
from supabase_jobs.verify.expectations import load_expectations
from supabase_jobs.verify.explain import explain
from supabase_jobs.verify.identity import NULL

EXPECTATIONS = load_expectations(Settings(Path()))
PLANNED = {case.id: case for case in run.declared_cases(EXPECTATIONS).cases}
CELLS = {
    f"access:{http_cases.title(matrix)}:{cell.row.label}:{cell.action.name}": (matrix, cell)
    for matrix in declaration.load().matrices
    for cell in http_cases.asked(matrix)
}
CLIENT = SyncPostgrestClient("http://localhost:1/rest/v1")


def shown(case: str) -> list[str]:
    """The lines of the request in a case's script, without what is left of SQL."""
    lines = [line.removeprefix("-- ") for line in PLANNED[case].sql.splitlines()]
    return lines[1 : lines.index("It has to come to what this comes to in SQL:")]


def test_there_is_a_case_for_every_cell() -> None:
    assert len(CELLS) > 300
    assert {id for id in PLANNED if " (API):" in id} == set(CELLS)


@pytest.mark.parametrize("verb", requests.VERBS)
def test_it_is_what_the_client_sends(verb: str) -> None:
    """For every cell: `$name` for each id, as the texts have it."""
    cells = {id: cell for id, (_, cell) in CELLS.items() if cell.request.verb == verb}
    assert cells
    for id, cell in cells.items():
        params = {name: None if bind == NULL else f"${bind}" for name, bind in cell.row.binds.items()}
        sent = requests._built(cast(Any, CLIENT), cell.request, params).request
        first, *lines = shown(id)
        method, _, address = first.partition(" ")
        path, _, query = address.partition("?")
        assert (method, path) == (sent.http_method, sent.path.path)
        assert sorted(parse_qsl(query)) == sorted(p for p in sent.params.multi_items() if p[0] != "columns")
        prefer = [line.removeprefix("Prefer: ") for line in lines if line.startswith("Prefer: ")]
        assert set(",".join(prefer).split(",")) - {""} == set(sent.headers.get("prefer", "").split(",")) - {""}
        body = [json.loads(line) for line in lines if line.startswith("{")]
        assert body == ([sent.json] if sent.json else [])


def test_null_is_asked_for_as_null() -> None:
    id = "access:public.async_jobs (API):guest, its own job:select"
    matrix, cell = CELLS[id]
    asked = replace(cell, request=Request("select", "things", where={"owner": "$own_user"}))
    assert "-- GET /rest/v1/things?select=*&owner=is.null\n" in http_cases.case(matrix, asked, PLANNED[id], {}).sql


def lines_of(label: str, matrix: str = "public.async_jobs", action: str = "select") -> list[str]:
    return shown(f"access:{matrix} (API):{label}:{action}")[1:]


def test_headers_are_the_callers() -> None:
    anon = "apikey: $SUPABASE_ANON_KEY"
    assert lines_of("guest, its own job") == [anon, "x-guest-id: $guest_a"]
    assert lines_of("guest, header in caps", "public.async_jobs, odd requests") == [anon, "X-GUEST-ID: $guest_a"]
    assert lines_of("user, its own job") == [
        anon, 'Authorization: Bearer (a token with the claims {"sub": "$user_a", "role": "authenticated"})',
    ]  # fmt: skip
    assert lines_of("service_role, user's job") == ["apikey: $SUPABASE_SERVICE_ROLE_KEY"]


def test_explain_gives_it_with_the_sql_that_it_is_compared_with() -> None:
    def connect() -> None:
        raise ConfigError("no database is needed")

    id = "access:public.async_jobs (API):guest, its own job:take over"
    found = explain(id, EXPECTATIONS, connect)  # type: ignore[arg-type]
    assert (found.id, found.object) == (id, "public.async_jobs (API)")
    assert "-- PATCH /rest/v1/async_jobs?id=eq.$job_guest_a\n" in found.sql
    assert "update public.async_jobs set guest_id" in found.sql
    assert "insert into public.async_jobs" in found.sql.partition("-- PATCH")[0]
