"""The words of a baseline as values; no database is needed."""

import pytest

from supabase_jobs.findings.permission import Permission, beyond, grouped, parse, printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", set()),
        ("none", set()),
        ("read delete", {Permission("read"), Permission("delete")}),
        ("update(a, b)", {Permission("update", "a"), Permission("update", "b")}),
        ("update(a,b=x)", {Permission("update", "a"), Permission("update", "b", "x")}),
        ("anon authenticated", {Permission("anon"), Permission("authenticated")}),
    ],
)
def test_words_are_permissions(words: str, expected: set[Permission]) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize("words", ["read", "update(title)", "update(status=paid)"])
def test_permission_prints_its_word(words: str) -> None:
    [permission] = parse(words)
    assert str(permission) == words


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ("read", "none", ["read"]),
        ("read(a)", "read", []),
        ("read", "read(a)", ["read"]),
        ("update(a=x)", "update(a)", []),
        ("update(a=x)", "update(a=y)", ["update(a=x)"]),
        ("update(a)", "update(a=y)", ["update(a)"]),
        ("update(b) insert", "update(a)", ["insert", "update(b)"]),
    ],
)
def test_wider_permissions(now: str, before: str, expected: list[str]) -> None:
    assert [str(one) for one in beyond(parse(now), parse(before))] == expected


def test_parts_of_a_permission_are_columns_or_values() -> None:
    others = parse("read(a) update(b=y,b=x,c)")
    assert [str(one) for one in Permission("update").parts(others)] == [
        "update(b=x)",
        "update(b=y)",
        "update(c)",
    ]
    assert [str(one) for one in Permission("update", "b").parts(others)] == [
        "update(b=x)",
        "update(b=y)",
    ]
    assert Permission("delete").parts(others) == []


def test_groups_are_in_the_order_of_a_baseline() -> None:
    some = parse("forge update(b,a=y,a=x) read none")
    assert grouped(some) == {"read": [], "update": ["a=x", "a=y", "b"], "forge": []}


@pytest.mark.parametrize(
    "words",
    ["none", "read", "read(a,b) insert update(a=x,a=y,b) delete join forge"],
)
def test_permissions_print_the_words_that_they_are_parsed_from(words: str) -> None:
    assert printed(parse(words)) == words
