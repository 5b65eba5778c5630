"""audit.toml: callers, rows and excluded tables; errors name file and line; the JSON Schema accepts
the same files.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from supabase_jobs.audit import configuration
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.configuration import Configuration, load
from supabase_jobs.audit.options import Files, Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Audit, Severity
from tests.audit.conftest import run_audit
from tests.audit.recorded import in_words

SCHEMA = json.loads(
    Path(configuration.__file__).with_name("audit.schema.json").read_text(encoding="utf-8")
)

VALID = [
    "",
    '[callers.support]\nclaims = { user_role = "support", app_metadata = { level = 2 } }',
    '[callers.sensor]\nrole = "anon"\nheaders = { X-Api-Key = "abc" }\noutsider = true',
    '[callers.backend]\nrole = "service_role"',
    '[callers."second factor"]\nuser = "owner"\nclaims.aal = "aal2"',
    '[rows."public.invoices"]\nnumber = "\'INV-\' || 1"\nafter = "now() + interval \'1 day\'"',
    '[excluded]\n"public.spatial_ref_sys" = "belongs to PostGIS"',
    '[words]\nuser_columns = ["owned_by"]\nprivilege_columns = ["is_boss", "Rank"]',
]
# (file, line of the error, its message, whether the schema refuses it too)
INVALID = [
    ("\n[caller.support]", 2, "unknown key 'caller'", True),
    ("[callers.support]\nrole = 'authenticated'\nclaim = 1", 3, "unknown key 'claim'", True),
    (
        "[callers.support]\nrole = 'postgres'",
        2,
        "role must be one of: anon, authenticated, service_role",
        True,
    ),
    ("[callers.support]\nuser = 'me'", 2, "user must be one of: stranger, owner, newcomer", True),
    ("[callers.stranger]\nrole = 'authenticated'", 1, "the caller 'stranger' exists", True),
    ("[callers.support]\nrole = 'anon'\nuser = 'owner'", 3, "anon has no user", True),
    ("[callers.support]\noutsider = 1", 2, "outsider must be true or false", True),
    (
        "[callers.support]\nuser = 'owner'\noutsider = true",
        3,
        "the owner of rows is no outsider",
        True,
    ),
    (
        "[callers.support]\nheaders = { x-id = 1 }",
        2,
        "callers.support.headers.x-id must be the value",
        True,
    ),
    ("callers = 1", 1, "callers must be a table", True),
    ("[words]\nusers = ['owned_by']", 2, "unknown key 'users'", True),
    ("[words]\nuser_columns = 'a'", 2, "words.user_columns must be a list of words", True),
    ("[words]\nuser_columns = []", 2, "words.user_columns must be a list of words", True),
    ("[words]\nuser_columns = [1]", 2, "words.user_columns must be a list of words", True),
    ("words = ['a']", 1, "words must be a table", True),
    ("[rows.'public.t']\nn = 1", 2, "rows.public.t.n must be an SQL expression, a text", True),
    ("[rows.'public.t']\na = '1'\nn = '1; drop table t'", 3, "n is not an SQL expression", False),
    ("[rows.'public.t']\nn = \"1) from (select 1\"", 2, "n is not an SQL expression", False),
    ("[rows.'public.t']\nn = '1 from public.t'", 2, "n is not an SQL expression", False),
    ("[rows]\n'public.t' = '1'", 2, "rows.public.t must be a table", True),
    ("[excluded]\n'public.t' = ' '", 2, "excluded.public.t must be the reason, a text", True),
    (
        "rows.'public.t'.n = '1'\n[excluded]\n\n'public.u' = 1",
        4,
        "excluded.public.u must be the reason",
        True,
    ),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes audit.toml."""
    return tmp_path / "audit.toml"


def read(file: Path, text: str) -> Configuration:
    file.write_text(text, encoding="utf-8")
    return load(file)


def accepts(text: str) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text))


@pytest.mark.parametrize("text", VALID)
def test_valid_file(file: Path, text: str) -> None:
    read(file, text)
    assert accepts(text)


@pytest.mark.parametrize(("text", "line", "message", "by_schema"), INVALID)
def test_invalid_file(file: Path, text: str, line: int, message: str, by_schema: bool) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"audit.toml:{line}: {message}")) as caught:
        read(file, text)
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert accepts(text) != by_schema


