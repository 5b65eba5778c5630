"""Facts as they are read out of catalogs and probes, without a database."""

from dataclasses import replace
from typing import Any

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.facts.calls import Called, Numbers
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.policies.usage import usage
from supabase_jobs.audit.probes.bypass import CALL, SQL, Bypass, Injection
from supabase_jobs.audit.probes.number_calls import NumberCall, RepeatedCall
from supabase_jobs.audit.reading.actors import Actors
from supabase_jobs.audit.reading.answers import Answers
from supabase_jobs.audit.reading.functions import Functions
from supabase_jobs.audit.reading.tables import Tables
from supabase_jobs.audit.rows.plan import Plan, make_plan
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.outcomes import ROWS
from tests.audit.catalogs import (
    INSERT,
    UPDATE,
    catalog,
    column,
    foreign_key,
    function,
    policy,
    table,
)

OWN = "owner_id = (select auth.uid())"
OPEN = policy("true")
SHOPS = table("shops", "id", "owner_id", "token", policies=[policy(OWN)])
CALLER = Persona(label="stranger", kind=STRANGER, role="authenticated")
STATEMENT: Any = None


def planned(*relations: Relation, functions: tuple[Function, ...] = ()) -> Plan:
    found = catalog(*relations, functions=functions)
    return make_plan(found, usage.usage(found, words.load()), words.load())


def read(relation: Relation, *others: Relation) -> Table:
    return Tables(planned(relation, *others), [relation.oid]).of(relation)


def called(bypass: Bypass, *relations: Relation) -> Called:
    assert isinstance(bypass.object, Function)
    plan = planned(*relations, functions=(bypass.object,))
    tables = Tables(plan, [relation.oid for relation in relations])
    return Answers(plan, tables, Actors(), Functions(plan)).of_call(bypass)


def test_policy_without_a_condition_shows_a_table() -> None:
    facts = read(table("notes", "id", "owner_id", policies=[OPEN, policy(OWN)]))
    assert facts.policies.shown_to == ["anon", "authenticated"]
    assert facts.policies.overruled == ["anon", "authenticated"]


def test_columns_that_decide_are_read_without_questions() -> None:
    people = table("people", "id", "state", policies=[policy("(id = auth.uid())", UPDATE)])
    asked = "EXISTS ( SELECT 1 FROM people p WHERE p.id = auth.uid() AND p.state = 'open')"
    posts = table("posts", "id", "state", oid=2, policies=[policy(asked, INSERT)])
    plan = planned(people, posts)
    every = [
        Tables(plan, [people.oid], with_questions=is_asked).of(people).decided
        for is_asked in (True, False)
    ]
    assert [one.binding for one in every] == [{"id", "state"}] * 2


def test_restrictive_policy_may_refuse_what_another_one_shows() -> None:
    narrow = replace(policy(OWN), permissive=False)
    facts = read(table("notes", "id", "owner_id", policies=[OPEN, narrow]))
    assert facts.policies.shown_to == []


def test_policies_for_writes_compare_columns_with_the_caller() -> None:
    policies = [policy(OWN, INSERT), policy("writer_id = (select auth.uid())", UPDATE)]
    facts = read(table("notes", "id", "owner_id", "writer_id", policies=policies))
    assert facts.compared.checked == ["owner_id"]
    assert facts.compared.updating == ["writer_id"]


def test_column_that_only_new_rows_are_tested_for() -> None:
    policies = [policy(f"{OWN} and state = 'draft'", INSERT), policy(OWN, UPDATE)]
    facts = read(table("notes", "id", "owner_id", "state", policies=policies))
    assert facts.tested.untested["authenticated"] == {"state": frozenset({"draft"})}


def test_table_that_only_new_rows_are_compared_with() -> None:
    below = f"exists (select 1 from shops s where s.id = shop_id and s.{OWN})"
    notes = table(
        "notes",
        "id",
        "shop_id",
        oid=2,
        policies=[policy(below, INSERT), policy("true", UPDATE)],
        constraints=[foreign_key("shop_id", SHOPS)],
    )
    facts = read(notes, SHOPS)
    assert facts.above.parents == ["public.shops"]
    assert facts.above.read_for_new == ["public.shops"]


def test_number_that_starts_with_a_constant() -> None:
    price = replace(column("price", "numeric"), category="N", default="0")
    facts = read(table("notes", "id", price))
    assert (facts.values.numbers, facts.values.started) == (["price"], ["price"])
    assert facts.values.mandatory == {"id"}


def test_body_that_names_its_caller_asks() -> None:
    asking = function("mine", f"select id from shops where {OWN}")
    giving = function("all", "select id from shops", oid=101)
    read_ = Functions(planned(SHOPS, functions=(asking, giving)))
    assert [read_.of(one).guard.asks for one in (asking, giving)] == [True, False]


def test_body_changes_columns_of_a_row_that_a_secret_finds() -> None:
    body = "update shops set owner_id = null where token = p_token"
    change = replace(function("change", body, arguments=["p_token"]), result="void")
    found = Functions(planned(SHOPS, functions=(change,))).of(change)
    assert found.guard.secrets == ["p_token"]
    assert found.changes.sets == ["public.shops.owner_id"]
    assert found.changes.alters


def test_call_shows_rows_by_their_tables() -> None:
    row = Row(relation=SHOPS, values={}, ctid="(0,1)")
    body = "select id from shops"
    bypass = Bypass(caller=CALLER, object=function("all", body), action=CALL, hidden=[row])
    bypass.said.shown.append(row)
    found = called(bypass, SHOPS)
    assert (found.said.shown, found.touched) == (["public.shops"], ["public.shops"])
    assert found.actor.label == "stranger"


@pytest.mark.parametrize("outcome", [ROWS, ""])
def test_sql_in_an_argument_ran_if_it_reached_something(outcome: str) -> None:
    bypass = Injection(
        caller=CALLER,
        object=function("run", "select 1"),
        action=SQL,
        outcome=outcome,
        is_statement=True,
    )
    assert called(bypass).injected.runs_sql == (outcome == ROWS)


def test_numbers_of_a_second_call_are_repeated() -> None:
    fields: dict[str, Any] = {
        "caller": CALLER,
        "object": function("pay", "select 1"),
        "action": CALL,
        "watch": STATEMENT,
        "own": STATEMENT,
        "raised": {(SHOPS.oid, "token")},
    }
    once, again = NumberCall(**fields), RepeatedCall(**fields, totals=(), marking=())
    again.added.add(SHOPS.oid)
    column_ = "public.shops.token"
    assert called(once, SHOPS).numbers == Numbers(raised=[column_], free=[])
    assert called(again, SHOPS).numbers == Numbers(
        free=[], repeated=[column_], added_again=["public.shops"]
    )
