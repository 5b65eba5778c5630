"""Generated suites as text: statements as people write them, quotes, titles, and the files of a
folder.
"""

import ast
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg import sql

from supabase_jobs.audit.emit import folder, render
from supabase_jobs.audit.emit.cases import Case, ColumnsCase, PrivilegeCase, TableSuite
from supabase_jobs.audit.emit.plain import Plain
from supabase_jobs.audit.emit.recording import RecordedAttempt, RecordedRow, Recording, RowText
from supabase_jobs.audit.emit.titles import title
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.session.action import Call, Constant, Insert, Update
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.savepoint import rolled_back


@pytest.fixture
def connection(shared: Callable[[int], str]) -> Iterator[Connection]:
    """A connection that reads only."""
    with connect(shared(16)) as connection:
        yield connection


NOW = datetime(2030, 1, 31, 12, 0, 0, tzinfo=UTC)


def constants(*values: tuple[str | None, str]) -> sql.Composable:
    """A query that returns these values of these types."""
    return sql.SQL("select {}").format(sql.SQL(", ").join(Constant(*value) for value in values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            Insert(sql.Identifier("public", "notes"), {"id": Constant("7", "bigint")}).query(),
            "insert into public.notes (id) values (7)",
        ),
        (
            Update(sql.Identifier("order"), values={"Big": Constant('it\'s "x"', "text")}).query(),
            """update "order" set "Big" = 'it\'\'s "x"'""",
        ),
        (
            sql.SQL("select {}, {}").format(sql.Identifier('a"b'), Constant('\\ \' "c"', "text")),
            r"""select "a""b",  E'\\ '' "c"'""",
        ),
        (
            constants(("{a,b}", "text[]"), ("true", "boolean"), (None, "uuid")),
            "select '{a,b}'::text[], true, NULL::uuid",
        ),
        (
            constants(("a::b", "character varying(9)"), ("1.50", "numeric(10,2)")),
            "select 'a::b', 1.50",
        ),
        (constants(("x", 'public."my type"'), ("nan", "numeric")), "select 'x', 'nan'"),
        (
            constants(("2030-03-01T12:00:05+00:00", "timestamp with time zone")),
            "select (now() + interval '29 days 5 seconds')",
        ),
        (constants(("2030-01-31 12:00:00.25+00", "timestamp with time zone")), "select now()"),
        (
            constants(("2030-02-02", "date"), ("2000-01-01", "date")),
            "select (current_date + 2), '2000-01-01'",
        ),
        (
            constants(("[2030-02-02,2030-02-03)", "daterange"), ("[2030-02-02,)", "daterange")),
            "select daterange((current_date + 2), (current_date + 3)), '[2030-02-02,)'",
        ),
        (
            constants(
                ('["2030-01-31 00:00:00+02","2030-02-01 00:00:00+02")', "tstzrange"),
                ('["2030-01-31 08:00:00+02","2030-01-31 09:00:00+02")', "tstzrange"),
            ),
            "select tstzrange(current_date, (current_date + 1)),"
            """ '["2030-01-31 08:00:00+02","2030-01-31 09:00:00+02")'""",
        ),
        (
            constants(
                ("{[2030-02-02,2030-02-03)}", "tsmultirange"),
                ("[2000-01-01,2000-01-02)", "tsrange"),
            ),
            "select tsmultirange(tsrange((current_date + 2), (current_date + 3))),"
            " '[2000-01-01,2000-01-02)'",
        ),
        (constants(("key_0123456789abcdef0123", "text")), "select 'key_db61777fd4c9f77344f9'"),
        (
            sql.SQL("select {}, {}").format(["%key_0123456789abcdef0123%"], 7),
            "select '{%key_db61777fd4c9f77344f9%}', 7",
        ),
    ],
)
def test_statements_are_plain(connection: Connection, text: sql.Composable, expected: str) -> None:
    recording = Recording(
        (RecordedRow(text),), (), now=NOW, drawn=("key_0123456789abcdef0123", "short")
    )
    assert Plain(connection, recording).text(text) == expected


