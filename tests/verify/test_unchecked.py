"""Areas that `verify` cannot check: a warning with the reason, and exit 1 unless the project
accepts it by name.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Severity
from supabase_jobs.local import server
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.session import settings
from supabase_jobs.settings import load_settings
from supabase_jobs.sources.files import MigrationFiles
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Make, packaged
from tests.programs import DEFAULT_MAJOR, postgres_bin

WRITING_AREAS = set(AREAS) - {"structure", "plans"}

REFUSE = """
create function public.refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
create trigger refuse before insert on auth.users for each row execute function public.refuse()
"""


@pytest.fixture
def refusing_url(make_database: Make) -> str:
    """A database with the migrations and a user trigger on auth.users that fails."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(REFUSE)
    return database.url


@pytest.fixture(scope="module")
def replica_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A standby: a server that was started with standby.signal."""
    postgres_bin(DEFAULT_MAJOR)
    directory = tmp_path_factory.mktemp("replica")
    try:
        info = server.start(directory, major=DEFAULT_MAJOR)
        with connect(info.url) as connection:
            apply_pending(connection, MigrationFiles(packaged()))
            [data] = connection.execute("select current_setting('config_file')").fetchone() or [""]
        server.stop(directory)
        (Path(data).parent / "standby.signal").touch()
        yield server.start(directory).url
    finally:
        server.remove(directory)


def test_a_failing_user_trigger_on_auth_users_is_a_warning(refusing_url: str) -> None:
    with psycopg.connect(refusing_url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("access",))
    [finding] = result.findings
    assert (finding.severity, result.grids) == (Severity.WARNING, ())
    assert "not checked" in finding.message
    assert "P0001: no" in finding.message


def test_discarded_fixture_rows_are_an_error(rolled_back: Connection) -> None:
    """A trigger discards each guest, so the foreign key of a job fails."""
    rolled_back.execute(
        "create function public.drop_it() returns trigger language plpgsql as 'begin return null;"
        " end';"
        "create trigger drop_it before insert on public.guest_users for each row execute function"
        " public.drop_it()"
    )
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"))
    assert [(f.id, f.severity) for f in result.findings] == [
        ("access:fixture", Severity.ERROR),
        ("functions:fixture", Severity.ERROR),
    ]
    assert "23503" in result.findings[0].message
    assert "trigger" in result.findings[0].fix
    assert result.unchecked == ("access", "functions")


@pytest.mark.parametrize("area", ["access", "functions"])
def test_a_managed_constraint_that_refuses_the_fixture_is_an_error(
    rolled_back: Connection, area: str
) -> None:
    rolled_back.execute(
        "alter table public.async_jobs drop constraint chk_user_or_guest,"
        " add constraint chk_user_or_guest check (guest_id is null and user_id is null)"
    )
    [finding] = verify(rolled_back, EXPECTATIONS, (area,)).findings
    assert (finding.id, finding.severity) == (f"{area}:fixture", Severity.ERROR)
    assert "23514" in finding.message
    assert "constraint" in finding.fix


def test_a_column_that_no_documented_call_fills_is_one_error(rolled_back: Connection) -> None:
    rolled_back.execute("alter table public.async_jobs add tenant uuid not null")
    result = verify(rolled_back, EXPECTATIONS, tries_fixes=False)
    assert result.unchecked == ("access", "functions")
    problems = [finding for finding in result.findings if finding.severity.is_problem]
    [cause] = [finding for finding in problems if not finding.cause]
    assert (cause.id, cause.severity) == ("access:fixture", Severity.ERROR)
    assert 'column "tenant" of public.async_jobs' in cause.message
    assert {finding.cause for finding in problems} == {"", cause.id}
    rolled_back.execute(cause.fix.encode())
    assert verify(rolled_back, EXPECTATIONS).ok


@pytest.mark.parametrize("area", ["access", "functions"])
def test_a_column_that_a_trigger_may_fill_makes_the_area_unchecked(
    rolled_back: Connection, area: str
) -> None:
    """Its value comes from a claim that the callers of the project have."""
    rolled_back.execute(
        "alter table public.async_jobs add tenant text not null;"
        "create function public.set_tenant() returns trigger language plpgsql as"
        " $$ begin new.tenant = auth.jwt() ->> 'tenant'; return new; end $$;"
        "create trigger set_tenant before insert on public.async_jobs for each row execute function"
        " public.set_tenant()"
    )
    result = verify(rolled_back, EXPECTATIONS, (area,))
    assert {finding.severity for finding in result.findings} == {Severity.WARNING}
    assert result.unchecked == (area,)
    [fixture] = [finding for finding in result.findings if finding.id == f"{area}:fixture"]
    assert 'column "tenant" of public.async_jobs' in fixture.message


def test_what_no_row_is_needed_for_is_checked_all_the_same(rolled_back: Connection) -> None:
    """No job can be inserted, and a policy shows every guest."""
    rolled_back.execute(
        "alter table public.async_jobs add tenant uuid not null;"
        "create policy everybody on public.guest_users for select to anon using (true)"
    )
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"))
    errors = {finding.id for finding in result.findings if finding.severity is Severity.ERROR}
    assert "access:public.guest_users:guest, another guest's row:select" in errors
    cases = {case.id for case in result.cases}
    assert "access:public.async_jobs:guest, its own job:select" not in cases
    assert "functions:set_guest_user_times_trigger:a new guest is seen now" in cases


def test_one_row_that_the_project_refuses_leaves_the_others(rolled_back: Connection) -> None:
    """A constraint that is no rule of states refuses one job of the functions' fixture."""
    rolled_back.execute(
        "alter table public.async_jobs add constraint odd check"
        " (guest_id is null or status <> 'failed' or created_at < '2000-01-01')"
    )
    result = verify(rolled_back, EXPECTATIONS, ("access", "functions"))
    assert result.unchecked == ("functions",)
    [fixture] = [finding for finding in result.findings if finding.id.endswith(":fixture")]
    assert "the cases with the rows x_failed were not run" in fixture.message
    cases = {case.id for case in result.cases}
    assert sum(case.startswith("functions:public.claim_jobs:") for case in cases) > 5


