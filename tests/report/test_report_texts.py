"""Text and Markdown with many findings and with markup in their texts: areas, escapes, grouping, size limit."""

from dataclasses import replace

import pytest

from supabase_jobs.report import FORMATS, markdown, text
from tests.verifications import BAD, FINDINGS, GOOD, MARKUP, MISMATCH


def test_text_has_a_line_for_each_area() -> None:
    lines = FORMATS["text"](BAD).splitlines()
    assert lines[-4:-1] == [
        "structure     2 cases: 2 failed, 1 other findings",
        "access       27 cases: 1 failed",
        "plans         0 cases: 1 other findings, NOT CHECKED",
    ]
    assert "access       27 cases: ok" in FORMATS["text"](GOOD)


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_control_characters_and_line_ends_in_a_name_are_escaped(form: str) -> None:
    name = "x\x1b[2J\x9b1m\r\nok: 9 checks, 0 errors\x07\u202e"
    finding = replace(FINDINGS[0], object=name, message=f"{name} is wrong", fix=f'drop policy "{name}";')
    shown = FORMATS[form](replace(BAD, findings=(finding, replace(finding, id="another"))))
    assert set(shown).isdisjoint("\x1b\x9b\r\x07\u202e")
    assert "x\\x1b" in shown.replace("\\\\", "\\")
    before_fix = shown.partition("fix: ")[0]
    assert not any(line.startswith("ok:") for line in before_fix.splitlines())


def test_text_prints_the_common_fix_of_several_findings_once() -> None:
    more = tuple(replace(FINDINGS[0], id=f"{MISMATCH}{n}", message=f"message {n}") for n in range(40))
    shown = FORMATS["text"](replace(BAD, findings=more))
    assert shown.count("fix: fix it") == 1
    assert "error: public.things, 40 times:\n  message 0\n  message 1\n" in shown
    assert max(map(len, shown.splitlines())) <= text.WIDTH


def test_markdown_escapes_markup() -> None:
    (line,) = [line for line in FORMATS["markdown"](BAD).splitlines() if "alert" in line]
    assert r"a \| b \`c\` \<script\>alert(1)\</script\> &amp;" in line
    assert r"\*f\* \_g\_" in line
    assert "| ``select `1`;`` |" in line
    assert line.replace(r"\|", "").count("|") == 5


def test_markdown_collapses_a_matrix_and_opens_one_with_a_mismatch() -> None:
    assert "<details open><summary>Access to public.things: 1 cells are not as declared</summary>\n\n|" in FORMATS[
        "markdown"
    ](BAD)
    assert "<details><summary>Access to public.things</summary>" in FORMATS["markdown"](GOOD)


def test_markdown_stays_below_the_limit_and_reports_omitted_findings() -> None:
    many = tuple(
        replace(FINDINGS[0], id=f"{MISMATCH}{n}", message=MARKUP * 20, fix=f"select {n};") for n in range(2000)
    )
    shown = FORMATS["markdown"](replace(BAD, findings=many))
    assert len(shown.encode()) < markdown.LIMIT_BYTES + 1000
    assert " more findings do not fit" in shown
    assert "</details>" in shown
