"""Conditions that functions leave out and others have, without a database."""

from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Column, Constraint, Function
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.unlike_siblings import UnlikeSiblings
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import ALL, catalog, column, foreign_key, function, policy, table

VIEW = "select room from cards where code = p_code and used_at is null and ends_at > now()"
ADD = "insert into visits (card) select id from cards where code = p_code"
USE = "update cards set used_at = now() where code = p_code"
KEEP = "delete from visits v using cards c where v.id = p_code and c.id = v.card"
PAY = "insert into payments (person, sum) select auth.uid(), price from cards where code = p_code"
JOIN = "from visits v left join cards c on c.id = v.card and c.used_at is null and c.phase = 'open'"
COUNT = "update cards set uses = uses + 1 where code = p_code"
TAKE = "update cards set seats = seats - 1 where code = p_code"
CLAIM = "update cards set room = auth.uid() where code = p_code"
FREE = "update cards set phase = 'over' where code = p_code and room is null"
RENT = "update cards set price = 1 where code = p_code"


def _number(name: str) -> Column:
    return replace(column(name, "int4"), category="N")


def _acting(name: str, body: str, oid: int) -> Function:
    one = function(name, body, oid=oid, arguments=["p_code"])
    return replace(one, definer=True, volatility="v", result="void")


def _key(name: str) -> Constraint:
    return replace(foreign_key(name, ""), kind="u", target=None)


def unasked(acts: str, other: str = "select 1") -> list[str]:
    """The omissions of a function, beside another one."""
    texts = [replace(column(name), category="S") for name in ("id", "code", "phase")]
    texts.append(replace(column("room", not_null=False), category="S"))
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
    siblings = UnlikeSiblings(project, found, closed, set())
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
        (TAKE, "select 1", ["rest seats"]),
        (f"{TAKE} and seats > 0", "select 1", []),
        (TAKE, TAKE.replace("-", "+"), []),  # it is counted both ways
        (CLAIM, FREE, ["mark room"]),
        (CLAIM, "select 1", []),  # nothing depends on it
        (f"{CLAIM} and room is null", FREE, []),
        (RENT, f"{CLAIM} and room is null", ["state room"]),
        (f"{RENT} and room is null", f"{CLAIM} and room is null", []),
        (f"select v.id {JOIN}", "select 1", ["join used_at phase"]),
        (f"select v.id, c.room {JOIN}", "select 1", []),
        (f"select v.id, count(*) {JOIN} group by v.id", "select 1", []),
        (f"select v.id {JOIN} where c.id is null", "select 1", []),
        (f"select v.id {JOIN}".replace("left ", ""), "select 1", []),
    ],
)
def test_what_a_function_leaves_out(acts: str, other: str, found: list[str]) -> None:
    assert unasked(acts, other) == found


def people(*functions: Function) -> list[str]:
    """The omissions of functions about tickets, their visitors and who sells them."""
    key = _key("id")
    persons = table("persons", "id", column("state"), oid=1, constraints=[key])
    shows = table("shows", "id", "seller", oid=2, constraints=[key])
    at = foreign_key("show", shows)
    tickets = table(
        "tickets", "id", "show", "visitor", column("sold", "bool"), oid=3, constraints=[key, at]
    )
    letters = replace(table("letters", "address", oid=4), rls=True)
    project = catalog(persons, shows, tickets, letters, functions=list(functions))
    found = usage.usage(project, words.load())
    closed = {1: {"state": Closed(["active", "left"], ["active"])}}
    siblings = UnlikeSiblings(project, found, closed, {1})
    return [f"{one.what} {' '.join([*one.columns, *one.values])}" for one in siblings.find()]


def _called(name: str, body: str, oid: int, *arguments: str) -> Function:
    return replace(_acting(name, body, oid), argument_names=arguments, argument_types=arguments)


ASK = "select 1 from persons where id = auth.uid() and state = 'active'"
WRITE = "insert into letters (address) select id from persons where id = auth.uid()"
BOTH = "select 1 from tickets t, shows s where t.id = p_ticket and s.id = p_show"
EITHER = "s.seller = auth.uid() or t.visitor = auth.uid()"
SELL = (
    "update tickets t set sold = true from shows s where t.id = p_ticket and s.id = t.show"
    f" and ({EITHER})"
)
BUY = "insert into tickets (show, visitor) values (p_show, auth.uid())"
ENTER = "select 1 from tickets where id = p_ticket and sold = true"


