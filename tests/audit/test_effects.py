"""Effects of calls: rows of others that are changed, deleted or added in another's name."""

from types import SimpleNamespace
from typing import cast

import pytest

from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.connection import Connection
from tests.audit.conftest import run_audit

_DEFINER = "language plpgsql security definer set search_path = public as"
POSTS = """
create table posts (
  id uuid primary key default gen_random_uuid(), author_id uuid not null references auth.users, body text not null,
  likes integer not null default 0
);
alter table posts enable row level security;
create policy "read" on posts for select using (true);
create policy "own" on posts for all to authenticated using (author_id = auth.uid()) with check (author_id = auth.uid());
create table replies (
  id bigint generated always as identity primary key, post_id uuid not null references posts,
  author_id uuid not null default auth.uid() references auth.users, body text not null
);
alter table replies enable row level security;
create policy "own" on replies using (author_id = auth.uid());
create table notifications (
  id bigint generated always as identity primary key, user_id uuid not null references auth.users, body text not null
);
alter table notifications enable row level security;
create policy "own" on notifications using (user_id = auth.uid());
"""
LEAKS = {
    "error function-writes:public.purge()": f"""
create function purge() returns void {_DEFINER} $$ begin delete from todos where created_at < now() - interval '1 year'; end $$""",
    "error function-writes:public.clear_done(uuid)": f"""
create function clear_done(list uuid) returns void {_DEFINER} $$ begin
  delete from todos where list_id = list;
end $$""",
    # only a reply keeps the post; who has no list passes the guard, which compares with null
    "error function-writes:public.drop_post(uuid)": f"""
create function drop_post(post uuid) returns void {_DEFINER} $$
declare may_drop boolean;
begin
  select name = 'staff' into may_drop from lists where owner_id = auth.uid();
  if not may_drop then raise exception 'staff only'; end if;
  delete from posts where id = post;
end $$""",
    "error function-writes:public.edit_post(uuid,text)": f"""
create function edit_post(post uuid, new_body text) returns void {_DEFINER} $$ begin
  update posts set body = new_body where id = post;
end $$""",
    "question function-writes:anyone": f"""
create function like_post(post uuid) returns void {_DEFINER} $$ begin
  update posts set likes = likes + 1 where id = post;
end $$""",
    "warning function-forges:public.new_list(uuid,text)": f"""
create function new_list(owner uuid, title text) returns uuid {_DEFINER} $$
declare made uuid;
begin
  insert into lists (owner_id, name) values (owner, title) returning id into made;
  return made;
end $$""",
    "question function-forges:anyone": f"""
create function notify(target uuid, message text) returns void {_DEFINER} $$ begin
  insert into notifications (user_id, body) values (target, message);
end $$""",
    # any user with a list passes, whosever list it is
    "question function-guard:signed-in users": f"""
create function add_todo(list uuid, text_of_todo text) returns void {_DEFINER} $$ begin
  if not exists (select from lists where owner_id = auth.uid()) then raise exception 'create a list first'; end if;
  insert into todos (list_id, title, priority) values (list, text_of_todo, 17);
end $$""",
}
QUIET = f"""
create function reply_to(post uuid, said text) returns void {_DEFINER} $$ begin
  insert into replies (post_id, author_id, body) values (gen_random_uuid(), auth.uid(), said);
end $$;
create function purge_own() returns void {_DEFINER} $$ begin
  delete from todos as t using lists as l where l.id = t.list_id and l.owner_id = auth.uid();
end $$;
create function own_list(title text) returns void {_DEFINER} $$ begin
  insert into lists (owner_id, name) values (auth.uid(), title);
end $$;
create function checked_todo(list uuid, text_of_todo text) returns void {_DEFINER} $$ begin
  if not exists (select from lists where owner_id = auth.uid() and id = list) then raise exception 'not your list'; end if;
  insert into todos (list_id, title, priority) values (list, text_of_todo, 17);
end $$;
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_effects_on_rows_of_others(project: Connection) -> None:
    project.execute(POSTS.encode())
    known = {f.id for f in run_audit(project, repairs=False).findings}
    for statement in (*LEAKS.values(), QUIET):
        project.execute(statement.encode())
    found = {
        f"{f.severity} {f.id}"
        for f in run_audit(project, repairs=False).findings
        if f.id not in known
    }
    # the policies let users add the rows, too, that functions add after checks; a reply to a post
    # that does not exist never gets through
    also = {"question group-write:functions", "question function-unpassed:anyone"}
    assert found == {*LEAKS, *also}


def test_what_the_tables_let_a_caller_change_is_no_effect() -> None:
    row = cast(Row, SimpleNamespace(relation=SimpleNamespace(oid=1)))
    before = '["(0,1)", {"title": "a", "state": "new"}]'
    versions = (
        before,
        '["(0,2)", {"title": "a", "state": "new"}]',  # written again as it was
        '["(0,2)", {"title": "b", "state": "new"}]',
        '["(0,2)", {"title": "a", "state": "old"}]',
        None,
    )
    shown = {}
    for name, permitted in (("some", {id(row): {"title"}}), ("none", {})):
        watch = Watch(rows=[row], permitted=permitted)
        effects = [watch.effects({(id(row), ""): before}, {(id(row), ""): v}) for v in versions]
        shown[name] = [bool(one.changed) for one in effects]
    assert shown == {
        "some": [False, False, False, True, True],
        "none": [False, True, True, True, True],
    }
