"""Owner checks: a policy that evaluates them for each row is an error, by the plan."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from tests.verify.plans.test_plans import findings_of

HELPER = """
create function private.is_mine(owner uuid) returns boolean language sql stable security definer set search_path = ''
  as 'select owner = private.request_guest_id()';
grant execute on function private.is_mine(uuid) to anon;
create function private.me() returns uuid language sql stable as 'select auth.uid()';
create function private.changing() returns uuid language plpgsql volatile as 'begin return auth.uid(); end';
"""


def policy(name: str, condition: str, clause: str = "using") -> str:
    return f'{HELPER} alter policy "{name}" on public.async_jobs {clause} ({condition})'


SETTING = "(nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')::uuid"
SCALAR = "guest_id = (select g.guest_id from public.guest_users g where g.guest_id = async_jobs.guest_id)"


@pytest.mark.parametrize(
    ("sql", "id", "call"),
    [
        (
            policy("guests read their own jobs", "guest_id = private.request_guest_id()"),
            "select:guest", "private.request_guest_id()",
        ),
        (
            policy("guests update their own jobs", "guest_id = private.request_guest_id()"),
            "update:guest", "private.request_guest_id()",
        ),
        (policy("users read their own jobs", "user_id = auth.uid()"), "select:user", "current_setting()"),
        (policy("users delete their own jobs", "user_id = auth.uid()"), "delete:user", "current_setting()"),
        (policy("users read their own jobs", "user_id = private.me()"), "select:user", "current_setting()"),
        (policy("users read their own jobs", f"user_id = {SETTING}"), "select:user", "current_setting()"),
        (
            policy("users read their own jobs", "auth.jwt() ->> 'sub' = user_id::text"),
            "select:user", "current_setting()",
        ),
        (policy("guests read their own jobs", "private.is_mine(guest_id)"), "select:guest", "private.is_mine()"),
        (policy("guests read their own jobs", "(select private.is_mine(guest_id))"), "select:guest", "a sub-select"),
        (policy("guests read their own jobs", SCALAR), "select:guest", "a sub-select"),
        (
            policy("users read their own jobs", "user_id = (select auth.uid()) and user_id = auth.uid()"),
            "select:user", "current_setting()",
        ),
        (
            policy("guests create their own jobs", "guest_id = private.request_guest_id()", "with check"),
            "check:guests create their own jobs", "private.request_guest_id()",
        ),
        (
            policy("users update their own jobs", "user_id = auth.uid()", "with check"),
            "check:users update their own jobs", "current_setting()",
        ),
    ],
)  # fmt: skip
def test_owner_check_for_each_row_is_an_error(rolled_back: Connection, sql: str, id: str, call: str) -> None:
    [finding] = findings_of(rolled_back, sql)
    assert (finding.id, finding.severity) == (f"plans:once:public.async_jobs:{id}", Severity.ERROR)
    assert call in finding.message
    assert "for each row, not once per query" in finding.message
    assert "sub-select" in finding.fix


@pytest.mark.parametrize(
    "sql",
    [
        policy("guests read their own jobs", "(select private.request_guest_id()) = guest_id"),
        policy("guests read their own jobs", "guest_id in (select private.request_guest_id())"),
        policy("users read their own jobs", "(select private.changing()) = user_id"),
        policy("users read their own jobs", f"user_id = (select {SETTING})"),
        policy("users read their own jobs", "user_id = (select auth.uid()) and url <> 'auth.uid() SubPlan 1'"),
        policy("users read their own jobs", "user_id = any (array(select auth.uid()))"),
        policy("users update their own jobs", "user_id = (select auth.uid()) and url like '%(s'", "with check"),
        'drop policy "guests update their own jobs" on public.async_jobs; create policy "guests update their own jobs"'
        " on public.async_jobs for update to anon using (guest_id = (select private.request_guest_id()))",
    ],
)  # fmt: skip
def test_reworded_owner_check_is_accepted(rolled_back: Connection, sql: str) -> None:
    assert [f for f in findings_of(rolled_back, sql) if ":once:" in f.id] == []
