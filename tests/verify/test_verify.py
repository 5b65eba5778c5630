"""`verify` on a live database: no findings without a fault, no trace, no strong locks."""

import re
from collections.abc import Callable
from dataclasses import astuple, replace

import click
import psycopg
import pytest

from supabase_jobs.cli.verify import command
from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.verify import parse, verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Make, every_major
from tests.impersonation import GUEST_A, USER_A, insert_fixture_rows
from tests.programs import DEFAULT_MAJOR
from tests.sql.owner_limits import STRICTEST, set_limits
from tests.verify.round_trips import round_trips


def errors(connection: Connection, *areas: str) -> list[Finding]:
    """The errors that these areas find."""
    result = verify(connection, EXPECTATIONS, areas or ("structure", "access"))
    return [f for f in result.findings if f.severity is Severity.ERROR]


@every_major
def test_an_untouched_database_has_no_findings(rolled_back: Connection) -> None:
    result = verify(rolled_back, EXPECTATIONS)
    assert (result.findings, result.ok) == ((), True)
    assert result.checks > 500


def test_verify_takes_sixty_round_trips_at_most(shared: Callable[[int], str]) -> None:
    assert round_trips(shared(DEFAULT_MAJOR), *AREAS) <= 60


def test_user_objects_are_no_errors(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.user_table (id int); create index user_table_idx on public.user_table"
        " (id);"
        "create function public.user_function() returns int language sql as 'select 1';"
        "create index user_index on public.async_jobs (progress); alter table public.async_jobs add"
        " column user_note text;"
        "create view public.user_view with (security_invoker) as select * from public.async_jobs"
    )
    result = verify(rolled_back, EXPECTATIONS)
    assert result.ok
    assert {f.severity for f in result.findings} == {Severity.INFO}
    assert all(
        re.search(r"\buser_(table|function|index|note|view)", f.message) for f in result.findings
    )


@every_major
def test_verify_changes_nothing(shared: Callable[[int], str], each_major: int) -> None:
    state = (
        "select (select count(*) from public.async_jobs), (select count(*) from"
        " public.guest_users),"
        " (select count(*) from auth.users), (select count(*) from pg_locks where locktype ="
        " 'advisory'),"
        " current_setting('role'), coalesce(current_setting('request.headers', true), ''),"
        " current_setting('search_path')"
    )
    with psycopg.connect(shared(each_major), autocommit=True) as connection:
        before = connection.execute(state).fetchone()
        assert verify(connection, EXPECTATIONS).ok
        assert connection.execute(state).fetchone() == before


def test_verify_takes_no_lock_stronger_than_a_row_lock(
    shared: Callable[[int], str], each_major: int
) -> None:
    """Another session writes, reads and even holds the table open while verify runs with a 2 s lock
    timeout.
    """
    with (
        psycopg.connect(shared(each_major)) as other,
        psycopg.connect(shared(each_major), autocommit=True) as connection,
    ):
        other.execute("lock table public.async_jobs, public.guest_users in row exclusive mode")
        assert verify(connection, EXPECTATIONS).ok
        other.rollback()


def test_no_case_passes_on_an_empty_table(rolled_back: Connection) -> None:
    """A trigger discards the fixture rows, so every `hidden` and `denied` matches without proving
    anything.
    """
    rolled_back.execute(
        "create function public.swallow() returns trigger language plpgsql as 'begin return null;"
        " end';"
        "create trigger swallow before insert on public.async_jobs for each row execute function"
        " public.swallow()"
    )
    found = errors(rolled_back, "access")
    assert any("proves nothing" in f.message and "hidden" in f.message for f in found)
    assert any("proves nothing" in f.message and "denied" in f.message for f in found)


def test_a_broken_policy_does_not_make_verify_update_a_large_table(make_database: Make) -> None:
    with psycopg.connect(make_database("applied").url, autocommit=True) as connection:
        insert_fixture_rows(connection)
        connection.execute(
            "insert into public.async_jobs (url, user_id) select 'https://x.com/7', %s from"
            " generate_series(1, 20000)",
            (USER_A,),
        )
        # a condition that is true and counts its evaluations
        connection.execute(
            "create sequence private.calls; grant usage on private.calls to public;"
            "create function private.any() returns boolean language sql as $$ select"
            " nextval('private.calls') > 0 $$;"
            'alter policy "guests update their own jobs" on public.async_jobs using (private.any()) with check (true);'
            'alter policy "users delete their own jobs" on public.async_jobs using (private.any())'
        )
        size = "select pg_relation_size('public.async_jobs')"
        before = connection.execute(size).fetchone()
        found = errors(connection, "access")
        assert {"blind update", "blind take over", "blind delete"} <= {
            f.id.split(":")[-1] for f in found
        }
        after = connection.execute(size).fetchone()
        assert before
        assert after
        assert after[0] < before[0] * 1.5
        [calls] = connection.execute("select last_value from private.calls").fetchone() or (0,)
        assert 101 < calls < 20000


