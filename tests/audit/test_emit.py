"""`audit --emit`: the generated suites pass where the access is the same, fail where it is not, and
are stable.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.migrations.extensions import prepare
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.audit.catalogue import PROJECTS
from tests.fix_cli import Run
from tests.fix_db import Database, session_copy
from tests.programs import PYTEST, unavailable

pytestmark = pytest.mark.slow

Build = Callable[[], Database]
EMIT = ("audit", "--call-functions", "--emit", "pgtap", "tap", "--emit", "pytest", "py")


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Each call makes a database with the migrations of the project of the parameter, and pgTAP."""
    made: list[Database] = []
    files = MigrationFiles(load_migrations(PROJECTS / request.param / "supabase" / "migrations"))

    def new() -> Database:
        database = session_copy(request, f"emit_{len(made)}", "services", 17)
        made.append(database)
        with connect(database.superuser_url) as superuser:
            prepared = prepare(superuser, files)
            superuser.execute("create extension if not exists pgtap")
        with connect(database.url) as connection:
            apply_pending(connection, prepared.files)
        return database

    yield new
    for database in made:
        database.server.drop(database.name)


def pg_prove(url: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Run pgTAP files, or the files of a folder."""
    if shutil.which("pg_prove") is None:
        unavailable("pg_prove is not installed (libtap-parser-sourcehandler-pgtap-perl)")
    command = ["pg_prove", "--ext", ".sql", "-d", url, *map(str, files)]
    options = os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}
    return subprocess.run(
        command, env=options, capture_output=True, text=True, timeout=120, check=False
    )


def run_pytest(url: str, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run modules of a folder."""
    options = os.environ | {"SUPABASE_DB_URL": url}
    return subprocess.run(
        [*PYTEST, "-W", "error", *names],
        cwd=folder,
        env=options,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def texts(folder: Path) -> dict[str, str]:
    """Name → text of the files of a folder."""
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}


# a private channel of Realtime for the owner of a folder
CHANNEL = """
create policy "owners: receive" on realtime.messages for select to authenticated using (
  exists (select from public.folders as f where 'folder:' || f.id = realtime.topic() and f.owner_id = auth.uid())
)
"""


# storage, functions and columns kept by triggers
@pytest.mark.parametrize("build", ["drive"], indirect=True)
def test_suites_pass_on_their_database_and_on_another_of_the_same_migrations(
    build: Build, cli: Run, tmp_path: Path
) -> None:
    database, other = build(), build()
    for each in (database, other):
        with connect(each.url) as connection:
            connection.execute(CHANNEL.encode())
    ran = cli(*EMIT, "--db-url", database.url)
    assert ran.code == 0, ran.err
    channels = (tmp_path / "tap" / "access_realtime_messages.sql").read_text()
    assert "'owner on folder:{folders.id} can receive broadcast messages'" in channels
    assert "'stranger on folder:{folders.id} cannot receive broadcast messages'" in channels
    for url in (database.url, other.url):
        proved = pg_prove(url, tmp_path / "tap")
        assert proved.returncode == 0, proved.stdout + proved.stderr
    names = [
        f"test_access_{name}.py" for name in ("functions", "storage_objects", "realtime_messages")
    ]  # they have tests of every kind
    tested = run_pytest(other.url, tmp_path / "py", *names)
    assert tested.returncode == 0, tested.stdout[-2000:]
    with psycopg.connect(other.url) as connection:
        assert connection.execute("select count(*) from auth.users").fetchone() == (0,)


# names and values that need quotes; a function returns a time, which differs in each run
ODD = """
create table public."Odd ""Table's" (
  id bigserial primary key,
  "User Id" uuid not null default auth.uid() references auth.users,
  "select" text not null,
  "it's $$" text default 'a$$b',
  at timestamp default now(),
  token text not null default encode(extensions.gen_random_bytes(12), 'hex')
);
alter table public."Odd ""Table's" enable row level security;
create policy "own's" on public."Odd ""Table's" for all to authenticated using ("User Id" = auth.uid());
create table public.odd_table_s (id int primary key, v text);
create function public."F x"("User Id" uuid) returns setof public."Odd ""Table's" language sql security definer
as $$ select * from public."Odd ""Table's" where "User Id" = $1 $$;
"""


# headers, partitions and random keys; files of Storage
@pytest.mark.parametrize("build", ["api_keys", "drive"], indirect=True)
def test_suites_are_the_same_each_time(build: Build, cli: Run, tmp_path: Path) -> None:
    database = build()
    with connect(database.url) as connection:
        connection.execute(ODD.encode())
    assert cli(*EMIT, "--db-url", database.url).code == 0
    assert {"access_odd_table_s.sql", "access_odd_table_s_2.sql"} < texts(tmp_path / "tap").keys()
    first = texts(tmp_path / "tap"), texts(tmp_path / "py")
    assert cli(*EMIT, "--db-url", database.url).code == 0  # its sequences have advanced
    assert (texts(tmp_path / "tap"), texts(tmp_path / "py")) == first
    proved = pg_prove(database.url, tmp_path / "tap")
    assert proved.returncode == 0, proved.stdout + proved.stderr


@pytest.mark.parametrize("build", ["todos"], indirect=True)
def test_a_change_of_access_fails_the_test_that_states_it(
    build: Build, cli: Run, tmp_path: Path
) -> None:
    database = build()
    assert cli(*EMIT, "--db-url", database.url).code == 0
    with connect(database.url) as connection:
        connection.execute(
            'create policy "everyone" on public.lists for select to authenticated using (true)'
        )
        connection.execute("revoke truncate on public.todos from anon")
        connection.execute("revoke update on public.todos from authenticated")
        connection.execute("grant update (title) on public.todos to authenticated")
    proved = pg_prove(
        database.url, tmp_path / "tap" / "access_lists.sql", tmp_path / "tap" / "access_todos.sql"
    )
    lines = [
        line
        for line in (proved.stdout + proved.stderr).splitlines()
        if line.startswith("# Failed test")
    ]
    failed = {line.partition('"')[2].rpartition('"')[0] for line in lines}
    assert {title for title in failed if "lists" in title} == {
        "newcomer cannot read a row of another in lists",
        "stranger cannot read a row of another in lists",
    }
    assert failed >= {
        "anon may truncate todos",
        "authenticated may update created_at, done, due_on, id, list_id, notes, priority, title of"
        " todos",
    }


@pytest.mark.parametrize("build", ["billing"], indirect=True)
def test_a_trigger_that_inserts_no_row_fails_a_test(build: Build, cli: Run, tmp_path: Path) -> None:
    """A suite inserts only the rows that no trigger inserts."""
    database = build()
    assert cli(*EMIT, "--db-url", database.url).code == 0
    suite = tmp_path / "tap" / "access_users.sql"
    assert pg_prove(database.url, suite).returncode == 0
    with connect(database.url) as connection:
        connection.execute(
            "create or replace function public.handle_new_user() returns trigger language plpgsql"
            " as $$ begin return new; end $$"
        )
    assert pg_prove(database.url, suite).returncode == 1


@pytest.mark.parametrize("build", ["todos"], indirect=True)
def test_another_file_is_not_replaced_and_nothing_is_written(
    build: Build, cli: Run, tmp_path: Path
) -> None:
    mine = tmp_path / "tap" / "access_todos.sql"
    mine.parent.mkdir()
    mine.write_text("-- mine\n")
    ran = cli(*EMIT, "--db-url", build().url)
    assert ran.code == 2
    assert (
        f"{Path('tap', 'access_todos.sql')} exists, and supabase-jobs did not write it" in ran.err
    )
    assert texts(tmp_path / "tap") == {"access_todos.sql": "-- mine\n"}


def test_emit_of_a_part_is_refused(cli: Run) -> None:
    ran = cli(*EMIT, "--table", "public.todos", "--db-url", "postgresql://postgres@localhost:1/x")
    assert ran.code == 2
    assert "--emit needs the whole project" in ran.err
