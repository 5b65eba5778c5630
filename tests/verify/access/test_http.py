"""`verify --api-url`: the matrix through PostgREST compared with SQL, the cleanup, and the scripts
of the requests.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import psycopg
import pytest
from postgrest import CountMethod, ReturnMethod, SyncPostgrestClient

from supabase_jobs.api import marked_ids
from supabase_jobs.api.sender import Reply, Sender
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.local import server
from supabase_jobs.session.impersonation import NULL
from supabase_jobs.verify.access import http
from supabase_jobs.verify.access.http import api_case, api_cells
from supabase_jobs.verify.access.matrix import VERBS, DeclaredRequest, load, with_parameters
from supabase_jobs.verify.explain import declared_cases, explain
from tests.fix_api import Api, serve_api
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Database, Make
from tests.programs import postgrest
from tests.verify.harmless import named

pytestmark = pytest.mark.slow

ALL_ROWS = """
select md5(coalesce(string_agg(x, '' order by x), '')) from (
  select t::text as x from public.async_jobs as t union all
  select t::text from public.guest_users as t union all
  select t::text from auth.users as t
) as rows
"""
MARKED = f"""
select count(*) from (
  select id from public.async_jobs union all select guest_id from public.guest_users union all select id from auth.users
) as x where id::text like '%{marked_ids.MARK}%'
"""
NAMED = """
create table public.handles (id uuid references auth.users on delete cascade, handle text unique);
create function public.name_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.handles values (new.id, 'user_' || left(new.id::text, 6));
  return new;
