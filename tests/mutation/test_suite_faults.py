"""The faults of `mutate --run`: which of them are planted, in which order, with which sentence."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.mutation.mutate import derive
from supabase_jobs.mutation.suite import faults
from supabase_jobs.mutation.suite.faults import (
    derive_suite_faults,
    parse_kinds,
    sample,
)
from supabase_jobs.mutation.suite.objects import ProjectObject, named, project_objects
from supabase_jobs.settings import read_toml
from tests.fix_db import Make
from tests.mutation.suites import notebooks

# what notebooks lacks: a nullable column in a policy, column privileges, a view, functions, a
# trigger
MORE = """
create table public.things (id int, owner uuid, note text);
alter table public.things enable row level security;
revoke all on public.things from anon, authenticated;
grant select (id), update (note), insert (id) on public.things to authenticated;
create policy own on public.things for update
using (owner = auth.uid() or id = 1) with check (owner = auth.uid() and id > 0);
create view public.seen with (security_invoker = true) as select * from public.things;
create function public.allowed(who uuid) returns boolean language plpgsql security definer as $$
begin
  if who is null then raise exception 'no user'; end if;
  return who = auth.uid();
end $$;
create function public.stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamp before insert on public.things for each row execute function public.stamp();
"""


@pytest.fixture
def connection(make_database: Make) -> Iterator[Connection]:
    with connect(notebooks(make_database, 16).url) as connection:
        yield connection


def objects(connection: Connection, name: str) -> list[ProjectObject]:
    """The object of a name."""
    return [one for one in project_objects(connection) if one.name == name]


def test_every_rule_matches_a_fault_and_says_what_no_test_fails_for(connection: Connection) -> None:
    connection.execute(MORE.encode())
    found = derive_suite_faults(connection, project_objects(connection), faults.KINDS)
    rules = read_toml(Path(faults.__file__).with_name("faults.toml"))["fault"]
    assert {f.rank for f in found} == set(range(len(rules)))
    assert {f.kind for f in found} == set(faults.KINDS)
    assert all(
        f.sentence.startswith("No test fails when ") and "{" not in f.sentence for f in found
    )


def test_the_most_dangerous_faults_come_first(connection: Connection) -> None:
    found = derive_suite_faults(connection, project_objects(connection), faults.KINDS)
    assert [f.fault.id for f in found[:3]] == [
        f"tables:rls-off:public.{t}" for t in ("members", "notebooks", "notes")
    ]
    assert [f.rank for f in found] == sorted(f.rank for f in found)
    assert found[0].sentence == "No test fails when row level security is off on members"
    [read] = [f for f in found if f.fault.id == "tables:policy-select-anon:public.notes"]
    assert read.sentence == "No test fails when anyone can read notes"


def test_names_may_contain_what_separates_the_parts_of_an_id(connection: Connection) -> None:
    connection.execute(
        MORE.replace("things", '"a:b"').replace("policy own", 'policy "c:""d"""').encode()
    )
    odd = [
        f
        for f in derive_suite_faults(connection, objects(connection, 'public."a:b"'), faults.KINDS)
        if f.kind == "policies"
    ]
    connection.execute(
        'alter table public."a:b" rename to things; alter policy "c:""d""" on public.things rename to own'
    )
    plain = [
        f
        for f in derive_suite_faults(connection, objects(connection, "public.things"), faults.KINDS)
        if f.kind == "policies"
    ]
    assert [f.rank for f in odd] == [f.rank for f in plain]
    renamed = [f.sentence.replace('"a:b"', "things").replace('c:"d"', "own") for f in odd]
    assert renamed == [f.sentence for f in plain]


