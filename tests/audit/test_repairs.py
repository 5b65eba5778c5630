"""The statements that close leaks, without a database."""

from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Catalog, Constraint, Policy, Relation
from supabase_jobs.audit.policies.usage import usage
from supabase_jobs.audit.repairs import candidates, changes, conditions, ended, owners, statements
from supabase_jobs.audit.repairs.demand import Definitions, Demand, Edit, Script
from supabase_jobs.audit.repairs.statements import Repairs
from supabase_jobs.audit.rows.plan import Plan, make_plan
from supabase_jobs.audit.rows.tenants import Ended, User
from supabase_jobs.findings import RowState
from tests.audit.catalogs import (
    ALL,
    INSERT,
    UPDATE,
    catalog,
    column,
    foreign_key,
    function,
    policy,
    table,
)

OWN = "(owner_id = (select auth.uid()))"
BY_OWNER = '"owner_id" = (select auth.uid()::text)'


def notes(*policies: Policy) -> Relation:
    return table("notes", "id", "owner_id", "title", policies=policies)


def plan_of(found: Catalog) -> Plan:
    return make_plan(found, usage.usage(found, words.load()), words.load())


def repair(relation: Relation, *edits: Edit, others: Catalog | None = None) -> str:
    """The statement for edits of the first policy of a table."""
    plan = plan_of(others or catalog(relation))
    demand = Demand([(relation, relation.policies[0], edit) for edit in edits])
    return Repairs(plan, [demand]).text(demand)


@pytest.mark.parametrize(
    ("given", "edits", "clauses"),
    [
        (policy("true"), [Edit.OWNER], f"using ({BY_OWNER})"),
        (policy("title = 'a'"), [Edit.OWNER], f"using ((title = 'a') and {BY_OWNER})"),
        (
            policy("length(auth.jwt() -> 'user_metadata' ->> 'team') > 1"),
            [Edit.OWNER],
            f"using ({BY_OWNER})",
        ),
        (policy("true", UPDATE), [Edit.OWNER], f"using ({BY_OWNER}) with check ({BY_OWNER})"),
        (
            policy("true", UPDATE, checked="title = 'a'"),
            [Edit.OWNER],
            f"using ({BY_OWNER})",
        ),
        (policy("true", INSERT), [Edit.OWNER_OF_NEW_ROWS], f"with check ({BY_OWNER})"),
        (
            policy("title = 'a'", INSERT),
            [Edit.OWNER_OF_NEW_ROWS],
            f"with check ((title = 'a') and {BY_OWNER})",
        ),
        (
            policy("title = 'a'", ALL, checked="true"),
            [Edit.OWNER_OF_NEW_ROWS],
            "with check (title = 'a')",
        ),
        (
            policy("true", INSERT),
            [Edit.OWN_FOLDER],
            "with check ((storage.foldername(name))[1] = (select auth.uid()::text))",
        ),
        (
            policy("title = (auth.jwt() -> 'user_metadata' ->> 'title')"),
            [Edit.APP_METADATA],
            "using (title = (auth.jwt() -> 'app_metadata' ->> 'title'))",
        ),
    ],
)
def test_edits_change_the_expressions(given: Policy, edits: list[Edit], clauses: str) -> None:
    expected = f'alter policy "{given.name}" on "public"."notes" {clauses};'
    assert repair(notes(given), *edits) == expected


def test_policy_is_dropped() -> None:
    dropped = 'drop policy if exists "policy r" on "public"."notes";'
    assert repair(notes(policy("true")), Edit.DROP, Edit.OWNER) == dropped
    assert repair(notes(policy("true")), Edit.DROP_UNLESS_RESTRICTED) == dropped


def test_policy_that_another_edit_restricts_is_not_dropped() -> None:
    edits = (Edit.DROP_UNLESS_RESTRICTED, Edit.OWNER)
    assert repair(notes(policy("true")), *edits).startswith("alter policy")


def test_edit_that_changes_nothing_needs_no_statement() -> None:
    assert repair(notes(policy("title = 'a'")), Edit.APP_METADATA) == ""


