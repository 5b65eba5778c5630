"""The area `plans`: fast queries can use their indexes, and managed tables have no missing or
superfluous index.
"""

from collections.abc import Callable

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.mutation.mutate import derive
from supabase_jobs.session import batch_limit
from supabase_jobs.session.impersonation import begin
from supabase_jobs.session.settings import SETTINGS
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.plans import queries
from supabase_jobs.verify.plans.planner import Check, Explain, NoPlanError, Planner
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.verify import parse, verify
from tests.fix_db import EXPECTATIONS, Make
from tests.programs import DEFAULT_MAJOR
from tests.psql import run_in_psql
from tests.verify.round_trips import round_trips

ACTIVE = "where guest_id is not null and status in ('queued', 'processing')"


def findings_of(connection: Connection, sql: str = "select 1") -> list[Finding]:
    """The findings of `plans` after some SQL."""
    connection.execute(sql.encode())
    result = verify(connection, EXPECTATIONS, ("plans",))
    assert result.unchecked == ()
    assert {f.id for f in result.findings} <= {case.id for case in result.cases}
    return list(result.findings)


USER_INDEXES = (
    "public.async_jobs (guest_id, created_at desc)",
    "public.async_jobs (guest_id, created_at desc) where status in ('queued', 'processing')",
    "public.async_jobs (user_id, created_at desc) where status in ('queued', 'processing')",
    "public.async_jobs (user_id, created_at desc) include (url, status, progress)",
    "public.async_jobs (status, updated_at)",
    "public.async_jobs (updated_at) where status in ('completed', 'failed')",
    "public.async_jobs (created_at desc)",
    "public.async_jobs (created_at, url)",
    "public.async_jobs (status, guest_id, created_at desc)",
    "public.async_jobs using hash (guest_id)",
    "public.async_jobs using brin (updated_at)",
    "public.async_jobs using gin (metadata)",
    "public.guest_users (last_seen_at) include (guest_id)",
)
FILL = """
insert into auth.users (id) select gen_random_uuid() from generate_series(1, %(rows)s / 50 + 1);
insert into public.guest_users (guest_id) select gen_random_uuid() from generate_series(1, %(rows)s / 50 + 1);
insert into public.async_jobs (url, status, guest_id, user_id, created_at, updated_at)
select
  'https://x.com/' || i %% 1000,
  (array['queued', 'processing', 'completed', 'completed', 'failed', 'cancelled'])[1 + i %% 6],
  case when i %% 2 = 0 then g.ids[1 + i %% cardinality(g.ids)] end,
  case when i %% 2 = 1 then u.ids[1 + i %% cardinality(u.ids)] end,
  now() - make_interval(mins => i), now() - make_interval(mins => i)
from generate_series(1, %(rows)s) as i,
  (select array_agg(guest_id) as ids from public.guest_users) as g, (select array_agg(id) as ids from auth.users) as u
"""


@pytest.mark.slow
def test_size_statistics_and_user_indexes_cause_no_finding(
    make_database: Make, each_major: int
) -> None:
    """The planner may prefer an equally good or better user index."""
    url = make_database("applied", each_major).url
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for rows, analyzed, with_more_indexes in (
            (0, False, True),
            (0, True, True),
            (3, False, False),
            (3, True, False),
            (30_000, False, False),
            (0, True, True),
        ):
            if rows:
                connection.execute(FILL, {"rows": rows})
            if analyzed:
                connection.execute("vacuum analyze public.async_jobs")
                connection.execute("vacuum analyze public.guest_users")
            assert findings_of(connection) == []
            for sql in _more_indexes(connection) if with_more_indexes else ():
                with connection.transaction(force_rollback=True):
                    assert findings_of(connection, sql) == [], sql


def _more_indexes(connection: Connection) -> list[str]:
    """SQL that creates one more index, or recreates a managed index: the newest index wins ties."""
    definitions = "select indexname, indexdef from pg_indexes where schemaname = 'public' and indexname like 'idx%'"
    recreated = [
        f"drop index public.{name}; {definition}"
        for name, definition in connection.execute(definitions)
    ]
    return [f"create index more on {more}" for more in USER_INDEXES] + recreated


@pytest.mark.parametrize(
    "definition",
    [
        "public.async_jobs (guest_id, created_at) " + ACTIVE,
        "public.async_jobs (guest_id, created_at desc) where guest_id is not null",
        "public.async_jobs (url text_pattern_ops, created_at desc)",
        "public.async_jobs (error)",
    ],
)
def test_different_index_is_no_duplicate(rolled_back: Connection, definition: str) -> None:
    assert findings_of(rolled_back, f"create index mine on {definition}") == []


def test_user_foreign_keys_without_index_are_reported(rolled_back: Connection) -> None:
    """On a managed table a warning, to a managed table an info; with an index (columns in any
    order) nothing.
    """
    findings = findings_of(
        rolled_back,
        "create table public.reviews (job uuid references public.async_jobs (id));"
        "alter table public.async_jobs add column team uuid references public.guest_users"
        " (guest_id);"
        "create table public.pairs (a uuid, b uuid, primary key (a, b));"
        "create table public.more (b uuid, a uuid, guest uuid primary key references"
        " public.guest_users (guest_id),"
        " foreign key (a, b) references public.pairs (a, b))",
    )
    assert {(f.id.split(":")[-1], f.severity) for f in findings} == {
        ("async_jobs_team_fkey", Severity.WARNING),
        ("reviews_job_fkey", Severity.INFO),
    }
    for finding in findings:
        rolled_back.execute(finding.fix.replace(" concurrently", "").encode())
    assert findings_of(rolled_back) == []


