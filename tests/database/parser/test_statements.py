"""`split` results in the statements that the Supabase CLI 3.1.0 wrote into the ledger for the same
files.
"""

import random
import time

import pgparse
import pytest

from supabase_jobs.database.parser.statements import FileStatement, split
from supabase_jobs.sources.files import load_sources

BODY = "create function f() returns int begin atomic"

# text of the file → `statements` of its ledger row, written by the CLI
# (by `migration repair --status applied`, which splits files like `db push` but does not run them)
LEDGER: dict[str, tuple[str, list[str]]] = {
    # no statement
    "empty file": ("", []),
    "only white space": (" \n\t\r\n", []),
    "only a byte order mark": ("\ufeff", []),
    "only semicolons": (";;\n ;", []),
    # where a statement begins and ends
    "no final semicolon": ("select 1", ["select 1"]),
    "two on one line": ("  select 1 ; \n select 2", ["select 1", "select 2"]),
    "doubled semicolon": ("select 1;;select 2;", ["select 1", "select 2"]),
    "byte order mark": ("\ufeffselect 1;\r\nselect 2;\r\n", ["select 1", "select 2"]),
    "crlf stays inside": ("select\r\n  1\r\n;\r\n", ["select\r\n  1"]),
    "unicode space goes": ("select 1;\xa0\u2028\ufeff", ["select 1"]),
    "next line is no space": ("select 1;\x85", ["select 1", "\x85"]),
    "file separator is no space": ("select 1;\x1c", ["select 1", "\x1c"]),
    "zero width space is no space": ("\u200bselect 1;", ["\u200bselect 1"]),
    # comments
    "comments stay": (
        "-- one; two\nselect 1; -- three\n-- four; five\n",
        ["-- one; two\nselect 1", "-- three\n-- four; five"],
    ),
    "a comment at the end loses its semicolons": ("select 1; -- last;;", ["select 1", "-- last"]),
    "unless a line end follows": ("select 1; -- last;;\n", ["select 1", "-- last;;"]),
    "a block comment alone": ("/* last; */", ["/* last; */"]),
    "cr alone ends a comment": ("-- a\rselect 1; select 2;", ["-- a\rselect 1", "select 2"]),
    "nested blocks": (
        "/* a ; /* b ; */ ; */ select 1; select 2;",
        ["/* a ; /* b ; */ ; */ select 1", "select 2"],
    ),
    "empty block": ("/**/select 1;", ["/**/select 1"]),
    "block behind a slash": ("//* ; */select 1;", ["//* ; */select 1"]),
    "slash star slash opens a block": ("/*/ ; */ select 1;", ["/*/ ; */ select 1"]),
    "slash star slash opens an inner block": (
        "/* a /*/ b; */ select 1; */ select 2;",
        ["/* a /*/ b; */ select 1; */ select 2"],
    ),
    "minus is no comment": ("select 1 - -1; select - 2;", ["select 1 - -1", "select - 2"]),
    "a block inside an expression": ("select 1 +/* ; */ 2; 3", ["select 1 +/* ; */ 2", "3"]),
    "a line comment after an operator": ("select 1 *-- ; \n 2; 3", ["select 1 *-- ; \n 2", "3"]),
    "three dashes": ("select 1 --- ; \n2; 3", ["select 1 --- ; \n2", "3"]),
    "form feed does not end a comment": ("-- a ;\x0cselect 1; 2", ["-- a ;\x0cselect 1; 2"]),
    "open inner block": ("/* a /* b; */ c; select 1; 2", ["/* a /* b; */ c; select 1; 2"]),
    # quotes
    "doubled quotes": (
        "select 'it''s; ok', \"a\"\"b;\"; select 2;",
        ["select 'it''s; ok', \"a\"\"b;\"", "select 2"],
    ),
    "a literal in two lines": (
        "select 'a\n;' \n ';b'; select 2",
        ["select 'a\n;' \n ';b'", "select 2"],
    ),
    "a backslash hides a quote in an escape string": (
        "select E'it\\'s; not'; select '2';",
        ["select E'it\\'s; not'", "select '2'"],
    ),
    "two backslashes before a quote": (
        "select E'\\\\;'; select 2;",
        ["select E'\\\\;'", "select 2"],
    ),
    "a literal that ends with a backslash": (
        "select 'C:\\'; select 2;",
        ["select 'C:\\'", "select 2"],
    ),
    "a json literal": (
        "select '{\"a\": \"b\\\\\"}', null, '{}'; select ''",
        ["select '{\"a\": \"b\\\\\"}', null, '{}'", "select ''"],
    ),
    "a character of two utf-16 units": (
        "select '\U0001f600;'; select 2;",
        ["select '\U0001f600;'", "select 2"],
    ),
    "open single quote": ("select 'open; select 1;", ["select 'open; select 1"]),
    "open double quote": ('select "open; 1;', ['select "open; 1']),
    "open dollar quote": ("select $q$open; 1;", ["select $q$open; 1"]),
    "open block": ("/* open; 1;", ["/* open; 1"]),
    "open line comment": ("select 1 -- open;", ["select 1 -- open"]),
    "an escape string in lower case": ("select e'a\\'; b'; 2", ["select e'a\\'; b'", "2"]),
    "E alone is a name": ("select E 'a\\'; b'; 2", ["select E 'a\\'", "b'; 2"]),
    "a name that ends in E": ("select nameE'a\\'; b'; 2", ["select nameE'a\\'", "b'; 2"]),
    "a unicode literal": ("select U&'a\\'; b'; 2", ["select U&'a\\'", "b'; 2"]),
    "a unicode name": ('select U&"a\\"; b"; 2', ['select U&"a\\"', 'b"; 2']),
    "a national literal": ("select N'a\\'; b'; 2", ["select N'a\\'", "b'; 2"]),
    "an escape string continues in the next line": (
        "select E'a'\n'b\\'; c'; 2",
        ["select E'a'\n'b\\'; c'", "2"],
    ),
    "also after a comment": (
        "select E'a' -- x\n'b\\'; c'; 2",
        ["select E'a' -- x\n'b\\'; c'", "2"],
    ),
    "a plain literal continues as one": (
        "select 'a'\n'b\\'; c'; 2",
        ["select 'a'\n'b\\'", "c'; 2"],
    ),
    "escaped backslashes and doubled quotes": (
        "select E'it''s\\\\\\'; x'; 2",
        ["select E'it''s\\\\\\'; x'", "2"],
    ),
    "open escape string": ("select E'a\\'; 2", ["select E'a\\'; 2"]),
    "a backslash in a quoted name": ('select "a\\"; "b"; 2', ['select "a\\"', '"b"', "2"]),
    "a doubled double quote": ('select "a"";b"; 2', ['select "a"";b"', "2"]),
    "uescape": ("select 'a' uescape '\\'; 2", ["select 'a' uescape '\\'", "2"]),
    # dollars
    "dollar quote": ("select $$a; 'b$$; select 2;", ["select $$a; 'b$$", "select 2"]),
    "tags must be the same": (
        "select $t$ ; $$ ; $T$ ; $t$; select 2",
        ["select $t$ ; $$ ; $T$ ; $t$", "select 2"],
    ),
    "a tag with letters and digits": (
        "select $\xe9_1$ ; $\xe9_1$; 1",
        ["select $\xe9_1$ ; $\xe9_1$", "1"],
    ),
    "a superscript is a letter": ("select $\xb2$ ; $\xb2$", ["select $\xb2$ ; $\xb2$"]),
    "a minus is no tag": ("select $a-$ ; $a-$; 2", ["select $a-$", "$a-$", "2"]),
    "parameters": ("select $1; select $2;", ["select $1", "select $2"]),
    "dollars in an identifier": ("select a$b$c; select 1;", ["select a$b$c", "select 1"]),
    "two dollars in an identifier": (
        "select a$$b; select 2; $$;3",
        ["select a$$b", "select 2", "$$;3"],
    ),
    "a tag that ends an identifier": (
        "select a$b$ ; select 1; b$b$ 2; 3",
        ["select a$b$", "select 1", "b$b$ 2", "3"],
    ),
    "dollars after a letter beyond ascii": (
        "select \xe9$x$; select 1; $x$ 2",
        ["select \xe9$x$", "select 1", "$x$ 2"],
    ),
    "a number before a tag": ("select 1$x$ ; $x$; 2", ["select 1$x$", "$x$; 2"]),
    "a lone dollar": ("select $; 1; $; 2", ["select $", "1", "$", "2"]),
    "dollars in comments": (
        "-- $$ ;\nselect 1; /* $$ ; */ 2;3",
        ["-- $$ ;\nselect 1", "/* $$ ; */ 2", "3"],
    ),
    # brackets
    "semicolons in brackets": (
        "create rule r as on insert to t do (delete from u; delete from v); select 1;",
        ["create rule r as on insert to t do (delete from u; delete from v)", "select 1"],
    ),
    "quoted brackets": (
        "select ')' , (';', ')'); select 2;",
        ["select ')' , (';', ')')", "select 2"],
    ),
    "quotes around a semicolon in brackets": ("(';';';);'", ["(';';';);'"]),
    "open bracket": ("select (1; select 2;", ["select (1; select 2"]),
    "bracket too many": ("select 1); select 2;", ["select 1)", "select 2"]),
    "backslash before a bracket": ("(\\); select 2;", ["(\\)", "select 2"]),
    "brackets too many and balanced ones": ("select )(a;b); 2", ["select )(a;b)", "2"]),
    "square brackets": ("select [1; 2]; 3", ["select [1", "2]", "3"]),
    # begin atomic
    "body": (
        f"{BODY} select 1; select 2; end; select 3;",
        [f"{BODY} select 1; select 2; end", "select 3"],
    ),
    "no-break space is a letter": (
        "f() BEGIN\xa0\n\tAtomic select 1; END; select 3;",
        ["f() BEGIN\xa0\n\tAtomic select 1", "END", "select 3"],
    ),
    "quoted end": (
        f"{BODY} select 'end;' as \"end;\"; end; 3",
        [f"{BODY} select 'end;' as \"end;\"; end", "3"],
    ),
    "pending does not end a body": (
        f"{BODY} select pending; end; 3;",
        [f"{BODY} select pending; end", "3"],
    ),
    "case does not end a body": (
        f"{BODY} select case when true then 1 end; select 2; end;",
        [f"{BODY} select case when true then 1 end; select 2; end"],
    ),
    "parameter before a body's end": (
        f"{BODY} select $1;end; 3;",
        [f"{BODY} select $1;end", "3"],
    ),
    "parameter well before it": (
        f"{BODY} select $1; end; 3;",
        [f"{BODY} select $1; end", "3"],
    ),
    "comment between the words": (
        "begin /**/ atomic select 1; end;",
        ["begin /**/ atomic select 1", "end"],
    ),
    "one word": ("beginatomic; select 1;", ["beginatomic", "select 1"]),
    "longer first word": ("x_begin atomic; 1; end; 2", ["x_begin atomic", "1", "end", "2"]),
    "longer first word, cyrillic": (
        "\u0436begin atomic; 1; end",
        ["\u0436begin atomic", "1", "end"],
    ),
    "longer first word, beyond utf-16": (
        "\U0001d400begin atomic; 1; end",
        ["\U0001d400begin atomic", "1", "end"],
    ),
    "dotless i": ("beg\u0131n atom\u0131c; 1; end; 2", ["beg\u0131n atom\u0131c", "1", "end", "2"]),
    "atomic as a name": ("select 1 as atomic; select 2;", ["select 1 as atomic", "select 2"]),
    "nested case in a body": (
        f"{BODY} select case when true then case 1 when 1 then 2 end end; select 2; end; 3",
        [
            f"{BODY} select case when true then case 1 when 1 then 2 end end; select 2; end",
            "3",
        ],
    ),
    "a quoted end as a name": (
        f'{BODY} select 1 as "end"; select 2; end; 3',
        [f'{BODY} select 1 as "end"; select 2; end', "3"],
    ),
    "a label end": (
        f"{BODY} select 1 as end; select 2; end; 3",
        [f"{BODY} select 1 as end; select 2; end", "3"],
    ),
    "a bare label end": (
        f"{BODY} select (1) end; 2; end; 3",
        [f"{BODY} select (1) end; 2; end", "3"],
    ),
    "a label case": (
        f"{BODY} select 1 as case; select 2; end; 3; 4; end; 5",
        [
            f"{BODY} select 1 as case; select 2; end",
            "3",
            "4",
            "end",
            "5",
        ],
    ),
    "a name that starts with end": (
        f"{BODY} select endx, xend, end_; select 2; end; 3",
        [f"{BODY} select endx, xend, end_; select 2; end", "3"],
    ),
    "end with dollars": (
        f"{BODY} select end$x; select 2; end; 3",
        [f"{BODY} select end$x; select 2; end", "3"],
    ),
    "end in comments": (
        f"{BODY} select 1; -- end\n select 2; /* end */ end; 3",
        [f"{BODY} select 1; -- end\n select 2; /* end */ end", "3"],
    ),
    "case in brackets": (
        f"{BODY} select (case when (1=1) then 2 end); select (2); end; 3",
        [
            f"{BODY} select (case when (1=1) then 2 end); select (2); end",
            "3",
        ],
    ),
    "a procedure": (
        "create or replace procedure f() begin atomic insert into t values (1); end; 2",
        ["create or replace procedure f() begin atomic insert into t values (1); end", "2"],
    ),
    "capitals": (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; 3",
        ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END", "3"],
    ),
    "an open body": (
        f"{BODY} select 1; select 2;",
        [f"{BODY} select 1; select 2"],
    ),
    "begin atomic in a literal": (
        "select 'begin atomic'; 1; end; 2",
        ["select 'begin atomic'", "1", "end", "2"],
    ),
    "begin as a statement": (
        "begin; select atomic; end; 2",
        ["begin", "select atomic", "end", "2"],
    ),
    "longer name with dollar": ("x$begin atomic; 1; end; 2", ["x$begin atomic", "1", "end", "2"]),
    # not special to the splitter
    "transaction": ("begin; select 1; commit;", ["begin", "select 1", "commit"]),
    "do block": (
        "do $$ begin perform 1; end $$; select 1;",
        ["do $$ begin perform 1; end $$", "select 1"],
    ),
    "copy data": (
        "copy t from stdin;\n1\t2\n\\.\nselect 1;",
        ["copy t from stdin", "1\t2\n\\.\nselect 1"],
    ),
    "transaction directive": (
        "-- pg-delta: transaction=false\nselect 1; select 2;",
        ["-- pg-delta: transaction=false\nselect 1", "select 2"],
    ),
}

