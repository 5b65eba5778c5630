"""`audit --in-place`: refused for a database in use, unless the user insists."""

from supabase_jobs.database.connection import connect
from tests.fix_cli import Run
from tests.fix_db import Database

SHOP = """
create sequence public.small as smallint start 32000;
create table public.orders (id uuid primary key default gen_random_uuid(), owner uuid references auth.users);
alter table public.orders enable row level security;
create table public.counters (n bigint);
create function public.count() returns trigger language plpgsql security definer as $$
begin update public.counters set n = n + 1; perform pg_notify('orders', ''); return new; end $$;
create trigger counted before insert on public.orders for each row execute function public.count();
"""


def test_a_database_in_use_is_refused(cli: Run, in_use: Database) -> None:
    ran = cli("audit", "--in-place", "--db-url", in_use.url, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "config"), ran.err
    assert "--allow-remote" in ran.json["error"]["hint"]


def test_what_it_disturbs_is_listed_first(cli: Run, in_use: Database) -> None:
    with connect(in_use.url) as connection:
        connection.execute(SHOP.encode())
    ran = cli("audit", "--in-place", "--allow-remote", "--db-url", in_use.url, "--json")
    assert "warning: counted on public.orders: the trigger may reach other systems" in ran.err
    assert "warning: sequence public.small: it has fewer than 10,000 numbers left" in ran.err
    assert ran.json["coverage"]["tables"] > 2


def test_an_embedded_server_is_audited_without_a_question(cli: Run, platform_url: str) -> None:
    ran = cli("audit", "--in-place", "--db-url", platform_url)
    assert "inserts rows of its own into this database" in ran.err
    assert "warning" not in ran.err
