"""Owner checks: a policy that evaluates them once per query is accepted, however it is written."""

import pytest

from supabase_jobs.database.connection import Connection
from tests.verify.plans.test_plans import findings_of

HELPER = "create function private.changing() returns uuid language plpgsql volatile as 'begin return auth.uid(); end';"


def policy(name: str, condition: str, clause: str = "using") -> str:
    return f'{HELPER} alter policy "{name}" on public.async_jobs {clause} ({condition})'


SETTING = "(nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')::uuid"


@pytest.mark.parametrize(
    "sql",
    [
        policy("guests read their own jobs", "(select private.request_guest_id()) = guest_id"),
        policy("guests read their own jobs", "guest_id in (select private.request_guest_id())"),
        policy("users read their own jobs", "(select private.changing()) = user_id"),
        policy("users read their own jobs", f"user_id = (select {SETTING})"),
        policy(
            "users read their own jobs",
            "user_id = (select auth.uid()) and url <> 'auth.uid() SubPlan 1'",
        ),
        policy("users read their own jobs", "user_id = any (array(select auth.uid()))"),
        policy(
            "users update their own jobs",
            "user_id = (select auth.uid()) and url like '%(s'",
            "with check",
        ),
        'drop policy "guests update their own jobs" on public.async_jobs; create policy "guests update their own jobs"'
        " on public.async_jobs for update to anon using (guest_id = (select"
        " private.request_guest_id()))",
    ],
)
def test_reworded_owner_check_is_accepted(rolled_back: Connection, sql: str) -> None:
    assert [f for f in findings_of(rolled_back, sql) if ":once:" in f.id] == []
