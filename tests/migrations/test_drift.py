"""Text that means the same is the same; anything else is an edit, and its diff shows where."""

import pytest

from supabase_jobs.migrations.drift import Difference, compare, diff
from supabase_jobs.parser.statements import split
from supabase_jobs.sources.files import load_sources

APPLIED = "-- why\ncreate table public.t (id integer, b text);\n\nselect 1;\n"


def applied(text: str = APPLIED) -> list[str]:
    return [s.text for s in split(text)]


@pytest.mark.parametrize(
    "text",
    [
        APPLIED.replace("\n", "\r\n"),
        "CREATE  TABLE public.t(id int, b text);select 1",
        "/* other */ create table public.t (\n  id integer, -- here\n  b text\n);\nselect 1;\n-- end",
    ],
)
def test_layout_and_comments(text: str) -> None:
    assert compare(text, applied()) is Difference.LAYOUT


@pytest.mark.parametrize(
    "text",
    [
        APPLIED.replace("text", "varchar"),
        APPLIED.replace("public.t", "public.T2"),
        APPLIED.replace("select 1;", ""),
        APPLIED + "select 2;",
        "select 1;\ncreate table public.t (id integer, b text);",
        APPLIED.replace("select 1", "select '1'"),
    ],
)
def test_edits(text: str) -> None:
    assert compare(text, applied()) is Difference.MEANING


def test_a_function_body_is_compared_to_the_letter() -> None:
    body = "create function f() returns int language sql as $$ select 1 $$;"
    assert compare(body.replace("select 1", "select  1"), applied(body)) is Difference.MEANING


def test_what_the_grammar_does_not_know_is_compared_by_its_text() -> None:
    newer = "frobnicate table t;\nselect 1;"
    assert compare(newer.replace("select 1", "select  1"), applied(newer)) is Difference.LAYOUT
    assert compare(newer.replace("frobnicate ", "frobnicate  "), applied(newer)) is Difference.MEANING


def test_line_ends_of_another_system_are_layout() -> None:
    for source in load_sources().sources:
        assert compare(source.text.replace("\n", "\r\n"), applied(source.text)) is Difference.LAYOUT


def test_a_text_field_called_location_counts() -> None:
    text = "create tablespace x location '/a'"
    assert compare(text.replace("/a", "/b"), [text]) is Difference.MEANING


def test_the_same_text() -> None:
    assert compare(APPLIED, applied()) is Difference.NONE
    for source in load_sources().sources:
        assert compare(source.text, applied(source.text)) is Difference.NONE


def test_the_diff_shows_the_changed_line_only() -> None:
    text = diff(APPLIED.replace("b text", "b varchar"), applied(), "1_x.sql")
    changed = [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        "-create table public.t (id integer, b text);",
        "+create table public.t (id integer, b varchar);",
    ]
    assert "1_x.sql as applied" in text
