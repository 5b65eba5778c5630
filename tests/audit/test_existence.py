"""Views, functions and errors that show only an id, a count, or whether a row exists."""

from collections.abc import Callable, Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Severity
from tests.audit.conftest import decided, run_audit

SIZES = "create view public.list_sizes as select list_id, count(*) as todos from public.todos group by list_id"
TOTAL = "create view public.total as select count(*) as todos from public.todos"
TAKEN = """
create function public.email_taken(email text) returns boolean language plpgsql security definer as
$$ begin
  return exists (select from public.lists as l join auth.users as u on l.owner_id = u.id where u.email = $1);
end $$
"""
COUNT = """
create function public.todo_count(list_id uuid) returns bigint language sql stable security {} set search_path = ''
as 'select count(*) from public.todos as t where t.list_id = $1'
"""
ECHO = """
create function public.echo(list_id uuid) returns text language sql stable security definer set search_path = ''
as 'select $1::text from public.lists limit 1'
"""
# the list of a public row is the list of a private one, too
INVOKER = """
create table public.channels (
  id uuid primary key default gen_random_uuid(),
  list_id uuid not null references public.lists,
  name text not null,
  visibility text not null default 'private' check (visibility in ('private', 'public'))
);
alter table public.channels enable row level security;
grant select on public.channels to anon, authenticated;
create policy "public or own" on public.channels for select
using (
  visibility = 'public' or exists (select from public.lists as l where l.id = list_id and l.owner_id = auth.uid())
);
create view public.channel_names with (security_invoker = true) as select id, list_id, name from public.channels
"""
RAISES = """
create function public.refuse() returns trigger language plpgsql as
$$ begin raise exception 'the list % cannot be deleted', old.name; end $$;
create trigger refuse before delete on public.lists for each row execute function public.refuse();
create policy "all" on public.lists for delete using (true);
"""


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos; undone after the test."""
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def warnings(connection: Connection) -> dict[str, str]:
    return {f.id: f.fix for f in run_audit(connection).findings if f.severity is Severity.WARNING}


@pytest.mark.parametrize(
    ("sql", "id_"),
    [
        (SIZES, "view-ids:public.list_sizes"),
        (TAKEN, "function-exists:public.email_taken(text)"),
        (COUNT.format("definer"), "function-exists:public.todo_count(uuid)"),
    ],
    ids=["view with ids", "boolean", "count"],
)
def test_existence_is_a_warning_that_its_fix_ends(todos: Connection, sql: str, id_: str) -> None:
    todos.execute(sql.encode())
    found = warnings(todos)
    assert id_ in found
    todos.execute(decided(found[id_]).encode())
    assert warnings(todos) == {}


@pytest.mark.parametrize(
    "sql", [TOTAL, COUNT.format("invoker"), ECHO, INVOKER], ids=["total", "invoker", "echo", "view"]
)
def test_what_shows_nothing_about_a_row_is_no_finding(todos: Connection, sql: str) -> None:
    todos.execute(sql.encode())
    assert warnings(todos) == {}


def test_error_with_the_content_of_a_row_is_a_warning(todos: Connection) -> None:
    todos.execute(RAISES.encode())
    assert "error-text:public.lists:delete" in warnings(todos)


COPY = """
create materialized view public.all_todos as select * from public.todos;
grant select on public.all_todos to anon;
"""


def test_a_materialized_view_shows_the_rows_of_others(todos: Connection) -> None:
    todos.execute(COPY.encode())
    [finding] = [
        f
        for f in run_audit(todos).findings
        if f.object == "public.all_todos" and f.severity is Severity.ERROR
    ]
    assert (finding.id, finding.cause) == (
        "view:public.all_todos:select",
        "a materialized view has no row level security",
    )
    assert todos.execute("select count(*) from public.all_todos").fetchone() == (0,)
    assert finding.fix.startswith("-- Tried: it would take: owner: select of public.all_todos.")
    assert finding.callers == ("owner",)
    todos.execute(decided(finding.fix).encode())
    may_read = "select has_table_privilege(r, 'public.all_todos', 'select') from unnest('{anon,authenticated}'::text[]) as r"
    assert todos.execute(may_read).fetchall() == [(False,), (False,)]


def test_a_materialized_view_that_cannot_be_refreshed_is_not_tested(todos: Connection) -> None:
    todos.execute(
        COPY.replace("select * from", "select 1 / (id::text = 'x')::int as x from").encode()
    )
    [untested] = [
        n for n in run_audit(todos, repairs=False).not_tested if n.object == "public.all_todos"
    ]
    assert "22012" in untested.why
