"""The copy of a database has the findings of the migrations that made it, wherever it runs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.distance import distance
from benchmarks.hosted import ONE_WAY_SECONDS
from benchmarks.independent_server import IndependentServer, independent_server, standby_of
from benchmarks.production import large_project
from benchmarks.shop import Observation, read_log
from tests.audit.catalogue import PROJECTS, names
from tests.fix_cli import Run, new_runner
from tests.fix_db import every_major, on_one_major_each
from tests.production.conftest import MAJOR, migrate
from tests.programs import postgres_bin
from tests.round_trips import traced

Migrated = Callable[[int, Path], tuple[IndependentServer, str]]

# more than one schema, roles of its own, storage, exclusion constraints
CHOSEN = "teams"
# beside those of pg_dump; all of them leave some of the ten seconds for the audit
TRIPS = 20
NETWORK_SECONDS = 5


def findings(document: Any) -> dict[str, Any]:
    """The parts that two audits have to agree on: all but the time, and the lines of migrations."""
    without_lines = [
        {key: value for key, value in finding.items() if key not in ("file", "line")}
        for finding in document["findings"]
    ]
    kept = {key: document[key] for key in ("ok", "matrix", "access", "coverage")}
    return {**kept, "findings": without_lines}


@pytest.fixture(scope="module")
def of_migrations(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """The findings of an example project's migrations, on an embedded server; audited once."""
    made: dict[str, dict[str, Any]] = {}

    def audited(name: str) -> dict[str, Any]:
        if name not in made:
            home = tmp_path_factory.mktemp("migrations")
            folder = home / name
            shutil.copytree(PROJECTS / name, folder)
            made[name] = findings(new_runner(home)("audit", "--json", cwd=folder).json)
        return made[name]

    return audited


def of_copy(cli: Run, url: str) -> dict[str, Any]:
    """The findings of a database, without its migrations at hand."""
    ran = cli("audit", "--json", SUPABASE_DB_URL=url)
    assert ran.code in (0, 1), ran.err
    return findings(ran.json)


OfMigrations = Callable[[str], dict[str, Any]]


@pytest.mark.slow
@on_one_major_each("name", names(), names())
def test_every_example_project(
    cli: Run, migrated: Migrated, of_migrations: OfMigrations, each_major: int, name: str
) -> None:
    server, database = migrated(each_major, PROJECTS / name)
    assert of_copy(cli, server.url(database)) == of_migrations(name)


@every_major
@pytest.mark.slow
def test_with_and_without_superuser(
    cli: Run, migrated: Migrated, of_migrations: OfMigrations, each_major: int
) -> None:
    server, database = migrated(each_major, PROJECTS / CHOSEN)
    expected = of_migrations(CHOSEN)
    assert of_copy(cli, server.url(database)) == expected
    assert of_copy(cli, server.superuser_url(database)) == expected


SECURED = """
create function public.secured() returns event_trigger language plpgsql as $$
declare
  made record;
begin
  for made in select * from pg_event_trigger_ddl_commands() where object_type = 'table' loop
    execute format('alter table %s enable row level security', made.object_identity);
  end loop;
end $$;
create event trigger secured on ddl_command_end when tag in ('CREATE TABLE') execute function public.secured();
alter event trigger secured enable {state};
create table public.notes (id int primary key, owner uuid references auth.users);
create policy own on public.notes using (true);
"""


@pytest.mark.parametrize("state", ["always", "replica"])
@every_major
@pytest.mark.slow
def test_event_triggers_in_each_state(
    cli: Run, migrated: Migrated, tmp_path: Path, each_major: int, state: str
) -> None:
    """Of a trigger for replicas, tables of migrations get nothing."""
    folder = tmp_path / "project"
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (folder / "supabase" / "config.toml").write_text(f"[db]\nmajor_version = {each_major}\n")
    (migrations / "20260101000000_secured.sql").write_text(SECURED.format(state=state))
    server, database = migrated(each_major, folder)
    found = findings(cli("audit", "--json", cwd=folder).json)
    assert of_copy(cli, server.url(database)) == found
    kinds = {finding["id"].partition(":")[0] for finding in found["findings"]}
    assert ("rls-disabled" in kinds) == (state == "replica")


@pytest.mark.slow
def test_through_a_session_pooler(
    cli: Run, migrated: Migrated, of_migrations: OfMigrations, pooled: Callable[..., str]
) -> None:
    server, database = migrated(MAJOR, PROJECTS / CHOSEN)
    url = pooled(server.url(database), pool_mode="session")
    assert of_copy(cli, url) == of_migrations(CHOSEN)


@pytest.mark.slow
def test_a_transaction_pooler_gets_a_hint(
    cli: Run, migrated: Migrated, pooled: Callable[..., str]
) -> None:
    server, database = migrated(MAJOR, PROJECTS / CHOSEN)
    ran = cli("audit", SUPABASE_DB_URL=pooled(server.url(database)))
    assert (ran.code, "session" in ran.err) == (2, True), ran.err
    assert "hint: " in ran.err


@pytest.mark.slow
def test_a_hot_standby(cli: Run, of_migrations: OfMigrations) -> None:
    streaming = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}
    with independent_server(MAJOR, postgres_bin(MAJOR), streaming) as primary:
        database = platform_and_project(primary, CHOSEN)
        with standby_of(primary) as standby:
            assert of_copy(cli, standby.url(database)) == of_migrations(CHOSEN)


def platform_and_project(server: IndependentServer, name: str) -> str:
    from tests.production.conftest import _load

    _load(server)
    return migrate(server, PROJECTS / name)


@pytest.mark.slow
def test_twenty_tables_at_fifty_milliseconds(
    cli: Run, independent: Callable[[int], IndependentServer]
) -> None:
    """The round trips, which a busy machine does not change; scripts/bench measures the time."""
    server = independent(MAJOR)
    url = large_project(server, "twenty", tables=20, partitions=0)
    seen = Observation()
    start = server.log.stat().st_size
    with distance(server.port, ONE_WAY_SECONDS) as proxy, traced() as connections:
        away = url.replace(f":{server.port}/", f":{proxy.port}/")
        ran = cli("audit", "--json", SUPABASE_DB_URL=away)
        trips = [c.round_trips for c in connections if c.port == proxy.port]
    read_log(server.log.read_text()[start:], seen)
    [copying] = [s for s in seen.sessions if s.application.startswith("supabase-jobs copy")]
    assert ran.json["coverage"]["planted"] == 20
    assert sum(trips) <= TRIPS
    with_copying = sum(trips) + proxy.trips[copying.port]
    assert with_copying * 2 * ONE_WAY_SECONDS <= NETWORK_SECONDS
