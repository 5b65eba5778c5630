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
# quoted(text) finds nothing
NOTHING_SEEN = "function-unpassed:anyone"
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
    known = {f.id for f in run_audit(project, repairs=False).findings}
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
        NOTHING_SEEN,
    }
    for finding in found.values():
        # one that takes something from the owner is a comment with the statement
        statement = finding.fix.partition("run:\n-- ")[2] or finding.fix
        project.execute(statement.encode())
    assert not [
        f
        for f in run_audit(project, repairs=False).findings
        if f.severity is not Severity.INFO and f.id not in known | {NOTHING_SEEN}
    ]


TABLES = """
create type public.mode as enum ('off', 'on');
create table public.messages (
  id bigint generated always as identity primary key,
  sender_id uuid not null references auth.users, receiver_id uuid not null references auth.users, body text not null
);
alter table public.messages enable row level security;
create policy own on public.messages for select using (auth.uid() in (sender_id, receiver_id));
create table public.drafts (
  id uuid primary key default gen_random_uuid(), owner_id uuid not null references auth.users, body text not null,
  share_token text not null default md5(random()::text), device_id text,
  mode public.mode not null default 'off', created_on date not null default current_date
);
alter table public.drafts enable row level security;
create policy own on public.drafts using (owner_id = auth.uid());
create domain public.vector as text check (value like '[%]');
"""
SHAPED = {
    "pair(uuid,uuid)": f"create function public.pair(one uuid, other uuid) returns setof messages {_SQL} "
    "$$ select * from messages where sender_id = one and receiver_id = other $$",
    "or_all(text)": f"create function public.or_all(wanted text) returns setof drafts {_SQL} "
    "$$ select * from drafts where wanted is null or md5(body) = wanted $$",
    "page(integer)": f"create function public.page(size integer) returns setof drafts {_SQL} "
    "$$ select * from drafts where size < 0 $$",
    "switched(text)": f"create function public.switched(state text) returns setof drafts {_SQL} "
    "$$ select * from drafts where state::public.mode > 'off' $$",
    "batch(uuid[])": f"create function public.batch(draft_ids uuid[]) returns setof drafts {_SQL} "
    "$$ select * from drafts where id = any(draft_ids) $$",
    "of_owners(uuid[])": f"create function public.of_owners(variadic owners uuid[]) returns setof drafts {_SQL} "
    "$$ select * from drafts where owner_id = any(owners) $$",
    "lookup(jsonb)": f"create function public.lookup(payload jsonb) returns setof drafts {_SQL} "
    "$$ select d.* from drafts d join auth.users u on u.id = d.owner_id where u.email = payload ->> 'owner_email' $$",
    "of_address(text)": f"create function public.of_address(email text) returns setof drafts {_SQL} "
    "$$ select d.* from drafts d join auth.users u on u.id = d.owner_id where u.email = $1 $$",
    "nearest(vector)": f"create function public.nearest(query public.vector) returns setof drafts {_SQL} "
    "$$ select * from drafts where query is not null and query like '[%' $$",
    "order_of(text)": f"create function public.order_of(number text) returns setof drafts {_SQL} "
    "$$ select * from drafts where number ~ '^ORD-[0-9]{{4}}$' $$",
    "search_in(text,uuid)": f"create function public.search_in(q text, of_user uuid default null) returns setof drafts {_SQL} "
    "$$ select * from drafts where body ilike '%' || q || '%' and (of_user is null or of_user = auth.uid()) $$",
    "sum_of(jsonb)": f"create function public.sum_of(entries jsonb) returns setof drafts {_SQL} "
    "$$ select d.* from jsonb_array_elements(entries) e join drafts d on (e ->> 'weight')::float8 > 0 "
    "and (e ->> 'day')::date < now() $$",
    "since(date,date)": f"create function public.since(first date, last date) returns setof drafts {_SQL} "
    "$$ select * from drafts where created_on > first and created_on < last $$",
}
# the caller cannot know these values
SECRETS = {
    "shared(text)": f"create function public.shared(token text) returns setof drafts {_SQL} "
    "$$ select * from drafts where share_token = token $$",
    "of_link(text)": f"create function public.of_link(link text) returns setof drafts {_SQL} "
    "$$ select * from drafts where share_token = link $$",
    "of_device(text)": f"create function public.of_device(browser text) returns setof drafts {_SQL} "
    "$$ select * from drafts where device_id = browser $$",
}


