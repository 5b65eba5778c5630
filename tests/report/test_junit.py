"""JUnit XML: valid by the schema, and the attributes that consumers read."""

from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
import xmlschema

from supabase_jobs.findings import Verification
from supabase_jobs.report import write
from supabase_jobs.report.producers.verify import document
from tests.verifications import ACCEPTED, BAD, CASES, GOOD, STRUCTURE


def written(form: str, result: Verification) -> str:
    return write(document(result), form)


SCHEMA = xmlschema.XMLSchema(Path(__file__).parents[1] / "data" / "junit.xsd")


def read(result: Verification) -> Element:
    return fromstring(written("junit", result).encode())  # noqa: S314  written by us


def case(root: Element, name: str) -> Element:
    (testcase,) = [element for element in root.iter("testcase") if element.get("name") == name]
    return testcase


@pytest.mark.parametrize(
    "result", [GOOD, BAD, Verification((), (), 0.0)], ids=["good", "bad", "empty"]
)
def test_the_xml_is_valid_by_the_schema(result: Verification) -> None:
    SCHEMA.validate(written("junit", result).encode())


def test_the_schema_rejects_a_broken_report() -> None:
    assert not SCHEMA.is_valid(written("junit", BAD).replace("classname=", "class=").encode())


def test_a_suite_for_each_area_and_a_case_for_each_case() -> None:
    root = read(BAD)
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["structure", "access", "plans"]
    assert [len(suite) for suite in suites.values()] == [len(STRUCTURE) + 2, len(CASES), 1]
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": str(len(STRUCTURE) + len(CASES) + 3),
        "failures": "3",
        "errors": "0",
        "skipped": "2",
        "time": "0.346",
    }


def test_an_error_is_a_failure_with_message_fix_and_id() -> None:
    element = case(read(BAD), "user, a thing of somebody else: action 8")
    assert element.get("classname") == "access.public.things"
    assert (element.get("file"), element.get("line")) == ("supabase/migrations/1_things.sql", "3")
    (failure,) = element
    assert (failure.tag, failure.get("type")) == ("failure", "error")
    assert failure.get("message") == "user: is violates | not hidden"
    assert failure.text is not None
    assert "fix: fix it" in failure.text
    assert "id: access:public.things:user" in failure.text


def test_an_unchecked_area_is_skipped_with_its_reason() -> None:
    (skipped,) = case(read(BAD), "plans was not checked: 42501")
    assert (skipped.tag, skipped.get("message")) == ("skipped", "plans was not checked: 42501")


def test_what_is_accepted_unchecked_is_skipped_with_the_reason() -> None:
    (skipped,) = case(
        read(ACCEPTED), "plans was not checked: 42501; accepted: no index matters here"
    )
    assert (skipped.tag, skipped.get("type")) == ("skipped", "info")


def test_a_finding_without_a_case_is_a_failed_test_case() -> None:
    (failure,) = case(read(BAD), "in no migration")
    assert failure.tag == "failure"


def test_markup_and_control_characters_are_escaped() -> None:
    (failure,) = case(read(BAD), 'index "i|j": btree')
    message = failure.get("message") or ""
    assert "<script>alert(1)</script> & \"d\" 'e'" in message
    assert message.endswith("]]> \ufffd[31m \ufffd ñ 😀")


def test_passed_cases_have_no_result() -> None:
    assert [element for element in read(GOOD).iter("testcase") if len(element)] == []
