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


POLICY = 'alter policy "{}" on public.async_jobs '


@rule(POLICY.format("guests read their own jobs") + "using (true)")
def a_guest_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible_jobs(connection, guest(GUEST_A)) == {JOBS[GUEST_A]}


@rule(POLICY.format("guests read their own jobs") + "using (guest_id is not null)")
def without_a_header_nothing_is_seen(connection: Connection) -> None:
    assert visible_jobs(connection, ANON) == set()


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select nullif(nullif(current_setting('request.headers', true), '')::json ->> 'x-guest-id', '')::uuid $$"
)
def garbage_in_the_header_is_nobody(connection: Connection) -> None:
    for garbage in ("garbage", "", "null", "{}", str(GUEST_A)[:-1], f"{{{GUEST_A}}}", GUEST_A.hex, f" {GUEST_A}", "🦊"):
        try:
            assert visible_jobs(connection, guest(garbage)) == set(), garbage
        except psycopg.Error as error:
            raise AssertionError(f"{garbage!r} raised {error.sqlstate}") from error


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select case when h ~ '^[0-9a-f-]{36}$' then h::uuid end "
    "from (select nullif(current_setting('request.headers', true), '')::json ->> 'x-guest-id' as h) as s $$"
)
def upper_and_lower_case_are_the_same_guest(connection: Connection) -> None:
    assert visible_jobs(connection, guest(str(GUEST_A).upper())) == {JOBS[GUEST_A]}


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select (nullif(current_setting('request.headers', true), '')::json ->> 'x-guest')::uuid $$"
)
def the_header_is_x_guest_id(connection: Connection) -> None:
    assert visible_jobs(connection, guest(GUEST_B)) == {JOBS[GUEST_B]}


@rule(POLICY.format("users read their own jobs") + "using (true)")
def a_user_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible_jobs(connection, user(USER_A)) == {JOBS[USER_A]}


@rule(POLICY.format("guests read their own jobs") + "to anon, authenticated")
def a_guest_header_gives_a_user_nothing(connection: Connection) -> None:
    assert visible_jobs(connection, user(USER_A, header=GUEST_A)) == {JOBS[USER_A]}


@rule(
    POLICY.format("users read their own jobs") + "using ((select auth.uid()) is null or user_id = (select auth.uid()))"
)
def a_user_without_subject_sees_nothing(connection: Connection) -> None:
    assert visible_jobs(connection, RequestIdentity("authenticated", guest=GUEST_A)) == set()


@rule(
    "revoke delete on public.async_jobs from service_role",
    "revoke update on public.async_jobs from service_role",
    "revoke select on public.async_jobs from service_role",
)
def the_service_sees_and_changes_everything(connection: Connection) -> None:
    assert visible_jobs(connection, SERVICE) == set(JOBS.values())
    assert row_count(connection, SERVICE, "update public.async_jobs set progress = 9") == 4
    assert row_count(connection, SERVICE, "delete from public.async_jobs") == 4


@rule('drop policy "the service has full access to jobs" on public.async_jobs')
def the_service_has_policies_where_it_has_no_bypassrls(connection: Connection) -> None:
    assert connection.execute(
        "select count(*) from pg_policies where tablename in ('async_jobs', 'guest_users')"
        " and roles = '{service_role}' and cmd = 'ALL' and qual = 'true' and with_check = 'true'"
    ).fetchone() == (2,)


@rule(
    POLICY.format("guests create their own jobs") + "with check (true)",
    POLICY.format("guests create their own jobs")
    + "with check (guest_id is null or guest_id = (select private.request_guest_id()))",
    POLICY.format("guests create their own jobs") + "with check (guest_id is not null)",
)
def a_guest_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_A, None) is None
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_B, None) == "42501"
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, None, USER_A) == "42501"
    assert sqlstate_of(connection, ANON, INSERT, GUEST_A, None) == "42501"


@rule(
    POLICY.format("users create their own jobs") + "with check (true)",
    POLICY.format("guests create their own jobs") + "to anon, authenticated",
    POLICY.format("users create their own jobs") + "with check (user_id <> (select auth.uid()))",
)
def a_user_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A), INSERT, None, USER_A) is None
    assert sqlstate_of(connection, user(USER_A), INSERT, None, USER_B) == "42501"
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), INSERT, GUEST_A, None) == "42501"


@rule(
    "alter table public.async_jobs drop constraint chk_user_or_guest",
    "alter table public.async_jobs drop constraint chk_user_or_guest,"
    " add constraint chk_user_or_guest check (guest_id is not null or user_id is not null)",
    "alter table public.async_jobs drop constraint chk_user_or_guest,"
    " add constraint chk_user_or_guest check (guest_id is null or user_id is null)",
)
def a_job_has_exactly_one_owner(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, user(USER_A), INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, SERVICE, INSERT, GUEST_A, USER_A) == "23514"
    assert sqlstate_of(connection, SERVICE, INSERT, None, None) == "23514"


@rule("alter table public.async_jobs drop constraint async_jobs_guest_id_fkey")
def a_guest_that_was_never_created_has_no_jobs(connection: Connection) -> None:
    unknown = uuid.uuid4()
    assert sqlstate_of(connection, guest(unknown), INSERT, unknown, None) == "23503"


@rule(POLICY.format("guests update their own jobs") + "using (true)")
def a_guest_updates_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, guest(GUEST_A), "update public.async_jobs set progress = 9") == 1
    assert row_count(connection, ANON, "update public.async_jobs set progress = 9") == 0


@rule(POLICY.format("guests update their own jobs") + "with check (true)")
def a_guest_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), TAKE_OVER_ALL, GUEST_B, None) == "42501"
    assert sqlstate_of(connection, guest(GUEST_A), TAKE_OVER_ALL, None, USER_A) == "42501"


@rule(POLICY.format("users update their own jobs") + "using (true)")
def a_user_updates_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, user(USER_A), "update public.async_jobs set progress = 9") == 1


@rule(POLICY.format("users update their own jobs") + "with check (true)")
def a_user_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert sqlstate_of(connection, user(USER_A), TAKE_OVER_ALL, None, USER_B) == "42501"
    assert sqlstate_of(connection, user(USER_A, header=GUEST_A), TAKE_OVER_ALL, GUEST_A, None) == "42501"


@rule(POLICY.format("users delete their own jobs") + "using (true)")
def a_user_deletes_its_own_jobs_only(connection: Connection) -> None:
    assert row_count(connection, user(USER_A), "delete from public.async_jobs") == 1


@rule("grant delete on public.async_jobs to anon")
def a_guest_deletes_nothing(connection: Connection) -> None:
    assert sqlstate_of(connection, guest(GUEST_A), "delete from public.async_jobs") == "42501"


@rule(
    "grant truncate on public.async_jobs to anon, authenticated",
    "grant truncate on public.async_jobs to authenticated",
    "revoke truncate on public.async_jobs from service_role",
)
def nobody_but_the_service_truncates(connection: Connection) -> None:
    for caller in (guest(GUEST_A), user(USER_A)):
        assert sqlstate_of(connection, caller, "truncate public.async_jobs") == "42501"
    assert sqlstate_of(connection, SERVICE, "truncate public.async_jobs") is None


@rule("alter table public.async_jobs disable row level security")
def row_level_security_is_on(connection: Connection) -> None:
    assert visible_jobs(connection, guest(uuid.uuid4())) == set()
    assert visible_jobs(connection, user(uuid.uuid4())) == set()
