"""Times and states that one place of a project leaves out, without a database."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Function, Policy
from supabase_jobs.audit.policies.loose_states import find
from supabase_jobs.audit.policies.tested import Closed
from supabase_jobs.audit.policies.usage import usage
from tests.audit.catalogs import ALL, INSERT, catalog, column, function, policy, table

CLOSED = {"phase": Closed(["draft", "planned", "sung"], ["draft"])}
WRITE = policy("conducts(choir)", ALL)
SUNG = policy("(EXISTS (SELECT 1 FROM notes n WHERE n.id = note AND n.phase = 'sung'))")
GUARD = "begin if new.phase = 'sung' and old.phase <> 'sung' then raise exception 'no'; end if; end"
LOCK = "begin if old.held and new.title <> old.title then raise exception 'no'; end if; end"


def found(
    shown: str,
    *functions: Function,
    write: Policy | None = WRITE,
    triggers: Collection[int] = (),
    on_insert: Collection[int] = (),
) -> list[str]:
    """The gaps, with their columns, of notes that a policy shows, and of their children."""
    policies = [policy(shown), write]
    notes = table(
        "notes",
        "id",
        "choir",
        "title",
        "phase",
        column("rings_at", "timestamptz", not_null=False),
        column("held", "bool"),
        policies=[p for p in policies if p is not None],
    )
    granted = frozenset({"authenticated INSERT", "authenticated UPDATE"})
    notes = replace(
        notes, granted=granted, triggers=tuple(triggers), insert_triggers=tuple(on_insert)
    )
    below = table("songs", "note", oid=2, policies=[SUNG])
    project = catalog(notes, below, functions=functions)
    known = usage.usage(project, words.load())
    states = find(project, known, notes, CLOSED, is_membership=True)
    return [f"{one.gap.name} {one.column}" for one in states]


@pytest.mark.parametrize(
    ("shown", "gaps"),
    [
        ("(rings_at IS NOT NULL)", ["FUTURE rings_at"]),
        ("((rings_at IS NOT NULL) OR conducts(choir))", ["FUTURE rings_at"]),
        ("((rings_at IS NOT NULL) AND (rings_at <= now()))", []),
        ("(title IS NOT NULL)", []),
        ("((rings_at IS NOT NULL) AND (choir = (auth.uid())::text))", []),
        ("((rings_at IS NOT NULL) AND conducts(choir))", ["FUTURE rings_at"]),
        ("(phase <> 'draft'::text)", ["OTHER_STATE phase"]),
        ("(phase <> ALL (ARRAY['draft'::text, 'planned'::text]))", []),
        ("(phase <> 'sung'::text)", []),
        ("((phase <> 'draft'::text) AND (choir = (auth.uid())::text))", []),
        ("(title <> 'draft'::text)", []),
    ],
)
def test_policy_that_shows_a_row(shown: str, gaps: list[str]) -> None:
    assert found(shown) == gaps


def test_time_that_users_do_not_write() -> None:
    assert found("(rings_at IS NOT NULL)", write=None) == []
    assert found("(rings_at IS NOT NULL)", write=policy("(rings_at <= now())", INSERT)) == []


def _trigger(body: str) -> Function:
    return replace(function("t", body, language="plpgsql"), result="trigger")


@pytest.mark.parametrize(
    ("body", "write", "gaps"),
    [
        (GUARD, WRITE, ["NEW_ROW phase"]),
        (GUARD, policy("(phase = 'draft'::text)", ALL), []),
        (GUARD.replace("raise exception 'no'", "null"), WRITE, []),
        (GUARD.replace("new.phase = 'sung'", "new.phase <> old.phase"), WRITE, []),
        (LOCK, WRITE, ["ENDED_LOCK held"]),
        (LOCK.replace("new.title", "new.held or new.title"), WRITE, []),
        (LOCK, policy("(NOT held)", ALL), []),
        (LOCK.replace("new.title <> old.title", "true"), WRITE, []),
    ],
    ids=["guard", "tested", "no refusal", "kept", "lock", "locked", "policy", "whole row"],
)
def test_trigger_for_changed_rows(body: str, write: Policy, gaps: list[str]) -> None:
    assert found("false", _trigger(body), write=write, triggers=[100]) == gaps
    assert found("false", _trigger(body), write=write, triggers=[100], on_insert=[100]) == []


def test_helper_that_does_not_ask_for_an_end() -> None:
    helper = function("has", "select id from notes where choir = auth.uid()::text")
    other = function("rings", "select id from notes where rings_at > now()", oid=101)
    shown = "(EXISTS (SELECT has()))"
    assert found(shown, helper, other) == ["END rings_at"]
    assert found(shown, helper) == []
    assert found("false", helper, other) == []
    asking = replace(helper, body=f"{helper.body} and rings_at > now()")
    assert found(shown, asking, other) == []