# text of a file that the CLI splits differently and cannot push → its statements
POSTGRESQL: dict[str, tuple[str, list[str]]] = {
    "a backslash outside quotes": ("select 1 \\; 2; select 3;", ["select 1 \\", "2", "select 3"]),
    "a tag of digits": ("select $1$ ; $1$; 2", ["select $1$", "$1$", "2"]),
    "three dollars open a quote": ("select $$$ ; $$", ["select $$$ ; $$"]),
    "a tag cannot share a dollar": ("select $a$a$ ; $a$", ["select $a$a$ ; $a$"]),
    "nested brackets": ("select ((1 ; 2) ; 3);", ["select ((1 ; 2) ; 3)"]),
    "a body outside a function": (
        "begin atomic (a; end); b; end; c;",
        ["begin atomic (a; end)", "b", "end", "c"],
    ),
    "begin in a comment is no word": (
        "-- begin\natomic; 1; end; 2;",
        ["-- begin\natomic", "1", "end", "2"],
    ),
    "longer second word": ("begin atomics; select 1;", ["begin atomics", "select 1"]),
    "commands of a rule": (
        "create rule r as on insert to t do also (insert into l values (1); delete from u); select"
        " 1;",
        [
            "create rule r as on insert to t do also (insert into l values (1); delete from u)",
            "select 1",
        ],
    ),
    "comment between begin and atomic": (
        "create function f() returns int begin /* x */ atomic select 1; end; 2",
        ["create function f() returns int begin /* x */ atomic select 1; end", "2"],
    ),
    "begin atomic as names": (
        "select begin atomic; 1; end; 2",
        ["select begin atomic", "1", "end", "2"],
    ),
}