# others of the functions ask for the mode, and the row of a device has a token
ASKED = {
    "question function-unasked:anyone, each state",
    "question function-unasked:anyone, secrets",
}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_values_that_bodies_ask_for(project: Connection) -> None:
    known = {f.id for f in run_audit(project, repairs=False).findings}
    for statement in (TABLES, *SHAPED.values(), *SECRETS.values()):
        project.execute(statement.encode())
    found = {
        f"{f.severity} {f.id}"
        for f in run_audit(project, repairs=False).findings
        if f.id not in known
    }
    assert {id_ for id_ in found if " function-" in id_} == {
        f"error function-reads:public.{name.replace('(vector)', '(public.vector)')}"
        for name in SHAPED
    } | ASKED


GUARDED = {
    "ordered(uuid,text)": f"create function public.ordered(own uuid, sorting text) returns setof lists {_PLPGSQL} "
    "$$ begin if not exists (select from lists where id = own and owner_id = auth.uid()) then raise 'no'; end if; "
    "return query execute 'select * from lists where id = $1 order by ' || sorting using own; end $$",
}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_sql_in_an_argument_behind_a_guard(project: Connection) -> None:
    """Who owns a list may sort its rows, and runs any SQL by that."""
    for statement in GUARDED.values():
        project.execute(statement.encode())
    found = {f.id: f for f in run_audit(project).findings if f.severity is Severity.ERROR}
    assert found.keys() == {f"function-sql:public.{name}" for name in GUARDED}


UNREACHED = {
    "P0001": f"create function public.settle(list uuid) returns void {_PLPGSQL} "
    "$$ begin if not exists (select from lists where id = list and name = md5('closed')) then raise 'no'; end if; "
    "delete from todos where list_id = list; end $$",
    "no effect and no result": f"create function public.find(list uuid) returns text {_SQL} "
    "$$ select name from lists where id = list and name = md5('closed') $$",
    "copies": "create table public.shares (list_id uuid not null references public.lists); "
    f"alter table public.shares enable row level security; create function public.again(todo bigint) returns void {_PLPGSQL} "
    "$$ declare t public.todos; begin select * into t from todos where id = todo; "
    "if auth.uid() is null or md5(t.title) <> 'closed' then raise 'no'; end if; "
    "insert into shares (list_id) select t.list_id from generate_series(1, 2); end $$",
    "nothing was written": f"create function public.shut(list uuid) returns boolean {_PLPGSQL} "
    "$$ begin update lists set name = '-' where id = list and name = md5('closed'); return found; end $$",
}
# the owner, the service or anybody gets through
REACHED = {
    "own": f"create function public.clear(list uuid) returns void {_PLPGSQL} "
    "$$ begin if not exists (select from lists where id = list and owner_id = auth.uid()) then raise 'no'; end if; "
    "delete from todos where list_id = list; end $$",
    "service": f"create function public.job() returns int {_PLPGSQL} "
    "$$ begin if auth.role() <> 'service_role' then raise 'no'; end if; "
    "return (select count(*) from lists); end $$",
    "old rows": f"create function public.expire() returns void {_PLPGSQL} "
    "$$ begin delete from todos where created_at < now() - interval '1 year'; end $$",
    "tells": f"create function public.open(list uuid) returns text {_PLPGSQL} "
    "$$ begin update lists set name = name where id = list and owner_id = auth.uid(); "
    "return case when found then 'opened' else 'no such list' end; end $$",
    "adds": f"create function public.start(title text) returns void {_PLPGSQL} "
    "$$ begin insert into lists (owner_id, name) values (auth.uid(), title); end $$",
}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_functions_that_nobody_gets_through_are_a_question(project: Connection) -> None:
    for statement in (*UNREACHED.values(), *REACHED.values()):
        project.execute(statement.encode())
    result = run_audit(project, repairs=False)
    [asked] = [f.message for f in result.findings if f.id.startswith("function-unpassed:")]
    assert asked.startswith("Anyone can call public.again(bigint) (writes public.shares;")
    assert ", public.find(uuid) (asks for public.lists.id," in asked
    assert ", public.settle(uuid) (writes public.todos; asks for public.lists.id," in asked
    assert "public.todos.list_id" in asked[: asked.index("public.find(")].partition("not for")[2]
    asked_elsewhere = [f.message for f in result.findings if f.id == "function-unasked:anyone"]
    assert "public.shut(uuid) (public.lists)" in asked_elsewhere[0]
    assert result.not_tested == ()
