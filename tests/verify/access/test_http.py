"""`verify --api-url`: the matrix through the real PostgREST, compared with SQL, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.local import server
from supabase_jobs.verify.access import http
from supabase_jobs.verify.access.http import FIRST, LAST
from tests.fix_api import Api, serve_api
from tests.fix_cli import Run
from tests.fix_db import Database, Make
from tests.parts import postgrest

ALL = """
select md5(coalesce(string_agg(x, '' order by x), '')) from (
  select t::text as x from public.async_jobs as t union all
  select t::text from public.guest_users as t union all
  select t::text from auth.users as t
) as rows
"""
MARKED = """
select count(*) from (
  select id from public.async_jobs union all select guest_id from public.guest_users union all select id from auth.users
) as x where id between %s and %s
"""
THEIRS = """
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


def marked(url: str) -> int:
    """How many rows bear the mark of a run."""
    with psycopg.connect(url) as connection:
        [count] = connection.execute(MARKED, (FIRST, LAST)).fetchone() or [0]
        return int(count)


@pytest.fixture
def place(make_database: Make) -> Iterator[tuple[Database, Api]]:
    """A database of this test's own with some rows of others, and the API that serves it."""
    database = make_database("applied")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(THEIRS)
    with serve_api(database.server, database.name) as api:
        yield database, api


def test_sql_and_http_agree_on_every_cell_that_can_be_sent(api: Api, cli: Run) -> None:
    ran = cli("verify", "--json", "--only", "access", "--api-url", api.url, "--db-url", api.db_url, **environ(api))
    assert (ran.code, ran.json["findings"]) == (0, [])
    grids = {grid["title"]: grid for grid in ran.json["matrix"]}
    asked = 0
    for title in [title for title in grids if title.endswith(" (API)")]:
        in_sql = {row["identity"]: row["outcomes"] for row in grids[title.removesuffix(" (API)")]["rows"]}
        for row in grids[title]["rows"]:
            for action, outcome in row["outcomes"].items():
                assert outcome == in_sql[row["identity"]][action]
                asked += 1
    assert asked >= 200
    tried = sum(len(row["outcomes"]) for title, grid in grids.items() if "(API)" not in title for row in grid["rows"])
    declared = ran.json["summary"]["checks"] - asked - tried
    assert 20 < declared < 40  # privileges, and the schemas that the API serves: no cells
    assert marked(api.db_url) == 0


def test_rows_of_others_stay_as_they_are(place: tuple[Database, Api], cli: Run) -> None:
    database, api = place
    with psycopg.connect(database.url, autocommit=True) as connection:
        before = connection.execute(ALL).fetchone()
        ran = cli("verify", "--api-url", api.url, "--db-url", database.url, **environ(api))
        assert (ran.code, connection.execute(ALL).fetchone()) == (0, before)


def test_what_only_the_api_lets_through_is_found(place: tuple[Database, Api], cli: Run) -> None:
    """Policies and grants are sound, but a function that PostgREST calls first makes everybody the service."""
    database, api = place
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.before_request() returns void language plpgsql as"
            " $$ begin perform set_config('role', 'service_role', true); end $$"
        )
        connection.execute(
            psycopg.sql.SQL(
                "alter role authenticator in database {} set pgrst.db_pre_request = 'public.before_request'"
            ).format(psycopg.sql.Identifier(database.name))
        )
        connection.execute("notify pgrst, 'reload config'")
        connection.execute("notify pgrst, 'reload schema'")
    deadline = time.monotonic() + 10
    words = ("verify", "--json", "--only", "access", "--api-url", api.url, "--db-url", database.url)
    while (ran := cli(*words, **environ(api))).code != 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ran.code == 1
    messages = [f["message"] for f in ran.json["findings"]]
    assert "guest, another guest's job: select is rows through the API, and hidden in SQL" in messages
    assert all(f["object"].endswith(" (API)") for f in ran.json["findings"])
    assert marked(database.url) == 0


def test_an_api_of_another_database_is_told(one_api: Api, applied_url: str, cli: Run) -> None:
    ran = cli("verify", "--only", "access", "--api-url", one_api.url, "--db-url", applied_url, **environ(one_api))
    assert ran.code == 2
    assert "does not show the service a row of public.async_jobs that was just planted" in ran.err
    assert marked(applied_url) == 0


