"""Output of `audit`, `verify`, `apply` and `plan` on terminals of several widths, on one without
colours or cursor, and in a pipe: the files in `screens/`, which SUPABASE_JOBS_RECORD=1 writes.

The results are those of the tests of reports; `apply` is `apply --dry-run`, and `plan` has the
changes of access too.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from supabase_jobs.cli.apply import _print_dry_run
from supabase_jobs.cli.plan import _print
from supabase_jobs.cli.reports import report
from supabase_jobs.migrations.dry_run import DryRun, DryRunFile
from supabase_jobs.migrations.plan import MigrationPlan, PlanProblem
from supabase_jobs.migrations.table_locks import TableLock
from supabase_jobs.report.producers import audit, verify
from supabase_jobs.sources.files import Migration
from tests.audits import BAD as AUDIT
from tests.cli.test_report_width import Terminal
from tests.report.test_access_reports import BAD as ACCESS
from tests.verifications import BAD as VERIFICATION

SCREENS = Path(__file__).with_name("screens")
# what ends or replaces the colours of a terminal
COLOURS = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "CLICOLOR", "CLICOLOR_FORCE")


@dataclass(frozen=True)
class Screen:
    """A terminal of so many columns, or a pipe, and variables of its environment."""

    name: str
    columns: int | None
    environ: Mapping[str, str] = field(default_factory=dict)


ALL_SCREENS = (
    *(Screen(f"{columns} columns", columns) for columns in (60, 80, 100, 140)),
    Screen("no terminal", None),
    Screen("TERM=dumb", 80, {"TERM": "dumb"}),
    Screen("NO_COLOR", 80, {"NO_COLOR": "1"}),
)
LONG_NAME = "a_name_that_is_longer_than_those_of_most_other_migrations"
PLAN = MigrationPlan(
    statuses=(),
    pending=(
        Migration("20260101000000", "notes", "", "1.sql"),
        Migration("20260102000000", LONG_NAME, "", "2.sql"),
    ),
    applied=(),
    problems=(
        PlanProblem(
            version="20260103000000",
            name="index",
            kind="out-of-order",
            message="it sorts before the newest applied version, 20260104000000",
        ),
    ),
)
DRY_RUN = DryRun(
    files=(
        DryRunFile("20260101000000", "notes", 4.2, None, ()),
        DryRunFile(
            "20260102000000",
            LONG_NAME,
            61.0,
            TableLock("AccessExclusiveLock", ("public.notes", "public.tags")),
            (),
        ),
    ),
    skipped=(Migration("20260103000000", "index", "", "3.sql"),),
    verification=None,
)


def on_screens(monkeypatch: pytest.MonkeyPatch, show: Callable[[], str]) -> dict[str, str]:
    """The text of `show` on each screen; an escape character is ␛."""
    screens = {}
    for screen in ALL_SCREENS:
        with monkeypatch.context() as patch:
            for name in COLOURS:
                patch.delenv(name, raising=False)
            for name, value in {"TERM": "xterm", **screen.environ}.items():
                patch.setenv(name, value)
            if screen.columns is not None:
                size = os.terminal_size((screen.columns, 24))
                patch.setattr(os, "get_terminal_size", lambda _, size=size: size)
                patch.setattr(sys, "stdout", Terminal())
            screens[screen.name] = show().replace("\x1b", "␛")
    return screens


def compare(command: str, screens: Mapping[str, str]) -> None:
    """Compare what a command printed on each screen with its file."""
    file = SCREENS / f"{command}.txt"
    text = "\n".join(f"===== {name}\n{shown}" for name, shown in screens.items())
    if os.environ.get("SUPABASE_JOBS_RECORD"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    document = audit.document(AUDIT)
    compare("audit", on_screens(monkeypatch, lambda: report(document, "text", whole=False)))


def test_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    document = verify.document(VERIFICATION)
    compare("verify", on_screens(monkeypatch, lambda: report(document, "text", whole=False)))


def test_apply(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def show() -> str:
        _print_dry_run(DRY_RUN, ACCESS)
        return printed(capsys)

    compare("apply", on_screens(monkeypatch, show))


def test_plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def show() -> str:
        _print(click.Context(click.Command("plan")), PLAN, {}, ACCESS)
        return printed(capsys)

    compare("plan", on_screens(monkeypatch, show))


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The text on the screen, or in the pipe that pytest reads."""
    return sys.stdout.getvalue() if isinstance(sys.stdout, Terminal) else capsys.readouterr().out
