"""References that no foreign key demands, by what conditions compare columns with; no database."""

from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Catalog, Column, Constraint, Relation
from supabase_jobs.audit.policies.usage.usage import usage
from supabase_jobs.audit.rows.references import with_references
from tests.audit.catalogs import catalog, column, foreign_key, function, policy, table


def key(*columns: str) -> Constraint:
    """A primary key."""
    return replace(foreign_key("", "auth.users"), kind="p", columns=columns, target_name=None)


def crews(oid: int = 2) -> Relation:
    return table("crews", column("id", "uuid"), oid=oid, constraints=[key("id")])


def of_notes(text: str, *others: Relation, crew: str = "crew", **known: str) -> list[Constraint]:
    """The references of public.notes by a policy, beside a table with a key to public.crews."""
    above = crews()
    people = table(
        "people", column("crew", "uuid"), "name", oid=3, constraints=[foreign_key("crew", above)]
    )
    notes = table("notes", column(crew, known.get("type_", "uuid")), policies=[policy(text)])
    functions = [
        function(name, body, oid=100 + number, arguments=["it"])
        for number, (name, body) in enumerate(FUNCTIONS.items())
    ]
    found = with_references_of(catalog(notes, above, people, *others, functions=functions))
    return [one for one in found.by_oid[1].foreign_keys if one.kind == "r"]


FUNCTIONS = {
    "crew_of_caller": "select p.crew from public.people p where p.name = auth.uid()::text",
    "is_in": "select exists (select 1 from public.people p where p.crew = it)",
    "calls": "select public.is_in(it)",
}


def with_references_of(found: Catalog) -> Catalog:
    return with_references(found, usage(found, words.load()))


@pytest.mark.parametrize(
    "text",
    [
        "public.is_in(crew)",
        "public.calls(crew)",
        "crew = public.crew_of_caller()",
        "exists (select 1 from public.people p where p.crew = notes.crew)",
        "exists (select 1 from public.crews c where c.id = notes.crew)",
        "crew in (select p.crew from public.people p)",
    ],
)
def test_column_refers_to_what_conditions_compare_it_with(text: str) -> None:
    [found] = of_notes(text)
    assert (found.columns, found.target, found.target_columns) == (("crew",), 2, ("id",))


@pytest.mark.parametrize(
    "text",
    [
        "crew is not null",
        "crew <> public.crew_of_caller()",
        "crew = auth.uid()",
        "crew = (auth.jwt() ->> 'crew')::uuid",
        "exists (select 1 from public.people p where p.name = notes.crew::text)",
        "exists (select 1 from public.crews c, public.ships s where notes.crew in (c.id, s.id))",
    ],
)
def test_other_columns_refer_to_nothing(text: str) -> None:
    """Not those of users or of the request, and not those that lead to two tables."""
    ships = table("ships", column("id", "uuid"), oid=4, constraints=[key("id")])
    assert of_notes(text, ships) == []


def test_column_of_another_type_refers_to_nothing() -> None:
    assert of_notes("public.is_in(crew)", type_="text") == []


def drawn(name: str) -> Column:
    return replace(column(name, "uuid"), default="gen_random_uuid()")


@pytest.mark.parametrize(("made", "expected"), [(column, [2]), (drawn, [])])
def test_key_with_a_random_default_refers_to_nothing(made: object, expected: list[int]) -> None:
    own = drawn("crew") if made is drawn else column("crew", "uuid")
    above = crews()
    text = "exists (select 1 from public.crews c where c.id = notes.crew)"
    notes = table("notes", own, policies=[policy(text)], constraints=[key("crew")])
    found = with_references_of(catalog(notes, above))
    assert [one.target for one in found.by_oid[1].foreign_keys] == expected


def test_references_close_no_cycle() -> None:
    """Of two keys that are compared with one another, the first one refers to the second one."""
    text = "exists (select 1 from public.crews c where c.id = notes.crew)"
    notes = table(
        "notes", column("crew", "uuid"), policies=[policy(text)], constraints=[key("crew")]
    )
    found = with_references_of(catalog(notes, crews()))
    targets = {r.name: [one.target for one in r.foreign_keys] for r in found.relations}
    assert targets == {"notes": [2], "crews": []}


def test_several_columns_refer_to_a_key_of_several_columns() -> None:
    seats = table(
        "seats", "room", "number", oid=2, policies=[], constraints=[key("room", "number")]
    )
    text = "exists (select 1 from public.seats s where s.room = hall and s.number = place)"
    notes = table("notes", "hall", "place", policies=[policy(text)])
    [found] = with_references_of(catalog(notes, seats)).by_oid[1].foreign_keys
    assert (found.columns, found.target_columns) == (("hall", "place"), ("room", "number"))
