"""Actions print themselves, as the audit sends them and in other styles; no database is needed."""

import pytest
from psycopg import sql

from supabase_jobs.session.action import (
    EXACT,
    Action,
    Call,
    Constant,
    Cursor,
    Delete,
    Exact,
    Insert,
    Query,
    Select,
    SelectAny,
    Truncate,
    Update,
    equal,
    names,
    printed,
    texts,
)

NOTES = sql.Identifier("public", "notes")
ID = Constant("7", "bigint")
BY_ID = equal({"id": ID}, " and ")
CURSOR = Cursor(sql.Identifier("row_1"), sql.SQL("select from {} where {}").format(NOTES, BY_ID))


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Select(NOTES, BY_ID), """select 1 from "public"."notes" where "id" = '7'::bigint"""),
        (SelectAny(NOTES, sql.Identifier("id")), 'select "id" from "public"."notes" limit 1'),
        (
            Insert(NOTES, {"id": ID, "body": Constant(None, "text")}),
            """insert into "public"."notes" ("id", "body") values ('7'::bigint, NULL::text)""",
        ),
        (Insert(NOTES, {}), 'insert into "public"."notes" default values'),
        (
            Update(NOTES, BY_ID, values={"body": Constant("it's", "text")}),
            """update "public"."notes" set "body" = 'it''s'::text where "id" = '7'::bigint""",
        ),
        (Delete(NOTES, BY_ID), """delete from "public"."notes" where "id" = '7'::bigint"""),
        (Delete(NOTES, BY_ID, CURSOR), 'delete from "public"."notes" where current of "row_1"'),
        (Truncate(NOTES), 'truncate "public"."notes"'),
        (Call(sql.Identifier("f"), (ID,)), """select * from "f"('7'::bigint)"""),
        (Call(sql.Identifier("f")), 'select * from "f"()'),
        (
            Call(sql.Identifier("f"), (ID,), variadic=True),
            """select * from "f"(variadic '7'::bigint)""",
        ),
        (Query(NOTES, sql.SQL("select 1")), "select 1"),
    ],
)
def test_action_as_a_test_has_it(action: Action, expected: str) -> None:
    assert printed(action.query()) == expected


def test_evidence_of_a_read_is_the_text_of_the_rows() -> None:
    read = Select(NOTES, BY_ID, (sql.SQL("body"),))
    assert read.statement.sql == (
        "select string_agg(concat_ws(' ', body), chr(10) order by concat_ws(' ', body))"
        """ from "public"."notes" where "id" = '7'::bigint"""
    )
    assert printed(read.query()).startswith("select 1 from")


def test_evidence_of_a_call_is_cut() -> None:
    text = Call(sql.Identifier("f")).statement.sql
    assert 'from (select * from "f"() limit 1000) as r' in text
    assert text.startswith("select left(string_agg(r::text, chr(10) order by r::text), 100000)")


def test_change_without_its_cursor_or_without_a_condition() -> None:
    update = Update(NOTES, BY_ID, CURSOR, values={"id": ID})
    assert printed(update.query()).endswith('where current of "row_1"')
    assert printed(update.by_key().query()).endswith("""where "id" = '7'::bigint""")
    assert "where" not in printed(update.of_all().query())


def test_owner_opens_the_cursor_on_the_row() -> None:
    declare, fetch = (statement.sql for statement in CURSOR.opening())
    assert declare == (
        'declare "row_1" no scroll cursor for'
        """ select from "public"."notes" where "id" = '7'::bigint"""
    )
    assert fetch == 'fetch "row_1"'


class _Bare(Exact):
    """No name has quotes, and no constant a type."""

    def name(self, name: str) -> str:
        return name

    def constant(self, constant: Constant) -> str:
        return self.literal(constant.text)


def test_style_decides_about_names_and_constants() -> None:
    update = Update(NOTES, BY_ID, values={"body": Constant("a.b", "text")})
    assert printed(update.query(), _Bare()) == "update public.notes set body = 'a.b' where id = '7'"


def test_exact_style_is_that_of_the_driver() -> None:
    text = Update(NOTES, BY_ID, values={'"': Constant("\\ '", "text")}).query()
    assert printed(text, EXACT) == text.as_string(None)


def test_names_are_found_without_reading_sql() -> None:
    text = Update(NOTES, BY_ID, values={"body": Constant('"no name"', "text")}).query()
    assert list(names(text)) == ["public", "notes", "body", "id"]


def test_values_of_an_action_are_texts() -> None:
    assert texts({"id": ID, "body": Constant(None, "text")}) == {"id": "7", "body": None}


def test_equal_constants_are_one_key() -> None:
    assert {Constant("1", "int4"), Constant("1", "int4"), Constant("1", "int8")} == {
        Constant("1", "int4"),
        Constant("1", "int8"),
    }
