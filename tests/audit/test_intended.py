"""Acts that look like leaks and are the project's own rule, as what else it permits or refuses
shows: no error, and no warning.
"""

from collections.abc import Iterator

import pytest

from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import AuditFinding, Severity
from tests.audit.conftest import run_audit
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# a reading club: subscribers read early, translators confirm, flats are let, books are bought
CLUB = """
create table firms (id uuid primary key default gen_random_uuid(), name text not null, paid_until date);
create table people (
  id uuid primary key references auth.users, name text not null, firm_id uuid references firms, coins int not null default 9
);
create function subscribes() returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.people p join public.firms f on f.id = p.firm_id
    where p.id = auth.uid() and f.paid_until >= current_date) $$;
create table essays (
  id uuid primary key default gen_random_uuid(), author_id uuid not null references people, body text not null,
  open boolean not null default false
);
create table translators (
  essay_id uuid references essays, person_id uuid references people, agreed boolean not null default false,
  primary key (essay_id, person_id)
);
create function writes(essay uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.essays where id = essay and author_id = auth.uid())
    or exists (select from public.translators where essay_id = essay and person_id = auth.uid() and agreed) $$;
create table drafts (
  id uuid primary key default gen_random_uuid(), essay_id uuid not null references essays, body text not null
);
alter table firms enable row level security;
alter table people enable row level security;
alter table essays enable row level security;
alter table translators enable row level security;
alter table drafts enable row level security;
create policy "all" on firms for select using (true);
create policy "own" on people for select to authenticated using (id = auth.uid());
create policy "open" on essays for select using (open);
create policy "own" on essays for all to authenticated using (author_id = auth.uid());
create policy "early" on essays for select to authenticated using (subscribes());
create policy "seen" on translators for select to authenticated using (person_id = auth.uid() or writes(essay_id));
create policy "ask" on translators for insert to authenticated
  with check (not agreed and exists (select from essays e where e.id = essay_id and e.author_id = auth.uid()));
create policy "agree" on translators for update to authenticated
  using (person_id = auth.uid()) with check (person_id = auth.uid());
create policy "writers" on drafts for select to authenticated using (writes(essay_id));
"""
# a landlord names the tenant, and whoever is named reads the lease
FLATS = """
create table flats (
  id uuid primary key default gen_random_uuid(), landlord uuid not null references auth.users, name text not null
);
create table tenants (id uuid primary key references auth.users, name text not null);
create table leases (
  id uuid primary key default gen_random_uuid(), flat_id uuid not null references flats,
  tenant uuid not null references tenants, rent int not null
);
alter table tenants enable row level security;
create policy "own" on tenants for select to authenticated using (id = auth.uid());
create function lets(flat uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.flats where id = flat and landlord = auth.uid()) $$;
alter table flats enable row level security;
alter table leases enable row level security;
create policy "own" on flats for all to authenticated using (landlord = auth.uid());
create policy "parties" on leases for select to authenticated using (tenant = auth.uid() or lets(flat_id));
create policy "let" on leases for insert to authenticated with check (lets(flat_id));
create policy "change" on leases for update to authenticated
  using (tenant = auth.uid() or lets(flat_id)) with check (tenant = auth.uid() or lets(flat_id));
"""
# players buy from one another; who writes a course has a role, and who repairs what is reported too
MARKET = """
create table players (
  id uuid primary key references auth.users, nick text not null unique, coins int not null default 9 check (coins >= 0),
  post text not null default 'player' check (post in ('player', 'tutor', 'keeper'))
);
create function post() returns text language sql stable security definer set search_path = '' as
  $$ select post from public.players where id = auth.uid() $$;
create table offers (
  id uuid primary key default gen_random_uuid(), seller uuid not null references players, thing text not null,
  price int not null default 1 check (price > 0), buyer uuid references players
);
create table lessons (
  id uuid primary key default gen_random_uuid(), tutor uuid not null references players, title text not null,
  price_cents int not null default 0
);
create table reports (
  id uuid primary key default gen_random_uuid(), player uuid not null references players, text text not null,
  stage text not null default 'open' check (stage in ('open', 'begun', 'done'))
);
alter table players enable row level security;
alter table offers enable row level security;
alter table lessons enable row level security;
alter table reports enable row level security;
create policy "own" on players for select to authenticated using (id = auth.uid());
create policy "open" on offers for select to authenticated using (buyer is null or seller = auth.uid());
create policy "sell" on offers for insert to authenticated with check (seller = auth.uid() and buyer is null);
create policy "read" on lessons for select to authenticated using (true);
create policy "teach" on lessons for insert to authenticated with check (tutor = auth.uid() and post() = 'tutor');
create policy "change" on lessons for update to authenticated
  using (tutor = auth.uid()) with check (tutor = auth.uid());
create policy "own" on reports for select to authenticated using (player = auth.uid() or post() = 'keeper');
create policy "report" on reports for insert to authenticated with check (player = auth.uid() and stage = 'open');
create policy "repair" on reports for update to authenticated using (post() = 'keeper');
create view shop_window as select id, thing, price from offers where buyer is null;
revoke insert, update, delete on shop_window from anon, authenticated;
create function buy(offer uuid) returns void language plpgsql security definer set search_path = '' as $$
declare found_one public.offers;
begin
  select * into found_one from public.offers where id = offer and buyer is null for update;
  if not found or auth.uid() is null then raise exception 'gone'; end if;
  update public.players set coins = coins - found_one.price where id = auth.uid();
  update public.players set coins = coins + found_one.price where id = found_one.seller;
  update public.offers set buyer = auth.uid() where id = offer;
end $$;
"""

