"""The structure area: what else it compares, and a database next to a large project without
findings.
"""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.sources.files import MigrationFiles
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import check, snapshot
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make, every_major, packaged


def test_renamed_argument_is_an_error(rolled_back: Connection) -> None:
    row = rolled_back.execute(
        "select pg_get_functiondef('private.cleanup_old_jobs(integer, integer,"
        " timestamptz)'::regprocedure)"
    ).fetchone()
    assert row is not None
    rolled_back.execute("drop function private.cleanup_old_jobs")
    rolled_back.execute(row[0].replace("p_limit", "p_most").encode())
    rolled_back.execute("revoke all on function private.cleanup_old_jobs from public")
    rolled_back.execute("grant execute on function private.cleanup_old_jobs to service_role")
    findings = {
        str(f.id): f.severity for f in verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    }
    assert (
        findings[
            "structure:private.cleanup_old_jobs(integer,integer,timestamp with time zone):arguments"
        ]
        is Severity.ERROR
    )


def test_options_and_query_of_a_managed_view_are_compared(rolled_back: Connection) -> None:
    rolled_back.execute(
        "set local search_path = ''; create view public.mine with (security_invoker) as select 1"
        " as x"
    )
    recorded = snapshot.record(rolled_back, [("relations", "public.mine")])
    rolled_back.execute("alter view public.mine set (security_invoker = false)")
    [options] = _compared(rolled_back, recorded)
    assert (options.id, options.severity) == ("structure:public.mine:options", Severity.ERROR)
    rolled_back.execute(options.fix.encode())
    rolled_back.execute(
        "create or replace view public.mine with (security_invoker = true) as select 2 as x"
    )
    assert [f.id for f in _compared(rolled_back, recorded)] == ["structure:public.mine:definition"]


def test_blocking_foreign_key_names_the_tables_that_a_cascade_deletes(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(
        "create table public.clubs (id int primary key, founder uuid not null references auth.users"
        " (id)); create table public.rooms (id int primary key, club int not null references"
        " public.clubs (id) on delete cascade)"
    )
    [finding] = verify(rolled_back, EXPECTATIONS, ("structure",)).findings
    assert finding.message.startswith(
        'foreign key "public.clubs.clubs_founder_fkey" is not in any rendered migration: it blocks'
    )
    assert "public.clubs, public.rooms\n" in finding.fix


def _compared(connection: Connection, snapshot: snapshot.Snapshot) -> list[Finding]:
    context = Context()
    check.compare(connection, snapshot, context)
    return context.findings


USER_OBJECTS = """
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
create publication extra for table public.orders;
alter publication supabase_realtime add table public.orders;
create table public.parts (id int) partition by range (id);
create table public.parts_1 partition of public.parts for values from (1) to (9);
insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
insert into public.orders (owner, note) values ('00000000-0000-4000-8000-000000000001', 'hello');
"""


@every_major
@pytest.mark.parametrize("template", ["platform", "bare"])
def test_unchanged_database_next_to_user_objects_has_no_findings(
    make_database: Make, each_major: int, template: str
) -> None:
    """Before and after our migrations; with default privileges on (platform) and off (bare)."""
    with psycopg.connect(make_database(template, each_major).url, autocommit=True) as connection:
        apply_pending(connection, MigrationFiles(packaged()))
        assert verify(connection, EXPECTATIONS).findings == ()
        connection.execute(USER_OBJECTS.encode())
        result = verify(connection, EXPECTATIONS)
        assert (result.findings, result.unchecked) == ((), ())
        row = connection.execute(
            "select rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == (False,)