def test_the_documented_survivor_is_a_fault(connection: Connection) -> None:
    document = (Path(__file__).parents[2] / "docs" / "mutation-testing.md").read_text("utf-8")
    (block,) = re.findall(
        r"^<!-- survivor -->\n```text\n(.*?)^```$", document, re.DOTALL | re.MULTILINE
    )
    found = derive_suite_faults(connection, project_objects(connection), faults.KINDS)
    headings = [
        f"SURVIVED  {f.sentence}\n  {f.fault.id}\n  {f.fault.sql}\n  missing test (pytest):\n"
        for f in found
    ]
    assert sum(block.startswith(heading) for heading in headings) == 1


def test_every_fault_is_derived_by_an_operator(connection: Connection) -> None:
    found = derive_suite_faults(connection, project_objects(connection), faults.KINDS)
    names = [one.name for one in project_objects(connection)]
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")
        derived = {f.id for f in derive(connection, names)}
    assert {f.fault.id for f in found} < derived


def test_platform_objects_and_extensions_are_left_out(connection: Connection) -> None:
    connection.execute("create schema if not exists extensions")
    names = [one.name for one in project_objects(connection)]
    assert names == ["public.members", "public.notebooks", "public.notes"]


def test_only_selects_kinds(connection: Connection) -> None:
    found = derive_suite_faults(
        connection, objects(connection, "public.notes"), parse_kinds("privileges")
    )
    assert {f.kind for f in found} == {"privileges"}
    with pytest.raises(ConfigError, match="'structure'"):
        parse_kinds("policies,structure")


def test_an_object_is_named_as_the_report_prints_it_or_without_its_arguments() -> None:
    found = [
        ProjectObject("public.notes", "public", "notes", is_function=False),
        ProjectObject("public.allowed(uuid)", "public", "allowed", is_function=True),
        ProjectObject("public.allowed(text,uuid)", "public", "allowed", is_function=True),
    ]
    assert named(found, ["allowed(uuid)"]) == found[1:2]
    assert named(found, ["public.allowed"]) == found[1:]
    with pytest.raises(ConfigError, match=r"'public\.allowed\(int\)'"):
        named(found, ["notes", "allowed(int)"])


def test_an_object_knows_its_kind_and_its_plain_name(connection: Connection) -> None:
    connection.execute(
        'create table public."odd (a.b)" ();'
        "create function public.\"odd (a.b)\"(uuid) returns int language sql as 'select 1'"
    )
    found = [one for one in project_objects(connection) if one.plain == "odd (a.b)"]
    assert [(one.label, one.is_function) for one in found] == [
        ("public.odd (a.b)", False),
        ('public."odd (a.b)"(uuid)', True),
    ]
    assert named(found, ["public.odd (a.b)"]) == found


def test_the_body_in_a_sentence_is_cut_between_two_words(connection: Connection) -> None:
    connection.execute(
        "create function public.late() returns void language sql as $$ update public.notes set"
        " body = 'x' where body = 'a text of many words' and id is not null and is_public $$"
    )
    found = derive_suite_faults(connection, objects(connection, "public.late()"), faults.KINDS)
    cut = [f.sentence.partition(", in: ")[2] for f in found if f.sentence.endswith("…")]
    assert cut
    where = "where body = 'a text of many words' and id is not null and is_public"
    assert all(text.removesuffix("…") in where for text in cut)


def test_a_column_privilege_is_no_fault_beside_that_on_the_table(connection: Connection) -> None:
    ids = [
        f.fault.id
        for f in derive_suite_faults(connection, objects(connection, "public.notes"), faults.KINDS)
    ]
    assert "grants:grant:public.notes:UPDATE:anon" in ids
    assert not [name for name in ids if re.match("grants:grant-column", name)]


def test_a_sample_is_the_same_for_a_seed_and_keeps_the_order(connection: Connection) -> None:
    found = derive_suite_faults(connection, objects(connection, "public.notes"), faults.KINDS)
    first = sample(found, 10, 1)
    assert first == sample(found, 10, 1) != sample(found, 10, 2)
    assert first == sorted(first, key=found.index)
    assert len(first) == 10
    assert sample(found, None, 1) == sample(found, 10_000, 1) == found