@pytest.mark.parametrize(("text", "ledger"), LEDGER.values(), ids=LEDGER)
def test_statements_equal_those_in_the_ledger(text: str, ledger: list[str]) -> None:
    assert [statement.text for statement in split(text)] == ledger


@pytest.mark.parametrize(("text", "statements"), POSTGRESQL.values(), ids=POSTGRESQL)
def test_statements_are_those_of_postgresql_where_the_cli_differs(
    text: str, statements: list[str]
) -> None:
    assert [statement.text for statement in split(text)] == statements


def test_the_line_of_a_statement_is_that_of_its_code() -> None:
    text = "-- one\n\n/* two\n /* three */ -- */\n  select 1;;\n\nselect\n2; select 3;\r\n-- four"
    assert split(text) == [
        FileStatement("-- one\n\n/* two\n /* three */ -- */\n  select 1", 5),
        FileStatement("select\n2", 7),
        FileStatement("select 3", 8),
        FileStatement("-- four", 9),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\n-- only\n-- comment", 3),
        ("/* open\n", 1),
        ("\ufeff\nselect 1", 2),
        ("-- cr ends a comment for the server\rselect 1", 1),
        ("/*/ select\n*/ select 1", 2),
    ],
)
def test_the_line_of_a_single_statement(text: str, line: int) -> None:
    assert [statement.line for statement in split(text)] == [line]


