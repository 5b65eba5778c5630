"""Users are created as Auth does, and adapted to the triggers and constraints that reject them."""

import uuid

import psycopg
import pytest

from supabase_jobs.api import marked_ids
from supabase_jobs.database.batch import run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.exit_codes import ExitCode
from supabase_jobs.session import sign_up
from supabase_jobs.session.sign_up import NewUser
from supabase_jobs.verify.access.matrix import load
from tests.fix_db import Make, on_one_major_each
from tests.verify.harmless import Change, changes


def people() -> list[NewUser]:
    return [*(NewUser(uuid.uuid4()) for _ in range(3)), NewUser(uuid.uuid4(), is_anonymous=True)]


def trigger(body: str) -> str:
    """A trigger on auth.users that runs `body`."""
    return (
        "create function public.on_sign_up() returns trigger language plpgsql security definer set"
        " search_path = ''"
        f" as $$ begin {body}; return new; end $$;"
        "create trigger on_sign_up after insert on auth.users for each row execute function"
        " public.on_sign_up()"
    )


@on_one_major_each("change", changes("sign_up"), [change.name for change in changes("sign_up")])
def test_a_sign_up_trigger_is_satisfied(rolled_back: Connection, change: Change) -> None:
    rolled_back.execute(change.sql.encode())
    users = people()
    sign_up.run(rolled_back, users)
    found = rolled_back.execute(
        "select count(*) from auth.users where id = any(%s)", ([u.id for u in users],)
    )
    assert found.fetchone() == (4,)


def test_users_have_the_columns_that_auth_fills_in(rolled_back: Connection) -> None:
    user, anonymous = NewUser(uuid.uuid4(), "ann"), NewUser(uuid.uuid4(), is_anonymous=True)
    sign_up.run(rolled_back, [user, anonymous])
    rows = rolled_back.execute(
        "select email, email_confirmed_at is not null, raw_user_meta_data ->> 'full_name',"
        " raw_user_meta_data ?& array['name', 'user_name', 'avatar_url', 'sub'], raw_app_meta_data"
        " ->> 'provider',"
        " is_anonymous, aud, instance_id is not null, created_at is not null"
        " from auth.users where id = any(%s) order by is_anonymous",
        ([user.id, anonymous.id],),
    ).fetchall()
    assert rows == [
        ("ann@example.com", True, "ann", True, "email", False, "authenticated", True, True),
        (None, False, None, False, None, True, "authenticated", True, True),
    ]


def test_a_given_address_and_given_metadata_never_change(rolled_back: Connection) -> None:
    rolled_back.execute(trigger("if new.email not like '%@acme.io' then raise 'no'; end if"))
    user = NewUser(uuid.uuid4(), email="ann@example.org", metadata={"name": "Ann"})
    with pytest.raises(sign_up.SignUpRejectedError):
        sign_up.run(rolled_back, [user])
    [row] = sign_up.run(
        rolled_back, [NewUser(user.id, email="ann@acme.io", metadata={"name": "Ann"})]
    ).rows
    assert (row["email"], row["user_metadata"]["name"]) == ("ann@acme.io", "Ann")


