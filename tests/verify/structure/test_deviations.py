"""`verify` on the structure: one finding for one deviation, silence for what comes to the same."""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.run import verify
from supabase_jobs.verify.structure import check, snapshot
from tests.fix_db import EXPECTATIONS, Make
from tests.verify.structure.deviations import DEVIATIONS

each_deviation = pytest.mark.parametrize("name", DEVIATIONS)


def findings(connection: Connection, *areas: str) -> tuple[Finding, ...]:
    """All that these areas find, whatever the severity."""
    return verify(connection, EXPECTATIONS, areas or ("structure",)).findings


@each_deviation
def test_a_deviation_is_one_finding(rolled_back: Connection, name: str) -> None:
    deviation = DEVIATIONS[name]
    rolled_back.execute(deviation.sql.encode())
    [finding] = findings(rolled_back)
    assert (finding.id, finding.severity) == (deviation.id, deviation.severity)
    assert finding.fix


@pytest.mark.parametrize("name", [name for name, deviation in DEVIATIONS.items() if deviation.mends])
def test_its_fix_mends_it(rolled_back: Connection, name: str) -> None:
    rolled_back.execute(DEVIATIONS[name].sql.encode())
    [finding] = findings(rolled_back)
    rolled_back.execute(finding.fix.encode())
    assert findings(rolled_back) == ()


def test_a_schema_that_a_role_of_the_api_owns(rolled_back: Connection) -> None:
    rolled_back.execute("alter schema private owner to service_role")
    assert "structure:private:owner" in {f.id for f in findings(rolled_back) if f.severity is Severity.ERROR}


def test_a_default_that_no_request_can_leave_to_the_function_is_a_warning(rolled_back: Connection) -> None:
    row = rolled_back.execute(
        "select pg_get_functiondef('private.cleanup_old_jobs(integer, integer, timestamptz)'::regprocedure)"
    ).fetchone()
    assert row is not None
    rolled_back.execute(
        row[0].replace("p_from timestamp with time zone", "p_from timestamptz default '-infinity'").encode()
    )
    [finding] = findings(rolled_back)
    assert finding.severity is Severity.WARNING
    assert "(p_days, p_limit, p_from default -infinity); expected: (p_days, p_limit, p_from)" in finding.message


def test_a_renamed_argument_is_an_error(rolled_back: Connection) -> None:
    row = rolled_back.execute(
        "select pg_get_functiondef('private.cleanup_old_jobs(integer, integer, timestamptz)'::regprocedure)"
    ).fetchone()
    assert row is not None
    rolled_back.execute("drop function private.cleanup_old_jobs")
    rolled_back.execute(row[0].replace("p_limit", "p_most").encode())
    rolled_back.execute("revoke all on function private.cleanup_old_jobs from public")
    rolled_back.execute("grant execute on function private.cleanup_old_jobs to service_role")
    found = {f.id: f.severity for f in findings(rolled_back)}
    assert (
        found["structure:private.cleanup_old_jobs(integer,integer,timestamp with time zone):arguments"]
        is Severity.ERROR
    )


def test_a_view_among_ours_shows_the_same_and_as_the_same_role(rolled_back: Connection) -> None:
    rolled_back.execute("set local search_path = ''; create view public.mine with (security_invoker) as select 1 as x")
    recorded = snapshot.record(rolled_back, [("relations", "public.mine")])
    rolled_back.execute("alter view public.mine set (security_invoker = false)")
    [options] = _compared(rolled_back, recorded)
    assert (options.id, options.severity) == ("structure:public.mine:options", Severity.ERROR)
    rolled_back.execute(options.fix.encode())
    rolled_back.execute("create or replace view public.mine with (security_invoker = true) as select 2 as x")
    assert [f.id for f in _compared(rolled_back, recorded)] == ["structure:public.mine:definition"]


def _compared(connection: Connection, snapshot: snapshot.Snapshot) -> list[Finding]:
    result = Context()
    check.compare(connection, snapshot, result)
    return result.findings


