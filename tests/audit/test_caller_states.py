"""States of the caller's own row that some policies leave out, without a database."""

from dataclasses import replace

from supabase_jobs.audit import words
from supabase_jobs.audit.policies import caller_states
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import ALL, INSERT, SELECT, catalog, function, policy, table

SAILS = "select exists (select 1 from crew where id = auth.uid() and {})"
HELPERS = [
    function("sails", SAILS.format("sailing"), oid=90),
    function("is_crew", SAILS.format("true"), oid=91),
    function(
        "has_rank",
        "select exists (select 1 from crew c where c.id = who and c.rank = wanted)",
        oid=92,
        arguments=["who", "wanted"],
    ),
]
CREW = "(EXISTS ( SELECT 1 FROM crew c WHERE ((c.id = auth.uid()){})))"
SAILING = CREW.format(" AND c.sailing")
ANY = CREW.format("")
CLOSED = {80: {"sailing": Closed(["true", "false"], ["true"]), "rank": Closed(["a", "b"], ["a"])}}


def left_out(*texts: str | tuple[str, str], first: str = "true") -> list[str]:
    """The tables t0, t1, … whose policies leave out a state, with those whose policies ask."""
    tables = []
    for n, given in enumerate(texts):
        text, command = (given, ALL) if isinstance(given, str) else given
        policies = [replace(policy(text, command), name="own")]
        tables.append(table(f"t{n}", "id", "author", oid=n + 1, policies=policies))
    crew = table("crew", "id", "sailing", "rank", oid=80)
    project = catalog(*tables, crew, functions=HELPERS)
    used = usage.usage(project, words.load())
    closed = {80: {**CLOSED[80], "sailing": Closed(["true", "false"], [first])}}
    return [
        f"{one.column}: {', '.join(one.tables)} / {', '.join(one.others)}"
        for one in caller_states.find(project, used, tables, closed, {})
    ]


def test_policies_that_find_the_caller_by_the_same_row() -> None:
    assert left_out(SAILING, ANY) == ["sailing: public.t1 / public.t0"]
    assert left_out(SAILING, (ANY, SELECT)) == ["sailing: public.t1 / public.t0"]
    assert left_out(SAILING, SAILING) == []


def test_helpers() -> None:
    assert left_out("sails()", "is_crew()") == ["sailing: public.t1 / public.t0"]
    assert left_out("has_rank(auth.uid(), 'a'::text)", ANY) == ["rank: public.t1 / public.t0"]


def test_a_right_that_new_users_lack() -> None:
    """Most policies of a project ask for no such right, unless it is usual."""
    assert left_out(SAILING, ANY, first="false") == []
    assert left_out(SAILING, SAILING, ANY, first="false") == [
        "sailing: public.t2 / public.t0, public.t1"
    ]


def test_a_column_of_which_new_users_have_one_of_two_demanded_values() -> None:
    ranks = [CREW.format(f" AND (c.rank = '{rank}'::text)") for rank in ("b", "a")]
    assert left_out(ranks[1], ANY, ANY) == ["rank: public.t1, public.t2 / public.t0"]
    assert left_out(*ranks, ANY, ANY) == []


def test_a_column_with_many_values() -> None:
    named = CREW.format(" AND (c.name = 'x'::text)")
    assert left_out(named, ANY) == []


def test_rows_of_ones_own() -> None:
    """Of a table of which another policy asks for the state, as far as they are written."""
    own = "(author = auth.uid())"
    tables = [
        table(
            "t0",
            "id",
            "author",
            oid=1,
            policies=[
                replace(policy(SAILING, ALL), name="staff"),
                replace(policy(own, INSERT), name="own"),
            ],
        ),
        table("t1", "id", "author", oid=2, policies=[replace(policy(own, INSERT), name="own")]),
    ]
    crew = table("crew", "id", "sailing", oid=80)
    project = catalog(*tables, crew, functions=HELPERS)
    used = usage.usage(project, words.load())
    [found] = caller_states.find(project, used, tables, CLOSED, {})
    assert (found.tables, found.others) == (["public.t0"], ["public.t0"])


def ends_of_crew(*texts: str) -> list[list[str]]:
    """The columns that mark the end of the caller's row and at which no policy looks."""
    tables = [
        table(f"t{n}", "id", "retired", oid=n + 1, policies=[policy(text, ALL)])
        for n, text in enumerate(texts)
    ]
    crew = table("crew", "id", "sailing", "rank", "retired", oid=80, policies=[policy(ANY, ALL)])
    project = catalog(*tables, crew, functions=HELPERS)
    used = usage.usage(project, words.load())
    ends = {80: {"sailing": "sailing = false", "retired": "retired is set"}}
    found = caller_states.find(project, used, [*tables, crew], {}, ends)
    return [[*one.ends] for one in found if one.ends]


def test_an_end_for_which_nothing_asks() -> None:
    assert ends_of_crew(ANY) == [["sailing", "retired"]]
    assert ends_of_crew("is_crew()") == [["sailing", "retired"]]
    assert ends_of_crew(ANY, SAILING) == [["retired"]]
    assert ends_of_crew(ANY, "sails()") == [["retired"]]
    assert ends_of_crew("(author = auth.uid())") == []


def test_a_column_of_the_row_itself_is_not_that_of_its_caller() -> None:
    assert ends_of_crew(f"(retired AND {ANY})") == [["sailing", "retired"]]
