"""Leaks of functions that only some arguments show."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from tests.audit.conftest import run_audit

_SQL = "language sql stable security definer set search_path = public as"
_PLPGSQL = "language plpgsql security definer set search_path = public as"
LEAKS = {
    "search(text)": f"create function public.search(q text) returns setof todos {_SQL} "
    "$$ select * from todos where title ilike '%' || q || '%' $$",
    "latest(integer,text)": "create function public.latest(most integer default 10, sorted text"
    " default 'title')"
    f" returns setof todos {_SQL} $$ select * from todos where sorted = 'title' order by id limit"
    " most $$",
    "listed(boolean)": "create function public.listed(everything boolean) returns setof todos"
    f" {_SQL} "
    "$$ select * from todos where everything $$",
    "by_ids(uuid[])": f"create function public.by_ids(list_ids uuid[]) returns setof todos {_SQL} "
    "$$ select * from todos where list_id = any(list_ids) $$",
    "matching(jsonb)": f"create function public.matching(filter jsonb) returns setof todos {_SQL} "
    "$$ select * from todos as t where to_jsonb(t) @> filter $$",
    "by_document(jsonb)": "create function public.by_document(payload jsonb) returns setof todos"
    f" {_SQL} "
    "$$ select * from todos where list_id = (payload ->> 'list_id')::uuid $$",
    "todos_of(public.lists)": "create function public.todos_of(list public.lists) returns setof"
    f" todos {_SQL} "
    "$$ select * from todos where list_id = list.id $$",
    "in_order(public.direction,text)": "create type public.direction as enum ('none', 'up');"
    "create function public.in_order(direction public.direction, q text) returns setof todos"
    f" {_SQL} "
    "$$ select * from todos where direction = 'up' and title like '%' || q || '%' $$",
    "in_mode(text)": f"create function public.in_mode(mode text) returns setof todos {_SQL} "
    "$$ select * from todos where mode = 'full' $$",
    "in_account(uuid)": """
create table public.accounts (
  id uuid primary key default gen_random_uuid(), owner_id uuid references auth.users, name text
);
alter table public.accounts enable row level security;
create policy own on public.accounts using (owner_id = auth.uid());
"""
    f"create function public.in_account(account uuid) returns setof accounts {_SQL} "
    "$$ select * from accounts where id = account $$",
}
IDS = {
    "ids_of(uuid)": f"create function public.ids_of(owner uuid) returns setof uuid {_SQL} "
    "$$ select id from accounts where owner_id = owner $$",
}
COUNTS = {
    "how_many(text)": f"create function public.how_many(q text) returns bigint {_SQL} "
    "$$ select count(*) from todos where title like q || '%' $$",
}
RUNS = {
    "exec_sql(text)": f"create function public.exec_sql(query text) returns void {_PLPGSQL} "
    "$$ begin execute query; end $$",
    "filtered(text)": f"create function public.filtered(given text) returns setof todos {_PLPGSQL} "
    "$$ begin return query execute 'select * from todos where ' || given; end $$",
    "titled(text)": f"create function public.titled(given text) returns setof text {_PLPGSQL} "
    "$$ begin return query execute 'select title from todos where title = ''' || given || '''';"
    " end $$",
}
SAFE = {
    "own(text)": f"create function public.own(q text) returns setof todos {_SQL} "
    "$$ select t.* from todos as t join lists as l on t.list_id = l.id"
    " where l.owner_id = auth.uid() and t.title ilike '%' || q || '%' $$",
    "same(uuid)": f"create function public.same(account uuid) returns uuid {_SQL} "
    "$$ select account from accounts limit 1 $$",
    "quoted(text)": f"create function public.quoted(given text) returns setof text {_PLPGSQL} "
    "$$ begin return query execute 'select title from todos where title = $1 and false' using"
    " given; end $$",
}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_leaks_that_only_some_arguments_show(project: Connection) -> None:
    known = {f.id for f in run_audit(project).findings}
    for statement in (LEAKS | IDS | COUNTS | RUNS | SAFE).values():
        project.execute(statement.encode())
    found = {
        f.id: f
        for f in run_audit(project).findings
        if f.severity is not Severity.INFO and f.id not in known
    }
    assert set(found) == {
        *(f"function-reads:public.{name}" for name in LEAKS),
        *(f"function-ids:public.{name}" for name in IDS),
        *(f"function-exists:public.{name}" for name in COUNTS),
        *(f"function-sql:public.{name}" for name in RUNS),
    }
    for finding in found.values():
        project.execute(finding.fix.encode())
    assert not [
        f
        for f in run_audit(project).findings
        if f.severity is not Severity.INFO and f.id not in known
    ]
