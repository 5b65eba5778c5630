"""Repairs by which somebody would lose what the audit saw only of one who is everybody at once, or
of nobody: they are comments that say so.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# pets are boarded at kennels: the keeper of the kennel and the holder of the pet have other rights
KENNELS = """
create table kennels (
  id uuid primary key default gen_random_uuid(), keeper uuid not null references auth.users, name text not null
);
create table stays (
  id uuid primary key default gen_random_uuid(), kennel_id uuid not null references kennels,
  holder uuid not null references auth.users,
  state text not null default 'asked' check (state in ('asked', 'agreed', 'refused')), note text
);
create table cameras (id bigint primary key, kennel_id uuid not null references kennels, address text not null);
alter table kennels enable row level security;
alter table stays enable row level security;
alter table cameras enable row level security;
create function keeps(kennel uuid) returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from kennels where id = kennel and keeper = auth.uid()) $$;
create policy "all" on kennels for select to authenticated using (true);
create policy "both read" on stays for select to authenticated using (holder = auth.uid() or keeps(kennel_id));
create policy "ask" on stays for insert to authenticated with check (holder = auth.uid() and state = 'asked');
create policy "agreed guests" on cameras for select to authenticated using (
  keeps(kennel_id) or exists (
    select from stays s where s.kennel_id = cameras.kennel_id and s.holder = auth.uid() and s.state = 'agreed')
);
"""
# nobody is other than a keeper if it is null
AGREE = """
create function agree(stay uuid) returns void language plpgsql security definer set search_path = public as $$
declare found_keeper uuid;
begin
  select k.keeper into found_keeper from kennels k join stays s on s.kennel_id = k.id where s.id = stay;
  if found_keeper <> auth.uid() then raise exception 'not your kennel'; end if;
  update stays set state = 'agreed' where id = stay and state = 'asked';
end $$;
"""
# the holder agrees for the keeper
UPDATE = """
create policy "both change" on stays for update to authenticated
  using (holder = auth.uid() or keeps(kennel_id)) with check (holder = auth.uid() or keeps(kennel_id));
"""
# the table has no policy, so the view is the only way to it
VISITS = """
create table visits (id bigint primary key, holder uuid not null references auth.users, note text not null);
alter table visits enable row level security;
create view my_visits as select id, note from visits where holder = auth.uid();
revoke all on my_visits from anon, authenticated;
grant select, update (note) on my_visits to authenticated;
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "ways", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        opened.execute(KENNELS.encode())
        yield opened


def finding(connection: Connection, id_: str) -> AuditFinding:
    """The finding with this id."""
    found = {one.id: one for one in run_audit(connection).findings}
    assert id_ in found, sorted(found)
    return found[id_]


def test_function_that_only_the_other_person_may_call(connection: Connection) -> None:
    connection.execute(AGREE.encode())
    one = finding(connection, "function-writes:public.agree(uuid)")
    assert one.proven
    assert '"holder" = ' not in one.fix
    assert '"parent"."keeper" = (select auth.uid())' in one.fix


def test_column_that_both_persons_may_change(connection: Connection) -> None:
    connection.execute(UPDATE.encode())
    one = finding(connection, "escalation:public.stays:update:state")
    assert not one.proven
    assert "as keeper of public.kennels only" in one.fix


def test_column_that_one_person_may_change(connection: Connection) -> None:
    connection.execute(UPDATE.replace(" or keeps(kennel_id)", "").encode())
    one = finding(connection, "escalation:public.stays:update:state")
    assert one.proven


def test_view_that_nobody_would_change_any_more(connection: Connection) -> None:
    connection.execute(VISITS.encode())
    one = finding(connection, "view:public.my_visits:update")
    assert not one.proven
    assert "-- Tried: nobody is left with: update of public.my_visits." in one.fix
