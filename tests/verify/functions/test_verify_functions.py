"""`verify --only functions`: no finding on an untouched database, user rows stay unchanged, scripts
run in psql.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.mutation.mutate import derive, mutate
from supabase_jobs.session import batch_limit
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.functions.scenarios import load
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Make
from tests.impersonation import GUEST_A, USER_A, insert_fixture_rows
from tests.programs import DEFAULT_MAJOR
from tests.psql import run_in_psql
from tests.verify.catalogue import catalogue
from tests.verify.round_trips import round_trips

BODY = "private.migrate_guest_jobs(uuid,uuid)"
OLD = "private.cleanup_old_jobs(integer,integer,timestamp with time zone)"
GUESTS = "private.cleanup_inactive_guests(integer,integer,timestamp with time zone)"
CLAIM = "public.claim_jobs(text,integer)"
REQUEUE = "public.requeue_stale_jobs(interval,integer,integer)"


def findings_of(connection: Connection, expectations: Expectations = EXPECTATIONS) -> list[Finding]:
    """The findings of this area."""
    return list(verify(connection, expectations, ("functions",)).findings)


def test_untouched_database_has_no_findings(rolled_back: Connection) -> None:
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    assert result.findings == ()
    assert [case.id for case in result.cases] == [
        f"functions:{s.subject}:{s.name}" for s in load().without_objects().scenarios
    ]
    assert result.checks >= 80


def test_user_rows_are_neither_changed_nor_locked(
    shared: Callable[[int], str], each_major: int
) -> None:
    """Another session locks all user rows, old ones too: verify must not wait for them or count
    them.
    """
    with (
        psycopg.connect(shared(each_major)) as other,
        psycopg.connect(shared(each_major), autocommit=True) as connection,
    ):
        try:
            insert_fixture_rows(other)
            other.execute(
                "insert into public.async_jobs (url, status, user_id, updated_at)"
                " select 'https://x.com/8', 'completed', %s, now() - make_interval(days => n * 365)"
                " from generate_series(1, 500) as n",
                (USER_A,),
            )
            other.commit()
            other.execute("select 1 from public.async_jobs for update")
            other.execute("select 1 from public.guest_users for update")
            other.execute("select 1 from auth.users for update")
            assert findings_of(connection) == []
        finally:
            other.rollback()
            other.execute("delete from public.guest_users")
            other.execute("delete from auth.users")
            other.commit()


def test_user_rows_stay_unlocked_without_row_level_security(make_database: Make) -> None:
    url = make_database("applied").url
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as connection:
        insert_fixture_rows(connection)
        connection.execute("alter table public.async_jobs disable row level security")
        other.execute("select from public.async_jobs for update")
        assert findings_of(connection)


def test_user_rows_dated_minus_infinity_cause_no_finding(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute(
        "insert into public.guest_users (guest_id, last_seen_at) select gen_random_uuid(),"
        " '-infinity'"
        " from generate_series(1, 3)"
    )
    rolled_back.execute(
        "insert into public.async_jobs (url, status, guest_id, updated_at)"
        " select 'https://x.com/8', 'completed', %s, '-infinity' from generate_series(1, 3)",
        (GUEST_A,),
    )
    assert findings_of(rolled_back) == []


def test_scenario_is_not_run_after_a_required_one_deviates(rolled_back: Connection) -> None:
    """Without a working limit, 0 days would delete every finished job."""
    catalogue("functions")["cleanup: no limit"].insert(rolled_back)
    names = {case.name for case in verify(rolled_back, EXPECTATIONS, ("functions",)).cases}
    assert "no more of them than the limit, longest untouched first" in names
    assert not {"0 days means whatever is finished", "without a limit all of them go"} & names


def test_verify_leaves_no_rows_and_no_settings(
    shared: Callable[[int], str], each_major: int
) -> None:
    state = (
        "select (select count(*) from public.async_jobs), (select count(*) from"
        " public.guest_users),"
        " (select count(*) from auth.users), current_setting('role'),"
        " current_setting('search_path'),"
        " coalesce(current_setting('request.headers', true), '')"
    )
    with psycopg.connect(shared(each_major), autocommit=True) as connection:
        before = connection.execute(state.encode()).fetchone()
        assert findings_of(connection) == []
        assert connection.execute(state.encode()).fetchone() == before


def test_missing_fixture_rows_are_an_error(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create function public.swallow() returns trigger language plpgsql as 'begin return null;"
        " end';"
        "create trigger swallow before insert on public.async_jobs for each row execute function"
        " public.swallow()"
    )
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    [finding] = result.findings
    assert (finding.id, finding.severity, result.cases) == ("functions:fixture", Severity.ERROR, ())
    assert "x_queued" in finding.message
    assert result.unchecked == ("functions",)


def test_user_trigger_that_blocks_a_cascade_makes_it_unchecked(make_database: Make) -> None:
    """Users cannot be deleted: that cascade is unchecked; everything else is checked."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "create function public.refuse() returns trigger language plpgsql as $$ begin raise"
            " 'keep it'; end $$;"
            "create trigger refuse before delete on auth.users for each row execute function"
            " public.refuse()"
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("functions",))
    [finding] = result.findings
    assert (finding.severity, result.unchecked) == (Severity.WARNING, ("functions",))
    assert "keep it" in finding.message
    assert result.checks >= 80


