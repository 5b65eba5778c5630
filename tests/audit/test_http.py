"""`audit --api-url`: requests to the real PostgREST have the outcomes of SQL, or are errors;
nothing remains.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from supabase_jobs.api import marked_ids
from supabase_jobs.api.endpoint import Endpoint
from supabase_jobs.api.keys import new_keys
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.committed import CommittedRows, marked
from supabase_jobs.audit.http import compare
from supabase_jobs.audit.options import Options
from supabase_jobs.audit.scene import REQUEST_SETTINGS, insert_world
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection, connect, second_connection
from supabase_jobs.errors import BusyError, ConfigError
from supabase_jobs.findings import Audit, Severity
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.sources.files import load_migrations
from tests.audit.catalogue import PROJECTS
from tests.audit.test_robustness import COUNTS
from tests.fix_api import Api, serve_api
from tests.fix_cli import Run
from tests.fix_db import Database, Make
from tests.programs import DEFAULT_MAJOR

pytestmark = pytest.mark.slow

EMPTY = Audit((), (), (), (), 0, 0, 0.0)
MARKED = f"select count(*) from auth.users where id::text like '%{marked_ids.MARK}%'"
# DELETE is refused before it runs, and the second schema is none of the API
DIFFERENT = """
create function public.check_request() returns void language plpgsql as $$ begin
  if current_setting('request.method', true) = 'DELETE' then
    raise exception 'read only today' using errcode = 'ABCDE';
  end if;
end $$;
create schema extra;
grant usage on schema extra to anon, authenticated, service_role;
create table extra.things (
  id bigint generated always as identity primary key, owner_id uuid not null references auth.users on delete cascade
);
alter table extra.things enable row level security;
grant select on extra.things to authenticated, service_role;
create policy "own" on extra.things for select to authenticated using (owner_id = auth.uid());
"""
# the API empties the view for everyone but anon
NOTES = """
create table public.notes (
  id bigint generated always as identity primary key, body text not null,
  owner_id uuid not null default auth.uid() references auth.users on delete cascade
);
alter table public.notes enable row level security;
create policy "own" on public.notes to authenticated using (owner_id = auth.uid());
create view public.all_notes as select body from public.notes
  where current_setting('app.closed', true) is distinct from 'true';
create function public.find(note_id bigint) returns text language sql stable security definer
  as 'select body from public.notes where id = note_id';
create function public.touch() returns void language sql as 'update public.notes set body = body';
create function public.check_path() returns void language plpgsql as $$ begin
  perform set_config(
    'app.closed', (current_setting('request.path') = '/all_notes' and auth.uid() is not null)::text, true
  );
