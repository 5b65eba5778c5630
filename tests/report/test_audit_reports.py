"""The reports of `audit`: order, escapes, sizes, lines of findings, SQL that can be pasted."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from supabase_jobs.findings import AccessObject, Audit, AuditFinding, Id, Severity
from supabase_jobs.report import FORMATS, write
from supabase_jobs.report.formats import text
from supabase_jobs.report.phrases import severities
from supabase_jobs.report.producers.audit import MARKER, document
from tests.audits import BAD, CHANGE, FIX, GOOD, LEAK, NOTE, large
from tests.programs import sarif_multitool
from tests.verifications import MARKUP


def written(form: str, result: Audit) -> str:
    return write(document(result), form)


NAME = "x\x1b[2J\x9b1m\r\nok: 0 errors\x07\u202e"


def named(finding: AuditFinding) -> AuditFinding:
    return replace(
        finding, object=NAME, message=f"{NAME} is open", cause=NAME, fix=f'drop policy "{NAME}";'
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_with_a_newline(form: str) -> None:
    assert written(form, BAD).endswith("\n")


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_control_characters_and_line_ends_in_a_name_are_escaped(form: str) -> None:
    shown = written(
        form,
        replace(BAD, findings=(named(LEAK), named(replace(CHANGE, id=Id("baseline", "another"))))),
    )
    assert set(shown).isdisjoint("\x1b\x9b\r\x07\u202e")
    before_fix = re.split(r"fix:|```sql", shown)[0]
    assert not any(line.startswith("ok:") for line in before_fix.splitlines())


# text


def messages(report: str) -> list[str]:
    """The lines without the SQL of fixes, which is not wrapped."""
    return re.sub(r"(?ms)^fix:\n.*?^\n", "", report).splitlines()


def test_text_of_thirty_tables_fits_a_hundred_columns() -> None:
    lines = messages(written("text", large(30)))
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("public.table_with_a_long_name_") for line in lines) == 30


def test_text_marks_leaks_in_color() -> None:
    shown = text.write(document(BAD), colour=True)
    assert re.search(r"\x1b\[1;31m *users !", shown)
    assert "\x1b" not in written("text", BAD)


def test_text_has_the_fix_on_lines_of_its_own() -> None:
    fix = f"-- {'long ' * 40}\n{FIX}"
    shown = written("text", replace(BAD, findings=(replace(LEAK, fix=fix),)))
    assert f"\nfix:\n{fix}\n\n" in shown


def _granted(kind: str, schema: str) -> AuditFinding:
    id_ = f"{kind}:{schema}"
    return replace(
        NOTE, id=Id(*id_.split(":")), object=schema, cause="a grant", fix="revoke all;", kind=kind
    )


def test_text_has_one_line_for_privileges_that_no_policy_limits() -> None:
    granted = [
        _granted(kind, schema)
        for kind, schema in (("truncate", "public"), ("sequence", "public"), ("sequence", "shop"))
    ]
    shown = " ".join(written("text", replace(BAD, findings=tuple(granted))).split())
    assert shown.count("info: ") == 2
    assert "info: public: API roles may empty tables without a policy;" in shown
    assert "and: they may set sequences, too" in shown  # each that the verdict counts
    assert "info: shop: API roles may set sequences without a policy;" in shown
    assert "revoke all;" not in shown
    ids = [
        finding["id"]
        for finding in json.loads(written("json", replace(BAD, findings=tuple(granted))))[
            "findings"
        ]
    ]
    assert ids == ["truncate:public", "sequence:public", "sequence:shop"]


def test_text_prints_a_common_fix_once() -> None:
    shown = written(
        "text",
        replace(BAD, findings=(LEAK, replace(LEAK, id=Id("other"), message="Anyone can delete"))),
    )
    assert shown.count(FIX) == 1
    assert "  and: Anyone can delete\n" in shown


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_counts_are_the_same_in_each_format(form: str) -> None:
    assert severities(BAD.findings) in written(form, BAD)


def test_text_explains_the_callers_that_fixes_name() -> None:
    fix = "-- Tried: it would take: owner: read of public.notes; stranger: update of public.notes"
    taken = replace(LEAK, fix=fix, callers=("owner", "stranger"))
    meanings = {
        "anon": "without signing in",
        "owner": "the user whose rows they are",
        "stranger": "signed in, with rows of their own",
    }
    shown = written("text", replace(BAD, findings=(taken,), meanings=meanings))
    lines = " ".join(shown.split())
    assert (
        "callers: owner: the user whose rows they are; stranger: signed in, with rows of their own"
        in lines
    )
    assert "callers: " not in written("text", replace(BAD, meanings=meanings))


def test_text_leaves_out_a_caller_without_a_meaning() -> None:
    taken = replace(LEAK, callers=("owner", "another"))
    meanings = {"owner": "the user whose rows they are"}
    shown = written("text", replace(BAD, findings=(taken,), meanings=meanings))
    assert "callers: owner: the user whose rows they are" in shown
    assert "another:" not in shown


# Markdown


def test_a_table_counts_once_with_the_states_of_its_rows() -> None:
    shared = AccessObject.parse("public.notes (shared = true)")
    state = replace(GOOD.summaries[0], object=shared)
    shown = written("markdown", replace(GOOD, summaries=(*GOOD.summaries, state)))
    assert f"Who can do what: {len(GOOD.summaries)} tables</summary>" in shown


def test_markdown_begins_with_leaks_then_changes_then_collapsed_parts() -> None:
    shown = written("markdown", BAD)
    parts = [
        MARKER,
        "**failed**",
        f"{severities(BAD.findings)}, 1 difference from supabase/access.toml",
        "### Leaks",
        LEAK.message,
    ]
    parts += [
        "### Changes",
        CHANGE.message.split(";")[0],
        "<details><summary>Who can do what: 2 tables</summary>\n\n|",
    ]
    parts += [
        "<details><summary>Not tested: 1 object</summary>",
        "<details><summary>1 note</summary>",
    ]
    positions = [shown.index(part) for part in parts]
    assert positions == sorted(positions)
    assert shown.count("<details>") == shown.count("</details>") == 3
    assert f"```sql\n{FIX}\n```" in shown
    assert "| `public.notes` | all | own | **users** ⚠️ | own |" in shown
    assert "| `public.list` | all |  |  |  |" in shown


def test_markdown_without_findings_passes() -> None:
    shown = written("markdown", GOOD)
    assert "audit: passed" in shown
    assert "no findings; rows for 2 of 2 tables" in shown
    assert "###" not in shown


def test_markdown_escapes_markup_and_notifies_nobody() -> None:
    shown = written(
        "markdown", replace(BAD, findings=(replace(NOTE, message=f"@octocat {MARKUP}"),))
    )
    assert "&#64;octocat" in shown
    assert r"\<script\>alert(1)\</script\> &amp;" in shown
    assert "<script>" not in shown


def test_markdown_fits_into_a_comment_and_says_what_is_left_out() -> None:
    shown = written("markdown", large(2000))
    assert len(shown) < 65_536
    assert " more parts do not fit" in shown
    assert shown.count("<details>") == shown.count("</details>")


# HTML


def test_html_stays_below_the_limit_and_shows_leaks_first() -> None:
    shown = written("html", large(350))
    assert len(shown.encode()) < 500_000
    assert "more findings do not fit" in shown
    assert "cells have no room for their SQL" in shown
    assert shown.count('class="probe"') > 100
    small = written("html", large(20))
    assert "no room" not in small
    assert small.count('class="probe"') == 80


def test_html_has_the_sql_and_the_request_of_each_cell() -> None:
    shown = written("html", BAD)
    assert (
        shown.count("curl &#39;&lt;select&gt;&#39;") == 2 * 2
    )  # per table: another's rows, own rows
    assert "select '&lt;b&gt;' as" in shown
    assert "rows, body: anon, stranger" in shown
    assert "curl rpc/f<" in shown
    assert "another&#39;s rows, whether a row exists: anon" in shown
    assert "<script" not in shown
    assert "As &lt;b&gt;:" in shown


# JUnit, SARIF, Code Quality


def test_junit_has_a_case_for_each_action_and_each_finding() -> None:
    root = ET.fromstring(written("junit", BAD))  # noqa: S314  a report of this program
    assert root.get("name") == "supabase-jobs audit"
    cases = {case.get("name"): case for case in root.iter("testcase")}
    failed = [case.get("name") for case in cases.values() if case.find("failure") is not None]
    assert failed == [f"{f.message} (cause: {f.cause})" for f in (LEAK, CHANGE)]
    assert cases["read: all"].get("classname") == "audit.public.notes"
    assert "update: users" not in cases
    skipped = [case for case in cases.values() if case.find("skipped") is not None]
    assert any("not tested" in (case.get("name") or "") for case in skipped)


def sarif() -> dict[str, Any]:
    log: dict[str, Any] = json.loads(written("sarif", BAD))
    return log


def test_sarif_is_valid_and_has_the_line_of_the_policy() -> None:
    log = sarif()
    schema = sarif_multitool().parent / "sarif-2.1.0.json"
    jsonschema.validate(log, json.loads(schema.read_text(encoding="utf-8")))
    [run] = log["runs"]
    assert run["automationDetails"]["id"] == "supabase-jobs/audit/"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "audit/access",
        "audit/baseline",
        "audit/not-tested",
        "audit/read",
        "audit/write",
    ]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "supabase/migrations/1_notes.sql"
    assert place["region"]["startLine"] == 9
    assert "verify" not in json.dumps(run["tool"])


def test_sarif_has_the_line_of_the_object_if_no_policy_is_the_cause() -> None:
    table = json.loads(
        written(
            "sarif",
            replace(BAD, findings=(replace(LEAK, cause="no row level security", policies=()),)),
        )
    )
    [first, *_] = table["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 3


def test_codequality_has_what_gitlab_requires() -> None:
    entries = json.loads(written("codequality", BAD))
    assert len(entries) == 4
    assert {entry["severity"] for entry in entries} == {"critical", "info"}
    assert len({entry["fingerprint"] for entry in entries}) == 4
    first = entries[0]
    assert first["location"] == {"path": "supabase/migrations/1_notes.sql", "lines": {"begin": 9}}
    assert first["description"].startswith("public.notes: Anyone can change")
    assert "\n" not in first["description"]


def test_json_has_the_keys_of_the_contract_and_no_sql() -> None:
    document = json.loads(written("json", BAD))
    assert document["matrix"][0] == {
        "object": "public.notes",
        "caller": "anon",
        "whose": "other",
        "action": "select",
        "outcome": "rows",
    }
    assert document["findings"][0]["severity"] == Severity.ERROR
    assert "curl" not in json.dumps(document)