def test_new_row_needs_a_parent_that_its_writer_reads() -> None:
    lists = table("lists", "id", "owner_id", oid=2, policies=[policy(OWN)])
    key = foreign_key("list_id", lists)
    given = table("notes", "id", "list_id", policies=[policy("true", INSERT)], constraints=[key])
    assert repair(given, Edit.READABLE_PARENT, others=catalog(given, lists)) == (
        'alter policy "policy a" on "public"."notes" with check ((true) and exists (select 1 from'
        ' "public"."lists" as parent where parent."id" = "notes"."list_id"));'
    )


def test_new_row_is_refused_if_the_policies_of_its_parent_query_its_table() -> None:
    reading = policy("exists (select 1 from notes where notes.list_id = lists.id)")
    lists = table("lists", "id", "owner_id", oid=2, policies=[reading])
    key = foreign_key("list_id", lists)
    policies = [policy("true", INSERT), policy("true")]
    given = table("notes", "id", "list_id", policies=policies, constraints=[key])
    statement = repair(given, Edit.READABLE_PARENT, others=catalog(given, lists))
    assert statement.endswith("with check (false);")


def test_all_demands_of_a_policy_have_one_statement() -> None:
    given = notes(policy("true", ALL))
    first = Demand([(given, given.policies[0], Edit.OWNER)])
    second = Demand(
        [(given, given.policies[0], Edit.OWNER_OF_NEW_ROWS)], script=Script(text="-- and more")
    )
    made = Repairs(plan_of(catalog(given)), [first, second])
    assert made.text(first) in made.text(second)
    assert made.text(second).startswith("-- and more\n")


MEMBERS = table("members", "user_id", column("left_at", "timestamptz", not_null=False), oid=2)
LEFT = Ended(MEMBERS, "left_at", "2020-01-01")
READS_MEMBERS = "exists (select 1 from members where user_id = auth.uid()::text)"


def test_rows_that_have_ended_are_left_out_of_a_policy() -> None:
    given = notes(policy(READS_MEMBERS))
    plan = plan_of(catalog(given, MEMBERS))
    demand = candidates.without_ended(plan, given, given.policies, LEFT, "authenticated")
    statement = Repairs(plan, [demand]).text(demand)
    assert '"left_at" is null or "left_at" > now()' in statement
    assert statement.startswith('alter policy "policy r" on "public"."notes" using (')


def test_rows_that_have_ended_are_left_out_of_a_function() -> None:
    body = "select exists (select 1 from members where user_id = auth.uid()::text)"
    is_member = function("is_member", body)
    given = notes(policy("is_member()"))
    plan = plan_of(catalog(given, MEMBERS, functions=[is_member]))
    demand = candidates.without_ended(plan, given, given.policies, LEFT, "authenticated")
    definition = f"create function is_member() returns bool language sql as $${body}$$"
    statement = Repairs(plan, [demand], {100: definition}).text(demand)
    assert '"left_at" is null or "left_at" > now()' in statement
    assert statement.startswith("create function is_member()")
    assert Repairs(plan, [demand]).text(demand) == (
        "-- Let public.is_member() ignore rows of public.members in which left_at is set:"
        ' add ("left_at" is null or "left_at" > now())'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "begin return exists (select from members m where m.user_id = p); end",
            "begin return exists (select from (select * from members where {}) m where"
            " m.user_id = p); end",
        ),
        (
            "begin select * into found from public.members where id = p; return true; end",
            "begin select * into found from (select * from public.members where {}) as members"
            " where id = p; return true; end",
        ),
        ("begin delete from members where id = p; return 'from members'; end", None),
    ],
)
def test_rows_that_have_ended_are_left_out_of_a_block(body: str, expected: str | None) -> None:
    one = function("is_member", body, language="plpgsql")
    statement = ended.redefined(one, f"create function $$<{body}>$$", [LEFT])
    condition = '("left_at" is null or "left_at" > now())'
    found = None if statement is None else statement.partition("<")[2].partition(">$")[0]
    assert found == (None if expected is None else expected.format(condition))


def test_rows_that_have_ended_where_nothing_reads_them() -> None:
    given = notes(policy("true"))
    plan = plan_of(catalog(given, MEMBERS))
    demand = candidates.without_ended(plan, given, given.policies, LEFT, "authenticated")
    assert demand.script.text.startswith('-- Let policy "policy r" ignore rows of public.members')


