"""The result of `mutate --run` in each format."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from supabase_jobs.findings import SuiteMutant, SuiteMutation, SuiteTest
from supabase_jobs.report import write
from supabase_jobs.report.formats.text import write as write_text
from supabase_jobs.report.producers.suite_mutation import document


def written(form: str, result: SuiteMutation) -> str:
    return write(document(result), form)


KILLED = SuiteMutant(
    "tables:rls-off:public.notes",
    "public.notes",
    "policies",
    "No test fails when x",
    "alter …;",
    "killed",
    ("t",),
    1.5,
)
SURVIVED = replace(
    KILLED,
    id="grants:grant:public.lists:SELECT:anon",
    object="public.lists",
    kind="privileges",
    sentence="No test fails when anon has <b>|SELECT",
    sql="grant select;",
    state="survived",
    by=(),
    tests={
        "pytest": SuiteTest(
            name="test_it", comment="", code="    pass\n", text="def test_it(rls):\n    pass\n"
        ),
        "pgtap": SuiteTest(name="it", comment="", code="", text="begin;\n"),
    },
)
EQUIVALENT = replace(KILLED, id="same", state="equivalent", by=())
REJECTED = replace(KILLED, id="refused", state="rejected", by=("42P01: no table",))
UNTESTED = replace(
    KILLED, id="unknown", state="untested", by=(), note="audit does not call public.<b>f()"
)
RESULT = SuiteMutation(
    (KILLED, SURVIVED, EQUIVALENT, REJECTED, UNTESTED),
    6,
    9,
    7,
    "pytest -q",
    2.0,
    10.0,
    2,
    30.0,
    "here",
)
COMPLETE = SuiteMutation((KILLED,), 1, 1, None, "pytest -q", 2.0, 10.0, 2, 30.0)


def test_json_has_the_keys_of_the_contract_and_counts_what_is_scored() -> None:
    document = json.loads(written("json", RESULT))
    assert (document["killed"], document["total"], document["not_run"]) == (1, 2, 1)
    assert [(m["id"], m["killed"], m["by"]) for m in document["mutants"]] == [
        (KILLED.id, True, ["t"]),
        (SURVIVED.id, False, []),
    ]
    assert [m["id"] for m in document["equivalent"]] == ["same"]
    assert [(m["id"], m["note"]) for m in document["untested"]] == [("unknown", UNTESTED.note)]
    assert document["not_injected"] == [
        {"id": "refused", "error": "42P01: no table", "sql": "alter …;"}
    ]
    assert document["scores"]["objects"][0] == {"name": "lists", "killed": 0, "total": 1}


def test_text_ends_with_the_score() -> None:
    text = written("text", RESULT)
    assert text.startswith("SURVIVED  No test fails when anon has <b>|SELECT\n")
    assert "    def test_it(rls):\n" in text
    assert "not injected: refused: 42P01: no table" in text
    assert f"not tested: unknown: {UNTESTED.note}" in text
    assert re.search(r"^lists +0 of +1 killed +0 %$", text, re.MULTILINE)
    assert text.splitlines()[-1] == (
        "FAILED: score 50 % (1 of 2); 5 mutants, 1 killed, 1 survived, 1 equivalent, 1 cannot be"
        " tested,"
        " 1 rejected by the database, 1 not run; a sample of 9 (--seed 7); 30 s"
    )
    assert written("text", COMPLETE).splitlines()[-1].startswith("ok: score 100 % (1 of 1)")


def test_short_text_has_a_line_for_each_survivor_and_names_what_it_omits() -> None:
    twice = replace(SURVIVED, sentence="second")
    text = write_text(
        document(replace(RESULT, mutants=(*RESULT.mutants, twice, twice))), whole=False
    )
    assert text.startswith(
        "SURVIVED  No test fails when anon has <b>|SELECT\nSURVIVED  second (2 places)\n\nlists"
    )
    assert "grant select;" not in text
    assert "def test_it" not in text
    assert "--all also prints why 2 faults could not be tested.\nFAILED: score" in text
    complete = write_text(document(COMPLETE), whole=False)
    assert "--all" not in complete


def test_short_text_promises_only_the_tests_that_were_found() -> None:
    bare = replace(SURVIVED, id="bare", sentence="bare", tests={}, note="no single statement")
    both = write_text(document(replace(RESULT, mutants=(SURVIVED, bare))), whole=False)
    assert "The SQL of each survivor and the missing tests of 1: --tests DIR writes" in both
    none = write_text(document(replace(RESULT, mutants=(bare,))), whole=False)
    assert "--tests" not in none
    assert "--all prints the SQL of each survivor, and why no missing test was found." in none


def test_markdown_has_a_code_block_for_the_fault_and_for_each_test() -> None:
    blocks = re.findall(
        r"^```(\w+)\n(.*?)^```$", written("markdown", RESULT), re.MULTILINE | re.DOTALL
    )
    assert blocks == [
        ("sql", "grant select;\n"),
        ("python", SURVIVED.tests["pytest"].text),
        ("sql", "begin;\n"),
    ]


def test_only_a_complete_run_is_ok() -> None:
    assert (
        written("text", replace(COMPLETE, selected=2)).splitlines()[-1].startswith("INTERRUPTED: ")
    )


def test_a_run_in_which_no_fault_was_injected_has_failed() -> None:
    refused = replace(COMPLETE, mutants=(REJECTED,))
    assert not refused.ok
    assert written("text", refused).splitlines()[-1].startswith("FAILED: score")


def test_junit_fails_for_a_survivor_only() -> None:
    # our own
    root = ElementTree.fromstring(written("junit", RESULT).partition("?>\n")[2])  # noqa: S314
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("5", "1", "3")
    [failure] = root.iter("failure")
    assert failure.get("message") == SURVIVED.sentence
    assert "def test_it" in (failure.text or "")


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_documents_escape_names_and_contain_the_missing_tests(form: str) -> None:
    text = written(form, RESULT)
    assert "<b>" not in text
    assert "def test_it(rls):" in text
    assert "50 %" in text
    assert "audit does not call" in text
    assert "grant select;" in text