def test_database_without_migrations_is_an_error(platform_url: str, cli: Run) -> None:
    ran = cli("verify", "--only", "functions", "--json", "--db-url", platform_url)
    assert ran.code == 1
    [finding] = ran.json["findings"]
    assert (finding["id"], finding["severity"]) == ("functions:fixture", "error")
    assert "functions was not checked" in finding["message"]


def test_other_sources_have_their_own_declaration(rolled_back: Connection, tmp_path: Path) -> None:
    expectations = replace(EXPECTATIONS, directory=tmp_path)
    result = verify(rolled_back, expectations, ("functions",))
    assert result.unchecked == ("functions",)
    (tmp_path / "functions.toml").write_text(
        'ids = ["thing"]\nfixture = ["create table public.things (id uuid, n integer)",'
        ' "insert into public.things values (%(thing)s, 1)"]\n'
        'watch = "select id::text, to_jsonb(t)::text, null from public.things as t"\n'
        '[[scenario]]\nsubject = "x"\nname = "counts"\ncall = "update public.things set n = n + 1"\n'
        "changes = { thing = { n = 2 } }\n"
    )
    assert verify(rolled_back, expectations, ("functions",)).findings == ()
    text = (tmp_path / "functions.toml").read_text().replace("n = 2", "n = 3")
    (tmp_path / "functions.toml").write_text(text)
    [finding] = findings_of(rolled_back, expectations)
    assert finding.message == "counts: thing should be changed to n = 3, but is changed to n = 2"


STEPS = """
ids = ["thing", "other"]
fixture = [
  "create table public.things (id uuid, n integer check (n < 9))",
  "insert into public.things values (%(thing)s, 1), (%(other)s, 1)",
]
watch = "select id::text, to_jsonb(t)::text, null from public.things as t"

[[scenario]]
subject = "x"
name = "failed steps are undone, and no others"
steps = [
  { call = "update public.things set n = 2 where id = %(thing)s" },
  { call = "update public.things set n = 9", error = "23514" },
  { call = "select n from public.things where id = %(thing)s", result = [[2]] },
  { call = "delete from public.nothing", error = "42P01" },
  { call = "update public.things set n = n + 1 where id = %(thing)s returning n", result = [[3]] },
  { call = "update public.things set n = 9", error = "23514" },
]
changes = { thing = { n = 3 } }

[[scenario]]
subject = "x"
name = "its preparation fails"
given = ["delete from public.things", "select 1 / 0"]
steps = [{ call = "delete from public.things" }, { call = "select 1 / 0", error = "22012" }]

[[scenario]]
subject = "x"
name = "the rows are as before"
call = "select count(*), sum(n) from public.things"
result = [[2, 2]]

[[scenario]]
subject = "x"
name = "deviates"
call = "update public.things set n = 5 where id = %(other)s"

[[scenario]]
subject = "x"
name = "requires what passes"
requires = ["the rows are as before"]
call = "delete from public.things where id = %(other)s"
changes = { other = "deleted" }

[[scenario]]
subject = "x"
name = "requires what deviates"
requires = ["the rows are as before", "deviates"]
call = "delete from public.things"

[[scenario]]
subject = "x"
name = "requires what is unchecked"
requires = ["the rows are as before", "its preparation fails"]
call = "delete from public.things"

[[scenario]]
subject = "x"
name = "requires what is blocked"
requires = ["requires what is unchecked"]
call = "delete from public.things"

[[scenario]]
subject = "x"
name = "requires what is not run"
requires = ["requires what deviates"]
call = "delete from public.things"
"""


