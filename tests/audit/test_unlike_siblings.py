"""Conditions that functions leave out and others have, without a database."""

from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Column, Constraint, Function
from supabase_jobs.audit.policies import usage
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.unlike_siblings import Siblings
from tests.audit.catalogs import catalog, column, foreign_key, function, table

VIEW = "select room from cards where code = p_code and used_at is null and ends_at > now()"
ADD = "insert into visits (card) select id from cards where code = p_code"
USE = "update cards set used_at = now() where code = p_code"
KEEP = "delete from visits v using cards c where v.id = p_code and c.id = v.card"
PAY = "insert into payments (person, sum) select auth.uid(), price from cards where code = p_code"
JOIN = "from visits v left join cards c on c.id = v.card and c.used_at is null and c.phase = 'open'"
COUNT = "update cards set uses = uses + 1 where code = p_code"


def _number(name: str) -> Column:
    return replace(column(name, "int4"), category="N")


def _acting(name: str, body: str, oid: int) -> Function:
    one = function(name, body, oid=oid, arguments=["p_code"])
    return replace(one, definer=True, volatility="v", result="void")


def _key(name: str) -> Constraint:
    return replace(foreign_key(name, ""), kind="u", target=None)


def unasked(acts: str, other: str = "select 1") -> list[str]:
    """The omissions of a function, beside another one."""
    texts = [replace(column(name), category="S") for name in ("id", "code", "room", "phase")]
    times = [column(name, "timestamptz", not_null=False) for name in ("used_at", "ends_at")]
    cards = table(
        "cards",
        *texts,
        *times,
        *map(_number, ("price", "uses", "max_uses", "seats")),
        constraints=[_key("id"), _key("code")],
    )
    below = foreign_key("card", cards)
    visits = table("visits", "id", "card", oid=2, constraints=[_key("id"), below])
    payments = table("payments", "person", _number("sum"), oid=3)
    functions = [_acting("f", acts, 100), _acting("g", other, 101)]
    project = catalog(cards, visits, payments, functions=functions)
    found = usage.usage(project, words.load())
    closed = {1: {"phase": Closed(["draft", "open", "over"], ["draft"])}}
    siblings = Siblings(project, found, closed, set())
    of_f = [one for one in siblings.find() if one.function.startswith("public.f(")]
    return [f"{one.what} {' '.join([*one.columns, *one.values])}" for one in of_f]


@pytest.mark.parametrize(
    ("acts", "other", "found"),
    [
        (ADD, VIEW, ["state ends_at used_at"]),
        (f"{ADD} and ends_at > now()", VIEW, ["state used_at"]),
        (f"{ADD} and ends_at > now() and used_at is null", VIEW, []),
        (USE, VIEW, []),  # it only changes a state
        (ADD, f"{ADD} and phase = 'open'", []),  # a step of what the first does not change
        (
            f"{ADD}; update cards set phase = 'over' where code = p_code",
            f"{ADD} and phase = 'open'",
            ["state phase"],
        ),
        (f"{ADD} and phase <> 'draft'", f"{KEEP} and c.phase = 'open'", ["values phase draft"]),
        (f"{ADD} and phase = 'over'", f"{KEEP} and c.phase = 'open'", []),
        (f"{ADD} and phase not in ('draft', 'over')", f"{KEEP} and c.phase = 'open'", []),
        (f"{USE}; {PAY}", "select 1", ["mark used_at"]),
        (f"{USE} and used_at is null; {PAY}", "select 1", []),
        (f"{USE}; {ADD}", "select 1", []),  # nothing is given
        (COUNT, "select 1", ["limit uses max_uses"]),
        (COUNT, "select max_uses from cards", []),
        (f"{COUNT} and uses < max_uses", "select 1", []),
        (f"select v.id {JOIN}", "select 1", ["join used_at phase"]),
        (f"select v.id, c.room {JOIN}", "select 1", []),
        (f"select v.id, count(*) {JOIN} group by v.id", "select 1", []),
        (f"select v.id {JOIN} where c.id is null", "select 1", []),
        (f"select v.id {JOIN}".replace("left ", ""), "select 1", []),
    ],
)
def test_what_a_function_leaves_out(acts: str, other: str, found: list[str]) -> None:
    assert unasked(acts, other) == found