GUESTS = "(select private.request_guest_id())"
EQUIVALENT = {
    "with check left out where using covers it": """
        drop policy "guests update their own jobs" on public.async_jobs;
        create policy "guests update their own jobs" on public.async_jobs for update to anon
        using (guest_id = (select private.request_guest_id()));
        drop policy "guests touch their own guest row" on public.guest_users;
        create policy "guests touch their own guest row" on public.guest_users for update to anon
        using (guest_id = (select private.request_guest_id()));
        drop policy "the service has full access to jobs" on public.async_jobs;
        create policy "the service has full access to jobs" on public.async_jobs for all to service_role using (true);
    """,
    "the other way round, under another alias": """
        alter policy "guests read their own jobs" on public.async_jobs
        using ((select private.request_guest_id() as me) = guest_id);
        alter policy "users update their own jobs" on public.async_jobs
        using ((select auth.uid()) = user_id) with check (((select auth.uid())::uuid = user_id));
    """,
    "renamed": """
        alter policy "guests read their own jobs" on public.async_jobs rename to guests_read;
        alter policy "users delete their own jobs" on public.async_jobs rename to "users: delete";
    """,
    "one for all commands instead of four": """
        drop policy "users read their own jobs" on public.async_jobs;
        drop policy "users create their own jobs" on public.async_jobs;
        drop policy "users update their own jobs" on public.async_jobs;
        drop policy "users delete their own jobs" on public.async_jobs;
        create policy own on public.async_jobs to authenticated using (user_id = (select auth.uid()));
    """,
    "four instead of one for all commands": """
        drop policy "the service has full access to guests" on public.guest_users;
        create policy a on public.guest_users for select to service_role using (true);
        create policy b on public.guest_users for insert to service_role with check (true);
        create policy c on public.guest_users for update to service_role using (true);
        create policy d on public.guest_users for delete to service_role using (true);
    """,
}


@pytest.mark.parametrize("name", EQUIVALENT)
def test_policies_that_come_to_the_same_are_no_finding(rolled_back: Connection, name: str) -> None:
    rolled_back.execute(EQUIVALENT[name].encode())
    assert findings(rolled_back, "structure", "access") == ()


REWORDED = {
    "in": "user_id in (select auth.uid())",
    "coalesce": "coalesce(user_id = (select auth.uid()), user_id is not null and user_id is null)",
    "and not null": "(select auth.uid()) is not null and user_id = (select auth.uid())",
}


@pytest.mark.parametrize("name", REWORDED)
def test_other_words_for_the_same_are_a_warning_once_they_were_tried(rolled_back: Connection, name: str) -> None:
    rolled_back.execute(
        f'alter policy "users read their own jobs" on public.async_jobs using ({REWORDED[name]})'.encode()
    )
    [alone] = findings(rolled_back, "structure")
    assert alone.severity is Severity.ERROR
    [tried] = findings(rolled_back, "structure", "access")
    assert tried.severity is Severity.WARNING
    assert tried.message.endswith("the access matrix shows no difference")


@pytest.mark.parametrize(
    "more",
    ["url like '%/public/%'", "progress > status::text::integer", "random() < progress", "session_user = url",
     "exists (select from public.guest_users)", "false"],
)  # fmt: skip
def test_a_condition_that_asks_for_more_stays_an_error(rolled_back: Connection, more: str) -> None:
    """The planted rows may not be those on which it shows."""
    rolled_back.execute(
        f'alter policy "users read their own jobs" on public.async_jobs'
        f" using (user_id = (select auth.uid()) or {more})".encode()
    )
    found = verify(rolled_back, EXPECTATIONS, ("structure", "access"))
    assert not found.ok
    assert f"{TABLE}:policy:users read their own jobs" in {f.id for f in found.findings}


@pytest.mark.parametrize(
    "written",
    ["user_id::text::char(1) = (select auth.uid())::text::char(1)", "user_id operator(public.=) (select auth.uid())"],
)
def test_a_comparison_that_lets_only_some_owners_through_stays_an_error(rolled_back: Connection, written: str) -> None:
    """The planted ids may not be those on which it shows."""
    rolled_back.execute(
        b"create function public.nearly(uuid, uuid) returns boolean language sql as"
        b" $$ select $1 operator(pg_catalog.=) $2 or $2::text like '0000%' $$;"
        b"create operator public.= (leftarg = uuid, rightarg = uuid, function = public.nearly)"
    )
    rolled_back.execute(f'alter policy "users read their own jobs" on public.async_jobs using ({written})'.encode())
    found = verify(rolled_back, EXPECTATIONS, ("structure", "access"))
    assert f"{TABLE}:policy:users read their own jobs" in {f.id for f in found.findings if f.severity is Severity.ERROR}