def test_file_that_is_not_toml_is_an_error_with_the_line(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 2"):
        read(file, "[rows]\na = \n")


def test_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# on the project todos


STUBBORN = """
create table public.tickets (
  id bigint generated always as identity primary key,
  owner_id uuid not null default auth.uid() references auth.users on delete cascade,
  code text not null constraint checksum check (md5(code) like '000%')
);
alter table public.tickets enable row level security;
create policy "own" on public.tickets using (owner_id = auth.uid());
create table public.replies (
  id bigint generated always as identity primary key,
  ticket_id bigint not null references public.tickets
);
alter table public.replies enable row level security;
create table public.pages (bucket text not null references storage.buckets, title text);
alter table public.pages enable row level security;
"""
# neither row can be the first
CYCLE = """
create table public.drafts (id int primary key, current int not null);
create table public.versions (id int primary key, draft int not null references public.drafts);
alter table public.drafts add constraint drafts_current foreign key (current) references public.versions;
"""
# a text whose MD5 sum begins with three zeros
CODE = "(select n::text from generate_series(1, 99999) as n where md5(n::text) like '000%' limit 1)"


@pytest.fixture
def todos(project_url: Callable[[str], str]) -> Iterator[Connection]:
    """A transaction on the database of the project todos; undone after the test."""
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        yield connection


def audited(connection: Connection, configured: Configuration) -> Audit:
    return audit(connection, Options(files=Files(configuration=configured)))


def test_printed_lines_work_when_they_are_pasted(todos: Connection, file: Path) -> None:
    todos.execute(f"{STUBBORN}{CYCLE}".encode())
    help_ = {item.object: item.help for item in run_audit(todos, repairs=False).not_tested}
    assert help_.keys() >= {"public.tickets", "public.replies"}
    _, _, lines = help_["public.tickets"].partition("\n")
    configured = read(file, lines)
    deferrable = 'alter table "public"."drafts" alter constraint "drafts_current" deferrable;'
    assert deferrable in help_["public.drafts"]
    assert (
        help_["public.versions"] == "Make rows of public.drafts possible first: it is reported too."
    )
    todos.execute(deferrable)
    assert (
        help_["public.replies"] == "Make rows of public.tickets possible first: it is reported too."
    )
    assert configured.rows["public.tickets"].keys() == {"code"}
    [written] = [expression.text for expression in configured.rows["public.tickets"].values()]
    todos.execute("insert into storage.buckets (id, name) values ('pages', 'pages')")
    pasted = read(file, help_["public.pages"].partition("\n")[2])
    assert "public.pages" not in {item.object for item in audited(todos, pasted).not_tested}
    still = {item.object: item.why for item in audited(todos, configured).not_tested}
    assert not {"public.drafts", "public.versions"} & still.keys()
    assert "(checksum)" in still["public.tickets"], "the printed value is the one that was refused"
    result = audited(todos, read(file, lines.replace(json.dumps(written), json.dumps(CODE))))
    assert not {"public.tickets", "public.replies"} & {item.object for item in result.not_tested}
    assert in_words(result)["public.tickets"]["owner"].startswith("read insert")


# a table whose owner and whose privilege have names that no list of `audit` has
RANKS = """
create table public.ranks (owned_by uuid primary key, rank text not null);
alter table public.ranks enable row level security;
create policy "signed in" on public.ranks for update to authenticated using (auth.role() = 'authenticated');
"""


def test_words_of_the_file_are_added(todos: Connection, file: Path) -> None:
    todos.execute(RANKS.encode())
    words = '[words]\nuser_columns = ["owned_by"]\nprivilege_columns = ["rank"]'

    def of_ranks(configured: Configuration) -> dict[str, str]:
        findings = audited(todos, configured).findings
        return {f.id: f.message for f in findings if f.object == "public.ranks"}

    assert list(of_ranks(Configuration())) == [
        "broken-access:public.ranks:unreadable",
        "shared-write:public.ranks:update",
    ]
    found = of_ranks(read(file, words))
    assert "write:public.ranks:update" in found
    assert "privileged-column:public.ranks:update:rank" in found


def test_printed_lines_name_a_table_that_the_file_has() -> None:
    assert configuration.lines(("excluded",), "public.t", "x", exists=False) == (
        ' in supabase/audit.toml:\n[excluded]\n"public.t" = "x"'
    )
    assert configuration.lines(("rows", "public.t"), "a b", "x", exists=True) == (
        ', below [rows."public.t"] in supabase/audit.toml:\n"a b" = "x"'
    )


def test_excluded_table_is_named_with_its_reason(todos: Connection, file: Path) -> None:
    todos.execute(STUBBORN.encode())
    names = ("public.tickets", "public.replies", "public.pages")
    text = "[excluded]\n" + "".join(f'"{name}" = "no longer used"\n' for name in names)
    result = audited(todos, read(file, text))
    assert {item.object: item.why for item in result.not_tested} == dict.fromkeys(
        names, "excluded: no longer used"
    )
    assert not [cell for cell in result.cells if cell.object in names]
    assert result.planted == result.tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[excluded]\n'public.lost' = 'x'", "audit.toml:2: no table 'public.lost' in the database"),
        ("[rows.'public.lost']\na = '1'", "audit.toml:1: no table 'public.lost' in the database"),
        ("[rows.'public.lists']\n\nlost = '1'", "audit.toml:3: no column 'lost' in public.lists"),
    ],
)
def test_unknown_table_or_column(todos: Connection, file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        audited(todos, read(file, text))


def test_declared_caller_is_probed(todos: Connection, file: Path) -> None:
    todos.execute(
        "create policy \"s\" on public.lists for select using (auth.jwt() -> 'x' ->> 'role' ="
        " 'support$')"
    )
    caller = '[callers.{}]\nclaims = {{ x = {{ role = "support$" }} }}\noutsider = {}\n'
    result = audited(
        todos, read(file, caller.format("support", "false") + caller.format("visitor", "true"))
    )
    assert in_words(result)["public.lists"]["support"] == "read"
    errors = [f for f in result.findings if f.severity is Severity.ERROR]
    [finding] = [f for f in errors if f.object == "public.lists"]
    assert finding.message.startswith("The caller visitor can read other users' rows")


def test_value_that_the_server_refuses_is_reported(todos: Connection, file: Path) -> None:
    result = audited(todos, read(file, "[rows.'public.lists']\nname = 'lost_function()'"))
    why = {item.object: item.why for item in result.not_tested}["public.lists"]
    assert "lost_function() does not exist" in why
