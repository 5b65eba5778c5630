"""Requests of the audit have the settings of those of the API."""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.outcomes import ROWS
from tests.audit.conftest import run_audit

# '' is no JSON document, so a policy that parses the headers of a request without any would fail
HEADERS = """
create table public.notices (id bigint primary key, user_id uuid not null references auth.users, body text);
alter table public.notices enable row level security;
create policy "but for robots" on public.notices for select
using (coalesce(current_setting('request.headers', true)::jsonb ->> 'x-robot', '') <> 'yes');
"""


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos; undone after the test."""
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def test_headers_are_an_object(todos: Connection) -> None:
    todos.execute(HEADERS.encode())
    cells = [c for c in run_audit(todos).cells if c.object == "public.notices"]
    assert {c.outcome for c in cells if c.action == "select" and c.caller == "newcomer"} == {ROWS}
