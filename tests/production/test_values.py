"""No value of a database in use is printed; on an embedded server, texts are."""

from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run
from tests.fix_db import Database
from tests.migrations.helpers import write

SECRET = "nightjar@example.net"
# a trigger that prints a value of another row, and a notice with it
REJECT = f"""
create table public.customers (email text unique);
insert into public.customers values ('{SECRET}');
create function public.reject() returns trigger language plpgsql as $$
begin
  raise notice 'seen %', (select min(email) from public.customers);
  raise exception 'not after %', (select min(email) from public.customers);
end $$;
"""
SIGN_UP = "create trigger reject before insert on auth.users for each row execute function reject()"
JOBS = "create trigger reject before insert on public.async_jobs for each row execute function reject()"
DUPLICATE = f"insert into public.customers values ('{SECRET}');"
TRIGGER = "create trigger reject before insert on public.customers for each row execute function reject(); insert into public.customers default values;"


def create(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in (REJECT, *statements):
            connection.execute(statement.encode())


@pytest.mark.parametrize("trigger", [SIGN_UP, JOBS], ids=["sign-up", "jobs"])
def test_verify_prints_no_text_of_a_trigger(cli: Run, in_use: Database, trigger: str) -> None:
    create(in_use.url, trigger)
    ran = cli("verify", "--only", "access,functions", "--db-url", in_use.url)
    assert ran.code == 1
    assert SECRET not in ran.out + ran.err
    assert "P0001 in PL/pgSQL function reject() line 4 at RAISE" in " ".join(ran.out.split())


DYNAMIC = """
create or replace function public.reject() returns trigger language plpgsql as $$
begin execute format('select * from %I', (select min(email) from public.customers)); return new; end $$;
"""
NAMED = """
create or replace function public.reject() returns trigger language plpgsql as $$
declare name text := (select min(email) from public.customers);
begin raise unique_violation using schema = name, table = name, constraint = name, column = name; end $$;
"""


@pytest.mark.parametrize("trigger", [SIGN_UP, JOBS], ids=["sign-up", "jobs"])
@pytest.mark.parametrize("function", [DYNAMIC, NAMED], ids=["dynamic", "named"])
def test_verify_prints_no_name_that_a_trigger_makes(
    cli: Run, in_use: Database, trigger: str, function: str
) -> None:
    create(in_use.url, trigger, function)
    ran = cli("verify", "--only", "access,functions", "--db-url", in_use.url)
    assert ran.code == 1
    assert SECRET not in ran.out + ran.err
    assert "in PL/pgSQL function reject() line" in " ".join(ran.out.split())


@pytest.mark.parametrize("sql", [DUPLICATE, TRIGGER], ids=["detail", "trigger"])
def test_dry_run_prints_no_value(cli: Run, in_use: Database, files: Path, sql: str) -> None:
    create(in_use.url)
    write(files, "20990101000000_rows.sql", sql)
    ran = cli("apply", "--dry-run", "--db-url", in_use.url)
    assert ran.code == 6
    # the file itself names one value, and the message does not repeat it
    assert SECRET not in ran.out + ran.err
    assert "SQLSTATE" in ran.err


def test_texts_are_printed_on_an_embedded_server(cli: Run, applied_url: str, files: Path) -> None:
    create(applied_url)
    write(files, "20990101000000_rows.sql", TRIGGER)
    ran = cli("apply", "--dry-run", "--db-url", applied_url)
    assert f"not after {SECRET}" in ran.err


def test_blocking_queries_are_not_printed(cli: Run, in_use: Database, files: Path) -> None:
    create(in_use.url)
    write(files, "20990101000000_column.sql", "alter table public.customers add column more int;")
    with psycopg.connect(in_use.url) as other:
        other.execute(f"update public.customers set email = '{SECRET}' where true".encode())
        ran = cli("apply", "--retries", "0", "--db-url", in_use.url)
    assert (ran.code, "blocked by" in ran.err) == (5, True)
    assert SECRET not in ran.out + ran.err
