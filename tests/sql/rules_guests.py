"""The rules of guest_users, of the functions, and of the trigger."""

import uuid

import psycopg

from supabase_jobs.database.connection import Connection
from tests.impersonation import (
    GUEST_A,
    GUEST_B,
    MIGRATE,
    SERVICE,
    USER_A,
    USER_B,
    RequestIdentity,
    acting_as,
    guest,
    row_count,
    sqlstate_of,
    user,
)
from tests.sql.rules import rule


@rule('alter policy "guests read their own guest row" on public.guest_users using (true)')
def a_guest_reads_its_own_guest_row_only(connection: Connection) -> None:
    with acting_as(connection, guest(GUEST_A)) as execute:
        assert execute("select guest_id from public.guest_users") == [(GUEST_A,)]


CREATE_GUEST = "insert into public.guest_users (guest_id) values (%s)"


@rule('alter policy "guests create their own guest row" on public.guest_users with check (true)')
def a_guest_creates_itself_only(connection: Connection) -> None:
    new = uuid.uuid4()
    assert sqlstate_of(connection, guest(new), CREATE_GUEST, new) is None
    assert sqlstate_of(connection, guest(GUEST_A), CREATE_GUEST, new) == "42501"


TOUCH_ALL = "update public.guest_users set last_seen_at = now()"


@rule(
    'alter policy "guests touch their own guest row" on public.guest_users using (true) with check (true)',
    'alter policy "guests touch their own guest row" on public.guest_users with check (true)',
)
def a_guest_touches_its_own_row_only(connection: Connection) -> None:
    assert row_count(connection, guest(GUEST_A), TOUCH_ALL) == 1
    other_id = "update public.guest_users set guest_id = %s"
    assert sqlstate_of(connection, guest(GUEST_A), other_id, uuid.uuid4()) == "42501"


@rule(
    "revoke update (guest_id) on public.guest_users from anon",
    "revoke insert (last_seen_at) on public.guest_users from anon",
)
def a_guest_upserts_itself(connection: Connection) -> None:
    upsert = (
        "insert into public.guest_users (guest_id, last_seen_at) values (%s, now()) on conflict (guest_id)"
        " do update set guest_id = excluded.guest_id, last_seen_at = excluded.last_seen_at returning guest_id"
    )
    assert sqlstate_of(connection, guest(GUEST_A), upsert, GUEST_A) is None
    assert sqlstate_of(connection, guest(GUEST_A), upsert, GUEST_B) == "42501"


@rule(
    "grant insert, update on public.guest_users to anon",
    "grant update (migrated_to_user_id) on public.guest_users to anon",
    "grant insert (migrated_at) on public.guest_users to anon",
)
def a_guest_never_writes_who_it_became(connection: Connection) -> None:
    for column, value in (("migrated_to_user_id", USER_A), ("migrated_at", "2020-01-01")):
        name = psycopg.sql.Identifier(column).as_string(None)
        update = f"update public.guest_users set {name} = %s where guest_id = %s"
        insert = f"insert into public.guest_users (guest_id, {name}) values (%s, %s)"
        new = uuid.uuid4()
        assert sqlstate_of(connection, guest(GUEST_A), update, value, GUEST_A) == "42501"
        assert sqlstate_of(connection, guest(new), insert, new, value) == "42501"


@rule(
    "grant select on public.guest_users to authenticated",
    "grant update on public.guest_users to authenticated",
    "grant delete on public.guest_users to authenticated",
)
def users_have_no_access_to_guests(connection: Connection) -> None:
    for statement in ("select 1 from public.guest_users", TOUCH_ALL, "delete from public.guest_users"):
        assert sqlstate_of(connection, user(USER_A, header=GUEST_A), statement) == "42501"


@rule(
    "grant execute on function public.cleanup_old_jobs to anon;"
    "grant execute on function private.cleanup_old_jobs to anon",
    "grant execute on function public.cleanup_inactive_guests to authenticated;"
    "grant execute on function private.cleanup_inactive_guests to authenticated",
    "revoke execute on function private.cleanup_old_jobs from service_role",
    "revoke execute on function public.cleanup_inactive_guests from service_role",
)
def only_the_service_cleans_up(connection: Connection) -> None:
    for call in ("select * from public.cleanup_old_jobs()", "select * from public.cleanup_inactive_guests()"):
        assert sqlstate_of(connection, guest(GUEST_A), call) == "42501"
        assert sqlstate_of(connection, user(USER_A), call) == "42501"
        assert sqlstate_of(connection, SERVICE, call) is None


UNCHECKED = (
    "create or replace function private.migrate_guest_jobs(p_guest_id uuid, p_user_id uuid)"
    " returns table (migrated_count integer) language plpgsql security definer set search_path = '' as $$ begin"
    " update public.async_jobs set guest_id = null, user_id = p_user_id where guest_id = p_guest_id;"
    " get diagnostics migrated_count = row_count; return next; end $$"
)


@rule(
    UNCHECKED + ";grant execute on function public.migrate_guest_jobs to anon;"
    "grant execute on function private.migrate_guest_jobs to anon"
)
def a_guest_cannot_migrate(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), MIGRATE, GUEST_A, USER_A) == "42501"


@rule(UNCHECKED)
def a_user_migrates_only_a_guest_whose_id_it_sends(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_A) is None
    assert sqlstate_of(connection, user(USER_A), MIGRATE, GUEST_A, USER_A) == "42501"
    assert sqlstate_of(connection, user(USER_A, header=GUEST_B), MIGRATE, GUEST_A, USER_A) == "42501"
    assert sqlstate_of(connection, user(USER_A, header="garbage"), MIGRATE, GUEST_A, USER_A) == "42501"


@rule(UNCHECKED)
def a_user_migrates_only_to_itself(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_B) == "42501"
    assert sqlstate_of(connection, RequestIdentity("authenticated", guest=GUEST_A), MIGRATE, GUEST_A, USER_A) == "42501"


@rule("revoke execute on function private.migrate_guest_jobs from service_role")
def the_service_migrates_any_guest(connection: Connection) -> None:
    assert sqlstate_of(connection, SERVICE, MIGRATE, GUEST_A, USER_A) is None


@rule("alter table public.async_jobs disable trigger update_async_job_updated_at_trigger")
def every_update_sets_updated_at(connection: Connection) -> None:
    with acting_as(connection, guest(GUEST_A)) as execute:
        sent = "update public.async_jobs set updated_at = '2000-01-01' returning updated_at = now()"
        assert execute(sent) == [(True,)]
