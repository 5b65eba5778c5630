"""JUnit XML: a test suite for each area, a test case for each check.

It uses the attributes that GitLab, Jenkins and GitHub Actions read: `classname`, `name`, `time`,
`file`, and at most one `failure` or `skipped` per test case.
"""

import re

from junitparser import Attr, Failure, IntAttr, JUnitXml, Skipped, TestCase, TestSuite

from supabase_jobs.report.document import Check, Document, Remark

# characters that XML 1.0 cannot represent, not even escaped
_FORBIDDEN = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Case(TestCase):
    """A test case with the line that creates its object."""

    file = Attr()
    line = IntAttr()


def write(document: Document) -> str:
    """The XML, to be encoded as UTF-8."""
    xml = JUnitXml(f"supabase-jobs {document.command}")
    suites: dict[str, TestSuite] = {}
    for check in document.checks():
        if check.area not in suites:
            suites[check.area] = TestSuite(_printable(check.area))
        suites[check.area].add_testcase(_case(check))
    for suite in suites.values():
        xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    xml.time = round(document.milliseconds / 1000, 3)
    data: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{data.decode()}\n'


def _case(check: Check) -> _Case:
    # `0` for a check whose time is not known
    case = _Case(_printable(check.name), classname=_printable(check.group), time=check.seconds or 0)
    if check.location is not None:
        case.file = _printable(check.location.file)
        case.line = check.location.line
    if check.remark is not None:
        case.result = [_result(check.remark)]
    return case


def _result(remark: Remark) -> Failure | Skipped:
    kind = Failure if remark.is_failure else Skipped
    result = kind(_printable(remark.message), _printable(remark.label))
    if remark.details:
        result.text = _printable(remark.details)
    return result


def _printable(text: str) -> str:
    """A text that XML can represent."""
    return _FORBIDDEN.sub("\ufffd", text)
