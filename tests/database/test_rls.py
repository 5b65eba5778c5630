"""The rules of the specification, one test each, by impersonation with the settings that PostgREST uses.

Every rule is also seen red: the statement in `broken_by` breaks it, and then its check has to fail.
"""

import uuid

import psycopg
import pytest

from supabase_jobs.database import Connection
from tests.database.rules import RULES, Rule, rule
from tests.impersonation import (
    ANON,
    GUEST_A,
    GUEST_B,
    JOBS,
    MIGRATE,
    SERVICE,
    USER_A,
    USER_B,
    Caller,
    acting,
    guest,
    plant,
    reached,
    refusal,
    user,
    visible,
)

INSERT = "insert into public.async_jobs (url, guest_id, user_id) values ('https://x.com/2', %s, %s)"
TAKE_OVER_ALL = "update public.async_jobs set guest_id = %s, user_id = %s"


POLICY = 'alter policy "{}" on public.async_jobs '


@rule(POLICY.format("guests read their own jobs") + "using (true)")
def a_guest_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible(connection, guest(GUEST_A)) == {JOBS[GUEST_A]}


@rule(POLICY.format("guests read their own jobs") + "using (guest_id is not null)")
def without_a_header_nothing_is_seen(connection: Connection) -> None:
    assert visible(connection, ANON) == set()


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select nullif(nullif(current_setting('request.headers', true), '')::json ->> 'x-guest-id', '')::uuid $$"
)
def garbage_in_the_header_is_nobody(connection: Connection) -> None:
    for garbage in ("garbage", "", "null", "{}", str(GUEST_A)[:-1], f"{{{GUEST_A}}}", GUEST_A.hex, f" {GUEST_A}", "🦊"):
        try:
            assert visible(connection, guest(garbage)) == set(), garbage
        except psycopg.Error as error:
            raise AssertionError(f"{garbage!r} raised {error.sqlstate}") from error


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select case when h ~ '^[0-9a-f-]{36}$' then h::uuid end "
    "from (select nullif(current_setting('request.headers', true), '')::json ->> 'x-guest-id' as h) as s $$"
)
def upper_and_lower_case_are_the_same_guest(connection: Connection) -> None:
    assert visible(connection, guest(str(GUEST_A).upper())) == {JOBS[GUEST_A]}


@rule(
    "create or replace function private.request_guest_id() returns uuid language sql stable set search_path = '' as "
    "$$ select (nullif(current_setting('request.headers', true), '')::json ->> 'x-guest')::uuid $$"
)
def the_header_is_x_guest_id(connection: Connection) -> None:
    assert visible(connection, guest(GUEST_B)) == {JOBS[GUEST_B]}


@rule(POLICY.format("users read their own jobs") + "using (true)")
def a_user_sees_its_own_jobs_only(connection: Connection) -> None:
    assert visible(connection, user(USER_A)) == {JOBS[USER_A]}


@rule(POLICY.format("guests read their own jobs") + "to anon, authenticated")
def a_guest_header_gives_a_user_nothing(connection: Connection) -> None:
    assert visible(connection, user(USER_A, header=GUEST_A)) == {JOBS[USER_A]}


@rule(POLICY.format("users read their own jobs") + "using (user_id is not distinct from (select auth.uid()) or true)")
def a_user_without_subject_sees_nothing(connection: Connection) -> None:
    assert visible(connection, Caller("authenticated", guest=GUEST_A)) == set()


@rule("revoke delete on public.async_jobs from service_role")
def the_service_sees_and_changes_everything(connection: Connection) -> None:
    assert visible(connection, SERVICE) == set(JOBS.values())
    assert reached(connection, SERVICE, "update public.async_jobs set progress = 9") == 4
    assert reached(connection, SERVICE, "delete from public.async_jobs") == 4


@rule('drop policy "the service has full access to jobs" on public.async_jobs')
def the_service_has_policies_where_it_has_no_bypassrls(connection: Connection) -> None:
    assert connection.execute(
        "select count(*) from pg_policies where tablename in ('async_jobs', 'guest_users')"
        " and roles = '{service_role}' and cmd = 'ALL' and qual = 'true' and with_check = 'true'"
    ).fetchone() == (2,)


@rule(POLICY.format("guests create their own jobs") + "with check (true)")
def a_guest_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert refusal(connection, guest(GUEST_A), INSERT, GUEST_A, None) is None
    assert refusal(connection, guest(GUEST_A), INSERT, GUEST_B, None) == "42501"
    assert refusal(connection, guest(GUEST_A), INSERT, None, USER_A) == "42501"
    assert refusal(connection, ANON, INSERT, GUEST_A, None) == "42501"


