"""Flags and times by which a project selects rows and no policy does, without a database."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Column, Function, Policy
from supabase_jobs.audit.policies.shown_states import ShownStates, is_about_another
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.usage import usage
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

CLOSED = {
    "sealed": Closed(["true", "false"], ["false"]),
    "phase": Closed(["draft", "out"], ["draft"]),
}
IN_GUILD = policy("in_guild(guild)")
HEADS = policy("heads(guild)", UPDATE)
ASKS = function("in_guild", "select exists (select 1 from seats where id = auth.uid())", oid=90)
HEAD = function(
    "heads", "select exists (select 1 from seats where id = auth.uid() and top)", oid=91
)


def _flag() -> Column:
    return replace(column("sealed", "bool"), default="false")


def shown(
    *policies: Policy, functions: Sequence[Function] = (), partial: Sequence[str] = ()
) -> list[str]:
    """The columns that policies of letters leave out, with what selects rows by them."""
    letters = table(
        "letters",
        "id",
        "guild",
        "writer",
        "reader",
        "phase",
        _flag(),
        column("gone_at", "timestamptz", not_null=False),
        column("rings_at", "timestamptz", not_null=False),
        replace(column("sent_at", "timestamptz"), default="now()"),
        policies=policies,
    )
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE", "authenticated SELECT"})
    letters = replace(letters, granted=granted, partial=tuple(partial))
    seats = table("seats", "id", "top", oid=2)
    project = catalog(letters, seats, functions=[ASKS, HEAD, *functions])
    states = ShownStates(project, usage.usage(project, words.load()))
    return [
        f"{name}: {', '.join(one.places)}"
        for one in states.of_table(letters, CLOSED)
        for name in one.columns
    ]


def _list(where: str, name: str = "list", oid: int = 100) -> Function:
    return function(name, f"select id from letters l where {where}", oid=oid)


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        ("not l.sealed", ["sealed"]),
        ("l.phase = 'out'", ["phase"]),
        ("l.phase <> 'draft'", ["phase"]),
        ("gone_at is null", ["gone_at"]),
        ("now() >= rings_at", ["rings_at"]),
        ("rings_at is null or rings_at <= now()", ["rings_at"]),
        # a state in which a row starts hides nothing by itself
        ("l.phase = 'draft'", []),
        ("writer = 'x'", []),
    ],
)
def test_function_that_selects_rows(where: str, columns: list[str]) -> None:
    expected = [f"{name}: function public.list()" for name in columns]
    assert shown(IN_GUILD, HEADS, functions=[_list(where)]) == expected


def test_function_that_shows_rows_of_a_joined_table() -> None:
    joined = "select {} from seats s left join letters l on l.guild = s.id and not l.sealed"
    assert shown(IN_GUILD, HEADS, functions=[function("list", joined.format("l.id"))]) == [
        "sealed: function public.list()"
    ]
    only_named = [joined.format("s.id"), joined.format("count(l.id)")]
    for text in only_named:
        assert shown(IN_GUILD, HEADS, functions=[function("list", text)]) == []


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ("l.rings_at <= now()", ["rings_at"]),
        ("l.sent_at <= now()", ["sent_at"]),
        ("l.rings_at >= now()", []),
        ("not l.sealed", []),
    ],
)
def test_function_that_waits_for_a_time(condition: str, columns: list[str]) -> None:
    text = f"select id from seats where exists (select 1 from letters l where {condition})"
    expected = [f"{name}: function public.list()" for name in columns]
    assert shown(IN_GUILD, HEADS, functions=[function("list", text)]) == expected


def test_index_of_some_rows() -> None:
    assert shown(IN_GUILD, HEADS, partial=["(gone_at IS NULL)"]) == ["gone_at: an index"]


def test_function_for_everything_and_the_other_side() -> None:
    open_, all_ = _list("not sealed"), _list("true", "all", 101)
    assert shown(IN_GUILD, HEADS, functions=[open_, all_]) == []
    assert shown(IN_GUILD, HEADS, functions=[open_, _list("sealed", "vault", 102)]) == []


@pytest.mark.parametrize(
    "policies",
    [
        # who reads changes the flag, reads rows of their own, looks at it, or is the staff
        [policy("in_guild(guild)", ALL)],
        [policy("(writer = auth.uid())"), policy("(writer = auth.uid())", INSERT)],
        [policy("(in_guild(guild) AND (NOT sealed))")],
        [policy("heads('x')")],
        [policy("((NOT sealed) OR in_guild(guild))")],
    ],
)
def test_nobody_else_reads(policies: list[Policy]) -> None:
    assert shown(*policies, functions=[_list("not sealed")]) == []


def test_another_alternative_hides_the_row() -> None:
    others = policy("(in_guild(reader) AND (NOT sealed))")
    assert shown(others, policy("(reader = auth.uid())"), HEADS) == ['sealed: policy "policy r"']
    wrote = policy("(reader = auth.uid())", INSERT)
    assert shown(others, policy("(reader = auth.uid())"), HEADS, wrote) == []
    group = policy("(in_guild(guild) AND (NOT sealed))")
    assert shown(group, policy("(reader = auth.uid())"), HEADS) == []
    public = policy("(NOT sealed)")
    assert shown(public, policy("(reader = auth.uid())"), HEADS) == []


def test_restrictive_policies_without_a_condition_for_old_rows() -> None:
    others = policy("(in_guild(reader) AND (NOT sealed))")
    own = policy("(reader = auth.uid())")
    closed = [replace(policy("false", INSERT), permissive=False, name=name) for name in ("a", "b")]
    assert shown(others, own, HEADS, *closed) == ['sealed: policy "policy r"']


def test_policies_for_new_rows_only() -> None:
    added = [replace(policy("true", INSERT), name=name) for name in ("a", "b")]
    assert shown(*added, functions=[_list("not sealed")]) == []


def _unread(*policies: Policy, functions: Sequence[Function] = ()) -> list[str]:
    """The flags of letters at which nothing looks."""
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE", "authenticated SELECT"})
    letters = table("letters", "id", "guild", "reader", _flag(), policies=policies)
    letters = replace(letters, granted=granted)
    seats = table("seats", "id", "top", oid=2)
    project = catalog(letters, seats, functions=[ASKS, HEAD, *functions])
    return [*ShownStates(project, usage.usage(project, words.load())).unread(letters)]


def test_flag_at_which_nothing_looks() -> None:
    assert _unread(IN_GUILD, HEADS) == ["sealed"]
    assert _unread(IN_GUILD, HEADS, functions=[_list("not sealed")]) == []
    assert _unread(policy("in_guild(guild)", ALL)) == []
    assert _unread(policy("true")) == []
    assert _unread(policy("(reader = auth.uid())")) == []


def test_flag_of_a_row_that_everybody_reads_and_others_refer_to() -> None:
    def unread(*policies: Policy, added: str) -> list[str]:
        letters = table("letters", "id", _flag(), policies=policies)
        letters = replace(letters, granted=frozenset({"authenticated UPDATE"}))
        new = [policy(added, INSERT)] if added else []
        key = foreign_key("letter", letters)
        answers = table("answers", "id", "letter", oid=2, constraints=[key], policies=new)
        project = catalog(letters, answers, functions=[ASKS, HEAD])
        return [*ShownStates(project, usage.usage(project, words.load())).unread(letters)]

    everybody, heads = policy("true"), policy("heads('x')", UPDATE)
    assert unread(everybody, heads, added="(id = 'a'::text)") == ["sealed"]
    assert unread(everybody, heads, added="") == []
    assert unread(everybody, policy("true", UPDATE), added="(id = 'a'::text)") == []


def test_flag_that_is_named_after_another_column() -> None:
    members = table("members", "id", "phone", "sentAt", "phone_visible", "hideSentAt", "news")
    granted = replace(members, granted=frozenset({"authenticated SELECT"}))
    flags = ["phone_visible", "hideSentAt", "news"]
    assert [is_about_another(granted, flag) for flag in flags] == [True, True, False]
    assert [is_about_another(members, flag) for flag in flags] == [False, False, False]
