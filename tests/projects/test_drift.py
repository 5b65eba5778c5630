"""`drift`: what a database has more and less than its migrations, and what that changes in access."""

import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from benchmarks.distance import distance
from supabase_jobs.database.connection import connect
from supabase_jobs.local.platform import load_services
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.projects import catalog
from supabase_jobs.projects.catalog import Facts, read_facts
from supabase_jobs.projects.drift import compare, printed_otherwise
from supabase_jobs.projects.migrated import apply_to
from supabase_jobs.projects.narration import SILENT
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.fix_cli import Run, SupabaseCli
from tests.fix_cron import Cron
from tests.fix_db import Database, Make
from tests.migrations.helpers import write
from tests.programs import DEFAULT_MAJOR, find
from tests.projects.conftest import PROJECT
from tests.round_trips import traced

PROJECTS = Path(__file__).parents[1] / "data" / "projects"
NAMES = sorted(path.name for path in PROJECTS.iterdir())
FILE = "20240101000000_todos.sql"


def project(tmp_path: Path, name: str = "todos") -> Path:
    there = tmp_path / name
    shutil.copytree(PROJECTS / name / "supabase", there / "supabase")
    return there


def applied(make_database: Make, there: Path, major: int = DEFAULT_MAJOR) -> Database:
    database = make_database("services", major)
    files = MigrationFiles(load_migrations(there / "supabase" / "migrations"))
    with connect(database.url) as connection:
        apply_to(connection, database.superuser_url, files, SILENT)
    return database


