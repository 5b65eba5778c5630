"""Drift: a file is edited if its meaning differs from what was applied; the diff shows the changed
lines.
"""

import pytest

from supabase_jobs.migrations.drift import Difference, compare, diff
from supabase_jobs.sources.files import Migration, load_sources

APPLIED = "-- why\ncreate table public.t (id integer, b text);\n\nselect 1;\n"


def migration(text: str) -> Migration:
    return Migration("1", "x", text, "1_x.sql")


def applied(text: str = APPLIED) -> list[str]:
    return [s.text for s in migration(text).statements]


@pytest.mark.parametrize(
    "text",
    [
        APPLIED.replace("\n", "\r\n"),
        "CREATE  TABLE public.t(id int, b text);select 1",
        "/* other */ create table public.t (\n  id integer, -- here\n  b text\n);\nselect 1;\n--"
        " end",
    ],
)
def test_layout_and_comments_are_not_an_edit(text: str) -> None:
    assert compare(migration(text), applied()) is Difference.LAYOUT


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
def test_another_meaning_is_an_edit(text: str) -> None:
    assert compare(migration(text), applied()) is Difference.MEANING


def test_function_bodies_are_compared_literally() -> None:
    body = "create function f() returns int language sql as $$ select 1 $$;"
    assert (
        compare(migration(body.replace("select 1", "select  1")), applied(body))
        is Difference.MEANING
    )


def test_statements_that_cannot_be_parsed_are_compared_as_text() -> None:
    newer = "frobnicate table t;\nselect 1;"
    assert (
        compare(migration(newer.replace("select 1", "select  1")), applied(newer))
        is Difference.LAYOUT
    )
    assert (
        compare(migration(newer.replace("frobnicate ", "frobnicate  ")), applied(newer))
        is Difference.MEANING
    )


def test_crlf_is_layout() -> None:
    for source in load_sources().sources:
        assert (
            compare(migration(source.text.replace("\n", "\r\n")), applied(source.text))
            is Difference.LAYOUT
        )


def test_the_location_of_a_tablespace_is_not_a_parse_position() -> None:
    text = "create tablespace x location '/a'"
    assert compare(migration(text.replace("/a", "/b")), [text]) is Difference.MEANING


def test_the_same_text_is_no_difference() -> None:
    assert compare(migration(APPLIED), applied()) is Difference.NONE
    for source in load_sources().sources:
        assert compare(migration(source.text), applied(source.text)) is Difference.NONE


def test_a_ledger_row_without_statements_cannot_be_compared() -> None:
    assert compare(migration(APPLIED), None) is Difference.UNKNOWN


def test_the_diff_shows_only_the_changed_line() -> None:
    text = diff(migration(APPLIED.replace("b text", "b varchar")), applied())
    changed = [
        line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changed == [
        "-create table public.t (id integer, b text);",
        "+create table public.t (id integer, b varchar);",
    ]
    assert "1_x.sql as applied" in text


BODY = "create function public.f() returns int language sql begin atomic"
# files, and their ledger rows as the Supabase CLI 2.117.0 writes them (`migration repair --status
# applied`)
ROWS_OF_CLI_2: dict[str, tuple[str, list[str]]] = {
    "escape string": (
        r"select E'it\'s; not'; select '2';",
        [r"select E'it\'s", "not'; select '2'"],
    ),
    "case in a body": (
        f"{BODY} select case when true then 1 end; select 2; end;\nselect 3;\n",
        [f"{BODY} select case when true then 1 end", "select 2", "end", "select 3"],
    ),
    "pending in a body": (
        f"{BODY} select pending; end; -- x\n",
        [f"{BODY} select pending", "end", "-- x"],
    ),
    "dollars in a name": ("select 1 as a$b$c; select 1;", ["select 1 as a$b$c; select 1"]),
    "nested comments": ("/* a /*/ b; */ c; */ select 1;", ["/* a /*/ b; */ c", "*/ select 1"]),
    "carriage return": ("-- a\rselect 1; select 2;", ["-- a\rselect 1; select 2"]),
    "commands of a rule": (
        "create rule r as on insert to t do also (insert into u values (1); delete from u);",
        ["create rule r as on insert to t do also (insert into u values (1)", "delete from u)"],
    ),
}


@pytest.mark.parametrize(("text", "row"), ROWS_OF_CLI_2.values(), ids=ROWS_OF_CLI_2)
def test_a_row_that_was_split_inside_a_statement_is_no_difference(
    text: str, row: list[str]
) -> None:
    assert compare(migration(text), row) is Difference.NONE


@pytest.mark.parametrize(("text", "row"), ROWS_OF_CLI_2.values(), ids=ROWS_OF_CLI_2)
def test_an_added_statement_is_an_edit_of_a_row_that_was_split_inside_a_statement(
    text: str, row: list[str]
) -> None:
    assert compare(migration(text + "\n;select 9"), row) is Difference.MEANING
    assert compare(migration(text), [*row, "select 9"]) is Difference.MEANING


def test_layout_and_meaning_of_a_row_that_was_split_inside_a_statement() -> None:
    text, row = ROWS_OF_CLI_2["case in a body"]
    assert (
        compare(migration(text.replace("select case", "select -- why\n  case")), row)
        is Difference.LAYOUT
    )
    assert compare(migration(text.replace("then 1", "then 2")), row) is Difference.MEANING
    changed = diff(migration(text.replace("select 3", "select 4")), row).splitlines()
    assert changed[-3:] == ["-select 3;", "+select 4;", " "]


def test_two_words_that_became_one_are_an_edit() -> None:
    assert compare(migration("select 12"), ["select 1", "2"]) is Difference.MEANING
    assert compare(migration("select 1 2"), ["select 1", "2"]) is Difference.MEANING
