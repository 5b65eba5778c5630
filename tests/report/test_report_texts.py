"""Text and Markdown with many findings and with markup in their texts: areas, escapes, grouping,
size limit.
"""

from dataclasses import replace

import pytest

from supabase_jobs.findings import Grid, Id, Verification
from supabase_jobs.report import write
from supabase_jobs.report.formats import text
from supabase_jobs.report.overview import overview
from supabase_jobs.report.producers.verify import document
from tests.verifications import BAD, FINDINGS, GOOD, MARKUP, MISMATCH


def written(form: str, result: Verification) -> str:
    return write(document(result), form)


FUNCTION = f"""create or replace function public.f() returns text as $$
\t-- {"a long line " * 12}

  select ' ';  \n$$;"""


def test_text_sums_up_the_passed_cases_in_one_line() -> None:
    lines = written("text", BAD).splitlines()
    assert lines[-2] == "passed: structure 1/2, access 26/27, plans 0/0 NOT CHECKED"
    assert written("text", GOOD).splitlines()[-2] == "passed: structure 2/2, access 27/27"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_control_characters_and_line_ends_in_a_name_are_escaped(form: str) -> None:
    name = "x\x1b[2J\x9b1m\r\nok: 9 checks, 0 errors\x07\u202e"
    finding = replace(
        FINDINGS[0], object=name, message=f"{name} is wrong", fix=f'drop policy "{name}";'
    )
    shown = written(form, replace(BAD, findings=(finding, replace(finding, id=Id("another")))))
    assert set(shown).isdisjoint("\x1b\x9b\r\x07\u202e")
    assert "x\\x1b" in shown.replace("\\\\", "\\")
    before_fix = shown.partition("\nfix:\n" if form == "text" else "\n```sql\n")[0]
    assert not any(line.startswith("ok:") for line in before_fix.splitlines())


def test_text_prints_the_common_fix_of_several_findings_once() -> None:
    more = tuple(
        replace(FINDINGS[0], id=Id(f"{MISMATCH}{n}"), message=f"message {n}") for n in range(40)
    )
    shown = written("text", replace(BAD, findings=more))
    assert shown.count("\nfix:\nfix it\n") == 1
    assert "error: public.things, 40 times:\n  message 0\n  message 1\n" in shown
    assert max(map(len, shown.splitlines())) <= 80


def caused(number: int) -> Verification:
    """A cause whose fix is a long function, and the cells that it explains."""
    cause = replace(FINDINGS[1], message="is true", fix=FUNCTION)
    cells = (
        replace(FINDINGS[0], id=Id(f"{MISMATCH}{n}"), message=f"cell {n}", cause=cause.id)
        for n in range(number)
    )
    return replace(BAD, findings=(cause, *cells))


def test_text_shows_three_of_the_findings_of_a_cause() -> None:
    shown = text.write(document(caused(40)), whole=False)
    cells = "  cell 0\n  cell 1\n  cell 2\n  … 37 more\n"
    assert (
        f"error: public.things: is true\n  explains 40 findings (40 access):\n{cells}fix:\n"
        in shown
    )
    assert "action 8" not in shown  # the matrix
    assert "--all" in shown


def test_the_whole_text_shows_every_finding_and_the_matrix() -> None:
    shown = written("text", caused(40))
    assert all(f"\n  cell {n}\n" in shown for n in range(40))
    assert "action 8" in shown
    assert "--all" not in shown


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_fix_is_printed_as_it_is(form: str, whole: bool) -> None:
    shown = (
        text.write(document(caused(2)), whole=whole) if form == "text" else written(form, caused(2))
    )
    assert f"\n{FUNCTION}\n" in shown


def test_a_fix_with_a_terminal_sequence_is_escaped() -> None:
    finding = replace(FINDINGS[1], fix='drop policy "\x1b[2J" on t;')
    assert 'drop policy "\\x1b[2J" on t;' in written("text", replace(BAD, findings=(finding,)))


def test_markdown_escapes_markup() -> None:
    lines = written("markdown", BAD).splitlines()
    (line,) = [line for line in lines if "alert" in line]
    assert r"a \| b \`c\` \<script\>alert(1)\</script\> &amp;" in line
    assert r"\*f\* \_g\_" in line
    at = lines.index("select `1`;")
    assert (lines[at - 1], lines[at + 1]) == ("```sql", "```")


def test_a_code_block_of_markdown_outlasts_its_backquotes() -> None:
    shown = written("markdown", replace(BAD, findings=(replace(FINDINGS[1], fix="select '```';"),)))
    assert "\n````sql\nselect '```';\n````\n" in shown


def test_markdown_collapses_a_matrix_and_opens_one_with_a_mismatch() -> None:
    assert (
        "<details open><summary>Access to public.things: 1 cell is not as declared</summary>\n\n|"
        in written("markdown", BAD)
    )
    assert "<details><summary>Access to public.things</summary>" in written("markdown", GOOD)


def test_markdown_stays_below_the_limit_and_reports_omitted_findings() -> None:
    many = tuple(
        replace(FINDINGS[0], id=Id(f"{MISMATCH}{n}"), message=MARKUP * 20, fix=f"select {n};")
        for n in range(2000)
    )
    shown = written("markdown", replace(BAD, findings=many))
    assert len(shown.encode()) < document(BAD).limit.size + 1000
    assert " more findings do not fit" in shown
    assert "</details>" in shown


def test_a_short_text_without_findings_has_a_part_of_the_first_matrix() -> None:
    shown = text.write(document(replace(GOOD, grids=GOOD.grids * 2)), whole=False)
    assert shown.splitlines()[-1] == "ok: 29 checks, 0 errors, 0 other findings, 0.3 s"
    assert "action 4" in shown
    assert "action 5" not in shown
    assert shown.count("guest, its own thing") == 1
    assert "passed: " not in shown
    assert "(+1): and one more, as --all prints" in " ".join(shown.split())
    assert "--all" not in written("text", GOOD)


def test_rows_with_equal_outcomes_are_one() -> None:
    labels = ("guest, its own", "guest, of a user", "guest, of nobody", "user, its own", "user, x")
    outcomes = (("rows",), ("hidden",), ("hidden",), ("rows",), ("violates",))
    grid = Grid("t", ("select",), (*labels, *labels[:3]), (*outcomes, *[("denied",)] * 3))
    folded = overview(grid)
    assert folded.rows == (
        "guest, its own (+1)",
        "guest, of a user (+1)",
        "user, x",
        "guest, 3 kinds of request",
    )
    wrong = overview(replace(grid, mismatches=frozenset({(2, 0)})), only_mismatches=True)
    assert (wrong.rows, wrong.cells) == (("guest, of nobody",), (("hidden",),))
    assert wrong.mismatches == {(0, 0)}


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_of_a_short_text_is_longer_than_the_terminal(width: int) -> None:
    labels = tuple(f"guest, a thing of the {word} other" for word in ("first", "second"))
    grid = replace(GOOD.grids[0], rows=(*labels, "service_role"))
    lines = text.write(
        document(replace(GOOD, grids=(grid,))), whole=False, width=width
    ).splitlines()
    assert max(map(len, lines)) <= width
