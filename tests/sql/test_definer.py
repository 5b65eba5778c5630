"""SECURITY DEFINER bodies never run code of the caller, through pg_temp or an insecure wrapper."""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from tests.fix_db import Make, oldest_and_newest, packaged
from tests.impersonation import GUEST_A, MIGRATE, USER_A, insert_fixture_rows, user

TYPES = ("name", "uuid", "text", "json", "jsonb", "timestamptz", "interval")

EVIL = """
create table if not exists public.caught (who name);
grant all on public.caught to public;
grant temporary on database {database} to authenticated;
"""

PATH = "perform set_config('search_path', 'pg_catalog, pg_temp', true);"


def weakened(qualified: str, unqualified: str) -> bytes:
    """migrate_guest_jobs without one of its precautions."""
    source = next(m.text for m in packaged() if m.name == "create_guest_job_functions")
    body = (
        source[source.index("create function private.migrate_guest_jobs") :].split("\n$$;\n")[0]
        + "\n$$"
    )
    assert qualified in body
    return (
        body.replace("create function", "create or replace function")
        .replace(qualified, unqualified)
        .encode()
    )


def shadowing(kind: str) -> bytes:
    """SQL for a domain in pg_temp with the name of a type; its check records the current role."""
    return (
        "create function pg_temp.evil(v anyelement) returns boolean language plpgsql as $$ begin"
        " insert into public.caught values (current_user); return true; end $$;"
        f"create domain pg_temp.{kind} as pg_catalog.{kind} check (pg_temp.evil(value))"
    ).encode()


def caught(connection: Connection, kind: str) -> set[str]:
    """The roles that evaluated the check of a type in pg_temp during a call of the function."""
    with connection.transaction(force_rollback=True):
        connection.execute("set local role authenticated")
        connection.execute("set local search_path = public, pg_catalog")
        connection.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('request.headers', %s,"
            " true)",
            (f'{{"sub": "{USER_A}"}}', f'{{"x-guest-id": "{GUEST_A}"}}'),
        )
        connection.execute(shadowing(kind))
        try:
            with connection.transaction():
                connection.execute(MIGRATE.encode(), (GUEST_A, USER_A))
        except psycopg.Error as error:
            raise AssertionError(f"{kind}: {error}") from error
        connection.execute("reset role")
        return {
            who for (who,) in connection.execute("select who::pg_catalog.text from public.caught")
        }


def prepare(connection: Connection) -> None:
    insert_fixture_rows(connection)
    database = psycopg.sql.Identifier(connection.info.dbname).as_string(None)
    connection.execute(EVIL.format(database=database).encode())


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_the_caller_never_run_as_owner(rolled_back: Connection, kind: str) -> None:
    prepare(rolled_back)
    assert "postgres" not in caught(rolled_back, kind)


@pytest.mark.parametrize(
    ("kind", "qualified", "unqualified"),
    [("name", "pg_catalog.name", "name"), ("uuid", PATH, ""), ("jsonb", PATH, "")],
    ids=["unqualified type", "uuid in auth.uid", "jsonb in auth.uid"],
)
@oldest_and_newest
def test_types_of_the_caller_run_as_owner_without_precautions(
    make_database: Make, each_major: int, kind: str, qualified: str, unqualified: str
) -> None:
    url = make_database("applied", each_major).url
    with psycopg.connect(url) as connection:  # a separate session: this one caches its types
        connection.execute(weakened(qualified, unqualified))
    with psycopg.connect(url) as connection:
        prepare(connection)
        assert "postgres" in caught(connection, kind)


def test_search_path_of_the_caller_is_unchanged(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute("set local search_path = public, extensions")
    rolled_back.execute(MIGRATE.encode(), (GUEST_A, USER_A))
    assert rolled_back.execute("show search_path").fetchone() == ("public, extensions",)


SIGN_UP = """
create function public.on_sign_up() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform * from public.migrate_guest_jobs((new.raw_user_meta_data ->> 'guest_id')::uuid, new.id);
  return new;
end
$$;
create trigger on_sign_up after insert on auth.users for each row execute function public.on_sign_up();
"""


def test_sign_up_trigger_migrates_the_jobs(make_database: Make, each_major: int) -> None:
    """The auth service calls a function of the owner; no API role is involved."""
    database = make_database("applied", each_major)
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        insert_fixture_rows(connection)
        connection.execute("grant create on schema public to postgres")
        connection.execute("set role postgres")
        connection.execute("create schema if not exists private")
        connection.execute("reset role")
        connection.execute(SIGN_UP.encode())
        connection.execute("alter function public.on_sign_up() owner to postgres")
        connection.execute("set session authorization supabase_auth_admin")
        new = "insert into auth.users (id, raw_user_meta_data) values (gen_random_uuid(), %s)"
        connection.execute(new, (f'{{"guest_id": "{GUEST_A}"}}',))
        connection.execute("reset session authorization")
        moved = connection.execute(
            "select count(*) from public.async_jobs where guest_id = %s", (GUEST_A,)
        )
        assert moved.fetchone() == (0,)


def test_insecure_definer_wrapper_still_needs_both_identities(rolled_back: Connection) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute(
        "create function public.careless(g uuid, u uuid) returns integer language sql security"
        " definer"
        " as 'select migrated_count from public.migrate_guest_jobs(g, u)'"
    )
    for caller in (user(USER_A), user(USER_A, header="garbage")):
        rolled_back.execute("savepoint s")
        rolled_back.execute("select set_config('role', %s, true)", (caller.role,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rolled_back.execute("select public.careless(%s, %s)", (GUEST_A, USER_A))
        rolled_back.execute("rollback to s")