@pytest.mark.parametrize(
    ("acts", "other", "found"),
    [
        (WRITE, ASK, ["caller state"]),
        (f"{WRITE} and state = 'active'", ASK, []),
        (WRITE, "select 1 from persons where id = auth.uid()", []),
        ("select id from persons where id = auth.uid()", ASK, []),  # about nothing but the caller
    ],
)
def test_state_of_the_caller_for_which_helpers_ask(acts: str, other: str, found: list[str]) -> None:
    helper = replace(function("helper", other, oid=101), callers=())
    calling = replace(function("calling", "select helper()", oid=102), callers=())
    assert people(_called("f", acts, 100), helper, calling) == found


@pytest.mark.parametrize(
    ("acts", "found"),
    [(BOTH, ["tie show public.shows"]), (f"{BOTH} and t.show = s.id", [])],
)
def test_rows_of_two_arguments_belong_together(acts: str, found: list[str]) -> None:
    assert people(_called("f", acts, 100, "p_ticket", "p_show")) == found


@pytest.mark.parametrize(
    ("acts", "found"),
    [(SELL, ["decision sold visitor"]), (SELL.replace(EITHER, "s.seller = auth.uid()"), [])],
)
def test_who_adds_a_row_decides_on_it(acts: str, found: list[str]) -> None:
    others = _called("g", BUY, 101, "p_show"), _called("h", ENTER, 102, "p_ticket")
    assert people(_called("f", acts, 100, "p_ticket"), *others) == found


@pytest.mark.parametrize(
    ("acts", "found"),
    [
        ("insert into letters (address) values (p_to)", ["nobody address"]),
        ("insert into letters (address) values ('the board')", []),
        ("insert into letters (address) select p_to where auth.uid() is not null", []),
        ("insert into letters (address) select p_to from persons where id = p_to", []),
    ],
)
def test_anyone_adds_rows_where_no_policy_lets_anybody(acts: str, found: list[str]) -> None:
    assert people(_called("f", acts, 100, "p_to")) == found


def _guarded(name: str, condition: str, body: str) -> Function:
    text = f"begin if {condition} then raise exception 'refused'; end if; {body}; end"
    return replace(_called(name, text, 100, "p_person", "p_state"), language="plpgsql")


MINE = "exists (select from bookings b where b.show = p_person"
ADD_FOR_CALLER = "insert into letters (address) values (auth.uid())"


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (f"not {MINE})", ["whose visitor"]),
        (f"not {MINE} and b.visitor = auth.uid())", []),
        (f"{MINE})", []),  # somebody else has taken it
        ("not exists (select from bookings b where b.id = p_person)", []),
        (f"exists (select from shows s where not {MINE}))", ["whose visitor"]),
    ],
)
def test_function_demands_a_row_of_anybody(condition: str, found: list[str]) -> None:
    key = _key("id")
    own = policy("visitor = auth.uid()", ALL)
    bookings = table("bookings", "id", "show", "visitor", constraints=[key], policies=[own])
    letters, shows = table("letters", "address", oid=2), table("shows", "id", oid=3)
    called = _guarded("f", condition, ADD_FOR_CALLER)
    project = catalog(bookings, letters, shows, functions=[called])
    siblings = UnlikeSiblings(project, usage.usage(project, words.load()), {}, set())
    assert [f"{one.what} {' '.join(one.columns)}" for one in siblings.find()] == found


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        ("p_state = 'owner'", ["role state mate"]),
        ("p_state in ('owner', 'mate')", []),
        ("p_state is null", []),  # it may be for whoever has each role
    ],
)
def test_function_lets_a_role_give_itself(refused: str, found: list[str]) -> None:
    crews = table("crews", "id", "person", column("state"), constraints=[_key("id")])
    body = "select exists (select 1 from crews where state in ('owner', 'mate'))"
    may = replace(function("may", body, oid=101), callers=())
    act = "update crews set state = p_state where id = p_person"
    called = _guarded("f", f"not may() or {refused}", act)
    project = catalog(crews, functions=[called, may])
    closed = {1: {"state": Closed(["owner", "mate", "guest"], ["guest"])}}
    siblings = UnlikeSiblings(project, usage.usage(project, words.load()), closed, {1})
    omissions = [one for one in siblings.find() if one.what == "role"]
    assert [f"{one.what} {' '.join([*one.columns, *one.values])}" for one in omissions] == found
