"""Cells to repeat by hand: SQL that PostgreSQL accepts, and requests that name the row and the
caller.
"""

import json
import os
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.database.parser import syntax
from supabase_jobs.findings import Audit, AuditCell
from tests.audit.conftest import run_audit
from tests.fix_api import Api

TABLES = {"public.async_jobs", "public.guest_users"}
Unmodified = Callable[[str], Audit]


def sql(cell: AuditCell) -> str:
    return cell.sql if isinstance(cell.sql, str) else cell.sql()


def command(cell: AuditCell) -> str:
    return cell.request if isinstance(cell.request, str) else cell.request()


def request(cell: AuditCell) -> list[str]:
    return shlex.split(command(cell))


def chosen(result: Audit, object_: str, action: str, caller: str) -> Iterator[AuditCell]:
    cells = [c for c in result.cells if (c.object, c.action, c.caller) == (object_, action, caller)]
    assert cells
    return iter(cells)


@pytest.mark.parametrize("name", ["teams", "drive", "api_keys"])
def test_every_cell_has_sql_that_can_be_parsed_and_a_request(
    unmodified: Unmodified, name: str
) -> None:
    result = unmodified(name)
    for cell in result.cells:
        assert syntax.parse(sql(cell)) is not None, sql(cell)
        words = request(cell)
        assert words[0] == "curl"
        assert sum(word.startswith("$SUPABASE_URL/") for word in words) == 1
        token = "$SUPABASE_SERVICE_ROLE_KEY" if cell.caller == "service_role" else "$TOKEN"
        assert (f"Authorization: Bearer {token}" in words) != (
            cell.caller == "anon" or cell.caller.startswith("anon ")
        )


def test_sql_runs_as_the_caller(unmodified: Unmodified, project_url: Callable[[str], str]) -> None:
    """The rows of the audit are gone, so the statement reaches none."""
    result = unmodified("teams")
    read = next(chosen(result, "public.teams", "select", "stranger"))
    with connect(project_url("teams")) as connection, connection.transaction(force_rollback=True):
        connection.execute(result.callers["stranger"].encode())
        assert connection.execute("select current_user, auth.uid() is not null").fetchone() == (
            "authenticated",
            True,
        )
        assert connection.execute(sql(read).encode()).rowcount == 0


def test_update_has_the_cursor_that_it_needs(unmodified: Unmodified) -> None:
    for cell in chosen(unmodified("teams"), "public.projects", "update", "owner"):
        declared, _, text = sql(cell).partition("-- As the caller:\n")
        assert 'declare "audit_row_' in declared
        assert text.startswith('update "public"."projects" set ')


def test_requests_use_the_methods_of_the_api(unmodified: Unmodified) -> None:
    result = unmodified("teams")
    methods = {}
    for action in ("select", "insert", "update", "delete"):
        cell = next(chosen(result, "public.tasks", action, "owner"))
        words = request(cell)
        methods[action] = words[words.index("-X") + 1] if "-X" in words else "GET"
        url = next(word for word in words if word.startswith("$SUPABASE_URL/"))
        assert url.startswith(
            "$SUPABASE_URL/rest/v1/tasks" + ("" if action == "insert" else "?id=eq.")
        )
        if action in ("insert", "update"):
            body = json.loads(words[words.index("-d") + 1])
            assert body
            assert "id" not in body
    assert methods == {"select": "GET", "insert": "POST", "update": "PATCH", "delete": "DELETE"}


def test_requests_to_storage_name_the_bucket_and_the_path(unmodified: Unmodified) -> None:
    cell = next(
        c
        for c in unmodified("drive").cells
        if c.object.startswith("storage.objects") and c.action == "delete"
    )
    words = request(cell)
    assert words[1:3] == ["-X", "DELETE"]
    assert words[3].startswith("$SUPABASE_URL/storage/v1/object/")
    assert words[3].count("/") >= 5


def test_requests_of_guests_have_their_header(unmodified: Unmodified) -> None:
    result = unmodified("api_keys")
    cells = [c for c in result.cells if c.caller == "anon with another header"]
    assert cells
    for cell in cells:
        headers = [word for word in request(cell) if ": " in word]
        assert len(headers) >= 2
        assert any(not h.startswith(("apikey", "Content-Type")) for h in headers)


def test_call_of_a_function_has_its_arguments(unmodified: Unmodified) -> None:
    calls = [
        c
        for name in ("teams", "drive", "api_keys")
        for c in unmodified(name).cells
        if c.action in ("call", "exists")
    ]
    with_arguments = [c for c in calls if "()" not in c.object]
    assert with_arguments
    for cell in with_arguments:
        words = request(cell)
        name = cell.object.partition("(")[0].partition(".")[2]
        assert words[:4] == ["curl", "-X", "POST", f"$SUPABASE_URL/rest/v1/rpc/{name}"]
        assert len(json.loads(words[words.index("-d") + 1])) >= 1


def test_requests_are_understood_by_the_api(one_api: Api) -> None:
    """One request of a stranger for each action on a table, by curl. The rows of the audit are
    gone.
    """
    with connect(one_api.db_url) as connection:
        result = run_audit(connection, repairs=False)
    environ = {
        **os.environ,
        "SUPABASE_URL": one_api.url,
        "SUPABASE_ANON_KEY": one_api.keys.anon,
        "TOKEN": one_api.keys.user_token(sub=str(uuid.uuid4())),
    }
    tried = {}
    for cell in result.cells:
        action = (cell.object, cell.action)
        if cell.caller == "stranger" and cell.object in TABLES and action not in tried:
            ran = subprocess.run(
                ["/bin/sh", "-c", f"{command(cell)} --silent --write-out '\n%{{http_code}}'"],
                env=environ,
                check=True,
                capture_output=True,
                text=True,
            )
            tried[action] = ran.stdout.rpartition("\n")[2]
    assert {object_ for object_, _ in tried} == TABLES
    assert {action for _, action in tried} == {"select", "insert", "update", "delete"}
    # done, or refused by a privilege, policy or constraint: every path, filter and body is valid
    assert set(tried.values()) <= {"200", "201", "204", "403", "409"}, tried
    assert tried["public.async_jobs", "select"] == "200"
