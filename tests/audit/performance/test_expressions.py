"""Expressions of policies: which calls become sub-selects, and the OR of several."""

import pytest

from supabase_jobs.audit.performance.hoisting import Functions, hoisted
from supabase_jobs.audit.performance.permissive_policies import any_of

FUNCTIONS = Functions(
    {
        ("auth", "uid"): True,
        ("auth", "jwt"): True,
        ("public", "is_staff"): True,
        ("public", "my_teams"): False,
        ("public", "in_team"): True,
    },
    frozenset({"random"}),
)


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("(user_id = auth.uid())", "(user_id = (select auth.uid()))"),
        ("(name = 'é (' AND id = auth.uid())", "(name = 'é (' AND id = (select auth.uid()))"),
        (
            "((auth.jwt() ->> 'role'::text) = 'a'::text)",
            "(((select auth.jwt()) ->> 'role'::text) = 'a'::text)",
        ),
        (
            "(id = current_setting('app.id (x)'::text, true)::uuid)",
            "(id = (select current_setting('app.id (x)'::text, true))::uuid)",
        ),
        (
            "public.in_team(auth.uid(), 'a)'::text)",
            "(select public.in_team(auth.uid(), 'a)'::text))",
        ),
        (
            "public.in_team(team_id, auth.uid())",
            "public.in_team(team_id, (select auth.uid()))",
        ),
        (
            "(EXISTS ( SELECT FROM m WHERE m.user_id = auth.uid()))",
            "(EXISTS ( SELECT FROM m WHERE m.user_id = (select auth.uid())))",
        ),
        (
            "(auth.uid() = a OR auth.uid() = b)",
            "((select auth.uid()) = a OR (select auth.uid()) = b)",
        ),
    ],
)
def test_calls_that_depend_on_no_row_become_sub_selects(text: str, rewritten: str) -> None:
    assert hoisted(text, FUNCTIONS) == rewritten
    assert hoisted(rewritten, FUNCTIONS) == rewritten


@pytest.mark.parametrize(
    "text",
    [
        "(user_id = ( SELECT auth.uid() AS uid))",
        "public.is_staff(user_id)",
        "(team_id IN ( SELECT public.my_teams() AS my_teams))",
        "(EXISTS ( SELECT FROM public.is_staff() t(a)))",
        "public.in_team(random())",
        "(lower(name) = 'auth.uid()'::text)",
        "(user_id = other.uid())",
        "not an expression (",
    ],
)
def test_other_expressions_stay_as_they_are(text: str) -> None:
    assert hoisted(text, FUNCTIONS) == text


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["(a = b)", "(c = d)"], "(a = b) or (c = d)"),
        (["(a = b)", "(a = b)"], "(a = b)"),
        (["((a = b) AND (c = d))", "((a = b) OR e)"], "((a = b)) or (e)"),
        (["(a = b)", "true"], "(true)"),
    ],
)
def test_or_of_expressions_has_each_operand_once(texts: list[str], joined: str) -> None:
    assert any_of(texts) == joined