def test_an_error_position_is_converted_to_a_line_of_the_file() -> None:
    statement = split("select 1;\n\n-- why\nselect 1,\n  bad;\n")[1]
    assert statement.line == 4
    assert statement.line_at(statement.text.index("bad") + 1) == 5
    assert statement.line_at(1) == 3
    assert statement.line_at(0) == 3
    assert statement.line_at(None) == 4


SIGNS = [*"'\"$-/\\;;()cdx", "$$", "$a$", "$1", "$1;", "--", "/*", "*/", "/*/", "'a;b'"]
WORDS = ["begin", "atomic", "begin atomic ", "end", "pending", "\u0131", "\u00e9", "\U0001f600"]
SPACES = [" ", "\n", "\r\n", "\u00a0", "\u0085", "\ufeff"]


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same files in every run


def garbage(seed: int) -> str:
    source = chance(seed)
    return "".join(source.choices(SIGNS + WORDS + SPACES, k=source.randint(0, 60)))


@pytest.mark.parametrize("seed", range(500))
def test_only_semicolons_and_white_space_are_removed(seed: int) -> None:
    text = garbage(seed)
    at = 0
    for statement in split(text):
        start = text.index(statement.text, at)
        assert not text[at:start].replace("\ufeff", "").strip(" \n\r\u00a0;")
        assert statement.line_at(1) == 1 + text.count("\n", 0, start)
        assert statement.line_at(1) <= statement.line <= statement.line_at(len(statement.text))
        at = start + len(statement.text)
    assert not text[at:].replace("\ufeff", "").strip(" \n\r\u00a0;")


