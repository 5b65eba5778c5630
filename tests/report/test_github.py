"""Workflow commands: syntax, escapes, levels, and locations."""

import pytest

from supabase_jobs.findings import Finding, Id, Location, Severity, Verification
from supabase_jobs.report import github
from supabase_jobs.report.producers.verify import document


def test_a_command_with_all_properties() -> None:
    command = github.command("error", "it is wrong", title="a title", file="a/b.sql", line=3)
    assert command == "::error file=a/b.sql,line=3,title=a title::it is wrong"


def test_unknown_properties_are_omitted() -> None:
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
def test_messages_and_properties_are_escaped(text: str, message: str, title: str) -> None:
    assert github.command("error", text, title=text) == f"::error title={title}::{message}"


def test_the_level_is_the_severity_of_the_finding() -> None:
    findings = tuple(
        Finding(Id(f"id{n}"), "access", severity, "public.t", "is open", "close it" if n else "")
        for n, severity in enumerate(Severity)
    )
    assert github.annotations(document(Verification(findings, (), 1.0))) == [
        "::error title=supabase-jobs verify%3A id0::public.t: is open",
        "::warning title=supabase-jobs verify%3A id1::public.t: is open%0Afix: close it",
        "::notice title=supabase-jobs verify%3A id2::public.t: is open%0Afix: close it",
        "::notice title=supabase-jobs verify%3A id3::public.t: is open%0Afix: close it",
    ]


def test_a_finding_is_annotated_at_the_line_that_creates_its_object() -> None:
    findings = tuple(
        Finding(Id("access", "public.t", "x"), "access", Severity.ERROR, name, "is open", "")
        for name in "tu"
    )
    locations = {"t": Location("backend/supabase/migrations/1_t.sql", 7)}
    assert github.annotations(document(Verification(findings, (), 1.0, locations=locations))) == [
        "::error file=backend/supabase/migrations/1_t.sql,line=7,title=supabase-jobs verify%3A"
        " access%3Apublic.t%3Ax"
        "::t: is open",
        "::error title=supabase-jobs verify%3A access%3Apublic.t%3Ax::u: is open",
    ]


def test_what_a_cause_explains_is_counted() -> None:
    cause = Finding(
        Id("structure", "t", "policy", "p"),
        "structure",
        Severity.ERROR,
        "t",
        "is true",
        "drop policy p on t;\nselect 1;",
    )
    cells = (
        Finding(
            Id("access", str(n)), "access", Severity.ERROR, "t", "is rows", "--", cause=cause.id
        )
        for n in range(12)
    )
    assert github.annotations(document(Verification((cause, *cells), (), 1.0))) == [
        "::error title=supabase-jobs verify%3A structure%3At%3Apolicy%3Ap::t: is true%0Aexplains"
        " 12 findings"
        "%0Afix: drop policy p on t;%0Aselect 1;"
    ]
