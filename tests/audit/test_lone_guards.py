"""Conditions about the caller that one policy asks without their companion, without a database."""

from collections.abc import Sequence
from dataclasses import replace

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Policy
from supabase_jobs.audit.policies import lone_guards
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import ALL, SELECT, catalog, function, policy, table

BODY = "select exists (select 1 from crew where id = auth.uid() and {})"
HELPERS = [
    function("on_board", BODY.format("board"), oid=90),
    function("is_member", BODY.format("left_at is null"), oid=91),
]
BOTH = "(on_board() AND is_member())"
ALONE = "on_board()"
OWN = "((author = auth.uid()) AND on_board())"
VISIBLE = "((EXISTS ( SELECT 1 FROM boats b WHERE (b.id = trip))) AND on_board())"


def lone(*texts: str, command: str = ALL) -> list[str]:
    """The policies of tables t0, t1, … that ask for less than others, with what these ask for."""
    tables = [
        table(f"t{n}", "id", "author", "trip", oid=n + 1, policies=_policies(text, command))
        for n, text in enumerate(texts)
    ]
    others = [table("crew", "id", "board", "left_at", oid=80), table("boats", "id", oid=81)]
    project = catalog(*tables, *others, functions=HELPERS)
    used = usage.usage(project, words.load())
    return [
        f"{one.table}: {', '.join(one.companions)}"
        for one in lone_guards.find(project, used, tables)
    ]


def _policies(text: str, command: str) -> Sequence[Policy]:
    return [replace(policy(text, command), name="staff")]


def test_policy_that_asks_for_one_of_two() -> None:
    assert lone(BOTH, BOTH, ALONE) == ["public.t2: public.is_member()"]
    assert lone(BOTH, BOTH, ALONE, command=SELECT) == ["public.t2: public.is_member()"]


def test_as_many_policies_as_show_a_rule() -> None:
    assert lone(BOTH, ALONE) == []
    assert lone(BOTH, BOTH, ALONE, ALONE) == []


def test_other_conditions_about_the_caller() -> None:
    """The author of a row, or what the caller sees, limits it, too."""
    assert lone(BOTH, BOTH, OWN) == []
    assert lone(BOTH, BOTH, VISIBLE) == []
    assert lone(OWN, OWN, ALONE) == []
