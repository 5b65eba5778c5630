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


@rule("guests' select policy of guest rows is true")
def a_guest_reads_its_own_guest_row_only(connection: Connection) -> None:
    with acting_as(connection, guest(GUEST_A)) as execute:
        assert execute("select guest_id from public.guest_users") == [(GUEST_A,)]


CREATE_GUEST = "insert into public.guest_users (guest_id) values (%s)"


@rule("guests' insert policy of guest rows with check true")
def a_guest_creates_itself_only(connection: Connection) -> None:
    new = uuid.uuid4()
    assert sqlstate_of(connection, guest(new), CREATE_GUEST, new) is None
    assert sqlstate_of(connection, guest(GUEST_A), CREATE_GUEST, new) == "42501"


TOUCH_ALL = "update public.guest_users set last_seen_at = now()"


@rule(
    "guests' update policy of guest rows is true",
    "guests' update policy of guest rows with check true",
)
def a_guest_touches_its_own_row_only(connection: Connection) -> None:
    assert row_count(connection, guest(GUEST_A), TOUCH_ALL) == 1
    other_id = "update public.guest_users set guest_id = %s"
    assert sqlstate_of(connection, guest(GUEST_A), other_id, uuid.uuid4()) == "42501"


@rule("UPDATE of guest_id revoked from anon", "INSERT of last_seen_at revoked from anon")
def a_guest_upserts_itself(connection: Connection) -> None:
    upsert = (
        "insert into public.guest_users (guest_id, last_seen_at) values (%s, now()) on conflict"
        " (guest_id)"
        " do update set guest_id = excluded.guest_id, last_seen_at = excluded.last_seen_at"
        " returning guest_id"
    )
    assert sqlstate_of(connection, guest(GUEST_A), upsert, GUEST_A) is None
    assert sqlstate_of(connection, guest(GUEST_A), upsert, GUEST_B) == "42501"


@rule(
    "INSERT and UPDATE on all columns of guest rows granted to anon",
    "UPDATE of migrated_to_user_id granted to anon",
    "INSERT of migrated_at granted to anon",
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
    "SELECT of guest rows granted to users",
    "UPDATE of guest rows granted to users",
    "DELETE of guest rows granted to users",
)
def users_have_no_access_to_guests(connection: Connection) -> None:
    for statement in (
        "select 1 from public.guest_users",
        TOUCH_ALL,
        "delete from public.guest_users",
    ):
        assert sqlstate_of(connection, user(USER_A, header=GUEST_A), statement) == "42501"


@rule(
    "anon may execute both cleanup functions of jobs",
    "users may execute the cleanup of guests and its body",
    "EXECUTE of the cleanup's body revoked from the service",
    "EXECUTE of the cleanup of guests revoked from the service",
)
def only_the_service_cleans_up(connection: Connection) -> None:
    for call in (
        "select * from public.cleanup_old_jobs()",
        "select * from public.cleanup_inactive_guests()",
    ):
        assert sqlstate_of(connection, guest(GUEST_A), call) == "42501"
        assert sqlstate_of(connection, user(USER_A), call) == "42501"
        assert sqlstate_of(connection, SERVICE, call) is None


@rule("migration without its ownership check, open to anon")
def a_guest_cannot_migrate(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), MIGRATE, GUEST_A, USER_A) == "42501"


@rule("migration without its ownership check")
def a_user_migrates_only_a_guest_whose_id_it_sends(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_A) is None
    assert sqlstate_of(connection, user(USER_A), MIGRATE, GUEST_A, USER_A) == "42501"
    assert (
        sqlstate_of(connection, user(USER_A, header=GUEST_B), MIGRATE, GUEST_A, USER_A) == "42501"
    )
    assert (
        sqlstate_of(connection, user(USER_A, header="garbage"), MIGRATE, GUEST_A, USER_A) == "42501"
    )


@rule("migration without its ownership check")
def a_user_migrates_only_to_itself(connection: Connection) -> None:
    assert (
        sqlstate_of(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_B) == "42501"
    )
    assert (
        sqlstate_of(
            connection, RequestIdentity("authenticated", guest=GUEST_A), MIGRATE, GUEST_A, USER_A
        )
        == "42501"
    )


@rule("EXECUTE of the migration's body revoked from the service")
def the_service_migrates_any_guest(connection: Connection) -> None:
    assert sqlstate_of(connection, SERVICE, MIGRATE, GUEST_A, USER_A) is None


@rule("A trigger that is disabled")
def every_update_sets_updated_at(connection: Connection) -> None:
    with acting_as(connection, guest(GUEST_A)) as execute:
        sent = "update public.async_jobs set updated_at = '2000-01-01' returning updated_at = now()"
        assert execute(sent) == [(True,)]
