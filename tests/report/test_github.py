"""Workflow commands: one line each, with GitHub's escapes, whatever the values hold."""

import pytest

from supabase_jobs.findings import Finding, Location, Severity, Verification
from supabase_jobs.report import github


def test_a_command_with_everything() -> None:
    made = github.command("error", "it is wrong", title="a title", file="a/b.sql", line=3)
    assert made == "::error file=a/b.sql,line=3,title=a title::it is wrong"


def test_what_is_not_known_is_left_out() -> None:
    assert github.command("notice", "so it is", title="t") == "::notice title=t::so it is"


@pytest.mark.parametrize(
    ("text", "message", "title"),
    [
        ("100%", "100%25", "100%25"),
        ("a\r\nb", "a%0D%0Ab", "a%0D%0Ab"),
        ("a:b,c", "a:b,c", "a%3Ab%2Cc"),
        ("%0A", "%250A", "%250A"),
        ("::error::x", "::error::x", "%3A%3Aerror%3A%3Ax"),
    ],
)
def test_escapes(text: str, message: str, title: str) -> None:
    assert github.command("error", text, title=text) == f"::error title={title}::{message}"


def test_findings_by_severity() -> None:
    findings = tuple(
        Finding(f"id{n}", "access", severity, "public.t", "is open", "close it" if n else "")
        for n, severity in enumerate(Severity)
    )
    assert github.verification(Verification(findings, (), 1.0)) == [
        "::error title=supabase-jobs verify%3A id0::public.t: is open",
        "::warning title=supabase-jobs verify%3A id1::public.t: is open%0Afix: close it",
        "::notice title=supabase-jobs verify%3A id2::public.t: is open%0Afix: close it",
    ]


def test_a_finding_stands_at_the_line_that_creates_its_object() -> None:
    findings = tuple(Finding("access:public.t:x", "access", Severity.ERROR, name, "is open", "") for name in "tu")
    sources = {"t": Location("backend/supabase/migrations/1_t.sql", 7)}
    assert github.verification(Verification(findings, (), 1.0, locations=sources)) == [
        "::error file=backend/supabase/migrations/1_t.sql,line=7,title=supabase-jobs verify%3A access%3Apublic.t%3Ax"
        "::t: is open",
        "::error title=supabase-jobs verify%3A access%3Apublic.t%3Ax::u: is open",
    ]