@pytest.mark.parametrize("name", ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET"])
@pytest.mark.parametrize("wrong", ["", "wrong" * 10], ids=["missing", "wrong"])
def test_a_key_that_is_missing_or_refused(one_api: Api, cli: Run, name: str, wrong: str) -> None:
    keys = environ(one_api) | {name: wrong}
    ran = cli("verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url, **keys)
    assert ran.code == 2
    assert (f"{name} is not set" if not wrong else "refuses the key or the token") in ran.err
    assert not any(key in ran.err + ran.out for key in environ(one_api).values())
    assert marked(one_api.db_url) == 0


def test_nobody_answers(one_api: Api, cli: Run) -> None:
    ran = cli(
        "verify", "--only", "access", "--api-url", "http://127.0.0.1:1", "--db-url", one_api.db_url, **environ(one_api)
    )
    assert ran.code == 7
    assert "the API does not answer" in ran.err
    assert marked(one_api.db_url) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--api-url", "https://abc.example"], "abc.example is not a local machine"),
        (["--api-url", "http://127.0.0.1:1/rest/v1"], "is not the URL of a project's API"),
        (["--api-url", "ftp://127.0.0.1"], "is not the URL of a project's API"),
        (["--api-url", "http://:secret@127.0.0.1:1"], "is not the URL of a project's API"),
        (["--api-url", "http://127.0.0.1:99999"], "is not the URL of a project's API"),
        (["--api-url", "http://127.0.0.1:1", "--only", "structure"], "leaves out"),
        (["--api-url"], "no target API"),
        (["--api-url", "http://127.0.0.1:1", "--db-url", "postgresql://db.example/x"], "is not a local database"),
    ],
)
def test_what_is_refused_before_anything_is_asked(one_api: Api, cli: Run, words: list[str], said: str) -> None:
    ran = cli("--db-url", one_api.db_url, "verify", *words, **environ(one_api))
    assert ran.code == 2
    assert said in ran.err
    assert "secret" not in ran.err


def test_a_key_with_a_line_end_is_sent_without_it(one_api: Api, cli: Run) -> None:
    keys = {name: f"{key}\r\n" for name, key in environ(one_api).items()}
    ran = cli("verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url, **keys)
    assert ran.code == 0
    assert not any(key in ran.err + ran.out for key in environ(one_api).values())


def test_no_proxy_comes_between(one_api: Api, cli: Run) -> None:
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


def test_two_runs_at_once(one_api: Api, cli: Run) -> None:
    with psycopg.connect(one_api.db_url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (http._LOCK_KEY,))
        ran = cli(
            "verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url, **environ(one_api)
        )
    assert ran.code == 5
    assert "another verify" in ran.err


@contextmanager
def half_way(database: Database, api: Api, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has just planted its first rows."""
    words = ["verify", "--only", "access", "--api-url", api.url, "--db-url", database.url]
    with subprocess.Popen(
        [sys.executable, "-m", "supabase_jobs", *words], cwd=cwd, env={**os.environ, **environ(api)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 30
        while not marked(database.url) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process


def test_killed_half_way_the_next_run_cleans_up(place: tuple[Database, Api], cli: Run, tmp_path: Path) -> None:
    database, api = place
    with psycopg.connect(database.url, autocommit=True) as connection:
        before = connection.execute(ALL).fetchone()
        with half_way(database, api, tmp_path) as process:
            process.kill()
        assert marked(database.url) > 0
        ran = cli("verify", "--only", "access", "--api-url", api.url, "--db-url", database.url, **environ(api))
        assert (ran.code, connection.execute(ALL).fetchone()) == (0, before)


def test_stopped_half_way_it_cleans_up_itself(place: tuple[Database, Api], tmp_path: Path) -> None:
    database, api = place
    with half_way(database, api, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.communicate(timeout=30)[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert marked(database.url) == 0


def test_without_the_client_it_says_what_to_install(one_api: Api, cli: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'supabase' else found(name, package)\n"
    )
    ran = cli(
        "verify", "--only", "access", "--api-url", one_api.url, "--db-url", one_api.db_url,
        PYTHONPATH=str(tmp_path), **environ(one_api),
    )  # fmt: skip
    assert ran.code == 2
    assert "pip install 'supabase-jobs[api]'" in ran.err


def test_the_local_api_needs_no_keys(cli: Run, tmp_path: Path) -> None:
    try:
        assert cli("local", "start", "--api", "--postgrest-bin", str(postgrest())).code == 0
        assert cli("apply").code == 0
        ran = cli("verify", "--only", "access", "--api-url")
        assert ran.code == 0
        assert "public.async_jobs (API)" in ran.out
    finally:
        server.remove(tmp_path)
