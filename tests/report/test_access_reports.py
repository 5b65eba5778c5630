"""The reports of access changes: order, escapes, sizes, lines, and the JSON schema."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from supabase_jobs import report
from supabase_jobs.findings import (
    AccessCaller,
    AccessChange,
    AccessDiff,
    Id,
    Location,
    NotCompared,
    Permission,
    Severity,
)
from supabase_jobs.report import FORMATS, write
from supabase_jobs.report.formats import text
from supabase_jobs.report.github import annotations
from supabase_jobs.report.producers.access import document
from supabase_jobs.report.producers.audit import MARKER, locate
from tests.audits import FIX, GOOD
from tests.verifications import MARKUP


def written(form: str, result: AccessDiff) -> str:
    return write(document(result), form)


SCHEMA = json.loads(
    (Path(report.__file__).parent / "access-diff.schema.json").read_text(encoding="utf-8")
)
NOTES = "public.notes"


def cell(change: str, caller: str, action: str) -> AccessChange:
    is_wider = change == "wider"
    return AccessChange(
        id=Id(change, NOTES, caller, action),
        severity=Severity.ERROR if is_wider else Severity.WARNING,
        change=change,
        object=NOTES,
        caller=AccessCaller.parse(caller),
        action=Permission(action),
        message=f"{caller} {'can now' if is_wider else 'can no longer'} {action} {NOTES}",
        cause='policy "all"' if is_wider else "",
        fix=FIX if is_wider else "",
        verb=action,
        policies=("all",) if is_wider else (),
    )


NEW = AccessChange(
    Id("new", "public.pages"),
    Severity.ERROR,
    "new",
    "public.pages",
    None,
    None,
    "new table public.pages; anon: read",
    access={AccessCaller("anon"): frozenset({Permission("read")})},
)
LEAK = AccessChange(
    Id("leak", "write", "x"),
    Severity.ERROR,
    "leak",
    NOTES,
    None,
    None,
    f"Anyone can {MARKUP}",
    MARKUP,
    FIX,
)
MISSING = NotCompared("public.odd", "anon", "before", "read", "no row could be generated")
CHANGES = (
    cell("wider", "anon", "read"),
    cell("wider", "anon", "update"),
    cell("wider", "stranger", "read"),
    cell("wider", "stranger", "update"),
    cell("wider", "owner", "delete"),
    NEW,
    LEAK,
    cell("narrower", "owner", "read"),
)
BAD = AccessDiff(
    "main",
    "now",
    CHANGES,
    (MISSING, replace(MISSING, caller="stranger")),
    GOOD,
    1234.5,
    "supabase/access.toml",
)
SAME = replace(BAD, changes=(), not_compared=(), baseline="")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("diff", [BAD, SAME], ids=["changes", "none"])
def test_every_format_ends_with_a_newline(form: str, diff: AccessDiff) -> None:
    assert written(form, diff).endswith("\n")


@pytest.mark.parametrize("diff", [BAD, SAME], ids=["changes", "none"])
def test_json_is_valid_by_its_schema(diff: AccessDiff) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = json.loads(written("json", diff))
    jsonschema.validate(document, SCHEMA)
    assert document["ok"] is (diff is SAME)


def test_text_has_one_sentence_for_cells_that_change_alike() -> None:
    shown = written("text", BAD)
    assert shown.splitlines()[:4] == [
        "Wider access:",
        "  + anon and stranger can now read and update public.notes",
        '    cause: policy "all" (supabase/migrations/1_notes.sql:9)',
        "    fix:",
    ]
    assert shown.count(FIX) == 1
    headings = ["Wider access:", "New objects:", "New leaks:", "Narrower access:", "Not compared:"]
    assert [line for line in shown.splitlines() if line in headings] == headings
    assert (
        "  ? public.odd (anon: read), public.odd (stranger: read): not tested for main: no row"
        in shown
    )
    verdict = "FAILED: 5 cells wider, 1 new object, 1 cell narrower, 1 new leak, 2 not compared; main → now;"
    assert shown.splitlines()[-1] == f"{verdict} accepted: supabase/access.toml, 1.2 s"
    lines = [line for line in shown.splitlines()[:-1] if line != FIX]
    assert max(map(len, lines)) <= 100
    assert (
        written("text", SAME)
        == "ok: 0 cells wider, 0 new objects, 0 cells narrower; main → now, 1.2 s\n"
    )


def test_text_says_which_changes_fail() -> None:
    """New objects are listed whether or not they are open to everyone."""
    closed = replace(
        NEW, id=Id("new", "public.a"), severity=Severity.INFO, message="new table public.a"
    )
    known = replace(cell("wider", "anon", "read"), severity=Severity.INFO)
    shown = written("text", replace(BAD, changes=(known, closed, NEW)))
    assert [line for line in shown.splitlines() if line.startswith("  + ")] == [
        "  + info: anon can now read public.notes",
        "  + new table public.a",
        "  + error: new table public.pages; anon: read",
    ]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_control_characters_in_a_name_are_escaped(form: str) -> None:
    name = "x\x1b[2J\r\nok: 0 cells wider\u202e"
    change = replace(LEAK, object=name, message=name, cause=name, fix="")
    shown = written(
        form,
        replace(BAD, changes=(change,), not_compared=(replace(MISSING, object=name, why=name),)),
    )
    assert set(shown).isdisjoint("\x1b\r\u202e")
    assert not any(line.startswith("ok:") for line in shown.splitlines())


def test_text_keeps_the_rows_of_callers_apart() -> None:
    callers = ("stranger", "member", "member, own rows", "owner, own rows")
    shown = written(
        "text", replace(BAD, changes=tuple(cell("wider", caller, "read") for caller in callers))
    )
    assert "  + stranger and member can now read public.notes\n" in shown
    assert "  + member and owner can now read public.notes (own rows)\n" in shown


def test_the_section_of_a_dry_run_has_no_fixes() -> None:
    assert FIX not in text.write(document(BAD), whole=False)


def test_markdown_begins_with_wider_access_and_notifies_nobody() -> None:
    shown = written("markdown", replace(BAD, before="@octocat"))
    parts = [
        MARKER,
        "**failed**",
        "### Wider access",
        "anon and stranger can now read and update public.notes",
    ]
    parts += [
        "### New objects",
        "### New leaks",
        "### Narrower access",
        "<details><summary>Not compared: 1<",
    ]
    parts += ["<details><summary>Who can do what: "]
    positions = [shown.index(part) for part in parts]
    assert positions == sorted(positions)
    assert "<script>" not in shown
    assert "`@octocat`" in shown
    assert shown.count("<details>") == shown.count("</details>")


def test_reports_of_many_changes_stay_below_their_limits() -> None:
    name = "public." + "table_" * 10
    many = tuple(
        replace(LEAK, id=Id("leak", str(n)), object=f"{name}{n}", fix=FIX * 5) for n in range(3000)
    )
    large = replace(
        BAD,
        changes=many,
        not_compared=tuple(replace(MISSING, why=f"{n}" * 50) for n in range(3000)),
    )
    assert len(written("markdown", large)) < 65_536
    page = written("html", large)
    assert len(page.encode()) < 500_000
    assert "more changes do not fit into this page" in page


def test_html_escapes_texts_and_needs_no_network() -> None:
    page = written("html", BAD)
    assert "<script>" not in page
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "anon and stranger can now read and update public.notes" in page


def test_junit_fails_for_wider_access_and_passes_for_unchanged_objects() -> None:
    root = ET.fromstring(written("junit", BAD).encode())  # noqa: S314  written by us
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert len(failed) == 4
    passed = [case for case in root.iter("testcase") if len(case) == 0]
    assert passed == []  # both tables have changes
    unchanged = ET.fromstring(written("junit", SAME).encode())  # noqa: S314  written by us
    assert [case for case in unchanged.iter("testcase") if len(case)] == []


def test_changes_with_one_cause_are_one_finding() -> None:
    """Of callers, and of the states of the rows of a table."""
    states = [
        replace(change, object=name, label=NOTES)
        for name in (NOTES, f"{NOTES} (state = draft)")
        for change in (cell("wider", "anon", "read"), cell("wider", "stranger", "read"))
    ]
    diff = replace(BAD, changes=tuple(states), not_compared=())
    told = "anon and stranger can now read public.notes"
    found = written("text", diff)
    assert found.count('cause: policy "all"') == 1
    assert f"  + {told}\n    and: {told} (state = draft)\n" in found
    [run] = json.loads(written("sarif", diff))["runs"]
    [result] = run["results"]
    assert f"{told}; {told} (state = draft)" in result["message"]["text"]
    [annotation] = annotations(document(diff))
    assert annotation.startswith("::error file=supabase/migrations/1_notes.sql,line=9,")
    assert json.loads(written("json", diff))["summary"]["wider"] == 4


def test_sarif_has_a_rule_for_each_kind_of_change_and_the_line_of_the_policy() -> None:
    [run] = json.loads(written("sarif", BAD))["runs"]
    rules = {result["ruleId"] for result in run["results"] if result["level"] == "error"}
    assert {"audit/wider", "audit/new", "audit/leak"} <= rules
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "supabase/migrations/1_notes.sql"
    assert place["region"]["startLine"] == 9


def test_an_object_has_its_line_if_no_policy_is_known() -> None:
    moved = replace(GOOD, locations={"public.pages": Location("a.sql", 4)})
    [change] = json.loads(written("json", replace(BAD, changes=(NEW,), audit=moved)))["changes"]
    assert change["location"] == {"file": "a.sql", "line": 4}


def test_the_cause_of_rows_in_a_state_is_the_line_of_the_policy_of_their_table() -> None:
    lines = {"public.pub": Location("a.sql", 1), "public.pub:open": Location("a.sql", 4)}
    assert locate(lines, "public.pub (t = public)", ("open",)) == Location("a.sql", 4)


def test_the_cause_of_access_to_a_later_column_is_the_line_that_adds_it() -> None:
    lines = {
        "public.people": Location("1.sql", 1),
        "public.people:own": Location("1.sql", 9),
        "public.people.is_admin": Location("2.sql", 4),
    }
    assert locate(lines, "public.people", ("own",), "is_admin") == Location("2.sql", 4)
    assert locate(lines, "public.people", ("own",), "name") == Location("1.sql", 9)
    lines["public.people:own"] = Location("3.sql", 2)
    assert locate(lines, "public.people", ("own",), "is_admin") == Location("3.sql", 2)
