"""The lists of words: each word has a reason, and a project adds words of its own."""

import json
import tomllib
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from supabase_jobs.audit import configuration, words
from supabase_jobs.audit.leaks import privileged_column
from supabase_jobs.audit.words import WordList, Words
from tests.audit.leaks import tables

TEXT = words.FILE.read_text(encoding="utf-8")
LISTS = tomllib.loads(TEXT)


def test_lists_are_those_of_the_class_and_of_the_schema() -> None:
    names = [one.name for one in fields(Words)]
    schema = json.loads(
        Path(configuration.__file__).with_name("audit.schema.json").read_text(encoding="utf-8")
    )
    assert list(LISTS) == names
    assert list(schema["properties"]["words"]["properties"]) == names


def test_each_list_and_each_word_has_a_reason() -> None:
    lines = TEXT.splitlines()
    for before, line in pairwise(lines):
        text = line.strip()
        if text.startswith("["):
            assert before.startswith("# "), line
        if text.startswith(('"', "'")):
            assert "  # " in line or before.strip().startswith("# "), line


def test_no_list_names_a_word_twice() -> None:
    for name, entry in LISTS.items():
        assert len(set(entry["words"])) == len(entry["words"]), name
        assert entry["words"] or entry["patterns"], name
        assert all(word == word.lower() for word in entry["words"]), name


@pytest.mark.parametrize(
    ("match", "names", "others"),
    [
        ("name", ["plan", "PLAN"], ["plan_id", "is_plan", "planet"]),
        ("order", ["plan"], ["plan_id", "planet"]),
        ("prefix", ["plan", "plan_id"], ["planet", "is_plan"]),
        ("beginning", ["plan", "planet", "is_plan"], ["my_plan"]),
        ("ending", ["plan", "my_plan"], ["plan_id"]),
        ("part", ["plan", "planet", "my_plan_id"], ["pla"]),
    ],
)
def test_word_matches_names(match: str, names: list[str], others: list[str]) -> None:
    found = WordList(match, ("plan",))
    assert [name for name in (*names, *others) if found.matches(name)] == names


def test_pattern_is_searched_in_a_name() -> None:
    found = WordList("name", ("due",), ("^paid_(at|on)$", "total"))
    names = ["due", "Paid_At", "order_total", "paid", "paid_at_once"]
    assert [name for name in names if found.matches(name)] == ["due", "Paid_At", "order_total"]


def test_rank_is_the_position_of_a_word() -> None:
    roles = WordList("order", ("owner", "admin"))
    assert sorted(["guest", "Admin", "owner", "boss"], key=roles.rank) == [
        "owner",
        "Admin",
        "guest",
        "boss",
    ]


def test_sensitive_columns_do_not_only_speak_of_a_secret() -> None:
    names = ["email", "Api_Token", "email_sent_at", "token_count", "email_verified", "title"]
    assert [name for name in names if words.load().is_sensitive(name)] == ["email", "Api_Token"]


def test_project_adds_words() -> None:
    more = words.load().with_more({"privilege_columns": ["Rank"], "amount_columns": ["gebuehr"]})
    assert more.privilege_columns.matches("rank")
    assert more.privilege_columns.matches("is_admin")
    assert more.amount_columns.matches("gebuehr")
    assert more.amount_columns.matches("price")
    assert not words.load().privilege_columns.matches("rank")


def test_word_of_a_project_shows_a_leak() -> None:
    case = {"tried": [{"by": "stranger", "does": "update", "column": "rank", "whose": "own"}]}
    document = {"tables": {"public.notes": {"per_user": True}}}

    def found(known: Words) -> list[str]:
        facts = tables.facts_of(document, case, known)
        return [leak.id for leak in privileged_column.find(facts)]

    assert found(words.load()) == []
    more = words.load().with_more({"privilege_columns": ["rank"]})
    assert found(more) == ["privileged-column:public.notes:update:rank"]
