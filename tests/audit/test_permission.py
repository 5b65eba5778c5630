"""The words of a baseline, and the callers that it names, as values."""

import pytest

from supabase_jobs.findings import MEMBER_ROWS, OWN_ROWS, AccessCaller
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stranger", AccessCaller("stranger")),
        ("editor of teams, own rows", AccessCaller("editor of teams", OWN_ROWS)),
        ("owner, rows of members", AccessCaller("owner", MEMBER_ROWS)),
        ("user with tags = {a, b}", AccessCaller("user with tags = {a, b}")),
    ],
)
def test_a_caller_prints_the_text_that_it_is_parsed_from(text: str, expected: AccessCaller) -> None:
    assert AccessCaller.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("label", "is_anonymous", "table"),
    [
        ("anon", True, ""),
        ("anon with another header", True, ""),
        ("anonymous sign-in", True, ""),
        ("anonymizer of teams", False, "teams"),
        ("former member of teams", False, "teams"),
    ],
)
def test_a_caller_has_no_account_or_a_role_by_a_table(
    label: str, is_anonymous: bool, table: str
) -> None:
    caller = AccessCaller(label, OWN_ROWS)
    assert (caller.is_anonymous, caller.table) == (is_anonymous, table)