def restricting(relation: Relation, action: str, *, may_drop: bool = False) -> list[Edit]:
    plan = plan_of(catalog(relation))
    given = relation.policies[:1]
    demand = candidates.restriction(plan, relation, given, action, "anon", may_drop=may_drop)
    return [edit for _, _, edit in demand.edits]


def test_restriction_to_the_owner() -> None:
    assert restricting(notes(policy("true")), "select") == [Edit.OWNER]
    assert restricting(notes(policy("true", INSERT)), "insert") == [Edit.OWNER_OF_NEW_ROWS]
    assert restricting(notes(policy("true", ALL)), "insert") == [Edit.OWNER]
    limits = policy("title = 'a'", ALL, checked="true")
    assert restricting(notes(limits), "insert") == [Edit.OWNER_OF_NEW_ROWS]


def test_restriction_where_no_column_names_an_owner() -> None:
    assert restricting(table("tags", "id", policies=[policy("true")]), "select") == [Edit.DROP]


def test_restriction_of_files() -> None:
    files = table("storage.objects", "id", "name", policies=[policy("true", INSERT)])
    assert restricting(files, "insert") == [Edit.OWN_FOLDER]


def test_policy_beside_which_others_remain_is_dropped() -> None:
    other = replace(policy(OWN), name="own")
    assert restricting(notes(policy("true"), other), "select", may_drop=True) == [Edit.DROP]
    assert restricting(notes(policy("true"), other), "select") == [Edit.OWNER]
    assert restricting(notes(policy("true")), "select", may_drop=True) == [Edit.OWNER]
    restrictive = replace(other, permissive=False)
    assert restricting(notes(policy("true"), restrictive), "select", may_drop=True) == [Edit.OWNER]
    of_others = replace(other, roles=("authenticated",))
    assert restricting(notes(policy("true"), of_others), "select", may_drop=True) == [Edit.OWNER]
    for_all = policy("true", ALL)
    assert restricting(notes(for_all, replace(other, command=ALL)), "select", may_drop=True) == [
        Edit.OWNER
    ]


def test_restriction_without_a_policy_revokes() -> None:
    given = notes()
    demand = candidates.restriction(plan_of(catalog(given)), given, [], "select", "anon")
    assert demand.script.text == 'revoke select on "public"."notes" from "anon";'


@pytest.mark.parametrize(
    ("given", "action", "edit"),
    [
        (policy("title = 'a'", ALL, checked="true"), "insert", Edit.OWNER_OF_NEW_ROWS),
        (policy("true", ALL), "insert", Edit.READABLE_PARENT),
        (policy("true", INSERT), "insert", Edit.DROP),
        (policy("true", ALL), "delete", Edit.DROP),
    ],
)
def test_refusal(given: Policy, action: str, edit: Edit) -> None:
    [(_, _, found)] = candidates.refusal(notes(given), [given], action).edits
    assert found is edit


def condition(relation: Relation, *others: Relation) -> str | None:
    return owners.owner_condition(plan_of(catalog(relation, *others)), relation)


def test_condition_of_the_owner() -> None:
    assert condition(notes()) == BY_OWNER
    by_uuid = table("notes", column("user_id", "uuid"))
    assert condition(by_uuid) == '"user_id" = (select auth.uid())'
    tenant = policy("team = (auth.jwt() -> 'user_metadata' ->> 'team')")
    assert condition(table("notes", "team", "owner_id", policies=[tenant])) == (
        "\"team\" = ((select auth.jwt()) -> 'app_metadata' ->> 'team')::text"
    )
    assert condition(table("storage.objects", "id", "owner", "owner_id")) == BY_OWNER
    assert condition(table("tags", "id")) is None


def test_condition_of_the_owner_by_a_parent() -> None:
    lists = table("lists", "id", "owner_id", oid=2, policies=[policy(OWN)])
    key = foreign_key("list_id", lists)
    assert condition(table("notes", "list_id", constraints=[key]), lists) == (
        'exists (select 1 from "public"."lists" as parent where parent."id" = "notes"."list_id")'
    )
    optional = table("notes", column("list_id", not_null=False), constraints=[key])
    assert condition(optional, lists) is None