end $$;
"""
SETTING = "alter role authenticator in database {} {} pgrst.db_pre_request"


def fill(database: Database) -> Database:
    """Add the tables of the project todos and a row in two of them."""
    with psycopg.connect(database.url) as connection:
        for migration in load_migrations(PROJECTS / "todos" / "supabase" / "migrations"):
            connection.execute(migration.text.encode())
        connection.execute(
            "insert into auth.users (id) values ('a0000000-0000-4000-8000-000000000009')"
        )
        connection.execute(
            "insert into public.lists (owner_id, name) select id, 'existing' from auth.users"
        )
        connection.execute(
            "insert into public.todos (list_id, title) select id, 'existing' from public.lists"
        )
    return database


@pytest.fixture
def database(make_database: Make) -> Database:
    """A database of this test."""
    return fill(make_database("services"))


def environ(api: Api) -> dict[str, str]:
    return {
        "SUPABASE_ANON_KEY": api.keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": api.keys.service_role,
        "SUPABASE_JWT_SECRET": api.keys.secret,
    }


def counts(url: str) -> list[tuple[int, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(COUNTS).fetchall()


# headers, claims, and roles in a group
@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("api_keys", ("public.feature_flags", "public.events")),
        ("tenants", ("public.orders",)),
        ("teams", ("public.projects",)),
    ],
)
def test_requests_have_the_outcomes_of_sql(
    project_url: Callable[[str], str],
    request: pytest.FixtureRequest,
    name: str,
    tables: tuple[str, ...],
) -> None:
    url = project_url(name)
    server = request.getfixturevalue(f"services_{DEFAULT_MAJOR}").server
    with (
        serve_api(server, urlsplit(url).path[1:]) as api,
        connect(url) as connection,
        second_connection(connection) as guard,
    ):
        options = Options(tables=tables)
        result = compare(connection, guard, options, Endpoint(api.url, api.keys), EMPTY)
    assert result.findings == ()
    assert result.not_tested == ()
    assert result.api_cells is not None
    assert result.api_cells > 40
    with psycopg.connect(url) as connection:
        assert connection.execute(MARKED).fetchone() == (0,)


def test_differences_are_errors_and_other_rows_stay(
    database: Database, cli: Run, tmp_path: Path
) -> None:
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "config.toml").write_text('[api]\nschemas = ["public", "extra"]\n')
    with psycopg.connect(database.url) as connection:
        connection.execute(DIFFERENT)
    with psycopg.connect(database.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            SETTING.format(database.name, "set").encode() + b" = 'public.check_request'"
        )
        before = counts(database.url)
        with serve_api(database.server, database.name) as api:
            words = (
                "--table",
                "public.tags",
                "--table",
                "extra.things",
                "--allow-remote",
                "--api-url",
                api.url,
            )
            ran = cli("audit", "--json", *words, SUPABASE_DB_URL=database.url, **environ(api))
    assert ran.code == 1, ran.err
    errors = {f["id"]: f for f in ran.json["findings"] if f["severity"] == "error"}
    assert errors.keys() == {
        "api:public.tags:delete",
        "api:extra.things:select",
        *(f"api:extra.things:{action}" for action in ("insert", "delete")),
    }
    refused, hidden = errors["api:public.tags:delete"], errors["api:extra.things:select"]
    assert "is ABCDE through the API, and " in refused["message"]
    assert "authenticator pgrst.db_pre_request=public.check_request" in refused["cause"]
    assert hidden["cause"] == "the API does not expose the schema extra"
    assert "PGRST106" in hidden["message"]
    assert ran.json["coverage"]["api_cells"] > 20
    assert counts(database.url) == before


def test_views_and_functions_are_compared_too(make_database: Make) -> None:
    made = make_database("services")
    with psycopg.connect(made.url) as connection:
        connection.execute(NOTES)
    with psycopg.connect(made.superuser_url, autocommit=True) as superuser:
        superuser.execute(SETTING.format(made.name, "set").encode() + b" = 'public.check_path'")
    with (
        serve_api(made.server, made.name) as api,
        connect(made.url) as connection,
        second_connection(connection) as guard,
    ):
        audited = audit(connection, Options())
        result = compare(connection, guard, Options(), Endpoint(api.url, api.keys), audited)
    leaks = {f.id for f in audited.findings if f.severity is not Severity.INFO}
    assert leaks >= {"view:public.all_notes:select", "function-reads:public.find(bigint)"}
    assert {f.id: f.message for f in result.findings if f.id.startswith("api:")} == {
        "api:public.all_notes:select": "select as newcomer is hidden through the API, and rows in"
        " SQL;"
        " so is another cell"
    }
    assert sorted(i.object for i in result.not_tested) == [
        "functions",  # that no call got through
        "public.all_notes",
        "public.check_path()",
        "public.touch()",
    ]
    through_api = sorted(i.object for i in result.not_tested if "the API" in i.why)
    assert through_api == ["public.all_notes", "public.check_path()", "public.touch()"]


def test_nothing_remains_after_the_run_that_follows_a_killed_one(
    database: Database, cli: Run, tmp_path: Path
) -> None:
    before = counts(database.url)
    with (
        serve_api(database.server, database.name) as api,
        psycopg.connect(database.superuser_url, autocommit=True) as observer,
    ):
        words = [
            "--db-url",
            database.url,
            "--table",
            "public.lists",
            "--allow-remote",
            "--api-url",
            api.url,
        ]
        program = subprocess.Popen(
            [sys.executable, "-m", "supabase_jobs", "audit", *words],
            cwd=tmp_path,
            env={**os.environ, **environ(api)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        try:
            while observer.execute(MARKED).fetchone() == (0,):
                assert program.poll() is None
                assert time.monotonic() < deadline
        finally:
            program.send_signal(signal.SIGKILL)
            program.wait()
        assert counts(database.url) != before
        ran = cli("audit", "--json", *words, **environ(api))
        assert (ran.code, [f for f in ran.json["findings"] if f["severity"] == "error"]) == (
            0,
            [],
        ), ran.err
        assert counts(database.url) == before


def test_api_of_another_database_is_refused(database: Database, one_api: Api, cli: Run) -> None:
    ran = cli(
        "audit",
        "--allow-remote",
        "--api-url",
        one_api.url,
        "--table",
        "tags",
        SUPABASE_DB_URL=database.url,
        **environ(one_api),
    )
    assert ran.code == 2
    assert "shows no row that was just inserted in this database" in ran.err
    assert len(counts(database.url)) == 1


def test_api_elsewhere_is_refused_unless_it_is_allowed(cli: Run) -> None:
    ran = cli(
        "audit", "--api-url", "https://project.example", SUPABASE_DB_URL="postgresql://localhost/x"
    )
    assert ran.code == 2
    assert "audit through the API commits rows" in ran.err
    assert "--allow-remote" in ran.err


@pytest.mark.parametrize("other", ["--update-baseline", "--migrations-from=main"])
def test_option_that_conflicts(cli: Run, other: str) -> None:
    ran = cli(
        "audit",
        "--api-url",
        "http://127.0.0.1:1",
        other,
        SUPABASE_DB_URL="postgresql://localhost/x",
    )
    assert ran.code == 2
    assert "--api-url conflicts with" in ran.err


# Rows that are committed


@pytest.fixture(scope="module")
def shared_todos(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that each test leaves as it was, but for triggers that it drops."""
    template = request.getfixturevalue(f"services_{DEFAULT_MAJOR}")
    made = Database(template.server, "committed_todos")
    made.server.create(made.name, template.name)
    yield fill(made)
    made.server.drop(made.name)