@rule(POLICY.format("users create their own jobs") + "with check (true)")
def a_user_inserts_in_its_own_name_only(connection: Connection) -> None:
    assert refusal(connection, user(USER_A), INSERT, None, USER_A) is None
    assert refusal(connection, user(USER_A), INSERT, None, USER_B) == "42501"
    assert refusal(connection, user(USER_A, header=GUEST_A), INSERT, GUEST_A, None) == "42501"


@rule("alter table public.async_jobs drop constraint chk_user_or_guest")
def a_job_has_exactly_one_owner(connection: Connection) -> None:
    assert refusal(connection, guest(GUEST_A), INSERT, GUEST_A, USER_A) == "23514"
    assert refusal(connection, user(USER_A), INSERT, GUEST_A, USER_A) == "23514"
    assert refusal(connection, SERVICE, INSERT, GUEST_A, USER_A) == "23514"
    assert refusal(connection, SERVICE, INSERT, None, None) == "23514"


@rule("alter table public.async_jobs drop constraint async_jobs_guest_id_fkey")
def a_guest_that_was_never_created_has_no_jobs(connection: Connection) -> None:
    unknown = uuid.uuid4()
    assert refusal(connection, guest(unknown), INSERT, unknown, None) == "23503"


@rule(POLICY.format("guests update their own jobs") + "using (true)")
def a_guest_updates_its_own_jobs_only(connection: Connection) -> None:
    assert reached(connection, guest(GUEST_A), "update public.async_jobs set progress = 9") == 1
    assert reached(connection, ANON, "update public.async_jobs set progress = 9") == 0


@rule(POLICY.format("guests update their own jobs") + "with check (true)")
def a_guest_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert refusal(connection, guest(GUEST_A), TAKE_OVER_ALL, GUEST_B, None) == "42501"
    assert refusal(connection, guest(GUEST_A), TAKE_OVER_ALL, None, USER_A) == "42501"


@rule(POLICY.format("users update their own jobs") + "using (true)")
def a_user_updates_its_own_jobs_only(connection: Connection) -> None:
    assert reached(connection, user(USER_A), "update public.async_jobs set progress = 9") == 1


@rule(POLICY.format("users update their own jobs") + "with check (true)")
def a_user_cannot_give_its_jobs_away(connection: Connection) -> None:
    assert refusal(connection, user(USER_A), TAKE_OVER_ALL, None, USER_B) == "42501"
    assert refusal(connection, user(USER_A, header=GUEST_A), TAKE_OVER_ALL, GUEST_A, None) == "42501"


@rule(POLICY.format("users delete their own jobs") + "using (true)")
def a_user_deletes_its_own_jobs_only(connection: Connection) -> None:
    assert reached(connection, user(USER_A), "delete from public.async_jobs") == 1


@rule("grant delete on public.async_jobs to anon")
def a_guest_deletes_nothing(connection: Connection) -> None:
    assert refusal(connection, guest(GUEST_A), "delete from public.async_jobs") == "42501"


@rule("grant truncate on public.async_jobs to anon, authenticated")
def nobody_but_the_service_truncates(connection: Connection) -> None:
    for caller in (guest(GUEST_A), user(USER_A)):
        assert refusal(connection, caller, "truncate public.async_jobs") == "42501"
    assert refusal(connection, SERVICE, "truncate public.async_jobs") is None


@rule("alter table public.async_jobs disable row level security")
def row_level_security_is_on(connection: Connection) -> None:
    assert visible(connection, guest(uuid.uuid4())) == set()
    assert visible(connection, user(uuid.uuid4())) == set()


@rule('alter policy "guests read their own guest row" on public.guest_users using (true)')
def a_guest_reads_its_own_guest_row_only(connection: Connection) -> None:
    with acting(connection, guest(GUEST_A)) as execute:
        assert execute("select guest_id from public.guest_users") == [(GUEST_A,)]


CREATE_GUEST = "insert into public.guest_users (guest_id) values (%s)"


@rule('alter policy "guests create their own guest row" on public.guest_users with check (true)')
def a_guest_creates_itself_only(connection: Connection) -> None:
    new = uuid.uuid4()
    assert refusal(connection, guest(new), CREATE_GUEST, new) is None
    assert refusal(connection, guest(GUEST_A), CREATE_GUEST, new) == "42501"


