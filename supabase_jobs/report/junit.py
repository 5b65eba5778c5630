"""A verification as JUnit XML: a test suite for each area, a test case for each case.

Written for what GitLab, Jenkins and GitHub's actions read: `classname`, `name`, `time`, `file`, and one `failure` or
`skipped` a test case. junitparser writes the XML.
"""

import re
from collections.abc import Sequence

from junitparser import Attr, Failure, IntAttr, JUnitXml, Skipped, TestCase, TestSuite

from supabase_jobs.findings import Case, Finding, Severity, Verification

# what XML 1.0 cannot hold, in whatever form
_FORBIDDEN = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Case(TestCase):
    """A test case that says where its object is created."""

    file = Attr()
    line = IntAttr()


def verification(result: Verification) -> str:
    """The XML, to be written as UTF-8.

    An error is a failure. A warning, and an area that was not checked, is skipped with the reason: not passed, and
    not failed. Findings that answer no case (an object that is in no migration) are test cases of their own.
    """
    xml = JUnitXml("supabase-jobs verify")
    for area in dict.fromkeys([*(case.area for case in result.cases), *(finding.area for finding in result.findings)]):
        xml.add_testsuite(_suite(area, result))
    xml.update_statistics()  # type: ignore[no-untyped-call]
    xml.time = round(result.milliseconds / 1000, 3)  # of the whole: cases are not timed one by one
    data: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{data.decode()}\n'


def _suite(area: str, result: Verification) -> TestSuite:
    suite = TestSuite(_text(area))
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.area == area:
            findings.setdefault(finding.id, []).append(finding)
    for case in result.cases:
        if case.area == area:
            suite.add_testcase(_case(case, case.name, findings.pop(case.id, []), result))
    for left in findings.values():
        suite.add_testcase(_case(left[0], left[0].message, left, result))
    return suite


def _case(subject: Case | Finding, name: str, findings: Sequence[Finding], result: Verification) -> _Case:
    case = _Case(_text(name), classname=_text(f"{subject.area}.{subject.object}"), time=0)
    if (source := result.location(subject)) is not None:
        case.file = _text(source.file)
        case.line = source.line
    if errors := [finding for finding in findings if finding.severity is Severity.ERROR]:
        case.result = [_told(Failure, errors)]
    elif findings:
        case.result = [_told(Skipped, findings)]
    return case


def _told(kind: type[Failure | Skipped], findings: Sequence[Finding]) -> Failure | Skipped:
    told = kind(_text("; ".join(finding.message for finding in findings)), _text(findings[0].severity))
    told.text = _text("\n".join(_lines(finding) for finding in findings))
    return told


def _lines(finding: Finding) -> str:
    fix = f"fix: {finding.fix}\n" if finding.fix else ""
    return f"{finding.object}: {finding.message}\n{fix}id: {finding.id}\n"


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