end $$;
create trigger name_user after insert on auth.users for each row execute function public.name_user();
"""
USER_ROWS = """
insert into auth.users (id, aud) values ('00000000-0000-4000-8000-000000000001', 'authenticated');
insert into public.guest_users (guest_id) values ('00000000-0000-4000-8000-000000000002');
insert into public.async_jobs (url, user_id) values ('https://x.com/verify', '00000000-0000-4000-8000-000000000001');
insert into public.async_jobs (url, guest_id) values ('https://x.com/verify', '00000000-0000-4000-8000-000000000002');
"""


def environ(api: Api) -> dict[str, str]:
    """The variables that hold the keys of a project."""
    return {
        "SUPABASE_ANON_KEY": api.keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": api.keys.service_role,
        "SUPABASE_JWT_SECRET": api.keys.secret,
    }


def marked_rows(url: str) -> int:
    """The number of rows with a marked id."""
    with psycopg.connect(url) as connection:
        [count] = connection.execute(MARKED.encode()).fetchone() or [0]
        return int(count)


@pytest.fixture(autouse=True)
def _without_users(request: pytest.FixtureRequest) -> None:
    """`verify` refuses a database with users, which other tests leave on the shared one."""
    for name in {"api", "one_api"}.intersection(request.fixturenames):
        shared: Api = request.getfixturevalue(name)
        with psycopg.connect(shared.db_url, autocommit=True) as connection:
            connection.execute("delete from auth.users")


@pytest.fixture
def place(make_database: Make) -> Iterator[tuple[Database, Api]]:
    """A new database with user rows, and the API that serves it."""
    database = make_database("applied")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(USER_ROWS)
    with serve_api(database.server, database.name) as api:
        yield database, api


def test_sql_and_http_agree_on_every_cell_that_can_be_sent(api: Api, cli: Run) -> None:
    ran = cli(
        "verify",
        "--json",
        "--only",
        "access",
        "--api-url",
        api.url,
        "--db-url",
        api.db_url,
        **environ(api),
    )
    assert (ran.code, ran.json["findings"]) == (0, [])
    grids = {grid["title"]: grid for grid in ran.json["matrix"]}
    sent = 0
    for title in [title for title in grids if title.endswith(" (API)")]:
        in_sql = {
            row["identity"]: row["outcomes"] for row in grids[title.removesuffix(" (API)")]["rows"]
        }
        for row in grids[title]["rows"]:
            for action, outcome in row["outcomes"].items():
                assert outcome == in_sql[row["identity"]][action]
                sent += 1
    assert sent >= 200
    in_sql_cells = sum(
        len(row["outcomes"])
        for title, grid in grids.items()
        if "(API)" not in title
        for row in grid["rows"]
    )
    declared = ran.json["summary"]["checks"] - sent - in_sql_cells
    assert 20 < declared < 40  # privileges and exposed schemas, which are not cells
    assert marked_rows(api.db_url) == 0


def test_other_rows_stay_unchanged(place: tuple[Database, Api], cli: Run) -> None:
    database, api = place
    with psycopg.connect(database.url, autocommit=True) as connection:
        before = connection.execute(ALL_ROWS).fetchone()
        ran = cli(
            "verify",
            "--allow-remote",
            "--api-url",
            api.url,
            "--db-url",
            database.url,
            **environ(api),
        )
        assert (ran.code, connection.execute(ALL_ROWS).fetchone()) == (0, before)


def test_the_rows_are_those_that_constraints_and_sign_up_triggers_accept(
    place: tuple[Database, Api], cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, api = place
    send, committed = Sender.send, []
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "update public.async_jobs set url = 'https://youtube.com/watch?v=verify12345'"
        )
        connection.execute(named("jobs", "URLs of videos only"))
        connection.execute(named("sign_up", "an allow-list and a company's domain"))
        connection.execute(NAMED)

        def observed(*arguments: Any) -> Reply:
            committed.extend(
                connection.execute("select email from public.allowed_emails").fetchall()
            )
            return send(*arguments)

        monkeypatch.setattr(Sender, "send", observed)
        before = connection.execute(ALL_ROWS).fetchone()
        ran = cli(
            "verify",
            "--only",
            "access",
            "--allow-remote",
            "--api-url",
            api.url,
            "--db-url",
            database.url,
            **environ(api),
        )
        assert ran.code == 0, ran.out
        assert committed == []  # a run that is killed leaves none
        assert connection.execute(ALL_ROWS).fetchone() == before
        assert connection.execute("select count(*) from public.allowed_emails").fetchone() == (0,)


def test_access_that_only_the_api_allows_is_an_error(place: tuple[Database, Api], cli: Run) -> None:
    """A pre-request function sets the role service_role for every request; policies and grants are
    unchanged.
    """
    database, api = place
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.before_request() returns void language plpgsql as"
            " $$ begin perform set_config('role', 'service_role', true); end $$"
        )
        connection.execute(
            psycopg.sql.SQL(
                "alter role authenticator in database {} set pgrst.db_pre_request ="
                " 'public.before_request'"
            ).format(psycopg.sql.Identifier(database.name))
        )
        connection.execute("notify pgrst, 'reload config'")
        connection.execute("notify pgrst, 'reload schema'")
    deadline = time.monotonic() + 30
    words = (
        "verify",
        "--json",
        "--only",
        "access",
        "--allow-remote",
        "--api-url",
        api.url,
        "--db-url",
        database.url,
    )
    while (ran := cli(*words, **environ(api))).code != 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ran.code == 1
    messages = [f["message"] for f in ran.json["findings"]]
    assert (
        "guest, another guest's job: select is rows through the API, and hidden in SQL" in messages
    )
    in_sql = [f["id"] for f in ran.json["findings"] if not f["object"].endswith(" (API)")]
    assert in_sql == [
        "access:public.before_request():reach",
        "access:public.before_request:before requests",
    ]
    assert marked_rows(database.url) == 0


def test_an_api_of_another_database_is_refused(one_api: Api, applied_url: str, cli: Run) -> None:
    ran = cli(
        "verify",
        "--only",
        "access",
        "--api-url",
        one_api.url,
        "--db-url",
        applied_url,
        **environ(one_api),
    )
    assert ran.code == 2
    assert "does not show service_role a row of public.async_jobs that was just inserted" in ran.err
    assert marked_rows(applied_url) == 0


@pytest.mark.parametrize(
    "name", ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET"]
)
@pytest.mark.parametrize("wrong", ["", "wrong" * 10], ids=["missing", "wrong"])
def test_a_missing_or_wrong_key_is_refused(one_api: Api, cli: Run, name: str, wrong: str) -> None:
    keys = environ(one_api) | {name: wrong}
    ran = cli(
        "verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url, **keys
    )
    assert ran.code == 2
    assert (f"{name} is not set" if not wrong else "refuses the key or the token") in ran.err
    assert not any(key in ran.err + ran.out for key in environ(one_api).values())
    assert marked_rows(one_api.db_url) == 0


@contextmanager
def answering(status: int, content_type: str, body: str) -> Iterator[str]:
    """The URL of a server that answers every request the same."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = body.replace("$APIKEY", self.headers["apikey"]).encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", "<h1>404 Not\n Found</h1>"),
        ("application/json", "{}"),
        ("application/json", '{"message": "no Route matched", "apikey": "$APIKEY"}'),
        (
            "application/json",
            '{"code": "PGRST125", "message": "Invalid path specified in request URL"}',
        ),
        (
            "application/json",
            '{"code": "PGRST205", "message": "Could not find the table in the schema cache"}',
        ),
        ("text/plain", "x" * 10_000),
        ("text/plain", ""),
    ],
    ids=["html", "empty document", "key", "PGRST125", "PGRST205", "long", "empty"],
)
def test_an_api_without_the_table_is_a_configuration_error(
    one_api: Api, cli: Run, content_type: str, body: str
) -> None:
    with answering(404, content_type, body) as url:
        ran = cli(
            "verify",
            "--only",
            "access",
            "--api-url",
            url,
            "--db-url",
            one_api.db_url,
            **environ(one_api),
        )
    assert ran.code == 2
    assert f"GET {url}/rest/v1/async_jobs?select=" in ran.err
    [line] = [line for line in ran.err.splitlines() if line.startswith("error")]
    assert "404" in line
    assert " ".join(body.replace("$APIKEY", "***").split())[:200] in line
    assert len(line) < 600
    assert ("notify pgrst, 'reload schema'" in ran.err) is ("PGRST205" in body)
    assert not any(key in ran.err + ran.out for key in environ(one_api).values())
    assert marked_rows(one_api.db_url) == 0


