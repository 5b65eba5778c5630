"""One verification as text, JSON and Markdown."""

import json
from dataclasses import replace

import pytest

from supabase_jobs.findings import Case, Finding, Grid, Id, Severity, Verification
from supabase_jobs.report import FORMATS, write
from supabase_jobs.report.formats import text
from supabase_jobs.report.producers.verify import document
from tests.verifications import ACCEPTED


def written(form: str, result: Verification) -> str:
    return write(document(result), form)


GRID = Grid(
    "public.things",
    tuple(f"action {n}" for n in range(9)),
    ("guest, its own thing", "user, a thing of somebody else", "service_role"),
    (("rows",) * 9, ("hidden",) * 8 + ("violates",), ("23514",) * 9),
    frozenset({(1, 8)}),
)
FINDING = Finding(
    Id("access", "x"),
    "access",
    Severity.ERROR,
    "public.things",
    "user: is violates | not hidden",
    "fix it",
)
CASES = tuple(
    Case(Id("access", str(name)), "access", "public.things", f"case {name}")
    for name in ("x", *range(11))
)
BAD = Verification((FINDING,), CASES, 345.6, (GRID,))
GOOD = Verification((), CASES, 345.6, (GRID,))


def test_json_has_the_keys_of_the_contract() -> None:
    document = json.loads(written("json", BAD))
    assert document["ok"] is False
    assert document["summary"] == {"checks": 12, "failed": 1, "ms": 345.6}
    [finding] = document["findings"]
    assert finding == {
        "id": "access:x",
        "area": "access",
        "severity": "error",
        "object": "public.things",
        "message": "user: is violates | not hidden",
        "fix": "fix it",
        "cause": "",
        "accept": [],
    }
    assert document["matrix"][0]["rows"][2]["outcomes"]["action 0"] == "23514"


def test_text_fits_eighty_columns_and_has_every_row_and_column() -> None:
    lines = written("text", BAD).splitlines()
    assert max(map(len, lines)) <= 80
    for row in ("guest, its own thing", "user, a thing", "service_role"):
        assert sum(line.startswith(row) for line in lines) == 2  # the grid is cut in two
    assert "\x1b" not in "".join(lines)
    assert lines[-1].startswith("FAILED: 12 checks, 1 error")


def test_text_marks_the_mismatching_cell_and_has_colours_on_request_only() -> None:
    assert "violate!" in written("text", BAD)
    assert "\x1b[" in text.write(document(BAD), colour=True)


def test_markdown_has_a_row_for_each_identity_and_escapes_bars() -> None:
    lines = written("markdown", BAD).splitlines()
    assert "| service_role |" in "\n".join(lines)
    assert any("**violates**" in line for line in lines)
    assert any(r"is violates \| not hidden" in line for line in lines)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_with_a_newline(form: str) -> None:
    assert written(form, GOOD).endswith("\n")


@pytest.mark.parametrize("findings", [0, 10, 3000])
def test_an_html_page_is_below_500_kb_and_shows_failed_cases_first(findings: int) -> None:
    script = "-- <it's>\n" + "select '\"<&>';\n" * 60
    cases = tuple(
        Case(Id("access", str(n)), "access", f"public.t{n % 50}", f"case {n}", script)
        for n in range(3000)
    )
    found = tuple(replace(FINDING, id=case.id, object=case.object) for case in reversed(cases))[
        :findings
    ]
    page = written(
        "html", Verification(found, cases, 1.0, (), preambles={"access": "-- begin\n" * 2000})
    )
    assert 400_000 < len(page.encode()) < 500_000
    assert "have no room for their SQL" in page
    assert ("more findings do not fit" in page) == (findings == 3000)
    if findings == 10:
        assert [f"verify --explain 'access:{n}'" in page for n in (2999, 2990)] == [True, True]


def test_an_html_page_of_few_cases_shows_all_of_them() -> None:
    cases = tuple(replace(case, script="select 1;") for case in CASES)
    page = written("html", replace(BAD, cases=cases))
    assert "have no room" not in page
    assert page.count("select 1;") == len(CASES) + 1  # that of the finding twice


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_reason_for_what_is_accepted_unchecked(form: str) -> None:
    assert "no index matters here" in " ".join(written(form, ACCEPTED).split())


@pytest.mark.parametrize(("form", "verdict"), [("text", "ok"), ("markdown", "passed")])
def test_the_verdict_says_what_was_not_checked(form: str, verdict: str) -> None:
    accepted = written(form, replace(ACCEPTED, findings=ACCEPTED.findings[-1:])).replace("*", "")
    assert f"{verdict} (accepted unchecked: plans)" in accepted
    unchecked = written(form, replace(GOOD, unchecked=("plans",))).replace("*", "")
    assert "failed (not checked: plans)" in unchecked.lower()


def test_warnings_do_not_fail_the_verification() -> None:
    warning = Finding(Id("x"), "structure", Severity.WARNING, "o", "m", "")
    assert Verification((warning,), (), 1.0).ok
    assert not Verification((warning,), (), 1.0, unchecked=("structure",)).ok
    assert not BAD.ok