def test_arguments_keep_their_types(connection: Connection) -> None:
    call = Call(sql.Identifier("public", "f"), (Constant("a", "text"), Constant("1", "bigint")))
    plain = Plain(connection, Recording((RecordedRow(call.query()),), (), now=NOW))
    assert plain.call(call) == "select * from public.f('a'::text, '1'::bigint)"
    assert [plain.argument(argument) for argument in call.arguments] == ["'a'", "'1'"]


def attempt(verb: str, column: str, name: str) -> RecordedAttempt:
    return RecordedAttempt(
        object="public.notes",
        caller=Caller("authenticated", label="stranger"),
        whose="other",
        verb=verb,
        outcome="rows",
        showings=(),
        column=column,
        name=name,
    )


@pytest.mark.parametrize(
    ("action", "outcome", "expected"),
    [
        (("select", "", ""), "hidden", "stranger cannot read a row of another in notes"),
        (("update", "body", ""), "rows", "stranger can change body of a row of another in notes"),
        (
            ("update", "body", ""),
            "untouched",
            "stranger cannot change body of a row of another in notes",
        ),
        (
            ("insert", "", ""),
            "23505",
            "stranger can insert a row of another into notes: only a constraint refuses it",
        ),
        (("insert", "", ""), "P0001", "stranger cannot insert a row of another into notes"),
        (
            ("insert", "", "join"),
            "violates",
            "stranger cannot add themselves to the group of another in notes",
        ),
        (
            ("insert", "", "forge"),
            "rows",
            "stranger can insert a row in the name of another into notes",
        ),
        (
            ("update", "owner", "take over"),
            "violates",
            "stranger cannot take over a row of another in notes by owner",
        ),
        (
            ("update", "accept", ""),
            "rows",
            "stranger can change accept of a row of another in notes",
        ),
    ],
)
def test_titles_state_who_may_do_what(
    action: tuple[str, str, str], outcome: str, expected: str
) -> None:
    assert title(attempt(*action), outcome) == expected


AWKWARD = """$$ it's "quoted" \\ %s {{ x }} '''"""


CALLER = Caller("anon", {"role": "anon"}, {"x-key": "it's"}, label=f"who {AWKWARD}")
OBJECT = 'public."od\'d"'
# a test of every kind
OUTCOME = Case(f"a {AWKWARD}", "outcome", CALLER.label, f"select '{AWKWARD}'", "hidden")
KEPT = Case(f"b {AWKWARD}", "untouched", CALLER.label, "update x", "untouched", AWKWARD)
SHOWS = Case(f"c {AWKWARD}", "shows", CALLER.label, f"select {AWKWARD}", f"{AWKWARD}\n2")
MAY = PrivilegeCase(f"d {AWKWARD}", "anon", "truncate", "table", OBJECT, granted=True)
COLUMNS = ColumnsCase(f"e {AWKWARD}", "anon", "update", OBJECT, (AWKWARD, "id"))


@pytest.fixture
def awkward() -> TableSuite:
    """A suite with every kind of test, and texts that need quotes."""
    rows = (RowText(f"insert into x values ('{AWKWARD}')", (("request.jwt.claims", AWKWARD),)),)
    cases = (OUTCOME, KEPT, SHOWS, MAY, COLUMNS)
    return TableSuite("public.x", "x", rows, (), (CALLER,), cases, ("anon cannot\nread",))