TOUCH_ALL = "update public.guest_users set last_seen_at = now()"


@rule('alter policy "guests touch their own guest row" on public.guest_users using (true) with check (true)')
def a_guest_touches_its_own_row_only(connection: Connection) -> None:
    assert reached(connection, guest(GUEST_A), TOUCH_ALL) == 1
    assert refusal(connection, guest(GUEST_A), "update public.guest_users set guest_id = %s", uuid.uuid4()) == "42501"


@rule("revoke update (guest_id) on public.guest_users from anon")
def a_guest_upserts_itself(connection: Connection) -> None:
    upsert = (
        "insert into public.guest_users (guest_id, last_seen_at) values (%s, now()) on conflict (guest_id)"
        " do update set guest_id = excluded.guest_id, last_seen_at = excluded.last_seen_at returning guest_id"
    )
    assert refusal(connection, guest(GUEST_A), upsert, GUEST_A) is None
    assert refusal(connection, guest(GUEST_A), upsert, GUEST_B) == "42501"


@rule("grant insert, update on public.guest_users to anon")
def a_guest_never_writes_who_it_became(connection: Connection) -> None:
    for column, value in (("migrated_to_user_id", USER_A), ("migrated_at", "2020-01-01")):
        name = psycopg.sql.Identifier(column).as_string(None)
        update = f"update public.guest_users set {name} = %s where guest_id = %s"
        insert = f"insert into public.guest_users (guest_id, {name}) values (%s, %s)"
        new = uuid.uuid4()
        assert refusal(connection, guest(GUEST_A), update, value, GUEST_A) == "42501"
        assert refusal(connection, guest(new), insert, new, value) == "42501"


@rule("grant select on public.guest_users to authenticated")
def users_have_no_access_to_guests(connection: Connection) -> None:
    for statement in ("select 1 from public.guest_users", TOUCH_ALL, "delete from public.guest_users"):
        assert refusal(connection, user(USER_A, header=GUEST_A), statement) == "42501"


@rule(
    "grant execute on function public.cleanup_old_jobs to anon;"
    "grant execute on function private.cleanup_old_jobs to anon"
)
def only_the_service_cleans_up(connection: Connection) -> None:
    for call in ("select * from public.cleanup_old_jobs()", "select * from public.cleanup_inactive_guests()"):
        assert refusal(connection, guest(GUEST_A), call) == "42501"
        assert refusal(connection, user(USER_A), call) == "42501"
        assert refusal(connection, SERVICE, call) is None


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
    assert refusal(connection, guest(GUEST_A), MIGRATE, GUEST_A, USER_A) == "42501"


@rule(UNCHECKED)
def a_user_migrates_only_a_guest_whose_id_it_sends(connection: Connection) -> None:
    assert refusal(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_A) is None
    assert refusal(connection, user(USER_A), MIGRATE, GUEST_A, USER_A) == "42501"
    assert refusal(connection, user(USER_A, header=GUEST_B), MIGRATE, GUEST_A, USER_A) == "42501"
    assert refusal(connection, user(USER_A, header="garbage"), MIGRATE, GUEST_A, USER_A) == "42501"


@rule(UNCHECKED)
def a_user_migrates_only_to_itself(connection: Connection) -> None:
    assert refusal(connection, user(USER_A, header=GUEST_A), MIGRATE, GUEST_A, USER_B) == "42501"
    assert refusal(connection, Caller("authenticated", guest=GUEST_A), MIGRATE, GUEST_A, USER_A) == "42501"


@rule("revoke execute on function private.migrate_guest_jobs from service_role")
def the_service_migrates_any_guest(connection: Connection) -> None:
    assert refusal(connection, SERVICE, MIGRATE, GUEST_A, USER_A) is None


@rule("alter table public.async_jobs disable trigger update_async_job_updated_at_trigger")
def every_update_sets_updated_at(connection: Connection) -> None:
    with acting(connection, guest(GUEST_A)) as execute:
        sent = "update public.async_jobs set updated_at = '2000-01-01' returning updated_at = now()"
        assert execute(sent) == [(True,)]


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)
def test_rule_holds(rolled_back: Connection, case: Rule) -> None:
    plant(rolled_back)
    case.check(rolled_back)


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)
def test_rule_is_seen_red_when_broken(rolled_back: Connection, case: Rule) -> None:
    plant(rolled_back)
    rolled_back.execute(case.broken_by.encode())
    with pytest.raises((AssertionError, psycopg.Error)):
        case.check(rolled_back)
