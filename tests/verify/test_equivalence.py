"""A policy that is written differently is equivalent if every request has the same outcome."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS

EQUIVALENT = {
    "with check omitted where using covers it": """
        drop policy "guests update their own jobs" on public.async_jobs;
        create policy "guests update their own jobs" on public.async_jobs for update to anon
        using (guest_id = (select private.request_guest_id()));
        drop policy "guests touch their own guest row" on public.guest_users;
        create policy "guests touch their own guest row" on public.guest_users for update to anon
        using (guest_id = (select private.request_guest_id()));
        drop policy "the service has full access to jobs" on public.async_jobs;
        create policy "the service has full access to jobs" on public.async_jobs for all to service_role using (true);
    """,
    "operands swapped, another alias": """
        alter policy "guests read their own jobs" on public.async_jobs
        using ((select private.request_guest_id() as me) = guest_id);
        alter policy "users update their own jobs" on public.async_jobs
        using ((select auth.uid()) = user_id) with check (((select auth.uid())::uuid = user_id));
    """,
    "renamed": """
        alter policy "guests read their own jobs" on public.async_jobs rename to guests_read;
        alter policy "users delete their own jobs" on public.async_jobs rename to "users: delete";
    """,
    "one for all commands instead of four": """
        drop policy "users read their own jobs" on public.async_jobs;
        drop policy "users create their own jobs" on public.async_jobs;
        drop policy "users update their own jobs" on public.async_jobs;
        drop policy "users delete their own jobs" on public.async_jobs;
        create policy own on public.async_jobs to authenticated using (user_id = (select auth.uid()));
    """,
    "four instead of one for all commands": """
        drop policy "the service has full access to guests" on public.guest_users;
        create policy a on public.guest_users for select to service_role using (true);
        create policy b on public.guest_users for insert to service_role with check (true);
        create policy c on public.guest_users for update to service_role using (true);
        create policy d on public.guest_users for delete to service_role using (true);
    """,
}


@pytest.mark.parametrize("name", EQUIVALENT)
def test_equivalent_policies_are_not_reported(rolled_back: Connection, name: str) -> None:
    rolled_back.execute(EQUIVALENT[name].encode())
    assert verify(rolled_back, EXPECTATIONS, ("structure", "access")).findings == ()


REWORDED = {
    "in": "user_id in (select auth.uid())",
    "coalesce": "coalesce(user_id = (select auth.uid()), user_id is not null and user_id is null)",
    "and not null": "(select auth.uid()) is not null and user_id = (select auth.uid())",
}


@pytest.mark.parametrize("name", REWORDED)
def test_reworded_policy_is_a_warning_if_the_access_matrix_passes(
    rolled_back: Connection, name: str
) -> None:
    rolled_back.execute(
        f'alter policy "users read their own jobs" on public.async_jobs using ({REWORDED[name]})'.encode()
    )
    [alone] = verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False).findings
    assert alone.severity is Severity.ERROR
    areas = ("structure", "access")
    [finding] = verify(rolled_back, EXPECTATIONS, areas, tries_fixes=False).findings
    assert finding.severity is Severity.WARNING
    assert finding.message.endswith("the access matrix shows no difference")