def test_a_rejected_sign_up_names_the_trigger_and_leaves_no_trace(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.allowed_emails (email text primary key)")
    rolled_back.execute(trigger("perform from public.allowed_emails; raise 'closed'"))
    with pytest.raises(sign_up.SignUpRejectedError) as caught:
        sign_up.run(rolled_back, people())
    assert (
        "P0001: closed (PL/pgSQL function public.on_sign_up() line 1 at RAISE)"
        in caught.value.message
    )
    assert "example.com" in (caught.value.hint or "")
    assert (
        rolled_back.execute(
            "select from auth.users union all select from public.allowed_emails"
        ).rowcount
        == 0
    )


def test_names_derived_from_the_digits_of_committed_ids_are_unique(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.handles (first text unique, last text unique)")
    rolled_back.execute(
        trigger("insert into public.handles values (left(new.id::text, 6), right(new.id::text, 6))")
    )
    users = [NewUser(marked_ids.marked_id(name)) for name in load().ids]
    sign_up.run(rolled_back, users)
    assert rolled_back.execute("select from public.handles").rowcount == len(users) > 10


def test_a_missing_value_of_a_column_that_nothing_fills_is_named(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.profiles (id uuid, plan text not null)")
    rolled_back.execute(trigger("insert into public.profiles values (new.id, null)"))
    with pytest.raises(sign_up.SignUpRejectedError, match=r'column "plan" of public\.profiles'):
        sign_up.run(rolled_back, people())


def test_users_sign_up_by_phone_where_the_project_asks_for_one(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.members (id uuid, phone text not null unique)")
    rolled_back.execute(
        trigger("insert into public.members values (new.id, coalesce(new.phone, ''))")
    )
    users = people()
    sign_up.run(rolled_back, users)
    rows = rolled_back.execute(
        "select phone ~ '^[0-9]+$', phone_confirmed_at is not null from auth.users"
        " where id = any(%s)",
        ([user.id for user in users],),
    ).fetchall()
    assert rows == [(True, True)] * len(users)


def test_attempts_are_limited(rolled_back: Connection) -> None:
    domains = ",".join(f"'d{n}.example'" for n in range(100))
    rolled_back.execute("create sequence public.attempts")
    rolled_back.execute(
        trigger(
            f"if new.email <> all(array[{domains}]) then raise '%', nextval('public.attempts');"
            " end if"
        )
    )
    with pytest.raises(sign_up.SignUpRejectedError):
        sign_up.run(rolled_back, [NewUser(uuid.uuid4())])
    [attempts] = rolled_back.execute("select last_value from public.attempts").fetchone() or (0,)
    assert 2 < attempts < 20


def test_a_rejected_batch_is_adapted(rolled_back: Connection) -> None:
    rolled_back.execute("create table public.profiles (id uuid, nickname text not null)")
    rolled_back.execute(
        trigger(
            "insert into public.profiles values (new.id, new.raw_user_meta_data ->> 'nickname')"
        )
    )
    users = people()
    rolled_back.execute("set local jit = on; savepoint plain")
    [result] = run_groups(rolled_back, [sign_up.statements(users)])
    assert isinstance(result.error, psycopg.errors.NotNullViolation)
    rolled_back.execute("rollback to savepoint plain")
    signed_up = sign_up.run(rolled_back, users, rejected=result.error)
    assert all(row["user_metadata"]["nickname"] for row in signed_up.rows)
    assert rolled_back.execute("show jit").fetchone() == ("on",)


def test_an_older_auth_users_without_some_columns_is_enough(make_database: Make) -> None:
    database = make_database("platform")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "alter table auth.users drop column is_anonymous, drop column instance_id cascade"
        )
    with psycopg.connect(database.url) as connection, connection.transaction():
        sign_up.run(connection, people())
        found = connection.execute(
            "select count(*), count(email_confirmed_at) from auth.users"
        ).fetchone()
        assert found == (4, 3)


def test_cleanup_deletes_what_was_added_to_allow_lists_and_nothing_else(
    rolled_back: Connection,
) -> None:
    rolled_back.execute("create table public.allowed_domains (domain text primary key)")
    rolled_back.execute("insert into public.allowed_domains values ('acme.test')")
    rolled_back.execute(
        trigger(
            "if not exists (select from public.allowed_domains d where d.domain ="
            " split_part(new.email, '@', 2))"
            " then raise 'no'; end if"
        )
    )
    signed_up = sign_up.run(rolled_back, [NewUser(uuid.uuid4())])
    sign_up.clean_up(rolled_back, signed_up)
    assert rolled_back.execute("select domain from public.allowed_domains").fetchall() == [
        ("acme.test",)
    ]


COMPANIES = """
create table public.companies (
  id uuid primary key, name text not null, slug varchar(12) not null unique, seats int not null,
  plan public.plan not null, settings jsonb not null, since timestamptz not null, note text
);
create table public.profiles (id uuid primary key, company_id uuid not null references public.companies);
"""


@pytest.mark.parametrize(
    "company",
    [
        "(new.raw_user_meta_data ->> 'company_id')::uuid",
        "(new.raw_user_meta_data ->> 'of')::uuid",
        "'00000000-0000-0000-0000-00000000000a'",
    ],
)
def test_a_row_that_a_new_user_refers_to_is_created(rolled_back: Connection, company: str) -> None:
    rolled_back.execute("create type public.plan as enum ('free', 'paid')")
    rolled_back.execute(COMPANIES.encode())
    rolled_back.execute(trigger(f"insert into public.profiles values (new.id, {company})"))
    users = people()
    signed_up = sign_up.run(rolled_back, users)
    assert rolled_back.execute("select from public.profiles").rowcount == len(users)
    rolled_back.execute("delete from public.profiles")
    sign_up.clean_up(rolled_back, signed_up)
    assert rolled_back.execute("select from public.companies").rowcount == 0


def test_a_role_without_privileges_is_told_so(rolled_back: Connection) -> None:
    rolled_back.execute("set local role anon")
    with pytest.raises(sign_up.SignUpRejectedError) as caught:
        sign_up.run(rolled_back, people())
    assert caught.value.hint == "Connect as postgres, which may insert into auth.users."
    assert caught.value.exit_code == ExitCode.NO_CONNECTION
