"""Renamed migrations: a ledger row that no file has and a pending file with the same statements."""

import time

import pytest

from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.migrations.pairs import find_pairs
from supabase_jobs.migrations.plan import State, plan
from supabase_jobs.sources.files import Migration, MigrationFiles

TABLE = "create table public.todos (id integer, title text);\n"
TODOS = (
    TABLE
    + "alter table public.todos enable row level security;\n"
    + "create policy own on public.todos using (true);\n"
    + "grant select on public.todos to authenticated;\n"
    + "create index todos_title on public.todos (title);\n"
    + "comment on table public.todos is 'a';\ncomment on column public.todos.id is 'b';\n"
)


def file(text: str, version: str = "20260101000000", name: str = "todos") -> Migration:
    return Migration(version, name, text, f"{version}_{name}.sql")


def row(text: str, version: str = "20260303121314", name: str | None = "todos") -> LedgerRow:
    return LedgerRow(version, name, tuple(s.text for s in file(text).statements))


def reordered(text: str, *numbers: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[number] for number in numbers)


@pytest.mark.parametrize(
    "applied",
    [
        TODOS,
        "-- by the agent\n" + TODOS.upper().replace("'A'", "'a'").replace("'B'", "'b'"),
        TODOS.replace("public.todos", '"public"."todos"').replace("'a'", "$q$a$q$"),
        TODOS.replace("\n", "\r\n\r\n"),
        reordered(TODOS, 0, 4, 3, 2, 1, 6, 5),
    ],
    ids=["same", "case and comments", "quoting", "white space", "order"],
)
def test_the_same_statements_under_another_version_are_renamed(applied: str) -> None:
    found = find_pairs([file(TODOS)], [row(applied)])
    assert {v: r.version for v, r in found.renamed.items()} == {"20260101000000": "20260303121314"}
    assert not found.near


TWO = "create table public.a (id integer);\ncreate table public.b (id integer);\n"


@pytest.mark.parametrize(
    ("text", "applied"),
    [
        (TWO, reordered(TWO, 1, 0)),
        # of two comments on one object, the last one counts
        (
            "comment on table public.a is '1';\ncomment on table public.a is '2';\n",
            "comment on table public.a is '2';\ncomment on table public.a is '1';\n",
        ),
        # PostgreSQL numbers indexes without a name
        (
            "create index on public.a (x);\ncreate index on public.a ((x + 1));\n",
            "create index on public.a ((x + 1));\ncreate index on public.a (x);\n",
        ),
        # what is granted before a revoke is gone
        (
            "grant select on public.a to anon;\nrevoke all on public.a from anon;\n",
            "revoke all on public.a from anon;\ngrant select on public.a to anon;\n",
        ),
        (
            "alter table public.a enable row level security;\n"
            "alter table public.a disable row level security;\n",
            "alter table public.a disable row level security;\n"
            "alter table public.a enable row level security;\n",
        ),
        ("select 'a  b'", "select 'a b'"),
        ('select "A" from t', "select a from t"),
    ],
)
def test_another_meaning_is_no_rename(text: str, applied: str) -> None:
    assert not find_pairs([file(text)], [row(applied)]).renamed


@pytest.mark.parametrize("empty", ["", "-- nothing\n"])
def test_migrations_without_statements_are_not_paired(empty: str) -> None:
    found = find_pairs([file(empty)], [row(empty), LedgerRow("1", "todos", None)])
    assert (found.renamed, found.near) == ({}, {})


def test_equal_migrations_are_paired_by_name_and_each_row_once() -> None:
    files = [file("select 1", "1", "a"), file("select 1", "2", "b"), file("select 1", "3", "c")]
    found = find_pairs(files, [row("select 1", "8", "b"), row("select 1", "9", "x")])
    assert {v: r.version for v, r in found.renamed.items()} == {"1": "8", "2": "9"}


def test_an_edited_migration_is_near_and_shows_the_difference() -> None:
    edited = file(TODOS.replace("title text", "title text not null"))
    other = row("create table public.notes ();", "20260303121315", "todos")
    found = plan(MigrationFiles([edited]), [row(TODOS), other])
    [status] = [s for s in found.statuses if s.migration]
    assert (status.state, status.near and status.near.version) == (State.PENDING, "20260303121314")
    assert status.diff is not None
    assert "+create table public.todos (id integer, title text not null);" in status.diff
    assert [s.state for s in found.statuses] == ["pending", "remote-only", "remote-only"]


@pytest.mark.parametrize(
    ("text", "applied"),
    [
        (TABLE, "create table public.todos (id bigint, title text, done boolean);"),
        (TABLE, 'create table todos ("id" integer, title varchar(80));'),
        ("alter table todos add column due date;", "alter table todos add due timestamptz;"),
        (
            "create function f() returns int language sql as 'select 1'",
            "create function f() returns int language sql as 'select 2'",
        ),
        (TODOS, TODOS.replace("using (true)", "using (false)")),
    ],
)
def test_an_edited_migration_with_another_name_is_near(text: str, applied: str) -> None:
    found = find_pairs([file(text)], [row(applied, name="by_agent")])
    assert found.renamed == {}
    assert {v: r.version for v, r in found.near.items()} == {"20260101000000": "20260303121314"}


@pytest.mark.parametrize(
    ("text", "applied"),
    [
        (TABLE, TABLE.replace("todos", "notes")),
        (TODOS, TODOS.replace("todos", "notes")),
        ("alter table todos add column due date;", "alter table todos add column done boolean;"),
        ("select 1", "select 2"),
        (TABLE, TABLE + "".join(TABLE.replace("todos", f"t{n}") for n in range(3))),
    ],
)
def test_another_migration_is_not_near(text: str, applied: str) -> None:
    assert find_pairs([file(text)], [row(applied, name="by_agent")]).near == {}


def test_each_edited_file_is_near_to_the_most_similar_row() -> None:
    files = [
        file(TABLE.replace("todos", f"t{n}").replace("text", "varchar"), str(n)) for n in (1, 2)
    ]
    rows = [row(TABLE.replace("todos", f"t{n}"), str(10 + n), f"agent{n}") for n in (2, 1)]
    found = find_pairs(files, rows)
    assert {v: r.version for v, r in found.near.items()} == {"1": "11", "2": "12"}


def test_a_renamed_file_is_neither_pending_nor_is_its_row_remote_only() -> None:
    found = plan(MigrationFiles([file(TODOS)]), [row(TODOS)])
    [status] = found.statuses
    assert (status.version, status.state, status.applied_as) == (
        "20260101000000",
        State.RENAMED,
        "20260303121314",
    )
    assert status.note == "the same migration, applied as 20260303121314"
    assert found.pending == ()
    [problem] = found.problems
    assert (problem.kind, "supabase-jobs adopt" in problem.message) == ("renamed", True)


def test_two_thousand_renamed_migrations_are_paired_without_parsing_them() -> None:
    def text(number: int) -> str:
        return TODOS.replace("todos", f"todos_{number}")

    files = [file(text(n), f"{20260101000000 + n}", f"m{n}") for n in range(2000)]
    rows = [row(text(n), f"{20270101000000 + n}", f"m{n}") for n in range(2000)]
    rows[7] = row(text(7).replace("title", "name"), rows[7].version, "m7")
    started = time.process_time()
    found = find_pairs(files, rows)
    assert time.process_time() - started < 2
    assert (len(found.renamed), list(found.near)) == (1999, ["20260101000007"])
