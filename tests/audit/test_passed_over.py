"""Persons, states, values and guards that a function passes over, without a database."""

from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Column, Constraint, Function
from supabase_jobs.audit.policies.passed_over import PassedOver
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import (
    INSERT,
    SELECT,
    catalog,
    column,
    foreign_key,
    function,
    policy,
    table,
)

HELPERS = {
    "leads": "select 1 from members where person = auth.uid() and duty = 'lead'",
    "trusted": "select 1 from members where person = auth.uid()",
    "leads_in": "select 1 from members where person = auth.uid() and duty = 'lead' and club = p",
    "has_rated": "select 1 from ratings where game = p and sent",
    "has_rated_too": "select 1 from ratings where game = p and sent and author = auth.uid()",
}


def _number(name: str) -> Column:
    return replace(column(name, "int4"), category="N")


def _text(name: str) -> Column:
    return replace(column(name), category="S")


def _key(name: str) -> Constraint:
    return replace(foreign_key(name, ""), kind="u", target=None)


def _acting(name: str, body: str, oid: int, *arguments: str) -> Function:
    one = function(name, body, oid=oid, language="plpgsql", arguments=arguments)
    return replace(one, definer=True, volatility="v", result="void")


def _refusing(condition: str) -> str:
    return f"if {condition} then raise exception 'no'; end if"


def passed_over(*bodies: str, rating: str = "has_rated") -> list[str]:
    """The omissions of functions f, g, h and i about the games of clubs, and of helpers."""
    clubs = table("clubs", "id", oid=1, constraints=[_key("id")])
    members = table("members", "person", "club", _text("duty"), oid=2)
    members = replace(members, constraints=(foreign_key("club", clubs),))
    games = table(
        "games",
        *("id", "club", "reporter", _text("phase"), _number("fee"), _number("score")),
        oid=3,
        constraints=[_key("id"), foreign_key("club", clubs)],
    )
    seats = table(
        "seats",
        "id",
        "game",
        "person",
        _number("fee"),
        oid=4,
        constraints=[_key("id"), foreign_key("game", games)],
    )
    gifts = table(
        "gifts",
        _text("code"),
        column("meant_for", not_null=False),
        _number("fee"),
        oid=5,
        constraints=[_key("code"), foreign_key("meant_for", "auth.users")],
    )
    friends = table(
        "friends",
        "one",
        "other",
        _text("state"),
        oid=6,
        policies=[
            policy("one = auth.uid() or other = auth.uid()"),
            policy("one = auth.uid() and state = 'asked'", INSERT),
        ],
    )
    ratings = table(
        "ratings",
        "author",
        "game",
        column("sent", "bool"),
        oid=7,
        policies=[policy(f"author = auth.uid() or {rating}(game)", SELECT)],
    )
    functions = [
        _acting(name, body, 100 + at, "p_id", "p_fee")
        for at, (name, body) in enumerate(zip("fghi", bodies, strict=False))
    ]
    for at, (name, body) in enumerate(HELPERS.items()):
        arguments = [] if name in ("leads", "trusted") else ["p"]
        one = function(name, body, oid=200 + at, arguments=arguments)
        functions.append(replace(one, callers=()))
    relations = (clubs, members, games, seats, gifts, friends, ratings)
    project = catalog(*relations, functions=functions)
    found = usage.usage(project, words.load())
    closed = {3: {"phase": Closed(["open", "reported", "paid", "over"], ["open"])}}
    siblings = PassedOver(project, found, closed, {2})
    return [
        f"{one.function.split('.')[1][0]} {one.what} {one.columns[0]}" for one in siblings.find()
    ]


TAKE = "update games set score = 1 where id = p_id and phase = 'reported'"
ENTER = "perform 1 from games where id = p_id and phase = 'open'; insert into seats (game, person) values (p_id, auth.uid())"
LEAVE = "delete from seats where game = p_id and person = auth.uid()"
PAY = "select * into g from games where id = p_id; {}; update games set phase = 'paid' where id = p_id"
KNOWN = "declare g games; begin "
SEAT = "perform 1 from games where id = p_id; insert into seats (game, fee) values (p_id, {})"
REDEEM = (
    "select 1 from gifts where code = p_id; insert into seats (game, person) values (1, auth.uid())"
)
FRIENDS = "not exists (select 1 from friends where (one = auth.uid() and other = p_id) or (other = auth.uid() and one = p_id){})"
SCORE = "update games set score = 2 where id = p_id"
LED = _refusing("not leads()")
TRUSTED = _refusing("not trusted()")
GIVE = "insert into gifts (fee) values (1)"
RAISE = "update games set score = score + fee where id = p_id"
SUM = "perform sum(fee) from games where club = p_id"


@pytest.mark.parametrize(
    ("bodies", "found"),
    [
        ([TAKE, f"{TAKE} and auth.uid() <> reporter"], ["f person reporter"]),
        ([TAKE, f"{TAKE} and auth.uid() = reporter"], []),  # another person does the other thing
        ([f"{TAKE} and reporter is not null", f"{TAKE} and auth.uid() <> reporter"], []),
        ([LEAVE, ENTER], ["f above phase"]),
        ([f"perform 1 from games where id = p_id; {LEAVE}", ENTER], []),
        (
            [
                KNOWN + PAY.format(_refusing("g.phase = 'paid'")),
                KNOWN + PAY.format(_refusing("g.phase <> 'reported'")),
            ],
            ["f values phase"],
        ),
        ([_refusing("p_fee > 100") + f"; {SCORE}"], ["f passed fee"]),
        ([_refusing("p_fee > 100") + "; update games set score = fee where id = p_id"], []),
        ([SEAT.format("p_fee")], ["f price fee"]),
        ([_refusing("p_fee < 10") + f"; {SEAT.format('p_fee')}"], []),
        ([SEAT.format("1")], []),
        ([REDEEM], ["f addressee meant_for"]),
        ([f"{REDEEM}; perform 1 from gifts where meant_for = auth.uid()"], []),
        ([_refusing(FRIENDS.format(""))], ["f link state"]),
        ([_refusing(FRIENDS.format(" and state = 'yes'"))], []),
        ([f"{LED}; {SCORE}"], ["f group club"]),
        ([_refusing("not leads_in(p_id)") + f"; {SCORE}"], []),
        ([f"{LED}; {SCORE} and club = 1"], []),
        (
            [ENTER, *[f"{LED}; insert into gifts (fee) values (1)"] * 3],
            ["f guard leads"],
        ),
        (
            [f"{LED}; {GIVE}", *[f"{LED}; {TRUSTED}; {GIVE}"] * 2],
            ["f guard trusted"],
        ),
        ([f"{LED}; {GIVE}", f"{LED}; {TRUSTED}; {GIVE}"], []),
        ([RAISE], ["f mark score"]),
        ([f"{RAISE} and score = 0"], []),
        ([RAISE.replace("fee", "1")], []),
        ([f"{SUM} and phase = 'paid'", SUM], ["g state phase"]),
        ([f"{SUM} and phase = 'paid'", f"{SUM} and phase <> 'open'"], []),
        ([ENTER, f"{LED}; insert into gifts (fee) values (1)"], []),
    ],
)
def test_what_a_function_passes_over(bodies: list[str], found: list[str]) -> None:
    assert passed_over(*bodies, rating="has_rated_too") == found


def test_policy_whose_helper_is_satisfied_by_any_row() -> None:
    assert passed_over() == ["h whose author"]
