"""Reports have the width of COLUMNS or of the terminal, within limits; without either that of the
document.
"""

import os
import sys
from dataclasses import replace
from io import StringIO

import pytest

from supabase_jobs.cli.apply import _print_access
from supabase_jobs.cli.reports import report
from supabase_jobs.findings import AccessChange, AccessDiff, Finding, Id, Severity
from supabase_jobs.report.document import Document, Line
from supabase_jobs.report.producers.verify import document
from tests.audits import GOOD as AUDIT
from tests.verifications import GOOD

LONG = Finding(Id("a", "b"), "access", Severity.ERROR, "b", "word " * 100, "select 1;")
DOCUMENT = document(replace(GOOD, findings=(LONG,)))
# a verdict of many counts
VERDICT = replace(document(GOOD), closing=(Line("FAILED: " + "word " * 100),))


class Terminal(StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


def longest(monkeypatch: pytest.MonkeyPatch, *, columns: int, document: Document = DOCUMENT) -> int:
    """The longest line of the report on a terminal with so many columns."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    monkeypatch.setattr(sys, "stdout", Terminal())
    text = report(document, "text")
    return max(len(line) for line in text.splitlines() if line.count("word") > 1)


@pytest.mark.parametrize(("columns", "width"), [(20, 60), (72, 72), (120, 120), (500, 160)])
def test_a_report_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, width: int
) -> None:
    assert width - len("word ") < longest(monkeypatch, columns=columns) <= width


def test_the_verdict_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 75 < longest(monkeypatch, columns=80, document=VERDICT) <= 80


def test_the_verdict_is_one_line_in_a_pipe() -> None:
    assert report(VERDICT, "text").splitlines()[-1].count("word") == 100


@pytest.mark.parametrize("columns", [60, 80])
def test_the_changes_of_a_dry_run_are_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    change = AccessChange(
        id=Id("new", "public.pages"),
        severity=Severity.ERROR,
        change="new",
        object="public.pages",
        caller=None,
        action=None,
        message="word " * 100,
    )
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    _print_access(AccessDiff("main", "now", (change,), (), AUDIT, 1.0))
    lines = [line for line in terminal.getvalue().splitlines() if line.count("word") > 1]
    assert columns - len("word ") < max(map(len, lines)) <= columns


def test_a_report_in_a_pipe_has_its_own_width() -> None:
    text = report(DOCUMENT, "text")
    lines = [line for line in text.splitlines() if line.count("word") > 1]
    assert 75 < max(map(len, lines)) <= 80


@pytest.mark.parametrize("document", [DOCUMENT, VERDICT], ids=["findings", "verdict"])
@pytest.mark.parametrize(("columns", "width"), [("20", 60), ("72", 72), ("120", 120)])
def test_a_report_in_a_pipe_is_as_wide_as_its_user_asks(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int, document: Document
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = [line for line in report(document, "text").splitlines() if line.count("word") > 1]
    assert width - len("word ") < max(map(len, lines)) <= width


@pytest.mark.parametrize("columns", ["", "0", "wide", "-1"])
def test_columns_that_are_no_number_are_ignored(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert longest(monkeypatch, columns=90) > 80