def test_another_code_of_a_404_is_an_outcome(one_api: Api, cli: Run) -> None:
    """Such as a table that does not exist in the database of the API."""
    with answering(404, "application/json", '{"code": "42P01", "message": "no table"}') as url:
        ran = cli(
            "verify",
            "--only",
            "access",
            "--api-url",
            url,
            "--db-url",
            one_api.db_url,
            **environ(one_api),
        )
    assert ran.code == 2
    assert "was just inserted in this database: 42P01" in ran.err


def test_a_bare_postgrest_is_a_configuration_error(one_api: Api, cli: Run) -> None:
    """It serves the tables at its root: there is no /rest/v1."""
    url = one_api.info.postgrest_url
    ran = cli(
        "verify",
        "--only",
        "access",
        "--api-url",
        url,
        "--db-url",
        one_api.db_url,
        **environ(one_api),
    )
    assert ran.code == 2
    assert f"GET {url}/rest/v1/async_jobs?select=" in ran.err
    assert "/rest/v1" in ran.err.split("hint")[-1]
    assert marked_rows(one_api.db_url) == 0


def test_an_api_that_does_not_answer_is_a_connection_error(one_api: Api, cli: Run) -> None:
    ran = cli(
        "verify",
        "--only",
        "access",
        "--api-url",
        "http://127.0.0.1:1",
        "--db-url",
        one_api.db_url,
        **environ(one_api),
    )
    assert ran.code == 7
    assert "the API does not answer" in ran.err
    assert marked_rows(one_api.db_url) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--api-url", "https://abc.example"], "abc.example is not a local machine"),
        (["--api-url", "http://127.0.0.1:1/rest/v1"], "is not the URL of a project's API"),
        (["--api-url", "ftp://127.0.0.1"], "is not the URL of a project's API"),
        (["--api-url", "http://:secret@127.0.0.1:1"], "is not the URL of a project's API"),
        (["--api-url", "http://127.0.0.1:99999"], "is not the URL of a project's API"),
        (["--api-url", "http://127.0.0.1:1", "--only", "structure"], "leaves out"),
        (["--api-url"], "no target API"),
        (
            ["--api-url", "http://127.0.0.1:1", "--db-url", "postgresql://db.example/x"],
            "is not an embedded server",
        ),
    ],
)
def test_invalid_options_are_refused_before_any_request(
    one_api: Api, cli: Run, words: list[str], message: str
) -> None:
    ran = cli("--db-url", one_api.db_url, "verify", *words, **environ(one_api))
    assert ran.code == 2
    assert message in ran.err
    assert "secret" not in ran.err


def test_line_ends_of_keys_are_stripped(one_api: Api, cli: Run) -> None:
    keys = {name: f"{key}\r\n" for name, key in environ(one_api).items()}
    ran = cli(
        "verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url, **keys
    )
    assert ran.code == 0
    assert not any(key in ran.err + ran.out for key in environ(one_api).values())