def test_partial_index_implied_by_the_key_covers_it(rolled_back: Connection) -> None:
    drop = "drop index public.idx_guest_users_migrated_to_user_id; create index x on public.guest_users "
    assert findings_of(rolled_back, drop + "(migrated_to_user_id)") == []


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("idx_async_jobs_url", "error"),
        ("idx_guest_users_migrated_to_user_id", "error"),
        ("mine", "warning"),
    ],
)
def test_invalid_index_is_reported(
    make_database: Make, each_major: int, name: str, severity: str
) -> None:
    database = make_database("applied", each_major)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("create index mine on public.async_jobs (error)")
        with psycopg.connect(database.superuser_url, autocommit=True) as superuser:
            superuser.execute(
                "update pg_index set indisvalid = false where indexrelid = %s::regclass",
                (f"public.{name}",),
            )
        about = [f for f in findings_of(connection) if name in f.message]
        assert [(f.severity.value, f.fix) for f in about] == [
            (severity, f"reindex index concurrently public.{name};")
        ]
        connection.execute(about[0].fix.encode())
        assert findings_of(connection) == []


def test_finding_of_structure_is_not_repeated(rolled_back: Connection) -> None:
    rolled_back.execute("drop index public.idx_async_jobs_url")
    [finding] = verify(rolled_back, EXPECTATIONS, ("structure", "plans")).findings
    assert finding.area == "structure"
    [finding] = verify(rolled_back, EXPECTATIONS, ("plans",)).findings
    assert finding.id == "plans:index:public.idx_async_jobs_url"


def test_additional_action_of_a_rule_is_ignored(rolled_back: Connection) -> None:
    rolled_back.execute(
        "create table public.gone (at timestamptz default now());"
        "create rule besides as on delete to public.async_jobs do also insert into public.gone"
        " default values"
    )
    plans: list[QueryPlan] = []
    planner = Planner(begin(rolled_back, "plans", (), (), {}), Context())
    planner.run(
        [planner.plan(Explain("delete from public.async_jobs", None, {"enable_seqscan": "on"}))],
        plans,
    )
    assert plans[0]["Relation Name"] == "async_jobs"
    assert verify(rolled_back, EXPECTATIONS, ("plans",)).findings == ()


def test_plans_alone_detect_faults_of_indexes(rolled_back: Connection) -> None:
    """Every mutant that drops, empties or negates an index is killed by this area alone."""
    rolled_back.execute("select set_config('search_path', '', true)")
    scope = snapshot.load().names
    wanted = ("indexes:drop:", "indexes:empty:", "indexes:negated:")
    faults = [fault for fault in derive(rolled_back, scope) if fault.id.startswith(wanted)]
    assert len(faults) > 20
    survived = []
    for fault in faults:
        with rolled_back.transaction(force_rollback=True):
            rolled_back.execute(fault.sql.encode())
            if verify(rolled_back, EXPECTATIONS, ("plans",)).ok:
                survived.append(fault.id)
    assert survived == []


def test_plans_take_no_lock_and_run_nothing(
    make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database("applied").url
    monkeypatch.setattr("supabase_jobs.verify.verify.SETTINGS", SETTINGS.replace("'2s'", "'200ms'"))
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as connection:
        other.execute("lock table public.async_jobs in exclusive mode")  # blocks writers
        connection.execute("set default_transaction_read_only = on")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            verify(connection, EXPECTATIONS, ("plans",))
        other.rollback()
        other.execute("lock table public.async_jobs in row exclusive mode")
        assert verify(connection, EXPECTATIONS, ("plans",)).findings == ()


def test_checks_before_one_that_fails_are_completed(rolled_back: Connection) -> None:
    planner = Planner(begin(rolled_back, "plans", (), (), {}), Context())

    def check(*requests: Explain) -> Check[str]:
        for request in requests:
            yield from planner.plan(request)
        return requests[-1].statement

    def failing() -> Check[str]:
        return str((yield from planner.catalog("index")))  # without its parameter

    one, two, broken = (
        Explain(f"select {what}", None, {"enable_sort": "off"}) for what in ("1", "2", "nothing")
    )
    results: list[str] = []
    with pytest.raises(psycopg.errors.ProtocolViolation):
        planner.run([check(one, two), check(one), failing(), check(one)], results)
    assert results == ["select 2", "select 1"]
    with pytest.raises(NoPlanError, match='42703: column "nothing" does not exist'):
        planner.run([check(one, broken)], results)


def test_checks_left_out_of_a_batch_run_in_the_next(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_limit, "SECONDS", 0.001)
    cases = verify(rolled_back, EXPECTATIONS, ("plans",)).cases
    monkeypatch.undo()
    assert [case.id for case in verify(rolled_back, EXPECTATIONS, ("plans",)).cases] == [
        case.id for case in cases
    ]


def test_plans_take_twelve_round_trips_at_most(shared: Callable[[int], str]) -> None:
    assert round_trips(shared(DEFAULT_MAJOR), "plans") <= 12


def test_every_script_runs_in_psql(applied_url: str) -> None:
    with psycopg.connect(applied_url, autocommit=True) as connection:
        result = verify(connection, EXPECTATIONS, ("plans",))
    scripts = [result.script(case) for case in result.cases]
    assert all(scripts)
    out, err = run_in_psql(applied_url, "".join(scripts))
    assert err == ""
    assert out.count("QUERY PLAN") > 30


def test_area_has_a_packaged_declaration() -> None:
    assert "plans" in parse("plans")
    assert queries.DEFAULT_FILE.is_file()