def test_row_without_an_optional_parent_is_accepted() -> None:
    lists = table("lists", "id", "owner_id", oid=2, policies=[policy(OWN)])
    given = replace(
        table(
            "notes", column("list_id", not_null=False), constraints=[foreign_key("list_id", lists)]
        ),
        policies=(policy("title = 'a'", ALL),),
    )
    text = repair(given, Edit.READABLE_PARENT, others=catalog(given, lists))
    assert '("list_id" is null or exists (select 1 from "public"."lists" as parent' in text


def test_columns_that_a_role_may_not_update() -> None:
    given = replace(notes(), granted=frozenset({"anon UPDATE"}))
    assert statements.without_columns(given, ["title"], "anon") == (
        'revoke update on "public"."notes" from "anon";'
        ' grant update ("id", "owner_id") on "public"."notes" to "anon";'
    )
    assert statements.without_columns(given, ["id", "owner_id", "title"], "anon") == (
        'revoke update on "public"."notes" from "anon";'
    )


def test_condition_of_the_owner_by_a_row_for_each_user() -> None:
    unique = Constraint(
        name="key",
        kind="u",
        columns=("user_id",),
        target=None,
        target_name=None,
        target_columns=(),
        definition=None,
        deferrable=False,
    )
    profiles = table("profiles", "id", "user_id", oid=2, constraints=[unique])
    by_user = table("notes", "writer", constraints=[foreign_key("writer", profiles, "user_id")])
    assert condition(by_user, profiles) == '"writer" = (select auth.uid()::text)'
    by_id = table("notes", "writer", constraints=[foreign_key("writer", profiles)])
    assert condition(by_id, profiles) == (
        'exists (select 1 from "public"."profiles" as parent where parent."id" = "notes"."writer"'
        ' and "parent"."user_id" = (select auth.uid()::text))'
    )


def test_demand_has_the_statements_of_its_own_policies() -> None:
    given = notes(policy("true"), policy("true", UPDATE))
    reads, updates = (Demand([(given, one, Edit.DROP)]) for one in given.policies)
    made = Repairs(plan_of(catalog(given)), [reads, updates])
    assert made.text(reads) == 'drop policy if exists "policy r" on "public"."notes";'
    assert made.text(updates) == 'drop policy if exists "policy w" on "public"."notes";'


def test_function_that_believes_the_metadata_of_a_user_is_the_cause() -> None:
    believing = function("on_sign_up", "select new.raw_user_meta_data ->> 'level'")
    other = function("greet", "select new.raw_user_meta_data ->> 'name'")
    plan = plan_of(replace(catalog(notes()), functions=(other, believing)))
    user = User(label="newcomer", id="1", name="a", chosen=("level",))
    change = changes.at_sign_up(plan, user)
    assert change is not None
    assert (change.cause, change.undo) == (f"function {believing.signature}", ())
    assert f"Let {believing.signature} give level a value" in change.advice
    assert changes.at_sign_up(plan, replace(user, chosen=("nickname",))) is None


def test_functions_read_app_metadata_instead_of_what_users_write() -> None:
    body = "select auth.jwt() -> 'user_metadata' ->> 'level'"
    level = function("level", body)
    given = notes(policy("public.level() = 'high'"))
    demand = Demand(definitions=Definitions(trusting=[level]))
    plan = plan_of(replace(catalog(given), functions=(level,)))
    definition = f"create function public.level() returns text language sql as $${body}$$\n"
    text = Repairs(plan, [demand], {level.oid: definition}).text(demand)
    assert text == definition.replace("user_metadata", "app_metadata").rstrip() + ";"
    assert demand.changed_functions == {level.oid}


@pytest.mark.parametrize(
    ("using", "found"),
    [
        ("published", []),
        ("(published AND (owner = auth.uid()))", []),
        ("(owner = auth.uid())", ["\"published\" is distinct from 'true'::bool"]),
        ("(published OR (owner = auth.uid()))", ["\"published\" is distinct from 'true'::bool"]),
    ],
)
def test_a_policy_that_demands_a_state_is_not_limited_to_others(
    using: str, found: list[str]
) -> None:
    """Its condition would be false for every row."""
    pages = table("pages", "owner", column("published", "bool"))
    left = conditions.outside_of_state(pages, [policy(using)], RowState.parse("published = true"))
    assert list(left) == found
