"""Effects of a fault for a caller: which faults are equivalent, and which cannot be tested."""

from collections.abc import Iterator

import pytest

from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.mutation.suite.copies import Copies, Copy
from supabase_jobs.mutation.suite.effects import Effect, Effects
from supabase_jobs.mutation.suite.objects import project_objects
from tests.fix_db import Make
from tests.mutation.suites import notebooks

MORE = """
alter table public.notebooks add column archived boolean not null default false;
create view public.mine with (security_invoker = true) as select * from public.notebooks;
revoke all on public.mine from anon;
create table public.tags (name text primary key);
create view public.tag_list as select name, 1 as one from public.tags;
revoke all on public.tags, public.tag_list from anon, authenticated;
grant select on public.tags, public.tag_list to anon, authenticated;
create function public.forget(notebook uuid) returns void language sql
as 'delete from public.notes where notebook_id = notebook';
create function public.add(a int, b int) returns int language sql immutable as 'select a + b';
create function public.may(notebook uuid) returns boolean language plpgsql stable as $$
begin
  return public.add(1, 1) = 2 or notebook is null;
end $$;
create policy "what a function allows" on public.members as restrictive for select using (public.may(notebook_id));
create function public.size(notebook uuid) returns bigint language sql stable
as 'select count(*) from public.notebooks where id = notebook';
create function public.unused() returns trigger language plpgsql as 'begin return new; end';
"""
# equivalent, cannot be tested, or the test that is missing
EQUIVALENT, UNTESTED = "equivalent", "untested"
FAULTS = [
    (
        "revoke select on public.mine from authenticated",
        "grant select on public.mine to authenticated",
        "public.mine",
        "can read a row of their own in mine",
    ),
    (
        "revoke select on public.tag_list from anon",
        "grant select on public.tag_list to anon",
        "public.tag_list",
        "anon can read",
    ),
    (
        "revoke insert on public.notebooks from authenticated",
        "grant insert on public.notebooks to authenticated",
        "public.notebooks",
        "stranger can insert a row of their own into notebooks",
    ),
    (
        "revoke execute on function public.forget(uuid) from public, anon; ",
        "grant execute on function public.forget(uuid) to public, anon",
        "public.forget(uuid)",
        "anon can execute",
    ),
    (
        "alter function public.forget(uuid) security definer",
        "alter function public.forget(uuid) security invoker",
        "public.forget(uuid)",
        "anon cannot call forget(uuid)",
    ),
    (
        "alter function public.unused() security definer",
        "alter function public.unused() security invoker",
        "public.unused()",
        UNTESTED,
    ),
    (
        "create or replace function public.size(notebook uuid) returns bigint language sql stable"
        " as 'select count(*) from public.notebooks where false and id = notebook'",
        "create or replace function public.size(notebook uuid) returns bigint language sql stable"
        " as 'select count(*) from public.notebooks where id = notebook'",
        "public.size(uuid)",
        UNTESTED,
    ),
    (
        "alter function public.add(int, int) cost 5",
        "alter function public.add(int, int) cost 100",
        "public.add(integer,integer)",
        EQUIVALENT,
    ),
]


@pytest.fixture
def databases(make_database: Make) -> Iterator[tuple[Effects, Copy, Connection]]:
    """The effects compared with one copy, and another one for faults."""
    with connect(notebooks(make_database, 16).url) as original:
        original.execute(MORE.encode())
        copies = Copies(original)
        copies.start()
        with copies.copy() as reference, copies.copy() as other, connect(other.url) as connection:
            yield Effects(reference, Options()), other, connection
        copies.close()


def described(effect: Effect) -> str:
    return effect.state if effect.test is None else effect.test.title


def test_only_faults_that_change_nothing_are_equivalent(
    databases: tuple[Effects, Copy, Connection],
) -> None:
    effects, copy, connection = databases
    targets = {one.name: one for one in project_objects(connection)}
    for fault, undo, target, expected in FAULTS:
        connection.execute(fault.encode())
        effect = effects.observe(copy, targets[target])
        connection.execute(undo.encode())
        assert expected in described(effect), fault
        assert bool(effect.note) == (expected == UNTESTED)
