"""JUnit XML: what its consumers read, valid by a schema, and read back by a library that did not write it."""

from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
import xmlschema

from supabase_jobs.findings import Verification
from supabase_jobs.report import FORMATS
from tests.verifications import BAD, CASES, GOOD, STRUCTURE

SCHEMA = xmlschema.XMLSchema(Path(__file__).parents[1] / "data" / "junit.xsd")


def read(result: Verification) -> Element:
    return fromstring(FORMATS["junit"](result).encode())  # noqa: S314  written by us


def case(root: Element, name: str) -> Element:
    (found,) = [element for element in root.iter("testcase") if element.get("name") == name]
    return found


@pytest.mark.parametrize("result", [GOOD, BAD, Verification((), (), 0.0)], ids=["good", "bad", "empty"])
def test_it_is_valid(result: Verification) -> None:
    SCHEMA.validate(FORMATS["junit"](result).encode())


def test_the_schema_can_fail() -> None:
    assert not SCHEMA.is_valid(FORMATS["junit"](BAD).replace("classname=", "class=").encode())


def test_a_suite_for_each_area_and_a_case_for_each_case() -> None:
    root = read(BAD)
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["structure", "access", "plans"]
    assert [len(suite) for suite in suites.values()] == [len(STRUCTURE) + 2, len(CASES), 1]
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": str(len(STRUCTURE) + len(CASES) + 3), "failures": "3", "errors": "0", "skipped": "2", "time": "0.346",
    }  # fmt: skip


def test_an_error_is_a_failure_with_message_fix_and_id() -> None:
    found = case(read(BAD), "user, a thing of somebody else: action 8")
    assert found.get("classname") == "access.public.things"
    assert (found.get("file"), found.get("line")) == ("supabase/migrations/1_things.sql", "3")
    (failure,) = found
    assert (failure.tag, failure.get("type")) == ("failure", "error")
    assert failure.get("message") == "user: is violates | not hidden"
    assert failure.text is not None
    assert "fix: fix it" in failure.text
    assert "id: access:public.things:user" in failure.text


def test_what_was_not_checked_is_skipped_with_its_reason() -> None:
    (skipped,) = case(read(BAD), "plans was not checked: 42501")
    assert (skipped.tag, skipped.get("message")) == ("skipped", "plans was not checked: 42501")


def test_a_finding_without_a_case_is_a_failing_case_of_its_own() -> None:
    (failure,) = case(read(BAD), "in no migration")
    assert failure.tag == "failure"


def test_awkward_texts_arrive() -> None:
    (failure,) = case(read(BAD), 'index "i|j": btree')
    said = failure.get("message") or ""
    assert "<script>alert(1)</script> & \"d\" 'e'" in said
    assert said.endswith("]]> \ufffd[31m \ufffd ñ 😀")


def test_nothing_that_passed_has_a_result() -> None:
    assert [element for element in read(GOOD).iter("testcase") if len(element)] == []