# a registrar, whom only a function appoints, sees every person of a swimming club, others their own
SWIMMERS = """
create table swimmers (id uuid primary key references auth.users, name text not null, born date);
create table registrars (person uuid primary key references auth.users, since timestamptz not null default now());
create function registers(who uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.registrars where person = who) $$;
create function follow_registrar() returns trigger language plpgsql set search_path = '' as $$
begin
  if exists (select from public.registrars where person = new.id) then new.name := upper(new.name); end if;
  return new;
end $$;
create trigger follow_registrar before update on swimmers for each row execute function follow_registrar();
alter table swimmers enable row level security;
alter table registrars enable row level security;
create policy "own" on registrars for select to authenticated using (person = auth.uid());
create policy "see" on swimmers for select to authenticated using (id = auth.uid() or registers(auth.uid()));
create table relays (id uuid primary key default gen_random_uuid(), name text not null);
create table relay_members (relay_id uuid references relays, person uuid references auth.users, lane int,
  role text not null default 'swimmer' check (role in ('captain', 'swimmer')), primary key (relay_id, person));
create function swims_in(relay uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.relay_members where relay_id = relay and person = auth.uid()) $$;
create function is_captain(relay uuid, who uuid) returns boolean language sql stable security definer set search_path = ''
as $$ select exists (select from public.relay_members where relay_id = relay and person = who and role = 'captain') $$;
alter table relays enable row level security;
alter table relay_members enable row level security;
create policy "own" on relays for select to authenticated using (swims_in(id));
create policy "own" on relay_members for select to authenticated using (swims_in(relay_id));
"""


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    return session_copy(request, "intended", "services", DEFAULT_MAJOR).url


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as opened, opened.transaction(force_rollback=True):
        yield opened


def findings(connection: Connection, project: str) -> dict[str, AuditFinding]:
    connection.execute(project.encode())
    found = run_audit(connection, repairs=False).findings
    return {one.id: one for one in found}


def problems(found: dict[str, AuditFinding]) -> list[str]:
    return [
        name for name, one in found.items() if one.severity in (Severity.ERROR, Severity.WARNING)
    ]


def test_readers_by_what_they_are(connection: Connection) -> None:
    found = findings(connection, CLUB)
    assert "read:who the caller is" in found
    assert not [name for name in problems(found) if name.startswith("read:")]


def test_reader_of_all_persons_by_a_part_of_a_policy(connection: Connection) -> None:
    found = findings(connection, SWIMMERS)
    assert "public.swimmers" in found["read:who the caller is"].message
    assert problems(found) == []
    # what helpers of policies say, one says that only the app asks
    assert "public.is_captain(uuid,uuid)" in found["function-exists:anyone, about members"].message


def test_person_who_is_named_agrees(connection: Connection) -> None:
    found = findings(connection, CLUB)
    assert "escalation:public.translators" in found
    assert not [name for name in problems(found) if name.startswith("escalation:")]


def test_owner_of_the_row_above_names_a_receiver(connection: Connection) -> None:
    found = findings(connection, FLATS)
    assert found["forged:public.leases"].severity is Severity.QUESTION


def test_purchase_view_for_guests_and_roles(connection: Connection) -> None:
    found = findings(connection, MARKET)
    assert "function-writes:signed-in users" in found
    assert "view:anyone" in found
    assert problems(found) == []