def test_a_module_holds_the_texts_unchanged(awkward: TableSuite) -> None:
    [(name, text)] = render.files([awkward], "pytest").items()
    assert name == "test_access_x.py"
    values = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = ast.literal_eval(node.value)
    assert values["OUTCOMES"] == {OUTCOME.title: (OUTCOME.caller, "hidden", OUTCOME.statement)}
    assert values["UNTOUCHED"] == {KEPT.title: (KEPT.caller, AWKWARD, "update x")}
    shown = f"select r::text from ({SHOWS.statement}) as r"
    assert values["SHOWN"] == {SHOWS.title: (SHOWS.caller, SHOWS.expected, shown)}
    query = "select has_table_privilege(%s, %s, %s)"
    assert values["PRIVILEGES"] == {MAY.title: (query, ["anon", OBJECT, "truncate"], True)}
    params = {"role": "anon", "privilege": "update", "relation": OBJECT}
    assert values["COLUMNS"] == {COLUMNS.title: (params, f"{AWKWARD}, id")}
    assert awkward.rows[0].sql in values["ROWS"]


def test_a_pgtap_file_quotes_the_texts(awkward: TableSuite, connection: Connection) -> None:
    [(name, text)] = render.files([awkward], "pgtap").items()
    assert name == "access_x.sql"
    assert (
        "-- Not tested, because the owner does not reach the row either: anon cannot read\n" in text
    )
    start, end = "  pg_temp.outcome(", "), 'hidden',"
    [call] = [line for line in text.splitlines() if line.startswith(start) and line.endswith(end)]
    query = f"select array[{call.removeprefix(start).removesuffix(end)}]"
    [(arguments,)] = connection.execute(query.encode()).fetchall()
    assert arguments == [OUTCOME.caller, OUTCOME.statement]


MERGE = """
merge into pg_temp.letters as l using (values (1)) as v (id) on l.id = v.id
when matched then update set body = 'new'
"""


def test_a_pgtap_file_tells_what_a_policy_refuses_to_merge(connection: Connection) -> None:
    """The message of MERGE is another than that of INSERT and UPDATE."""
    caller = Caller("anon", {"role": "anon"}, {}, label="anon")
    case = Case("anon cannot merge", "outcome", "anon", MERGE, "violates")
    suite = TableSuite("public.letters", "letters", (), (), (caller,), (case,))
    [text] = render.files([suite], "pgtap").values()
    functions = text[text.index("create temporary table callers") : text.index("select is(")]
    with rolled_back(connection):
        connection.execute(
            "create temporary table letters (id int, body text);"
            "insert into letters values (1, 'old');"
            "alter table letters enable row level security;"
            "create policy read on letters for select using (true);"
            "create policy change on letters for update using (false);"
            "grant all on letters to anon"
        )
        connection.execute(functions.encode())
        query = "select pg_temp.outcome('anon', %s), pg_temp.outcome('anon', %s)"
        found = connection.execute(query, (MERGE, "create schema mine")).fetchall()
    assert found == [("violates", "denied")]


def test_a_folder_keeps_files_of_others_and_loses_stale_ones(
    tmp_path: Path, awkward: TableSuite
) -> None:
    files = render.files([awkward], "pgtap")
    old = {name.replace("x", "gone"): text for name, text in files.items()}
    folder.write(tmp_path, "pgtap", old)
    mine = {"access_mine.sql": "-- mine", "other.sql": next(iter(files.values()))}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    written = folder.write(tmp_path, "pgtap", files)
    assert (written.written, written.removed) == (tuple(files), tuple(old))
    assert {path.name for path in tmp_path.iterdir()} == {*files, *mine}
    assert folder.write(tmp_path, "pgtap", files).removed == ()


def test_a_file_of_the_other_format_is_not_replaced(tmp_path: Path, awkward: TableSuite) -> None:
    [(name, text)] = render.files([awkward], "pgtap").items()
    (tmp_path / name).write_text(text.replace("pgtap", "pytest"))
    with pytest.raises(ConfigError, match=f"{name} exists, and supabase-jobs did not write it"):
        folder.write(tmp_path, "pgtap", {name: text})


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write into"):
        folder.write(tmp_path / "file" / "tap", "pgtap", {})