@pytest.fixture
def todos(shared_todos: Database) -> Iterator[Connection]:
    with connect(shared_todos.url) as connection:
        yield connection
        connection.execute(
            "drop function if exists public.effect() cascade; drop table if exists public.log"
        )


def rows_of(connection: Connection) -> CommittedRows:
    with rolled_back(connection, Statement(SETTINGS)):
        world = insert_world(connection, Options(), marked())
        return CommittedRows.of(connection, world, (Statement(SETTINGS), *REQUEST_SETTINGS))


FUNCTION = "create table if not exists public.log (n bigint);"
FUNCTION += (
    "create function public.effect() returns trigger language plpgsql as $$ begin {} end $$;"
)
TRIGGER = "create trigger effect {} on {} for each row execute function public.effect();"


@pytest.mark.parametrize(
    ("body", "event", "why"),
    [
        (
            "perform net.http_post('https://example.com'); return new;",
            "after insert",
            "reaches something outside",
        ),
        ("return null;", "before delete", "a trigger keeps its rows when they are deleted"),
        ("raise exception 'never';", "before delete", "its rows cannot be deleted: P0001: never"),
        (
            "insert into public.log values (1); return new;",
            "after insert",
            "a trigger writes to public.log",
        ),
    ],
    ids=["outside", "kept", "refused", "log"],
)
def test_table_from_which_something_would_remain_is_left_out(
    todos: Connection, body: str, event: str, why: str
) -> None:
    todos.execute((FUNCTION.format(body) + TRIGGER.format(event, "public.tags")).encode())
    before = todos.execute(COUNTS).fetchall()
    rows = rows_of(todos)
    with second_connection(todos) as guard, rows.committed(guard):
        during = todos.execute(COUNTS).fetchall()
    assert why in rows.left_out["public.tags"]
    assert "public.lists" not in rows.left_out
    [(users, lists, _, tags, _)], [(_, fewer, _, same, _)] = during, before
    assert users > 5
    assert (lists > fewer, tags) == (True, same)
    assert todos.execute(COUNTS).fetchall() == before
    assert todos.execute("select count(*) from public.log").fetchone() == (0,)


def test_nothing_is_committed_if_a_sign_up_reaches_something_outside(
    shared_todos: Database, todos: Connection
) -> None:
    todos.execute(
        FUNCTION.format("perform net.http_post('https://example.com'); return new;").encode()
    )
    with connect(shared_todos.superuser_url) as superuser:
        superuser.execute(TRIGGER.format("after insert", "auth.users").encode())
    with pytest.raises(
        ConfigError,
        match=r"auth\.users: its trigger effect reaches something outside: net\.http_post",
    ):
        rows_of(todos)


def test_row_is_restored_and_recognized_after_an_update(todos: Connection) -> None:
    rows = rows_of(todos)
    with second_connection(todos) as guard, rows.committed(guard):
        before = todos.execute(
            "select md5(string_agg(l::text, '' order by l::text)) from public.lists as l"
        ).fetchone()
        todos.execute(
            "update public.lists set name = 'changed' where owner_id::text like"
            f" '%{marked_ids.MARK}%'".encode()
        )
        todos.execute("delete from public.todos where title <> 'existing'")
        rows.restore()
        after = todos.execute(
            "select md5(string_agg(l::text, '' order by l::text)) from public.lists as l"
        ).fetchone()
        assert after == before
    assert rows.remaining() == {}


def test_an_interrupt_that_closes_the_connection_leaves_no_row(
    todos: Connection, shared_todos: Database
) -> None:
    before = counts(shared_todos.url)
    with psycopg.connect(shared_todos.url, autocommit=True) as connection:
        rows = rows_of(connection)

        def interrupted() -> None:
            with second_connection(todos) as guard, rows.committed(guard):
                assert counts(shared_todos.url) != before
                connection.pgconn.finish()  # as an interrupt of a batch does
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert counts(shared_todos.url) == before


def test_tables_that_nobody_reads_prove_nothing_about_an_api(
    todos: Connection, shared_todos: Database
) -> None:
    todos.execute("revoke select on public.tags from anon, authenticated, service_role")
    before = todos.execute(COUNTS).fetchall()
    endpoint = Endpoint("http://127.0.0.1:1", new_keys())
    with (
        second_connection(todos) as guard,
        pytest.raises(ConfigError, match="no caller reads a row"),
    ):
        compare(todos, guard, Options(tables=["public.tags"]), endpoint, EMPTY)
    assert todos.execute(COUNTS).fetchall() == before
    todos.execute("grant select on public.tags to anon, authenticated, service_role")


def test_second_run_at_the_same_time_is_refused(todos: Connection, shared_todos: Database) -> None:
    with psycopg.connect(shared_todos.url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (marked_ids.LOCK_KEY,))
        with todos.transaction(), pytest.raises(BusyError, match="another verify or audit"):
            marked_ids.lock(todos)
