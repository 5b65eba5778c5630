"""Tables of which no row can be generated: reported from the catalogs, and never passed."""

import json
from collections.abc import Callable

import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.configuration import Configuration
from supabase_jobs.audit.options import Files, Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Severity
from supabase_jobs.report import write
from supabase_jobs.report.producers.audit import document
from tests.audit.conftest import decided, run_audit

IMPOSSIBLE = """
create table public.{0} (
  id bigint primary key check (length(md5(id::text)) = 5), owner uuid references auth.users, {1} text
);
grant all on public.{0} to anon, authenticated;
"""
CLOSED = "alter table public.{0} enable row level security;"
OPEN = """
create policy "all" on public.{0} for all using ({1});
"""
SCHEMA = "".join(
    [
        IMPOSSIBLE.format("without", "body"),
        "revoke all on public.without from anon; grant select on public.without to anon;",
        *(
            IMPOSSIBLE.format(n, "token") + CLOSED.format(n)
            for n in ("open", "signed_in", "restricted", "closed")
        ),
        OPEN.format("open", "true"),
        OPEN.format("signed_in", "auth.uid() is not null"),
        OPEN.format("restricted", "true"),
        OPEN.format("closed", "owner = auth.uid()"),
        'create policy "own" on public.restricted as restrictive using (owner = auth.uid());',
        'create policy "read" on public.closed for select using (true);',
    ]
)


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_tables_without_rows_are_reported_from_the_catalogs(project: Connection) -> None:
    project.execute(SCHEMA.encode())
    result = run_audit(project)
    tables = {f"public.{n}" for n in ("without", "open", "signed_in", "restricted", "closed")}
    found = {str(f.id): f for f in result.findings if f.object in tables}
    assert {id_: f.severity for id_, f in found.items()} == {
        "rls-disabled:public.without:select": Severity.ERROR,
        **{
            f"open-policy:public.open:{a}": Severity.WARNING
            for a in ("select", "insert", "update", "delete")
        },
        **{
            f"open-policy:public.signed_in:{a}": Severity.WARNING
            for a in ("select", "insert", "update", "delete")
        },
        "open-policy:public.closed:select": Severity.WARNING,
    }
    assert (
        "any signed-in user can read, add, change, delete"
        in found["rls-disabled:public.without:select"].message
    )
    assert found["open-policy:public.open:update"].message.startswith("Anyone can change every row")
    assert found["open-policy:public.signed_in:update"].message.startswith(
        "Any signed-in user can change"
    )
    for finding in found.values():
        is_tried = finding.id.startswith("rls-disabled:")
        assert finding.proven is is_tried
        project.execute(decided(finding.fix).encode())
    again = run_audit(project)
    assert not [f for f in again.findings if f.object in tables]
    assert set(again.unchecked) == tables
    assert not again.ok
    report = json.loads(write(document(again), "json"))
    assert (report["ok"], report["coverage"]["not_tested"][0]["fails"]) == (False, True)
    assert "FAILED: 2 info, 5 objects not tested;" in write(document(again), "text")
    assert 'level": "error"' in write(document(again), "sarif")
    accepted = Options(
        files=Files(configuration=Configuration(excluded=dict.fromkeys(tables, "no"))),
    )
    excluded = audit(project, accepted)
    assert excluded.ok
    assert {n.object for n in excluded.not_tested} == tables


def test_what_is_not_tested_elsewhere_does_not_fail_the_audit_of_a_table(
    project_url: Callable[[str], str],
) -> None:
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        connection.execute(IMPOSSIBLE.format("other", "body").encode())
        connection.execute("revoke all on public.other from anon, authenticated")
        assert run_audit(connection).ok
        assert audit(connection, Options(tables=["public.lists"])).ok


def test_policy_that_queries_its_own_table_is_not_tested(project_url: Callable[[str], str]) -> None:
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        connection.execute("""
            create table public.staff (user_id uuid primary key references auth.users);
            alter table public.staff enable row level security;
            create policy "colleagues" on public.staff for select to authenticated
            using (exists (select from public.staff as s where s.user_id = auth.uid()));
        """)
        result = audit(connection, Options(tables=["public.staff"]))
    [found] = result.not_tested
    assert (found.object, result.unchecked, result.ok) == ("public.staff", ("public.staff",), False)
    assert 'infinite recursion detected in policy for relation "staff"' in found.why


UNSATISFIED = """
create table public.crew (person uuid primary key references auth.users, badge text not null default 'none');
create table public.logs (id bigint primary key, body text);
create table public.sealed (id bigint primary key, body text);
create table public.internal (id bigint primary key, body text);
alter table public.crew enable row level security;
alter table public.logs enable row level security;
alter table public.sealed enable row level security;
alter table public.internal enable row level security;
create policy own on public.crew for select using (person = auth.uid());
create policy crew on public.logs for select
  using (exists (select from public.crew where person = auth.uid() and md5(badge) = 'x'));
create policy nobody on public.sealed for select using (false);
create policy service on public.internal for select using ((auth.jwt() ->> 'role') = 'service_role');
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_policy_that_no_caller_satisfies_is_not_tested(project: Connection) -> None:
    project.execute(UNSATISFIED.encode())
    found = {one.object: one.why for one in run_audit(project, repairs=False).not_tested}
    assert found == {"public.logs": 'no caller of the audit can read a row by policy "crew"'}


UNITS = """
create table public.persons (id bigint generated always as identity primary key, account uuid references auth.users);
create table public.units (id bigint generated always as identity primary key, name text not null);
create table public.tenancies (
  person bigint not null references public.persons, unit bigint not null references public.units
);
alter table public.persons enable row level security;
alter table public.units enable row level security;
alter table public.tenancies enable row level security;
create policy "tenants" on public.units for select to authenticated using (id in (
  select t.unit from public.tenancies as t join public.persons as p on p.id = t.person where p.account = auth.uid()));
create policy "own" on public.persons for select to authenticated using (account = auth.uid());
create policy "own" on public.tenancies for select to authenticated using (
  person in (select p.id from public.persons as p where p.account = auth.uid()));
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_person_is_made_for_a_table_that_only_the_owner_of_all_rows_reads(
    project: Connection,
) -> None:
    project.execute(UNITS.encode())
    assert run_audit(project, repairs=False).not_tested == ()


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_table_that_only_the_owner_of_all_rows_reads_is_not_tested(project: Connection) -> None:
    project.execute(UNITS.replace("= auth.uid()));\n", "|| '' = auth.uid() || ''));\n", 1).encode())
    found = {item.object: item.why for item in run_audit(project, repairs=False).not_tested}
    reader = "only the owner of all rows of the audit"
    assert found == {"public.units": f'{reader} can read a row by policy "tenants"'}


STAFF = """
create table public.wardens (person uuid primary key references auth.users);
create table public.rounds (id bigint generated always as identity primary key, note text not null);
create table public.spares (id bigint generated always as identity primary key, note text not null);
alter table public.wardens enable row level security;
alter table public.rounds enable row level security;
alter table public.spares enable row level security;
create function public.is_warden() returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.wardens where person = auth.uid()) $$;
create policy "own" on public.wardens for select to authenticated using (person = auth.uid());
create policy "wardens" on public.rounds for select to authenticated using (public.is_warden());
create policy "wardens" on public.spares for select to authenticated using (
  exists (select from public.wardens where person = auth.uid()));
"""


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_table_that_the_staff_reads_is_tested(project: Connection) -> None:
    project.execute(STAFF.encode())
    assert run_audit(project, repairs=False).not_tested == ()
