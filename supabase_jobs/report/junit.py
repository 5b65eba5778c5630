"""A verification as JUnit XML: a test suite for each area, a test case for each case.

It uses the attributes that GitLab, Jenkins and GitHub Actions read: `classname`, `name`, `time`,
`file`, and at most one `failure` or `skipped` per test case.
"""

import re
from collections.abc import Sequence

from junitparser import Attr, Failure, IntAttr, JUnitXml, Skipped, TestCase, TestSuite

from supabase_jobs.findings import Case, Finding, Severity, Verification

# characters that XML 1.0 cannot represent, not even escaped
_FORBIDDEN = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Case(TestCase):
    """A test case with the line that creates its object."""

    file = Attr()
    line = IntAttr()


def verification(result: Verification, command: str = "verify") -> str:
    """The XML, to be encoded as UTF-8.

    An error is a failure. A warning and an unchecked area are skipped with the reason, so they
    count neither as passed nor as failed. A finding without a case (an object that is in no
    migration) is a test case of its own.
    """
    xml = JUnitXml(f"supabase-jobs {command}")
    for area in dict.fromkeys(
        [*(case.area for case in result.cases), *(finding.area for finding in result.findings)]
    ):
        xml.add_testsuite(_suite(area, result))
    return as_text(xml, result.milliseconds / 1000)


def as_text(xml: JUnitXml, seconds: float) -> str:
    """The document; `seconds` are the time of the whole run."""
    xml.update_statistics()  # type: ignore[no-untyped-call]
    xml.time = round(seconds, 3)
    data: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{data.decode()}\n'


def _suite(area: str, result: Verification) -> TestSuite:
    suite = TestSuite(printable(area))
    findings: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.area == area:
            findings.setdefault(finding.id, []).append(finding)
    for case in result.cases:
        if case.area == area:
            suite.add_testcase(_case(case, case.name, findings.pop(case.id, []), result))
    for without_case in findings.values():
        suite.add_testcase(_case(without_case[0], without_case[0].message, without_case, result))
    return suite


def _case(
    subject: Case | Finding, name: str, findings: Sequence[Finding], result: Verification
) -> _Case:
    case = _Case(printable(name), classname=printable(f"{subject.area}.{subject.object}"), time=0)
    if (source := result.location(subject)) is not None:
        case.file = printable(source.file)
        case.line = source.line
    if errors := [finding for finding in findings if finding.severity is Severity.ERROR]:
        case.result = [_result(Failure, errors)]
    elif findings:
        case.result = [_result(Skipped, findings)]
    return case


def _result(kind: type[Failure | Skipped], findings: Sequence[Finding]) -> Failure | Skipped:
    result = kind(
        printable("; ".join(finding.message for finding in findings)),
        printable(findings[0].severity),
    )
    result.text = printable("\n".join(_lines(finding) for finding in findings))
    return result


def _lines(finding: Finding) -> str:
    fix = f"fix: {finding.fix}\n" if finding.fix else ""
    return f"{finding.object}: {finding.message}\n{fix}id: {finding.id}\n"


def printable(text: str) -> str:
    """A text that XML can represent."""
    return _FORBIDDEN.sub("\ufffd", text)
