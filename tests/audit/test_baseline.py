"""The baseline: which differences are wider access, which narrower, and accepted leaks."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from supabase_jobs.audit.baseline import Baseline, apply, load, render, wider
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import (
    AccessCaller,
    AccessObject,
    Audit,
    AuditedRelation,
    AuditFinding,
    Id,
    Permission,
    Severity,
)
from tests.audit.recorded import baseline_of

NOTES = {"public.notes": {"stranger": "none", "owner": "read update(body,title) delete"}}
LEAK = AuditFinding(
    Id("write", "public.notes", "update"),
    Severity.ERROR,
    "public.notes",
    "leak",
    "fix it",
    'policy "x"',
)


def _audit(
    access: dict[str, dict[str, str]],
    *findings: AuditFinding,
    functions: dict[str, str] | None = None,
) -> Audit:
    known = baseline_of(access, functions)
    return Audit(findings, (), (), (), 1, 1, 1.0, known.access, known.functions)


def _found(
    result: Audit, baseline: Baseline, *, strict: bool = False, narrowed: bool = False
) -> list[str]:
    compared = apply(result, baseline, strict=strict, narrowed=narrowed)
    return [f"{f.severity} {f.id}" for f in compared.findings]


def test_equal_access_is_no_finding() -> None:
    assert _found(_audit(NOTES), baseline_of(NOTES)) == []


def test_wider_access_is_an_error() -> None:
    wider = {"public.notes": {"stranger": "read", "owner": "read update(body,title) delete"}}
    assert _found(_audit(wider), baseline_of(NOTES)) == [
        "error baseline:public.notes:stranger:read:wider"
    ]


def test_another_column_is_wider_access() -> None:
    wider = {"public.notes": {"stranger": "none", "owner": "read update(body,role,title) delete"}}
    assert _found(_audit(wider), baseline_of(NOTES)) == [
        "error baseline:public.notes:owner:update(role):wider"
    ]


def test_cell_has_the_column_as_the_database_names_it() -> None:
    """Its name may have the characters between the words of a baseline."""
    some = frozenset({Permission("update", "size (cm), cut")})
    [cell] = wider({AccessObject("public.notes"): {AccessCaller("owner"): some}}, {})
    assert cell.permission.column == "size (cm), cut"


def _with_columns(access: dict[str, dict[str, str]], *, mentioned: frozenset[str]) -> Audit:
    columns = frozenset({"id", "body", "title", "note"})
    relation = AuditedRelation(
        kind="table", columns=columns, rls=True, reachable=True, mentioned=mentioned
    )
    return replace(_audit(access), relations={"public.notes": relation})


_NOTE_TOO = {"public.notes": {"stranger": "none", "owner": "read update(body,note,title) delete"}}


@pytest.mark.parametrize(
    ("recorded", "mentioned", "found"),
    [
        (["id", "body", "title"], set(), ["info baseline:new:public.notes.note"]),
        (
            ["id", "body", "title"],
            {"note"},
            ["error baseline:public.notes:owner:update(note):wider"],
        ),
        (
            ["id", "body", "note", "title"],
            set(),
            ["error baseline:public.notes:owner:update(note):wider"],
        ),
    ],
    ids=["new", "new, and a policy mentions it", "known"],
)
def test_column_that_is_new_and_decides_nothing_is_an_info(
    recorded: list[str], mentioned: set[str], found: list[str]
) -> None:
    result = _with_columns(_NOTE_TOO, mentioned=frozenset(mentioned))
    assert _found(result, baseline_of(NOTES, columns={"public.notes": recorded})) == found


@pytest.mark.parametrize("caller", ["stranger", "owner"])
def test_new_column_of_a_row_that_was_refused_is_an_error(caller: str) -> None:
    before = {"stranger": "update(body)", "owner": "read"}
    known = baseline_of({"public.notes": before}, columns={"public.notes": ["id", "body", "title"]})
    now = {**before, caller: "read update(body,note)"}
    found = _found(_with_columns({"public.notes": now}, mentioned=frozenset()), known)
    assert f"error baseline:public.notes:{caller}:update(note):wider" in found


def test_baseline_records_the_columns_of_tables_with_an_update_of_some() -> None:
    result = _with_columns(NOTES, mentioned=frozenset())
    written = tomllib.loads(render(result, baseline_of()))
    assert written["columns"] == {"public.notes": ["body", "id", "note", "title"]}
    every = {"public.notes": {"owner": "read update"}}
    result = _with_columns(every, mentioned=frozenset())
    assert "columns" not in tomllib.loads(render(result, baseline_of()))


def test_column_that_a_trigger_sets_is_not_refused() -> None:
    result = _audit({"public.notes": {"owner": "read update(title) delete"}})
    columns = frozenset({"id", "body", "title"})
    relation = AuditedRelation(
        kind="table",
        columns=columns,
        rls=True,
        reachable=True,
        unsettable=frozenset({"body", "id"}),
    )
    assert _found(result, baseline_of(NOTES)) == [
        "warning baseline:public.notes:owner:update(body):narrower"
    ]
    result = replace(result, relations={"public.notes": relation})
    assert _found(result, baseline_of(NOTES)) == []
    every = baseline_of({"public.notes": {"owner": "read update delete"}})
    assert _found(result, every) == []
    relation = replace(relation, unsettable=frozenset({"id"}))
    result = replace(result, relations={"public.notes": relation})
    assert _found(result, every) == ["warning baseline:public.notes:owner:update:narrower"]


def test_new_column_of_a_row_that_is_replaced_is_an_info() -> None:
    links = {"public.notes": {"stranger": "none", "owner": "read insert delete"}}
    written = tomllib.loads(render(_with_columns(links, mentioned=frozenset()), baseline_of()))
    assert written["columns"] == {"public.notes": ["body", "id", "note", "title"]}
    now = {"public.notes": {"stranger": "none", "owner": "read insert update(note) delete"}}
    known = baseline_of(links, columns={"public.notes": ["id", "body", "title"]})
    found = _found(_with_columns(now, mentioned=frozenset()), known)
    assert found == ["info baseline:new:public.notes.note"]
    state = "public.notes (body = x)"
    now = {state: {"stranger": "none", "owner": "read insert update delete"}}
    result = _with_columns(now, mentioned=frozenset())
    known = baseline_of({state: links["public.notes"]}, columns=known.columns)
    assert [one for one in _found(result, known) if not one.startswith("info")] == []
    every = baseline_of({state: {"owner": "read insert update delete"}}, columns=known.columns)
    assert _found(result, every) == []


def test_update_of_every_column_includes_each_column() -> None:
    every = {"public.notes": {"stranger": "none", "owner": "read update delete"}}
    assert _found(_audit(every), baseline_of(NOTES)) == [
        "error baseline:public.notes:owner:update:wider"
    ]
    found = _found(_audit(NOTES), baseline_of(every))
    assert found == ["warning baseline:public.notes:owner:update:narrower"]


def test_another_value_of_a_column_is_wider_access() -> None:
    draft = {"public.notes": {"owner": "read update(status=draft)"}}
    every = {"public.notes": {"owner": "read update(status)"}}
    more = {"public.notes": {"owner": "read update(status=draft,status=published)"}}
    assert _found(_audit(more), baseline_of(draft)) == [
        "error baseline:public.notes:owner:update(status=published):wider"
    ]
    assert _found(_audit(every), baseline_of(draft)) == [
        "error baseline:public.notes:owner:update(status):wider"
    ]
    assert _found(_audit(draft), baseline_of(every)) == [
        "warning baseline:public.notes:owner:update(status):narrower"
    ]


def test_another_readable_column_is_wider_access() -> None:
    some, more = (
        {"public.notes": {"anon": f"read({columns})"}} for columns in ("body", "body,email")
    )
    every = {"public.notes": {"anon": "read"}}
    assert _found(_audit(more), baseline_of(some)) == [
        "error baseline:public.notes:anon:read(email):wider"
    ]
    assert _found(_audit(every), baseline_of(some)) == [
        "error baseline:public.notes:anon:read:wider"
    ]
    assert _found(_audit(some), baseline_of(every)) == [
        "warning baseline:public.notes:anon:read:narrower"
    ]
    [finding] = apply(_audit(every), baseline_of(some), strict=False, narrowed=False).findings
    assert finding.message == "anon: read of every column is allowed; it was not"
    [finding] = apply(_audit(some), baseline_of(every), strict=False, narrowed=False).findings
    assert finding.message == "anon: read of every column is refused; it was not"


@pytest.mark.parametrize(("strict", "severity"), [(False, "warning"), (True, "error")])
def test_narrower_access_is_a_warning_unless_strict(strict: bool, severity: str) -> None:
    narrower = {"public.notes": {"stranger": "none", "owner": "read update(body,title)"}}
    found = _found(_audit(narrower), baseline_of(NOTES), strict=strict)
    assert found == [f"{severity} baseline:public.notes:owner:delete:narrower"]


def test_caller_that_no_audit_has_is_a_warning() -> None:
    result = _audit({"public.notes": {"stranger": "none", "owner": "read"}})
    known = baseline_of(
        {
            "public.notes": {
                "stranger": "none",
                "owner": "read",
                "ownr": "read delete",
                "old": "none",
            }
        }
    )
    [finding] = apply(result, known, strict=False, narrowed=False).findings
    assert (str(finding.severity), finding.id) == ("warning", "baseline:public.notes:ownr:unknown")
    assert "probably 'owner' is meant" in finding.message


def test_object_that_the_baseline_lacks_is_an_error_if_strangers_reach_it() -> None:
    assert _found(_audit(NOTES), baseline_of()) == ["info baseline:new:public.notes"]
    wide = {"public.notes": {"stranger": "read", "owner": "read"}}
    assert _found(_audit(wide), baseline_of()) == ["error baseline:new:public.notes"]


def test_function_that_the_baseline_lacks_is_an_info_with_its_callers() -> None:
    new = _audit(
        {}, functions={"public.f()": "authenticated", "public.g(uuid)": "anon authenticated"}
    )
    found = apply(new, baseline_of(), strict=False, narrowed=False).findings
    assert [(str(f.severity), f.id, f.message) for f in found] == [
        ("info", "baseline:new:public.f()", "is not in the baseline; callers: authenticated"),
        (
            "info",
            "baseline:new:public.g(uuid)",
            "is not in the baseline; callers: anon, authenticated",
        ),
    ]
    written = tomllib.loads(render(new, baseline_of()))
    assert _found(new, baseline_of(functions=written["functions"])) == []


def test_object_without_access_may_be_new() -> None:
    assert _found(_audit({"public.notes": {"anon": "none"}}), baseline_of()) == []


def test_object_that_is_gone_is_a_warning_unless_only_a_part_was_audited() -> None:
    assert _found(_audit({}), baseline_of(NOTES)) == ["warning baseline:gone:public.notes"]
    assert _found(_audit({}), baseline_of(NOTES), narrowed=True) == []


def test_function_that_more_roles_can_call_is_an_error() -> None:
    result = _audit({}, functions={"public.f()": "anon authenticated"})
    found = _found(result, baseline_of(functions={"public.f()": "authenticated"}))
    assert found == ["error baseline:public.f():callers:anon:wider"]


def test_new_leak_is_an_error_and_an_accepted_one_an_info_with_its_reason() -> None:
    assert _found(_audit(NOTES, LEAK), baseline_of(NOTES)) == [f"error {LEAK.id}"]
    accepted = apply(
        _audit(NOTES, LEAK),
        baseline_of(NOTES, accepted={LEAK.id: "a wiki"}),
        strict=False,
        narrowed=False,
    ).findings
    assert [(f.severity, f.message) for f in accepted] == [
        (Severity.INFO, "leak (accepted: a wiki)")
    ]


def test_accepted_leak_needs_a_reason() -> None:
    assert _found(_audit(NOTES, LEAK), baseline_of(NOTES, accepted={LEAK.id: " "})) == [
        f"warning {LEAK.id}"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[acess]", "unknown key 'acess'"),
        ("access = 1", "access must be a table"),
        ('[access]\n"public.notes" = "all"', "must map callers to actions"),
        ('[accepted]\n"x" = 1', "must be a text"),
        ('[columns]\n"x" = "id"', "must be a list of columns"),
    ],
)
def test_invalid_baseline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "access.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(file)


def test_new_kind_of_caller_has_what_everyone_of_its_role_has() -> None:
    known = baseline_of({"public.notes": {"anon": "read", "stranger": "read join"}})
    now = {
        "anon": "read",
        "stranger": "read join",
        "user with role = admin": "read delete",
        "anon with x = y": "read",
    }
    found = _found(_audit({"public.notes": now}), known)
    assert found == ["error baseline:new:user with role = admin"]
    own = {"anon": "read", "stranger": "read join", "user with role = admin, own rows": "read"}
    assert _found(_audit({"public.notes": own}), known) == [
        "error baseline:new:user with role = admin, own rows"
    ]


def test_new_role_that_gives_no_more_than_each_other_role_is_an_info() -> None:
    before = {"stranger": "none", "comment of members": "read join", "edit of members": "read"}
    known = baseline_of({"public.notes": before})
    for actions, severity in (("read", "info"), ("read join", "error")):
        now = {"public.notes": before | {"auditor of members": actions}}
        assert _found(_audit(now), known) == [f"{severity} baseline:new:auditor of members"]
    others = {"public.notes": before | {"auditor of friends": "read"}}
    assert _found(_audit(others), known) == ["error baseline:new:auditor of friends"]


def test_new_kind_of_caller_is_one_finding_about_all_objects() -> None:
    known = {"public.notes": {"stranger": "none"}, "public.tags": {"stranger": "read"}}
    now = {name: {"stranger": actions["stranger"]} for name, actions in known.items()}
    now["public.notes"]["clerk"] = "read update(body,title)"
    now["public.tags"]["clerk"] = "read delete"
    [finding] = apply(_audit(now), baseline_of(known), strict=False, narrowed=False).findings
    assert (finding.id, finding.object) == ("baseline:new:clerk", "public.notes")
    assert finding.message == (
        "clerk has no access in the baseline, and now read, update(body), update(title) in"
        " public.notes, delete in public.tags"
    )


def test_new_kind_of_caller_does_with_its_own_rows_what_the_owner_does() -> None:
    known = baseline_of({"public.notes": {"stranger": "none", "owner": "read update delete"}})
    now = {"stranger": "none", "owner": "read update delete", "clerk, own rows": "read delete"}
    assert _found(_audit({"public.notes": now}), known) == []


def test_member_who_passes_now_by_a_state_found_by_trying_is_an_info() -> None:
    before = {"public.notes": {"stranger": "none", "clerk of members": "none"}}
    now = {"public.notes": {"stranger": "none", "clerk of members": "read"}}
    settled = replace(_audit(now), settled=frozenset({"clerk of members"}))
    assert _found(settled, baseline_of(before)) == ["info baseline:new:clerk of members"]
    [wider] = _found(_audit(now), baseline_of(before))
    assert wider == "error baseline:public.notes:clerk of members:read:wider"


def test_member_who_had_more_than_everyone_is_compared_in_each_state() -> None:
    before = {"public.notes": {"stranger": "none", "clerk of members": "read"}}
    now = {"public.notes": {"stranger": "none", "clerk of members": "read update"}}
    settled = replace(_audit(now), settled=frozenset({"clerk of members"}))
    assert _found(settled, baseline_of(before)) == [
        "error baseline:public.notes:clerk of members:update:wider"
    ]
