"""The rules of async_jobs."""

import uuid

import psycopg

from supabase_jobs.database.connection import Connection
from tests.impersonation import (
    ANON,
    GUEST_A,
    GUEST_B,
    JOBS,
    SERVICE,
    USER_A,
    USER_B,
    RequestIdentity,
    guest,
    row_count,
    sqlstate_of,
    user,
    visible_jobs,
)
from tests.sql.rules import rule

INSERT = "insert into public.async_jobs (url, guest_id, user_id) values ('https://x.com/2', %s, %s)"
TAKE_OVER_ALL = "update public.async_jobs set guest_id = %s, user_id = %s"


@rule("guests' select policy is true")
def a_guest_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible_jobs(connection, guest(GUEST_A)) == {JOBS[GUEST_A]}


@rule("guests read the jobs of all guests")
def without_a_header_nothing_is_seen(connection: Connection) -> None:
    assert visible_jobs(connection, ANON) == set()


@rule("header cast to uuid in SQL without validation")
def garbage_in_the_header_is_nobody(connection: Connection) -> None:
    for garbage in (
        "garbage",
        "",
        "null",
        "{}",
        str(GUEST_A)[:-1],
        f"{{{GUEST_A}}}",
        GUEST_A.hex,
        f" {GUEST_A}",
        "🦊",
    ):
        try:
            assert visible_jobs(connection, guest(garbage)) == set(), garbage
        except psycopg.Error as error:
            raise AssertionError(f"{garbage!r} raised {error.sqlstate}") from error


@rule("only ids in lower case accepted")
def upper_and_lower_case_are_the_same_guest(connection: Connection) -> None:
    assert visible_jobs(connection, guest(str(GUEST_A).upper())) == {JOBS[GUEST_A]}


@rule("header x-guest instead of x-guest-id")
def the_header_is_x_guest_id(connection: Connection) -> None:
    assert visible_jobs(connection, guest(GUEST_B)) == {JOBS[GUEST_B]}


@rule("users' select policy is true")
def a_user_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible_jobs(connection, user(USER_A)) == {JOBS[USER_A]}


@rule("guests' select policy also for users")
def a_guest_header_gives_a_user_nothing(connection: Connection) -> None:
    assert visible_jobs(connection, user(USER_A, header=GUEST_A)) == {JOBS[USER_A]}


@rule("a user without an id reads all jobs")
def a_user_without_subject_sees_nothing(connection: Connection) -> None:
    assert visible_jobs(connection, RequestIdentity("authenticated", guest=GUEST_A)) == set()


@rule(
    "DELETE revoked from the service",
    "UPDATE revoked from the service",
    "SELECT revoked from the service",
)
def the_service_sees_and_changes_everything(connection: Connection) -> None:
    assert visible_jobs(connection, SERVICE) == set(JOBS.values())
    assert row_count(connection, SERVICE, "update public.async_jobs set progress = 9") == 4
    assert row_count(connection, SERVICE, "delete from public.async_jobs") == 4


@rule("the service's policy dropped")
def the_service_has_policies_where_it_has_no_bypassrls(connection: Connection) -> None:
    assert connection.execute(
        "select count(*) from pg_policies where tablename in ('async_jobs', 'guest_users')"
        " and roles = '{service_role}' and cmd = 'ALL' and qual = 'true' and with_check = 'true'"
    ).fetchone() == (2,)


@rule(
    "guests' insert policy with check true",
    "guests create jobs without a guest",
    "guests create jobs of any guest",
)
def a_guest_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_A, None) is None
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_B, None) == "42501"
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, None, USER_A) == "42501"
    assert sqlstate_of(connection, ANON, INSERT, GUEST_A, None) == "42501"


@rule(
    "users' insert policy with check true",
    "guests' insert policy also for users",
    "users create the jobs of other users only",
)
def a_user_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A), INSERT, None, USER_A) is None
    assert sqlstate_of(connection, user(USER_A), INSERT, None, USER_B) == "42501"
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), INSERT, GUEST_A, None) == "42501"


@rule(
    "A constraint dropped for an import",
    "the owner constraint weakened",
    "constraint: at most one owner",
)
def a_job_has_exactly_one_owner(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, user(USER_A), INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, SERVICE, INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, SERVICE, INSERT, None, None) == "23514"


@rule("cascade: jobs outlive their guest")
def a_guest_that_was_never_created_has_no_jobs(connection: Connection) -> None:
    unknown = uuid.uuid4()
    assert sqlstate_of(connection, guest(unknown), INSERT, unknown, None) == "23503"


@rule("guests' update policy using true")
def a_guest_updates_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, guest(GUEST_A), "update public.async_jobs set progress = 9") == 1
    assert row_count(connection, ANON, "update public.async_jobs set progress = 9") == 0


@rule("UPDATE with check true")
def a_guest_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), TAKE_OVER_ALL, GUEST_B, None) == "42501"
    assert sqlstate_of(connection, guest(GUEST_A), TAKE_OVER_ALL, None, USER_A) == "42501"


@rule("UPDATE using true")
def a_user_updates_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, user(USER_A), "update public.async_jobs set progress = 9") == 1


@rule("users' update policy with check true")
def a_user_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A), TAKE_OVER_ALL, None, USER_B) == "42501"
    assert (
        sqlstate_of(connection, user(USER_A, header=GUEST_A), TAKE_OVER_ALL, GUEST_A, None)
        == "42501"
    )


@rule("DELETE using true")
def a_user_deletes_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, user(USER_A), "delete from public.async_jobs") == 1


@rule("DELETE granted to anon")
def a_guest_deletes_nothing(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), "delete from public.async_jobs") == "42501"


@rule(
    "TRUNCATE granted to anon and users",
    "TRUNCATE granted to users",
    "TRUNCATE revoked from the service",
)
def nobody_but_the_service_truncates(connection: Connection) -> None:
    for caller in (guest(GUEST_A), user(USER_A)):
        assert sqlstate_of(connection, caller, "truncate public.async_jobs") == "42501"
    assert sqlstate_of(connection, SERVICE, "truncate public.async_jobs") is None


@rule("Row level security is off")
def row_level_security_is_on(connection: Connection) -> None:
    assert visible_jobs(connection, guest(uuid.uuid4())) == set()
    assert visible_jobs(connection, user(uuid.uuid4())) == set()