def test_existing_rows_older_than_the_fixture_are_no_findings(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute(
        "insert into public.guest_users (guest_id, last_seen_at) values (gen_random_uuid(),"
        " '-infinity')"
    )
    rolled_back.execute(
        "insert into public.async_jobs (url, status, guest_id, updated_at)"
        " values ('https://x.com/8', 'completed', %s, '-infinity')",
        (GUEST_A,),
    )
    assert verify(rolled_back, EXPECTATIONS).findings == ()


def test_a_lock_of_another_session_is_an_error_and_no_finding(
    applied_url: str, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_jobs.verify.verify.SETTINGS", SETTINGS.replace("'2s'", "'200ms'"))
    with psycopg.connect(applied_url) as holder:
        holder.execute("lock table public.async_jobs in access exclusive mode")
        assert (
            cli("verify", "--only", "access", "--json", "--db-url", applied_url).json["error"][
                "sqlstate"
            ]
            == "55P03"
        )


def test_a_function_of_postgresql_that_nobody_may_call_is_an_error(make_database: Make) -> None:
    """Each request passes its claims by it, and verify needs it too."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("revoke execute on function pg_catalog.set_config from public")
    with psycopg.connect(database.url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("structure", "access"))
    assert [f.id for f in result.findings] == ["structure:unchecked", "access:unchecked"]
    assert {f.severity for f in result.findings} == {Severity.ERROR}
    assert {f.object for f in result.findings} == {"set_config(text,text,boolean)"}
    assert "42501" in result.findings[0].message
    assert "grant execute on function set_config(text,text,boolean)" in result.findings[0].fix
    assert not result.ok


def test_verify_sends_the_configured_guest_header(rolled_back: Connection) -> None:
    variables = {**EXPECTATIONS.variables, "guest_header": "x-other"}
    assert not verify(rolled_back, replace(EXPECTATIONS, variables=variables), ("access",)).ok


@every_major
def test_the_recorded_structure_is_that_of_the_migrations(
    make_database: Make, each_major: int
) -> None:
    with psycopg.connect(make_database("applied", each_major).url, autocommit=True) as connection:
        connection.execute("set search_path = ''")
        recorded = snapshot.load()
        made = [(part, name) for part, names in recorded.scope.items() for name in names]
        now = replace(
            snapshot.record(connection, made),
            conditional=recorded.conditional,
            sources=recorded.sources,
        )
        assert snapshot.dump(now) == snapshot.DEFAULT_FILE.read_text(encoding="utf-8")
        for limit in recorded.conditional:
            with connection.transaction(force_rollback=True):
                set_limits(connection, **{limit: STRICTEST[limit]})
                facts = {astuple(fact)[:5] for fact in snapshot.record(connection, made).facts}
            assert facts == {
                astuple(fact)[:5] for fact in recorded.with_variables({limit: True}).facts
            }


def test_the_recorded_scope_is_all_objects_of_the_migrations(make_database: Make) -> None:
    with psycopg.connect(make_database("platform").url, autocommit=True) as connection:
        before = snapshot.objects(connection)
    with psycopg.connect(make_database("applied").url, autocommit=True) as connection:
        made = snapshot.objects(connection) - before
    assert made == {(part, name) for part, names in snapshot.load().scope.items() for name in names}


def test_the_command_exits_1_and_names_the_object(applied_url: str, cli: Run) -> None:
    assert cli("verify", "--db-url", applied_url).code == 0
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute("drop index public.idx_async_jobs_url")
    ran = cli("--db-url", applied_url, "verify", "--json")
    assert ran.code == 1
    assert ran.json["ok"] is False
    [finding] = ran.json["findings"]
    assert finding["severity"] == "error"
    assert "idx_async_jobs_url" in finding["message"]
    assert finding["fix"].startswith("CREATE INDEX idx_async_jobs_url ON public.async_jobs")


def test_each_object_that_is_missing_without_migrations_is_one_error(
    platform_url: str, cli: Run
) -> None:
    ran = cli("verify", "--db-url", platform_url, "--json")
    assert ran.code == 1
    structural = [f for f in ran.json["findings"] if f["area"] == "structure"]
    objects = [
        f["object"] for f in structural if f["object"] != "private"
    ]  # a schema also misses its owner and grants
    assert len(objects) == len(set(objects)) >= 30
    assert any("access was not checked" in f["message"] for f in ran.json["findings"])


def test_a_failing_reached_query_is_a_deviation(rolled_back: Connection) -> None:
    """The blind statement runs, but the `reached` query cannot compare a text column with a number."""
    rolled_back.execute("alter table public.async_jobs drop constraint chk_valid_progress")
    rolled_back.execute("alter table public.async_jobs alter progress type text")
    found = {str(f.id): f for f in verify(rolled_back, EXPECTATIONS, ("access",)).findings}
    finding = found["access:public.async_jobs:guest, its own job:blind update"]
    assert (finding.severity, finding.message.endswith("should be rows and is 42883")) == (
        Severity.ERROR,
        True,
    )


def test_only_names_areas_in_any_order() -> None:
    assert parse(None) == ("structure", "access", "functions", "plans")
    assert parse(" access,structure") == ("structure", "access")
    for wrong in ("", ",", "access,plan"):
        with pytest.raises(ConfigError, match="--only"):
            parse(wrong)


def test_the_help_names_every_area() -> None:
    [only] = [option for option in command.params if option.name == "only"]
    assert isinstance(only, click.Option)
    assert only.help == f"Only these areas: {', '.join(AREAS)}."