def test_proxies_are_not_used_for_a_local_api(one_api: Api, cli: Run) -> None:
    proxies = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "socks5://127.0.0.1:1"}
    ran = cli(
        "verify",
        "--only",
        "access",
        "--api-url",
        one_api.url,
        "--db-url",
        one_api.db_url,
        **environ(one_api),
        **proxies,
    )
    assert ran.code == 0


def test_a_second_run_at_the_same_time_is_refused(one_api: Api, cli: Run) -> None:
    with psycopg.connect(one_api.db_url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (marked_ids.LOCK_KEY,))
        ran = cli(
            "verify",
            "--only",
            "access",
            "--api-url",
            one_api.url,
            "--db-url",
            one_api.db_url,
            **environ(one_api),
        )
    assert ran.code == 5
    assert "another verify" in ran.err


@contextmanager
def started_run(database: Database, api: Api, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has inserted its first rows."""
    words = [
        "verify",
        "--only",
        "access",
        "--allow-remote",
        "--api-url",
        api.url,
        "--db-url",
        database.url,
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "supabase_jobs", *words],
        cwd=cwd,
        env={**os.environ, **environ(api)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        deadline = time.monotonic() + 30
        while not marked_rows(database.url):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process


def test_the_next_run_cleans_up_after_a_killed_run(
    place: tuple[Database, Api], cli: Run, tmp_path: Path
) -> None:
    database, api = place
    with psycopg.connect(database.url, autocommit=True) as connection:
        before = connection.execute(ALL_ROWS).fetchone()
        with started_run(database, api, tmp_path) as process:
            process.kill()
        assert marked_rows(database.url) > 0
        ran = cli(
            "verify",
            "--only",
            "access",
            "--allow-remote",
            "--api-url",
            api.url,
            "--db-url",
            database.url,
            **environ(api),
        )
        assert (ran.code, connection.execute(ALL_ROWS).fetchone()) == (0, before)


def test_an_interrupt_that_closes_the_connection_leaves_no_row(
    place: tuple[Database, Api], cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the first request are there while those of the second are written."""
    database, api = place

    def interrupted(connection: Connection, _groups: object) -> None:
        assert marked_rows(database.url) > 0
        connection.pgconn.finish()
        raise KeyboardInterrupt

    monkeypatch.setattr(http, "run_groups", interrupted)
    words = ("--only", "access", "--allow-remote", "--api-url", api.url)
    ran = cli("verify", *words, "--db-url", database.url, **environ(api))
    assert (ran.code, "Traceback" in ran.err) == (130, False), ran.err
    assert marked_rows(database.url) == 0


def test_a_terminated_run_cleans_up(place: tuple[Database, Api], tmp_path: Path) -> None:
    database, api = place
    with started_run(database, api, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.communicate(timeout=30)[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert marked_rows(database.url) == 0


def test_a_missing_client_is_an_error_with_the_install_command(
    one_api: Api, cli_process: Run, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'httpx' else found(name,"
        " package)\n"
    )
    ran = cli_process(
        "verify",
        "--only",
        "access",
        "--api-url",
        one_api.url,
        "--db-url",
        one_api.db_url,
        PYTHONPATH=str(tmp_path),
        **environ(one_api),
    )
    assert ran.code == 2
    assert "pip install 'supabase-jobs[api]'" in ran.err


def test_the_local_api_needs_no_keys(cli: Run, tmp_path: Path) -> None:
    try:
        assert (
            cli(
                "local", "start", "--postgres", "16", "--api", "--postgrest-bin", str(postgrest())
            ).code
            == 0
        )
        assert cli("apply").code == 0
        ran = cli("verify", "--only", "access", "--api-url", "--all")
        assert ran.code == 0
        assert "public.async_jobs (API)" in ran.out
    finally:
        server.remove(tmp_path)


def test_marked_ids_differ_from_guest_ids() -> None:
    assert marked_ids.marked_id("guest").version == 8


CASES = {str(case.id): case for case in declared_cases(EXPECTATIONS).cases}
API_CELLS = {
    f"access:{http.api_title(matrix)}:{cell.cell.row.label}:{cell.cell.action.name}": cell
    for matrix in load().matrices
    for cell in api_cells(matrix)
}
CLIENT = SyncPostgrestClient("http://localhost:1/rest/v1")


def by_supabase_py(declared: DeclaredRequest, params: Mapping[str, str | None]) -> Any:
    """The request builder of supabase-py for the same request."""
    values = with_parameters(declared.values, params.__getitem__)
    response: dict[str, Any] = {"returning": ReturnMethod.representation}
    if not declared.returning:
        response = {"returning": ReturnMethod.minimal, "count": CountMethod.exact}
    table: Any = CLIENT.from_(declared.target)
    built: Any
    match declared.verb:
        case "rpc":
            built = CLIENT.rpc(declared.target, values)
        case "select":
            built = table.select(*declared.columns)
        case "insert":
            built = table.insert(values, **response)
        case "upsert":
            built = table.upsert(values, on_conflict=declared.on_conflict, **response)
        case "update":
            built = table.update(values, **response)
        case "delete":
            built = table.delete(**response)
    for column, value in with_parameters(declared.where, params.__getitem__).items():
        built = built.is_(column, "null") if value is None else built.eq(column, value)
    return built


def request_lines(id: str) -> list[str]:
    """The lines of the request in a case's script."""
    lines = [line.removeprefix("-- ") for line in CASES[id].sql.splitlines()]
    return lines[1 : lines.index("The outcome must be that of this SQL:")]


def headers(label: str, matrix: str = "public.async_jobs", action: str = "select") -> list[str]:
    """The header lines of a request."""
    return request_lines(f"access:{matrix} (API):{label}:{action}")[1:]


def test_every_cell_that_can_be_sent_has_a_case() -> None:
    assert len(API_CELLS) > 300
    assert {id for id in CASES if " (API):" in id} == set(API_CELLS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_shows_the_request_that_the_client_sends(verb: str) -> None:
    cells = {id: cell for id, cell in API_CELLS.items() if cell.declared.verb == verb}
    assert cells
    for id, cell in cells.items():
        params = {
            name: None if bind == NULL else f"${bind}" for name, bind in cell.cell.row.binds.items()
        }
        sent = by_supabase_py(cell.declared, params).request
        first, *lines = request_lines(id)
        method, _, address = first.partition(" ")
        path, _, query = address.partition("?")
        assert (method, path) == (sent.http_method, sent.path.path)
        assert sorted(parse_qsl(query)) == sorted(
            p for p in sent.params.multi_items() if p[0] != "columns"
        )
        prefer = [line.removeprefix("Prefer: ") for line in lines if line.startswith("Prefer: ")]
        assert set(",".join(prefer).split(",")) - {""} == set(
            sent.headers.get("prefer", "").split(",")
        ) - {""}
        body = [json.loads(line) for line in lines if line.startswith("{")]
        assert body == ([sent.json] if sent.json else [])


def test_null_is_a_filter_with_is() -> None:
    id = "access:public.async_jobs (API):guest, its own job:select"
    cell = replace(
        API_CELLS[id], declared=DeclaredRequest("select", "things", where={"owner": "$own_user"})
    )
    assert "-- GET /rest/v1/things?select=*&owner=is.null\n" in api_case(cell, CASES[id], {}).sql


def test_a_script_shows_the_headers_of_the_identity() -> None:
    anon = "apikey: $SUPABASE_ANON_KEY"
    assert headers("guest, its own job") == [anon, "x-guest-id: $guest_a"]
    assert headers("guest, header in caps", "public.async_jobs, odd requests") == [
        anon,
        "X-GUEST-ID: $guest_a",
    ]
    assert headers("user, its own job") == [
        anon,
        'Authorization: Bearer (a token with the claims {"sub": "$user_a", "role": "authenticated"})',
    ]
    assert headers("service_role, user's job") == ["apikey: $SUPABASE_SERVICE_ROLE_KEY"]


def test_explain_prints_the_request_and_the_sql_that_it_is_compared_with() -> None:
    def connect() -> None:
        raise ConfigError("no database is needed")

    id = "access:public.async_jobs (API):guest, its own job:take over"
    explanation = explain(id, EXPECTATIONS, connect)  # type: ignore[arg-type]
    assert (explanation.id, explanation.object) == (id, "public.async_jobs (API)")
    assert "-- PATCH /rest/v1/async_jobs?id=eq.$job_guest_a\n" in explanation.sql
    assert "update public.async_jobs set guest_id" in explanation.sql
    assert "insert into public.async_jobs" in explanation.sql.partition("-- PATCH")[0]