@pytest.mark.parametrize("seconds", [4, 0.001])
def test_each_scenario_is_judged_alone_and_after_those_it_requires(
    rolled_back: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(batch_limit, "SECONDS", seconds)
    (tmp_path / "functions.toml").write_text(STEPS)
    result = verify(rolled_back, replace(EXPECTATIONS, directory=tmp_path), ("functions",))
    assert [f"{f.severity}: {f.message}" for f in result.findings] == [
        "error: deviates: other should be unchanged, but is changed to n = 5",
        "warning: functions was not checked: its preparation fails: `given` failed with 22012:"
        " division by zero",
        'warning: functions was not checked: requires what is unchecked: it requires "its preparation fails",'
        " which did not pass",
        'warning: functions was not checked: requires what is blocked: it requires "requires what is unchecked",'
        " which did not pass",
    ]
    assert [case.name for case in result.cases] == [
        "failed steps are undone, and no others",
        "its preparation fails",
        "the rows are as before",
        "deviates",
        "requires what passes",
        "requires what is unchecked",
        "requires what is blocked",
    ]


def test_a_lock_delays_a_batch_for_seconds_and_not_each_of_its_scenarios(
    make_database: Make,
) -> None:
    """Each call waits for a lock for 2 s at most; the first that fails stops the area."""
    url = make_database("applied").url
    slow = (
        "create or replace function private.request_guest_id() returns uuid language plpgsql"
        " stable as"
        " $$ begin begin perform pg_sleep(1); exception when query_canceled then null; end; return"
        " null; end $$"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(slow)
        started = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("supabase_jobs.verify.verify.TIME_LIMIT_S", 3)
            result = verify(connection, EXPECTATIONS, ("functions",))
        assert time.monotonic() - started < 15
    assert result.unchecked == ("functions",)
    assert "stopped after the time limit" in result.findings[-1].message


def test_no_batch_runs_longer_than_the_time_limit_of_the_run(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled_back.execute(
        "create function public.wait() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.2); return null; end $$;"
        "create trigger wait before update on public.async_jobs for each statement execute"
        " function public.wait()"
    )
    monkeypatch.setattr("supabase_jobs.verify.verify.TIME_LIMIT_S", 2)
    result = verify(rolled_back, EXPECTATIONS, ("functions",))
    assert result.unchecked == ("functions",)
    assert result.milliseconds < 3500


def test_functions_take_twelve_round_trips_at_most(shared: Callable[[int], str]) -> None:
    assert round_trips(shared(DEFAULT_MAJOR), "functions") <= 12


def test_script_of_every_scenario_runs_in_psql(shared: Callable[[int], str]) -> None:
    """Each script results in the declared error, or prints exactly the rows that are declared to
    change.
    """
    with psycopg.connect(shared(DEFAULT_MAJOR), autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("functions",))
    scenarios = load().without_objects().scenarios
    out, err = run_in_psql(
        shared(DEFAULT_MAJOR), "".join(result.script(case) for case in result.cases)
    )
    # 25P02: a statement after an error, before the rollback
    states = [
        state
        for state in re.findall(r"^ERROR:  (\w{5}):", err, flags=re.MULTILINE)
        if state != "25P02"
    ]
    errors = [step.error for scenario in scenarios for step in scenario.steps if step.error]
    assert states == ["42501" if error == "denied" else error for error in errors]
    parts = re.split(r"^BEGIN$", out, flags=re.MULTILINE)[1:]
    counts = [re.findall(r"^\((\d+) rows?\)$", part, flags=re.MULTILINE)[-1] for part in parts]
    # with several calls, a failed one does not prevent the others
    completes = [len(s.steps) > 1 or not s.steps[0].error for s in scenarios]
    changing = [
        (s.name, len(s.changes))
        for s, complete in zip(scenarios, completes, strict=True)
        if complete
    ]
    printed = [
        (s.name, int(n))
        for s, n, complete in zip(scenarios, counts, completes, strict=True)
        if complete
    ]
    assert printed == changing


def test_script_of_a_deviating_scenario_shows_the_fault(make_database: Make) -> None:
    url = make_database("applied").url
    with psycopg.connect(url, autocommit=True) as connection:
        catalogue("functions")["migrate: progress is reset"].insert(connection)
        result = verify(connection, EXPECTATIONS, ("functions",))
    deviating = {f.id for f in result.findings}
    case = next(case for case in result.cases if case.id in deviating)
    out, _ = run_in_psql(url, result.script(case))
    assert '"progress": 30' in out
    assert '"progress": 0' in out


def test_only_known_mutants_of_bodies_survive(
    shared: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutants of function bodies survive only if a single session cannot observe their effect."""
    monkeypatch.setattr("supabase_jobs.verify.verify.AREAS", ("functions",))
    monkeypatch.setattr(
        "supabase_jobs.mutation.mutate.derive",
        lambda *given: [f for f in derive(*given) if f.family == "bodies"],
    )
    with psycopg.connect(shared(DEFAULT_MAJOR), autocommit=True) as connection:
        result = mutate(connection, EXPECTATIONS)
    assert {m.fault.id.removeprefix("bodies:") for m in result.survivors} <= set(
        NEEDS_ANOTHER_SESSION
    )
    assert result.killed >= 150


# mutants of locks and rechecks; only a concurrent session shows their effect
NEEDS_ANOTHER_SESSION = (
    *(f"{fault}:{worker}" for fault in ("lock-1", "skip-1") for worker in (CLAIM, REQUEUE)),
    *(f"{fault}:{OLD}" for fault in ("lock-1", "skip-1")),
    *(f"{fault}:{GUESTS}" for fault in ("lock-1", "lock-2", "skip-1", "skip-2")),
    *(f"{fault}:{GUESTS}" for fault in ("or-and-3", "or-and-4", "unequal-1", "where-false-5")),
    *(f"{fault}:{OLD}" for fault in ("greater-1", "greater-2")),
    *(f"{fault}:{GUESTS}" for fault in ("greater-3", "greater-4")),
    f"perform-1:{BODY}",  # user types that this session has not resolved before
    f"if-false-4:{BODY}",  # skips work only
    # claims other jobs after the queue is empty; no scenario claims a whole queue
    f"where-true-1:{CLAIM}",
)