WHOLE = [
    "select 1",
    "create table t (a int, b text default 'x;y')",
    "do $body$ begin perform ';'; end $body$",
    f"{BODY}\n  select 1;\n  select (2);\nend",
    "select 'it''s; ok' as \"c;\"",
    "-- why; so\nselect 1 -- here\n + 1",
    "/* a ; /* b ; */ */ select 2",
    r"select E'it\'s; ok' as a$b$c, e'\\', U&'\0061;', N'\', B'1'",
    "select E'a'\n  '\\'; b', $$$;$$, $a$;$b$;$a$, $é$;$é$",
    f"{BODY} select case when true then case 1 when 1 then 2 end end; select 3 as end; select 4"
    " end;\n end",
    "create or replace /* ; */ procedure p() language sql BEGIN -- ;\n Atomic end",
    f"{BODY} select begin from pending; end",
    "create rule r as on insert to t do also (insert into u values (1); delete from u where (a ="
    " (2)))",
    "select begin atomic",
    "/* /*/ ; */ */ select 1 -/* ; */- 1",
]


@pytest.mark.parametrize("statement", WHOLE)
def test_postgresql_parses_each_as_one_statement(statement: str) -> None:
    assert len(pgparse.parse(statement)) == 1


@pytest.mark.parametrize("seed", range(100))
def test_a_file_is_split_into_the_statements_it_was_joined_from(seed: int) -> None:
    source = chance(seed)
    expected = source.choices(WHOLE, k=source.randint(1, 8))
    gaps = [source.choice(["", " ", "\n", "\r\n", "\n\n", ";", " ;\n"]) for _ in expected]
    text = "".join(gap + statement + ";" for gap, statement in zip(gaps, expected, strict=True))
    assert [statement.text for statement in split(text)] == expected


def test_a_file_of_one_megabyte_is_split_within_100_milliseconds() -> None:
    row = "insert into public.t (id, note) values (1, 'it''s'), (2, E'a\\'b;'), (3, $$c;$$); -- d\n"
    function = f"{BODY} select case when a = 1 then 2 end; select pending; end;\n"
    text = (row + function) * 2000 + "".join(source.text for source in load_sources().sources) * 17
    assert len(text) > 1_000_000
    seconds = []
    for _ in range(5):
        started = time.process_time()
        assert len(split(text)) > 4000
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1
