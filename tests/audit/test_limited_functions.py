"""Functions whose UPDATE and DELETE are limited to rows of their caller, without a database."""

import pytest

from supabase_jobs.audit.repairs import writes
from tests.audit.catalogs import catalog, function, table

OWN = "owner_id = auth.uid()"
NOTES = table("notes", "id", "owner_id", "title")


def limited(body: str, language: str = "sql") -> str:
    """The new body; '' if no statement can be limited."""
    one = function("change", body, language=language, arguments=("id",))
    statement = writes.limited(one, f"create function $$<{body}>$$", NOTES, OWN)
    return statement.partition("<")[2].partition(">")[0]


@pytest.mark.parametrize(
    ("body", "language", "expected"),
    [
        (
            "update public.notes set title = '' where id = $1",
            "sql",
            f"update public.notes set title = '' where {OWN} and id = $1",
        ),
        (
            "begin delete from notes where notes.id = change.id; return; end",
            "plpgsql",
            f"begin delete from notes where {OWN} and notes.id = change.id; return; end",
        ),
        (
            "update notes set title = 'where' where id = $1 returning title; select 1",
            "sql",
            f"update notes set title = 'where' where {OWN} and id = $1 returning title; select 1",
        ),
    ],
)
def test_statement_gets_the_condition(body: str, language: str, expected: str) -> None:
    assert limited(body, language) == expected


@pytest.mark.parametrize(
    "body",
    [
        "update public.notes set title = '' where id = $1 or title = ''",
        "update public.notes set title = ''",
        "update public.others set title = '' where id = $1",
        "update app.notes set title = '' where id = $1",
        "select id from notes where id = $1 for update",
    ],
)
def test_other_statements_stay(body: str) -> None:
    assert limited(body) == ""


def test_tables_that_a_function_changes() -> None:
    one = function("change", "delete from notes where id = $1", arguments=("id",))
    others = table("others", "id", oid=2)
    assert writes.changed_tables(catalog(NOTES, others, functions=[one]), one) == [NOTES]


@pytest.mark.parametrize(
    ("body", "goes_on"),
    [
        ("update notes set title = '' where id = $1", False),
        ("update notes set title = '' where id = $1; insert into logs values (1)", True),
        (
            "begin update notes set title = '' where id = $1;"
            " if not found then raise exception 'none'; end if; insert into logs values (1); end",
            False,
        ),
        (
            "begin select * into n from notes where id = $1 for update; if not found then return; end if;"
            " update notes set title = '' where id = $1; insert into logs values (1); end",
            True,
        ),
    ],
)
def test_other_statements_go_on(body: str, goes_on: bool) -> None:
    language = "plpgsql" if body.startswith("begin") else "sql"
    one = function("change", body, language=language, arguments=("id",))
    assert writes.goes_on(one) is goes_on
