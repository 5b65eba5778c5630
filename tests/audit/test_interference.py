"""Views and functions whose answers depend on rows of others, without their texts or keys."""

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Severity
from tests.audit.conftest import decided, run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

_TODOS = "from public.todos as t join public.lists as l on l.id = t.list_id"
VIEWS = {
    "priorities": (f"select l.owner_id, t.priority {_TODOS}", "warning view:{}:select"),
    "loud": ("select upper(title) as title from public.todos", "warning view:{}:select"),
    "days": ("select created_at from public.todos", "warning view:{}:select"),
    "hashed": ("select md5(title) as hash from public.todos", "warning view:{}:select"),
    "owners": ("select distinct owner_id from public.lists", "warning view-ids:{}"),
    "points": (
        f"select l.owner_id, sum(t.priority) * 1.5 as points {_TODOS} group by l.owner_id",
        "warning view-aggregate:{}",
    ),
    "tagged": (
        "select todo_id, count(*) as tags from public.todo_tags group by todo_id",
        "warning view-exists:{}",
    ),
    "size": ("select count(*) as todos from public.todos", "question view-exists:anyone"),
    "effort": (
        "select sum(priority) * 1.5 as effort from public.todos",
        "question view-exists:anyone",
    ),
    "busy": ("select exists (select from public.todos) as busy", "question view-exists:anyone"),
}
_DEFINER = "language sql stable security definer set search_path = '' as"
FUNCTIONS = {
    "priorities_of(uuid)": (
        "returns table (owner uuid, priority smallint)",
        f"select l.owner_id, t.priority {_TODOS} where l.owner_id = $1",
        "error function-reads:{}",
    ),
    "loud_titles(uuid)": (
        "returns setof text",
        "select upper(title) from public.todos as t where t.list_id = $1",
        "error function-reads:{}",
    ),
    "all_owners()": (
        "returns setof uuid",
        "select distinct owner_id from public.lists",
        "warning function-ids:{}",
    ),
    "points_of(uuid)": (
        "returns numeric",
        f"select sum(t.priority) * 1.5 {_TODOS} where l.owner_id = $1",
        "warning function-aggregate:{}",
    ),
    "has_todos(uuid)": (
        "returns boolean",
        "select exists (select from public.todos as t where t.list_id = $1)",
        "warning function-exists:{}",
    ),
    "how_many()": (
        "returns bigint",
        "select count(*) from public.todos",
        "question function-exists:anyone",
    ),
}
# their answers depend on no row of others, or change by themselves
QUIET = """
create view public.own_points as
select sum(t.priority) * 1.5 as points from public.todos as t join public.lists as l on l.id = t.list_id
where l.owner_id = auth.uid();
create view public.clock as select clock_timestamp() as now, random() as n;
create view public.safe with (security_invoker = true) as select owner_id, count(*) from public.lists group by 1;
create function public.own_size() returns bigint language sql stable security definer set search_path = ''
as 'select count(*) from public.lists where owner_id = auth.uid()';
create function public.ticket() returns text language sql security definer set search_path = ''
as 'select random()::text || count(*) from public.lists where owner_id = auth.uid()';
create function public.may_read(list uuid) returns boolean language sql stable security definer set search_path = ''
as 'select exists (select from public.lists where id = list and owner_id = auth.uid())';
create function public.refused(list uuid) returns bigint language plpgsql security definer set search_path = ''
as $$ begin
  if not exists (select from public.lists where id = list) then raise exception 'not found'; end if;
  if not public.may_read(list) then raise exception 'forbidden'; end if;
  return 1;
end $$;
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_what_flows_from_rows_of_others(project: Connection) -> None:
    known = {f.id for f in run_audit(project, repairs=False).findings}
    expected = set()
    for name, (query, finding) in VIEWS.items():
        project.execute(f"create view public.{name} as {query}".encode())
        expected.add(finding.format(f"public.{name}"))
    for signature, (returns, body, finding) in FUNCTIONS.items():
        text = f"create function public.{signature} {returns} {_DEFINER} $$ {body} $$"
        project.execute(text.encode())
        expected.add(finding.format(f"public.{signature}"))
    project.execute(QUIET.encode())
    found = {f.id: f for f in run_audit(project).findings if f.id not in known}
    writes = [id_ for id_ in found if id_.endswith((":update", ":delete"))]
    assert {f"{f.severity} {f.id}" for f in found.values() if f.id not in writes} == expected
    for finding_ in found.values():
        project.execute(decided(finding_.fix).encode() or b"select 1")
    again = [f for f in run_audit(project, repairs=False).findings if f.id not in known]
    left = {f.id for f in again if f.severity in (Severity.ERROR, Severity.WARNING)}
    assert left == set()


COLUMNS = """
create table public.members (
  id uuid primary key references auth.users, nickname text not null, birth_name text not null
);
alter table public.members enable row level security;
create policy "everybody" on public.members for select to authenticated using (true);
revoke select on public.members from anon, authenticated;
grant select (id, nickname) on public.members to authenticated;
create view public.nicknames as select id, nickname from public.members;
create view public.names as select id, upper(birth_name) as name from public.members;
create function public.own_name() returns text language sql stable security definer set search_path = ''
as 'select birth_name from public.members where id = auth.uid()';
revoke select on public.nicknames, public.names from anon;
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_columns_that_are_refused(project: Connection) -> None:
    known = {f.id for f in run_audit(project, repairs=False).findings}
    project.execute(COLUMNS.encode())
    found = {f.id for f in run_audit(project, repairs=False).findings if f.id not in known}
    reads = {id_ for id_ in found if id_.startswith(("view", "function")) and ":select" in id_}
    assert reads == {"view:public.names:select"}
    assert not [id_ for id_ in found if "own_name" in id_]


def test_role_that_may_not_switch_triggers_off(request: pytest.FixtureRequest) -> None:
    database = session_copy(request, "with_triggers", "services", DEFAULT_MAJOR)
    with (
        connect(database.superuser_url) as superuser,
        superuser.transaction(force_rollback=True),
    ):
        superuser.execute("revoke set on parameter session_replication_role from postgres")
        superuser.execute("set local role postgres")
        superuser.execute(
            "create table public.notes (id bigint primary key, user_id uuid references auth.users)"
        )
        superuser.execute("alter table public.notes enable row level security")
        superuser.execute("create view public.size as select count(*) from public.notes")
        result = run_audit(superuser, repairs=False)
    [untested] = result.not_tested
    assert untested.object == "views and functions"
    assert "may not set session_replication_role" in untested.why
    assert not untested.fails