def test_a_body_in_another_form_is_another_body(rolled_back: Connection) -> None:
    rolled_back.execute(
        b"create or replace function public.cleanup_old_jobs(p_days integer default 7, p_limit integer default null)"
        b" returns table (deleted_count integer) language sql set search_path = '' begin atomic select 1; end"
    )
    found = {f.id: f.severity for f in findings(rolled_back, "structure")}
    id = "structure:public.cleanup_old_jobs(integer,integer):body"
    assert found[id] is Severity.ERROR


TABLE = "structure:public.async_jobs"


def test_other_words_that_come_to_something_else_stay_an_error(rolled_back: Connection) -> None:
    rolled_back.execute(
        'alter policy "users read their own jobs" on public.async_jobs'
        " using (user_id = (select auth.uid()) or user_id is not null)"
    )
    found = verify(rolled_back, EXPECTATIONS, ("structure", "access")).findings
    assert {f.severity for f in found} == {Severity.ERROR}
    assert {f.area for f in found} == {"structure", "access"}


def test_what_a_policy_does_to_a_role_that_bypasses_them_cannot_be_tried(rolled_back: Connection) -> None:
    rolled_back.execute('alter policy "the service has full access to jobs" on public.async_jobs using (true is true)')
    [finding] = findings(rolled_back, "structure", "access")
    assert finding.severity is Severity.ERROR


BESIDE = """
create schema shop;
create table public.orders (
  id bigint generated always as identity primary key, owner uuid not null references auth.users (id) on delete cascade,
  guest_id uuid, note text not null default '', total numeric(9, 2) check (total >= 0)
);
alter table public.orders enable row level security;
create index on public.orders (owner);
create policy "owners do all" on public.orders to authenticated using (owner = (select auth.uid()));
create policy "anybody reads" on public.orders for select to public using (note <> '');
create policy staff on public.orders as restrictive for delete using (false);
create table public.job_events (
  job_id uuid not null references public.async_jobs (id) on delete cascade, at timestamptz not null default now()
);
create index on public.job_events (job_id);
create table shop.open (x text);
grant usage on schema shop to anon;
grant all on shop.open to anon, public;
create view public.orders_public as select id, note from public.orders;
create view public.orders_mine with (security_invoker = true) as select * from public.orders;
create materialized view public.order_totals as select owner, sum(total) from public.orders group by owner;
create function public.order_count() returns bigint language sql security definer set search_path = ''
  as 'select count(*) from public.orders';
create function public.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touch before update on public.orders for each row execute function public.touch();
create rule quiet as on delete to public.orders where false do instead nothing;
create publication theirs for table public.orders;
alter publication supabase_realtime add table public.orders;
create table public.parts (id int) partition by range (id);
create table public.parts_1 partition of public.parts for values from (1) to (9);
insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
insert into public.orders (owner, note) values ('00000000-0000-4000-8000-000000000001', 'hello');
"""


@pytest.mark.parametrize("template", ["platform", "bare"])
def test_an_untouched_database_beside_a_rich_project_has_no_findings(
    make_database: Make, each_major: int, template: str
) -> None:
    """Before and after our migrations; with default privileges on (platform) and off (bare)."""
    from supabase_jobs.migrations.apply import apply_pending
    from supabase_jobs.sources.files import MigrationFiles
    from tests.fix_db import packaged

    with psycopg.connect(make_database(template, each_major).url, autocommit=True) as connection:
        apply_pending(connection, MigrationFiles(packaged()))
        assert verify(connection, EXPECTATIONS).findings == ()
        connection.execute(BESIDE.encode())
        result = verify(connection, EXPECTATIONS)
        assert (result.findings, result.unchecked) == ((), ())
        row = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        assert row == (False,)
