"""Changes between two audits: wider and narrower access, new objects, leaks, what
was not tested.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from supabase_jobs.audit.baseline import Baseline
from supabase_jobs.audit.difference import compare
from supabase_jobs.findings import (
    AccessCaller,
    AccessDiff,
    AccessObject,
    Audit,
    AuditedRelation,
    AuditFinding,
    Cell,
    Explanation,
    Id,
    NotTested,
    Permission,
    Severity,
)
from tests.audit.recorded import Words, baseline_of

NOTES = "public.notes"
LEAK = AuditFinding(
    Id("write", "public.notes", "update"), Severity.ERROR, NOTES, "leak", "fix it", 'policy "x"'
)
ALL = frozenset({"read", "insert", "update", "delete", "join", "forge"})
NAMES = ("main", "now")


def state(access: Words, functions: Mapping[str, str] | None = None, **more: object) -> Audit:
    """An audit in which every action of these callers was tested."""
    known = baseline_of(access, functions)
    found = Audit(
        (),
        (),
        (),
        (),
        1,
        1,
        1.0,
        known.access,
        known.functions,
        relations={
            n: AuditedRelation("table", frozenset({"id", "shared", "title"}), True, True)
            for n in access
            if " (" not in n
        },
        tested={
            (name, caller): ALL for name, callers in known.access.items() for caller in callers
        },
    )
    return replace(found, **more)  # type: ignore[arg-type]


def diff(
    before: Audit, after: Audit, accepted: Baseline | None = None, *, strict: bool = False
) -> AccessDiff:
    return compare(before, after, NAMES, accepted, strict=strict)


def shown(found: AccessDiff) -> list[str]:
    return [f"{c.severity} {c.id}" for c in found.changes]


NOBODY = {"anon": "none", "stranger": "none", "owner": "read update(title)"}
CLOSED = state({NOTES: NOBODY})


def test_equal_access_is_no_change() -> None:
    found = diff(CLOSED, CLOSED)
    assert (found.changes, found.not_compared, found.ok) == ((), (), True)


def test_wider_access_comes_first_and_fails() -> None:
    after = state({NOTES: {"anon": "read", "stranger": "none", "owner": "read"}})
    found = diff(CLOSED, after)
    assert shown(found) == [
        "error wider:public.notes:anon:read",
        "warning narrower:public.notes:owner:update(title)",
    ]
    assert [c.message for c in found.changes] == [
        "anon can now read public.notes",
        "owner can no longer update title of public.notes",
    ]
    assert not found.ok
    assert diff(after, after).ok


@pytest.mark.parametrize(("strict", "ok"), [(False, True), (True, False)])
def test_narrower_access_fails_if_strict(strict: bool, ok: bool) -> None:
    narrower = state({NOTES: {"anon": "none", "stranger": "none", "owner": "read"}})
    assert diff(CLOSED, narrower, strict=strict).ok is ok


def test_another_readable_column_is_wider() -> None:
    before, after = (state({NOTES: {"anon": f"read({columns})"}}) for columns in ("id", "id,title"))
    assert [c.message for c in diff(before, after).changes] == [
        "anon can now read title of public.notes"
    ]
    assert [c.message for c in diff(after, before).changes] == [
        "anon can no longer read title of public.notes"
    ]
    every = state({NOTES: {"anon": "read"}})
    assert [c.message for c in diff(before, every).changes] == [
        "anon can now read every column of public.notes"
    ]
    assert not diff(before, every).ok


def test_a_new_readable_column_fails_only_if_strict() -> None:
    """Of a table without column privileges, a new column is no change at all."""
    before, after = (state({NOTES: {"anon": f"read({columns})"}}) for columns in ("id", "id,phone"))
    [change] = diff(before, after).changes
    assert change.message == "anon can now read the new column phone of public.notes"
    assert (str(change.severity), diff(before, after).ok, diff(before, after, strict=True).ok) == (
        "warning",
        True,
        False,
    )


@pytest.mark.parametrize(
    "rows",
    [
        "shared = true, title = x",
        "notes: shared is set; title = x",
        "title of another",
        "notes: shared = true",
    ],
)
def test_rows_that_could_be_generated_on_one_side_only(rows: str) -> None:
    """Both sides have the columns, so that the other row was refused: nothing is known about it."""
    name = f"{NOTES} ({rows})"
    one = state({NOTES: {"anon": "none"}, name: {"anon": "read"}})
    other = state({NOTES: {"anon": "none"}})
    for before, after in ((one, other), (other, one)):
        assert diff(before, after).changes == ()
        assert [item.object for item in diff(before, after).not_compared] == [name]
    lacking = state(
        {NOTES: {"anon": "none"}},
        relations={NOTES: AuditedRelation("table", frozenset("id"), True, True)},
    )
    assert [c.change for c in diff(lacking, one).changes] == ["new"]


def test_one_column_less_of_every_column_is_narrower() -> None:
    every = state({NOTES: {"owner": "read update"}})
    some = state({NOTES: {"owner": "read update(title)"}})
    assert [c.message for c in diff(every, some).changes] == [
        "owner can no longer update every column of public.notes"
    ]
    assert [c.message for c in diff(some, every).changes] == [
        "owner can now update every column of public.notes"
    ]


def test_a_new_column_fails_only_if_outsiders_update_it() -> None:
    columns = {
        NOTES: AuditedRelation("table", frozenset({"id", "content"}), rls=True, reachable=True)
    }
    renamed = state(
        {NOTES: {"anon": "none", "stranger": "none", "owner": "read update(content)"}},
        relations=columns,
    )
    found = diff(CLOSED, renamed)
    assert [(str(c.severity), c.message, c.fix) for c in found.changes] == [
        ("warning", "owner can now update the new column content of public.notes", ""),
        ("warning", "owner can no longer update the removed column title of public.notes", ""),
    ]
    assert (found.ok, diff(CLOSED, renamed, strict=True).ok) == (True, False)
    opened = state(
        {NOTES: {"anon": "none", "stranger": "update(content)", "owner": "read"}}, relations=columns
    )
    assert not diff(CLOSED, opened).ok


def test_the_sentence_says_whose_rows_a_caller_reaches() -> None:
    labels = ("member of teams", "member of teams, own rows", "owner, rows of members")
    before, after = ({NOTES: dict.fromkeys(labels, actions)} for actions in ("none", "delete"))
    assert [c.message for c in diff(state(before), state(after)).changes] == [
        "member of teams can now delete from public.notes",
        "member of teams can now delete from public.notes (own rows)",
        "owner can now delete from public.notes (rows of members)",
    ]


def test_the_baseline_accepts_a_change_that_it_has() -> None:
    after = state({NOTES: {"anon": "read", "stranger": "none", "owner": "read"}})
    found = diff(CLOSED, after, baseline_of({NOTES: {"anon": "read", "owner": "read"}}))
    assert shown(found) == [
        "info wider:public.notes:anon:read",
        "info narrower:public.notes:owner:update(title)",
    ]
    assert found.ok


def test_a_new_table_fails_if_strangers_reach_it() -> None:
    nothing, private = state({}), state({NOTES: {"stranger": "none", "owner": "read"}})
    assert shown(diff(nothing, private)) == ["info new:public.notes"]
    assert diff(nothing, private).changes[0].message == "new table public.notes; owner: read"
    explained = {
        Cell(AccessObject(NOTES), AccessCaller("owner"), Permission("read")): Explanation(
            'policy "x"', "drop policy x;"
        )
    }
    [change] = diff(nothing, replace(private, explained=explained)).changes
    assert (change.cause, change.fix) == ('policy "x"', "")
    columns = state({NOTES: {"anon": "read update(a,b)", "stranger": "read forge"}})
    assert diff(nothing, columns).changes[0].message == (
        "new table public.notes; anon: read, update a and b; stranger: read, insert in another"
        " user's name"
    )
    everyone = {"anon": "read", "stranger": "read"}
    opened = state({NOTES: everyone})
    assert shown(diff(nothing, opened)) == ["error new:public.notes"]
    assert shown(diff(opened, nothing)) == ["warning removed:public.notes"]
    shared = f"{NOTES} (shared = true)"
    of_both = state({NOTES: everyone, shared: {"anon": "read"}})
    assert shown(diff(of_both, nothing)) == ["warning removed:public.notes"]
    assert shown(diff(nothing, opened, Baseline(opened.access))) == ["info new:public.notes"]


def test_a_table_that_requests_reach_now_is_not_called_new() -> None:
    relation = AuditedRelation("table", frozenset({"id"}), rls=False, reachable=False)
    after = state({NOTES: {"anon": "read"}})
    found = diff(state({}, relations={NOTES: relation}), after)
    assert (
        found.changes[0].message == "table public.notes, which requests can now reach; anon: read"
    )


def test_a_table_without_a_row_on_one_side_is_not_compared() -> None:
    untested = state(
        {}, relations=CLOSED.relations, not_tested=(NotTested(NOTES, "no row", "Add one."),)
    )
    for before, after, side in ((untested, CLOSED, "before"), (CLOSED, untested, "after")):
        found = diff(before, after)
        assert found.changes == ()
        [item] = found.not_compared
        assert (item.object, item.caller, item.untested, item.why) == (
            NOTES,
            "owner",
            side,
            "no row",
        )
    [item] = diff(untested, untested).not_compared
    assert (item.object, item.untested) == (NOTES, "both")


def test_a_state_of_rows_is_new_with_its_column() -> None:
    after = state({NOTES: NOBODY, f"{NOTES} (public = true)": {"anon": "read"}})
    assert shown(diff(CLOSED, after)) == [f"error new:{NOTES} (public = true)"]
    untested = state({NOTES: NOBODY, f"{NOTES} (shared = true)": {"anon": "read"}})
    assert diff(CLOSED, untested).changes == ()
    assert diff(CLOSED, untested).not_compared[0].untested == "before"


def test_a_caller_of_one_side_is_not_compared() -> None:
    after = state({NOTES: {**NOBODY, "editor of teams": "read"}})
    found = diff(CLOSED, after)
    assert found.changes == ()
    [item] = found.not_compared
    assert (item.caller, item.untested, item.access) == ("editor of teams", "before", "read")


def test_an_action_without_a_certain_refusal_is_not_compared() -> None:
    uncertain = replace(
        CLOSED,
        tested={**CLOSED.tested, (AccessObject(NOTES), AccessCaller("anon")): ALL - {"read"}},
    )
    after = state({NOTES: {**NOBODY, "anon": "read"}})
    for before, now, side in ((uncertain, after, "before"), (after, uncertain, "after")):
        found = diff(before, now)
        assert found.changes == ()
        [item] = found.not_compared
        assert (item.caller, item.untested, item.access) == ("anon", side, "read")


def test_a_new_view_fails_if_it_shows_what_its_tables_refuse() -> None:
    view = {NOTES: AuditedRelation("view", frozenset({"id"}), rls=False, reachable=True)}
    after = state({NOTES: {"anon": "read"}}, relations=view)
    assert shown(diff(state({}), after)) == [f"info new:{NOTES}"]
    assert f"error new:{NOTES}" in shown(diff(state({}), replace(after, findings=(LEAK,))))


def test_functions_are_compared_by_the_roles_that_call_them() -> None:
    before, after = (
        {"public.f()": "authenticated"},
        {"public.f()": "anon authenticated", "public.g()": "anon"},
    )
    found = diff(state({}, functions=before), state({}, functions=after))
    assert shown(found) == ["error wider:public.f():anon:call", "info new:public.g()"]
    assert found.changes[0].message == "anon can now call public.f()"


def test_accepted_access_is_that_of_callers_which_the_baseline_does_not_know() -> None:
    """As in the comparison with the baseline: a header is no more than its role."""
    before, everyone = state({}), {"anon": "read", "newcomer": "read", "stranger": "read"}
    header = "anon with another header"
    after = state({NOTES: {**everyone, header: "read"}})
    accepted = baseline_of(access={NOTES: everyone})
    assert shown(diff(before, after, accepted)) == ["info new:public.notes"]
    more = state({NOTES: {**everyone, header: "read delete"}})
    assert shown(diff(before, more, accepted)) == ["error new:public.notes"]
    wider = diff(state({NOTES: {**everyone, header: "none"}}), after, accepted)
    assert shown(wider) == [f"info wider:public.notes:{header}:read"]


def test_new_and_closed_leaks() -> None:
    leaking = replace(CLOSED, findings=(LEAK,))
    assert shown(diff(leaking, leaking)) == []
    assert shown(diff(CLOSED, leaking)) == [f"error leak:{LEAK.id}"]
    assert shown(diff(leaking, CLOSED)) == [f"info closed:{LEAK.id}"]
    assert shown(diff(CLOSED, leaking, baseline_of(accepted={LEAK.id: "a wiki"}))) == [
        f"info leak:{LEAK.id}"
    ]


def test_a_leak_of_what_was_not_tested_is_neither_new_nor_closed() -> None:
    untested = replace(CLOSED, not_tested=(NotTested(NOTES, "no row", "Add one."),))
    leaking = replace(CLOSED, findings=(LEAK,))
    [change] = diff(untested, leaking).of("leak")
    assert (change.severity, change.message) == (Severity.WARNING, "leak (not tested before)")
    of_kind = replace(LEAK, id=Id("rls-disabled", NOTES, "select"), kind="rls-disabled")
    disabled = replace(CLOSED, findings=(of_kind,))
    assert shown(diff(untested, disabled)) == [f"error leak:rls-disabled:{NOTES}:select"]
    assert diff(leaking, untested).of("closed") == ()


def test_an_object_that_the_project_excludes_is_not_listed() -> None:
    item = NotTested("public.old", "excluded: no longer used", "Remove it from [excluded].")
    for excluded, expected in ((frozenset({"public.old"}), []), (frozenset[str](), ["public.old"])):
        side = replace(CLOSED, not_tested=(item,), excluded=excluded)
        assert [one.object for one in diff(side, side).not_compared] == expected