def test_a_limit_of_times_leaves_out_what_must_be_oldest(rolled_back: Connection) -> None:
    """Only jobs that must come before all others of a database have times before the limit."""
    rolled_back.execute(
        "alter table public.async_jobs add constraint recent check (created_at >= '2024-01-01')"
    )
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    [fixture] = result.findings
    assert fixture.id == "functions:fixture"
    rows = fixture.message.partition("rows ")[2].partition(" were not run")[0].split(", ")
    claimed = ["next_first", "next_second", "next_third"]
    requeued = ["silent_first", "silent_second", "silent_edge", "heard_edge"]
    assert rows == ["job_old", *claimed, *requeued]


def test_a_unique_index_that_does_not_tell_owners_apart_is_an_error(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(
        "create unique index one_a_day on public.guest_users (((created_at at time zone 'utc')::date))"
    )
    [finding, *_] = verify(rolled_back, EXPECTATIONS, ("access",)).findings
    assert finding.severity is Severity.ERROR
    assert "a row of one owner refuses those of others" in finding.message


def test_a_unique_index_of_each_owner_is_no_error(rolled_back: Connection) -> None:
    rolled_back.execute("create unique index once on public.async_jobs (url, user_id, guest_id)")
    assert verify(rolled_back, EXPECTATIONS, ("access", "functions")).findings == ()


def test_a_foreign_key_error_in_a_user_trigger_makes_the_area_unchecked(
    make_database: Make,
) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create table public.plans (name text primary key);"
            "create table public.profiles (plan text references public.plans);"
            "create function public.profile() returns trigger language plpgsql security definer"
            " as $$ begin insert into public.profiles values ('free'); return new; end $$;"
            "create trigger profile before insert on auth.users for each row execute function"
            " public.profile()"
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        [finding] = verify(connection, EXPECTATIONS, ("access",)).findings
    assert (finding.severity, "23503" in finding.message) == (Severity.WARNING, True)


def test_an_unchecked_area_exits_1(refusing_url: str, cli: Run) -> None:
    ran = cli("verify", "--json", "--db-url", refusing_url)
    assert (ran.code, ran.json["ok"], set(ran.json["unchecked"])) == (1, False, WRITING_AREAS)
    assert ran.json["accepted_unchecked"] == []
    ran = cli("verify", "--db-url", refusing_url)
    assert (ran.code, "FAILED (NOT CHECKED: access, functions)" in ran.out) == (1, True)


def test_accepted_areas_exit_0_with_the_reasons(
    refusing_url: str, cli: Run, tmp_path: Path
) -> None:
    config = tmp_path / "supabase-jobs.toml"
    config.write_text('[accepted_unchecked]\n"access" = "sign-up is off"\n')
    ran = cli("verify", "--json", "--db-url", refusing_url)
    assert (ran.code, ran.json["unchecked"]) == (1, ["functions"])
    config.write_text(config.read_text() + '"functions:fixture" = "also off"\n')
    ran = cli("verify", "--json", "--db-url", refusing_url)
    assert (ran.code, ran.json["ok"], ran.json["unchecked"]) == (0, True, [])
    assert ran.json["accepted_unchecked"] == [
        {"id": "access:fixture", "reason": "sign-up is off"},
        {"id": "functions:fixture", "reason": "also off"},
    ]
    assert {f["severity"] for f in ran.json["findings"]} == {"info"}
    ran = cli("verify", "--db-url", refusing_url)
    assert "ok (accepted unchecked: access, functions)" in ran.out
    assert "accepted: sign-up is off" in " ".join(ran.out.split())


@pytest.mark.parametrize("name", ["plans", "access:fixture", "misspelt"])
def test_an_accepted_name_without_effect_is_an_info(rolled_back: Connection, name: str) -> None:
    expectations = replace(EXPECTATIONS, accepted_unchecked={name: "because"})
    result = verify(rolled_back, expectations, ("structure", "access", "plans"))
    [finding] = result.findings
    assert (finding.severity, f'"{name}" has no effect' in finding.message, result.ok) == (
        Severity.INFO,
        True,
        True,
    )


def test_an_accepted_name_of_an_area_that_is_not_run_is_not_reported(
    rolled_back: Connection,
) -> None:
    expectations = replace(
        EXPECTATIONS, accepted_unchecked={"plans": "because", "access:fixture": "because"}
    )
    assert verify(rolled_back, expectations, ("structure",)).findings == ()


def test_an_error_is_not_accepted(rolled_back: Connection) -> None:
    """A trigger on a managed table discards the fixture rows."""
    rolled_back.execute(
        "create function public.drop_it() returns trigger language plpgsql as 'begin return null;"
        " end';"
        "create trigger drop_it before insert on public.guest_users for each row execute function"
        " public.drop_it()"
    )
    accepted = replace(EXPECTATIONS, accepted_unchecked={"access": "because"})
    result = verify(rolled_back, accepted, ("access",))
    assert (result.ok, result.unchecked, result.accepted_unchecked) == (False, ("access",), {})
    assert {(f.id, f.severity) for f in result.findings} == {
        ("access:fixture", Severity.ERROR),
        ("access:accepted_unchecked:access", Severity.INFO),
    }


@pytest.mark.parametrize("reason", ['""', '" "', "1"])
def test_an_accepted_name_needs_a_reason(tmp_path: Path, reason: str) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(f'[accepted_unchecked]\n"plans" = {reason}\n')
    with pytest.raises(ConfigError, match="accepted_unchecked: 'plans' needs a reason") as caught:
        load_settings(tmp_path, {})
    assert caught.value.line == 2


def test_a_replica_is_checked_by_the_areas_that_only_read(replica_url: str, cli: Run) -> None:
    ran = cli("verify", "--json", "--db-url", replica_url)
    assert (ran.code, set(ran.json["unchecked"])) == (1, WRITING_AREAS)
    assert {f["id"] for f in ran.json["findings"]} == {
        f"{area}:unchecked" for area in WRITING_AREAS
    }
    assert all("a read-only replica" in f["message"] for f in ran.json["findings"])
    assert ran.json["summary"]["checks"] > 100
    assert cli("verify", "--only", "structure,plans", "--db-url", replica_url).code == 0


def test_a_fault_on_a_replica_is_an_error(replica_url: str, cli: Run, tmp_path: Path) -> None:
    """The expectations have another guest header than the database, so a function's body differs."""
    (tmp_path / "supabase-jobs.toml").write_text('[variables]\nguest_header = "x-other"\n')
    ran = cli("verify", "--json", "--only", "structure", "--db-url", replica_url)
    assert ran.code == 1
    assert [f["severity"] for f in ran.json["findings"]] == ["error"]


def test_a_read_only_session_leaves_the_writing_areas_unchecked(applied_url: str, cli: Run) -> None:
    ran = cli(
        "verify",
        "--json",
        "--db-url",
        f"{applied_url}?options=-c%20default_transaction_read_only%3Don",
    )
    assert (ran.code, set(ran.json["unchecked"])) == (1, WRITING_AREAS)
    assert all("a read-only transaction" in f["message"] for f in ran.json["findings"])


@pytest.mark.parametrize("role", ["authenticator", "stranger"])
def test_a_role_without_privileges_leaves_the_writing_areas_unchecked(
    make_database: Make, cli: Run, role: str
) -> None:
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        if connection.execute("select to_regrole(%s) is null", (role,)).fetchone() == (True,):
            connection.execute(
                psycopg.sql.SQL("create role {} login").format(psycopg.sql.Identifier(role))
            )
    ran = cli("verify", "--json", "--db-url", database.server.url(database.name, role))
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert set(ran.json["unchecked"]) >= WRITING_AREAS
    assert all(
        f["severity"] == "warning" and "not checked" in f["message"] for f in ran.json["findings"]
    )


def test_a_statement_timeout_ends_the_area_and_keeps_its_findings(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fault is found before another makes a statement slow, as on a table with millions of
    rows.
    """
    rolled_back.execute(
        'alter policy "guests read their own jobs" on public.async_jobs using (true);'
        'alter policy "users delete their own jobs" on public.async_jobs using (pg_sleep(9) is null)'
    )
    monkeypatch.setattr(
        "supabase_jobs.verify.verify.SETTINGS", settings.SETTINGS.replace("10s", "500ms")
    )
    result = verify(rolled_back, EXPECTATIONS)
    assert result.unchecked == ("access", "functions")  # a scenario deletes a job as a user
    assert "57014" in next(f.message for f in result.findings if f.id == "access:unchecked")
    assert {f.area for f in result.findings if f.severity is Severity.ERROR} == {
        "structure",
        "access",
    }
    assert {case.area for case in result.cases} == set(AREAS)


def test_the_time_limit_of_a_run_ends_the_area(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement is below its own limit."""
    rolled_back.execute(
        'alter policy "guests read their own jobs" on public.async_jobs using (true);'
        "create function public.slow() returns boolean language sql volatile as 'select"
        " pg_sleep(0.05) is not null';"
        "create policy slow on public.async_jobs as restrictive using ((select public.slow()))"
    )
    monkeypatch.setattr("supabase_jobs.verify.verify.TIME_LIMIT_S", 2)
    result = verify(rolled_back, EXPECTATIONS)
    assert result.milliseconds < 4000
    assert {"access", "functions"} <= set(result.unchecked)
    assert "time limit of 2 seconds" in next(
        f.message for f in result.findings if f.id == "access:unchecked"
    )
    assert not result.ok


@pytest.mark.parametrize("area", ["access", "functions", "plans"])
def test_no_area_runs_after_the_time_limit(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch, area: str
) -> None:
    monkeypatch.setattr("supabase_jobs.verify.verify.TIME_LIMIT_S", -1)
    [finding] = verify(rolled_back, EXPECTATIONS, (area,)).findings
    assert (finding.id, finding.severity) == (f"{area}:unchecked", Severity.WARNING)


def test_a_trigger_may_change_request_settings(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create function public.claims() returns trigger language plpgsql as"
        " $$ begin perform set_config('request.jwt.claims', '{\"sub\": \"x\"}', true); return new;"
        " end $$;"
        "create trigger claims before update on public.async_jobs for each row execute function"
        " public.claims()"
    )
    result = verify(rolled_back, EXPECTATIONS)
    assert result.unchecked == ()
    assert {case.area for case in result.cases} == set(AREAS)


def test_a_trigger_that_deallocates_makes_the_area_unchecked(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create function public.forget() returns trigger language plpgsql as"
        " $$ begin execute 'deallocate all'; return new; end $$;"
        "create trigger forget before update on public.async_jobs for each row execute function"
        " public.forget()"
    )
    result = verify(rolled_back, EXPECTATIONS)
    assert result.unchecked == ("functions",)
    assert "deallocate" in next(f.fix for f in result.findings if f.id == "functions:unchecked")


def test_a_missing_function_in_a_user_trigger_ends_every_sign_up(make_database: Make) -> None:
    """That is an error; the areas are unchecked besides."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(REFUSE.replace("raise 'no'", "perform public.nowhere()"))
    with psycopg.connect(database.url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS)
    errors = [f.id for f in result.findings if f.severity is Severity.ERROR]
    assert (errors, set(result.unchecked)) == (["access:auth.users:sign-in"], WRITING_AREAS)
    assert all("42883" in f.message for f in result.findings if f.severity is Severity.WARNING)