def run_sql(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def test_drift_classifies_each_difference_by_access(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    url = applied(make_database, there).url
    run_sql(
        url,
        "create policy everybody on public.todos for select to anon using (true);"
        "comment on table public.todos is 'changed';"
        "create index by_hand on public.todos (title);",
    )
    ran = cli("drift", "--json", "--exit-code", "--db-url", url, cwd=there)
    assert ran.code == 4, ran.err
    found = {f["id"]: f for f in ran.json["findings"]}
    assert list(found) == [
        "drift:public.todos:policy:everybody",
        "drift:public.todos:index:by_hand",
        "drift:public.todos:comment",
    ]
    policy, index, comment = found.values()
    assert [f["severity"] for f in found.values()] == ["error", "warning", "info"]
    assert any("anon can now read public.todos" in c["message"] for c in policy["access"])
    assert index["access"] == comment["access"] == []
    assert policy["restore"] == "drop policy everybody on public.todos;"
    assert {f["untried"] for f in found.values()} == {None}
    for finding in found.values():
        run_sql(url, finding["restore"])
    again = cli("drift", "--json", "--exit-code", "--no-access", "--db-url", url, cwd=there)
    assert (again.code, again.json["findings"]) == (0, [])


def test_the_captures_of_drift_are_a_migration(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    url = applied(make_database, there).url
    run_sql(url, "alter table public.todos add column due date; drop policy if exists x on todos;")
    ran = cli("drift", "--json", "--no-access", "--db-url", url, cwd=there)
    assert (ran.code, ran.json["ok"]) == (0, False)
    text = "".join(f"{finding['capture']}\n" for finding in ran.json["findings"])
    write(there / "supabase" / "migrations", "20990101000000_captured.sql", text)
    assert cli("adopt", "--yes", "--db-url", url, cwd=there).code == 0
    assert cli("drift", "--exit-code", "--no-access", "--db-url", url, cwd=there).code == 0


@pytest.mark.slow
def test_remote_only_rows_and_renamed_files_belong_to_the_migrations(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    url = applied(make_database, there).url
    run_sql(
        url,
        "create table public.remote (id bigint);"
        "insert into supabase_migrations.schema_migrations values"
        " ('20250101000000', array['create table public.remote (id bigint)'], 'remote');"
        "update supabase_migrations.schema_migrations set version = '20240202000000'"
        " where name = 'todos';",
    )
    write(there / "supabase/migrations", "20990101000000_later.sql", "create table later ();")
    ran = cli("drift", "--json", "--no-access", "--db-url", url, cwd=there)
    assert ran.json["findings"] == [], ran.out
    assert "left out, because they are not applied: 20990101000000" in ran.err


def test_drift_only_reads_and_needs_few_round_trips(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    database = applied(make_database, there)
    run_sql(database.url, "create table public.extra (id bigint)")
    run_sql(
        database.superuser_url,
        f"alter database {database.name} set default_transaction_read_only = on",
    )
    with traced() as connections:
        ran = cli("drift", "--json", "--db-url", database.url, cwd=there)
        trips = [c.round_trips for c in connections if c.database == database.name]
    assert len(ran.json["findings"]) == 1
    assert sum(trips) <= 15 - 5  # opening the connection takes up to five


@pytest.mark.slow
def test_a_hosted_project_whose_switch_expose_new_tables_is_off_has_no_drift(
    request: pytest.FixtureRequest, tmp_path: Path, cli: Run
) -> None:
    """An embedded server of its own: default privileges belong to the platform of the database."""
    there = project(tmp_path)
    bare: Database = request.getfixturevalue(f"bare_{DEFAULT_MAJOR}")
    bare.server.create("switched_off", bare.name)
    try:
        database = Database(bare.server, "switched_off")
        load_services(database.superuser_url)
        with connect(database.url) as connection:
            files = MigrationFiles(load_migrations(there / "supabase/migrations"))
            apply_pending(connection, files)
        ran = cli("drift", "--json", "--no-access", "--db-url", database.url, cwd=there)
        assert ran.json["findings"] == [], ran.out
    finally:
        bare.server.drop("switched_off")


# -------------------------------------------------------------------------------------------------
# no finding on an unmodified database


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "tenants" else [pytest.mark.slow]) for n in NAMES]
)
def test_an_unmodified_example_project_has_no_drift(
    name: str, make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path, name)
    url = applied(make_database, there).url
    ran = cli("drift", "--json", "--exit-code", "--no-access", "--db-url", url, cwd=there)
    assert (ran.code, ran.json["findings"]) == (0, [])


@pytest.mark.slow
def test_buckets_of_the_configuration_are_no_drift(
    make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    url = applied(make_database, there).url
    (there / "supabase" / "config.toml").write_text("[storage.buckets.images]\npublic = true\n")
    run_sql(url, "insert into storage.buckets (id, name) values ('images', 'images'), ('x', 'x')")
    ran = cli("drift", "--json", "--no-access", "--db-url", url, cwd=there)
    assert [f["id"] for f in ran.json["findings"]] == ["drift:x:bucket"]


def test_the_packaged_migrations_have_no_drift_without_pg_cron(
    applied_url: str, files: Path, cli: Run, embedded: None
) -> None:
    words = ("--migrations", str(files), "--db-url", applied_url)
    ran = cli("drift", "--json", "--no-access", *words)
    assert ran.json["findings"] == []


def dumped(database: Database, major: int) -> str:
    """The database as pg_dump of a major version writes it, without the extensions that only
    stand-ins on its server are, and with their jobs.
    """
    folder = find(major)
    assert folder is not None
    ran = subprocess.run(
        [folder / "pg_dump", "--dbname", database.superuser_url],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in ran.stdout.splitlines() if not line.startswith("CREATE EXTENSION")]
    with psycopg.connect(database.url) as connection:
        jobs = connection.execute(
            "select format('select cron.schedule(%L, %L, %L);', jobname, schedule, command)"
            " from cron.job"
        ).fetchall()
    return "\n".join([*lines, *(str(job) for (job,) in jobs), ""])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tenants", "everything"])
def test_a_project_that_was_pushed_and_upgraded_has_no_drift(
    name: str,
    request: pytest.FixtureRequest,
    make_database: Make,
    tmp_path: Path,
    supabase: SupabaseCli,
) -> None:
    """Pushed by the Supabase CLI to 15, dumped and restored into 17: no finding on either."""
    if name == "everything":
        there = tmp_path / name
        (there / "supabase" / "migrations").mkdir(parents=True)
        (there / "supabase" / "config.toml").write_text('project_id = "everything"\n')
        write(
            there / "supabase" / "migrations", "20260101000000_everything.sql", PROJECT.read_text()
        )
    else:
        there = project(tmp_path, name)
    files = MigrationFiles(load_migrations(there / "supabase" / "migrations"))
    pushed = make_database("services", 15)
    ran = supabase("db", "push", "--yes", "--include-all", url=pushed.url, cwd=there)
    assert ran.code == 0, ran.err
    assert left(pushed, expected(request, files, 15)) == []
    new: Database = request.getfixturevalue("services_17")
    server = new.server
    upgraded = Database(server, f"upgraded_{name}")
    server.create(upgraded.name, new.name)
    # a dump begins without default privileges, and sets them at its end
    run_sql(upgraded.superuser_url, "delete from pg_default_acl")
    psql = find(17)
    assert psql is not None
    restored = subprocess.run(
        [psql / "psql", "--quiet", "--dbname", upgraded.superuser_url],
        input=dumped(pushed, 17),
        text=True,
        capture_output=True,
        check=False,
    )
    try:
        assert left(upgraded, expected(request, files, 17)) == [], restored.stderr
    finally:
        server.drop(upgraded.name)


def expected(request: pytest.FixtureRequest, files: MigrationFiles, major: int) -> Database:
    """A database of the major version with the migrations."""
    template: Database = request.getfixturevalue(f"services_{major}")
    database = Database(template.server, f"expected_{major}")
    template.server.drop(database.name)
    template.server.create(database.name, template.name)
    with connect(database.url) as connection:
        apply_pending(connection, files)
    return database


def left(database: Database, built: Database) -> list[object]:
    with connect(database.url) as one, connect(built.url) as other:
        facts, wanted = read_facts(one), read_facts(other)
        return list(compare(facts, wanted, printed_otherwise(other, facts, wanted)))


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 17])
def test_an_extension_is_a_difference(
    major: int, drift_project: Callable[[int], tuple[Database, Facts]]
) -> None:
    database, wanted = drift_project(major)
    with psycopg.connect(database.superuser_url) as connection:
        connection.execute("create extension hstore with schema extensions")
        connection.execute("set local search_path = ''")
        [difference] = compare(catalog.read_facts_here(connection), wanted)
        assert difference.key == ("hstore", "extension", "")
        connection.execute(difference.restore.encode())
        connection.execute(difference.capture.encode())
        connection.rollback()


def test_the_changes_of_the_tests_cover_every_kind(
    drift_project: Callable[[int], tuple[Database, Facts]],
) -> None:
    _, facts = drift_project(DEFAULT_MAJOR)
    text = Path(__file__).with_name("drift").joinpath("changes.toml").read_text()
    tried = {change["key"][1] for change in tomllib.loads(text).values()}
    inline = {"owner", "composite type", "domain", "sequence", "not null", "default", "procedure"}
    assert {key[1] for key in facts} - tried - inline == set()


@pytest.mark.slow
def test_jobs_of_the_real_pg_cron_can_be_captured_and_restored(cron: Cron) -> None:
    cron.install()
    jobs = ("nightly", "0 3 * * *", "select 'it''s'"), ("off", "0 4 * * *", "select 1")
    with psycopg.connect(cron.url, autocommit=True) as connection:
        before = read_facts(connection)
        for job in jobs:
            connection.execute("select cron.schedule(%s, %s, %s)", job)
        connection.execute(
            "select cron.alter_job(jobid, active := false) from cron.job where jobname = 'off'"
        )
        after = read_facts(connection)
        found = compare(after, before)
        assert [d.key for d in found] == [("nightly", "cron job", ""), ("off", "cron job", "")]
        for difference in found:
            connection.execute(difference.restore.encode())
        assert compare(read_facts(connection), before) == []
        for difference in found:
            connection.execute(difference.capture.encode())
        assert compare(read_facts(connection), after) == []


@pytest.mark.slow
def test_drift_works_through_a_pooler(
    make_database: Make, tmp_path: Path, cli: Run, pooled: Callable[..., str], embedded: None
) -> None:
    there = project(tmp_path)
    url = applied(make_database, there).url
    run_sql(url, "comment on table public.todos is 'changed'")
    through = pooled(url, default_pool_size=1)
    ran = cli("drift", "--json", "--exit-code", "--no-access", "--db-url", through, cwd=there)
    assert (ran.code, [f["id"] for f in ran.json["findings"]]) == (
        4,
        ["drift:public.todos:comment"],
    )


PLANTED = """
comment on table public.todos is 'changed';
revoke delete on public.todos from anon;
create index added on public.todos (id);
"""


@pytest.mark.slow
@pytest.mark.parametrize("major", [15, 17])
def test_drift_is_the_same_at_a_distance(
    major: int, make_database: Make, tmp_path: Path, cli: Run, embedded: None
) -> None:
    there = project(tmp_path)
    database = applied(make_database, there, major)
    run_sql(database.url, PLANTED)
    near = cli("drift", "--json", "--no-access", "--db-url", database.url, cwd=there)
    with distance(database.server.port, 0.025) as network:
        url = database.url.replace(str(database.server.port), str(network.port))
        far = cli("drift", "--json", "--no-access", "--db-url", url, cwd=there)
    assert len(near.json["findings"]) == 3
    assert far.json["findings"] == near.json["findings"]
