"""Every case on the real PostgREST with two PostgreSQL versions, and faults with the cases that
detect them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api import cases_credentials, cases_functions, cases_rows, cases_schema
from tests.api.case_runner import Case, CaseRunner
from tests.fix_db import oldest_and_newest

ALL = [*cases_rows.CASES, *cases_credentials.CASES, *cases_functions.CASES, *cases_schema.CASES]
CASES = {case.name: case for case in ALL}


def check(runner: CaseRunner, case: Case) -> None:
    """Send the request of a case and assert the response and the rows."""
    before = runner.rows_by_owner()
    response = runner.send(case)
    after = runner.rows_by_owner()

    shown = f"{response.status_code} {response.text}"
    assert response.status_code == case.status, shown
    if case.code is not None:
        assert response.json()["code"] == case.code, shown
    if case.rows is not None:
        assert len(response.json()) == case.rows, shown
    if case.total is not None:
        assert response.headers["content-range"].split("/")[1] == case.total
    if case.contains is not None:
        assert runner.fill(case.contains) in response.text, shown
    if case.jobs is not None:
        caller = case.caller.split(" + ")[0]
        assert sum("id" in row for row in after[caller]) == case.jobs

    # in every case: refused and read-only requests change nothing, and rows of others are neither
    # changed nor returned
    if case.status >= 400 or case.request.startswith(("GET", "HEAD")):
        assert after == before
    if "service" not in case.caller:
        others = before.keys() - runner.callers(case)
        assert {name: after[name] for name in others} == {name: before[name] for name in others}
        assert [
            name for name in runner.hidden(case) if runner.ids[name] in response.text.lower()
        ] == []
    if "private" not in str(case.headers):
        assert "private" not in response.text


def test_case_names_are_unique() -> None:
    assert len(CASES) == len(ALL)
    assert len(CASES) >= 80


@pytest.mark.parametrize("name", CASES)
@oldest_and_newest
def test_case(case_runner: CaseRunner, name: str) -> None:
    check(case_runner, CASES[name])


OWN_GUEST = "guest_id = (select private.request_guest_id())"
OWN_USER = "user_id = (select auth.uid())"

# fault: the SQL that causes it, the SQL that fixes it, and cases that detect it
FAULTS = {
    "guests read any job": (
        'alter policy "guests read their own jobs" on public.async_jobs using (true)',
        f'alter policy "guests read their own jobs" on public.async_jobs using ({OWN_GUEST})',
        [
            "anon reads no job",
            "or() returns only the guest's job",
            "count=exact counts only the guest's own job",
            "invalid guest id is no guest",
        ],
    ),
    "users assign their jobs to others": (
        'alter policy "users update their own jobs" on public.async_jobs with check (true);'
        ' alter policy "users read their own jobs" on public.async_jobs using (true)',
        f'alter policy "users update their own jobs" on public.async_jobs with check ({OWN_USER});'
        f' alter policy "users read their own jobs" on public.async_jobs using ({OWN_USER})',
        [
            "user assigns its job to another user with return=minimal",
            "user assigns its job to another user",
            "user reads its own job only",
        ],
    ),
    "guests assign their jobs to others": (
        'alter policy "guests update their own jobs" on public.async_jobs with check (true)',
        f'alter policy "guests update their own jobs" on public.async_jobs with check ({OWN_GUEST})',
        [
            "guest assigns its job to another guest with return=minimal",
            "guest assigns its job to a user with return=minimal",
        ],
    ),
    "users update any job": (
        'alter policy "users update their own jobs" on public.async_jobs using (true)',
        f'alter policy "users update their own jobs" on public.async_jobs using ({OWN_USER})',
        ["user takes over all jobs with return=minimal"],
    ),
    "users delete any job": (
        'alter policy "users delete their own jobs" on public.async_jobs using (true)',
        f'alter policy "users delete their own jobs" on public.async_jobs using ({OWN_USER})',
        ["user deletes without a filter and return=minimal"],
    ),
    "guests update any guest": (
        'alter policy "guests touch their own guest row" on public.guest_users using (true)',
        f'alter policy "guests touch their own guest row" on public.guest_users using ({OWN_GUEST})',
        ["guest updates without a filter only its own last_seen_at"],
    ),
    "callers with a guest header are guests": (
        'alter policy "guests update their own jobs" on public.async_jobs to public',
        'alter policy "guests update their own jobs" on public.async_jobs to anon',
        ["user with a guest header updates only the user's job"],
    ),
    "callers with a subject are users": (
        'alter policy "users create their own jobs" on public.async_jobs to public;'
        ' alter policy "users update their own jobs" on public.async_jobs to public',
        'alter policy "users create their own jobs" on public.async_jobs to authenticated;'
        ' alter policy "users update their own jobs" on public.async_jobs to authenticated',
        ["role anon with a subject inserts nothing", "role anon with a subject updates nothing"],
    ),
    "guests insert for others": (
        'alter policy "guests create their own jobs" on public.async_jobs with check (true)',
        f'alter policy "guests create their own jobs" on public.async_jobs with check ({OWN_GUEST})',
        [
            "guest inserts for another guest",
            "bulk insert for two guests keeps nothing",
            "anon inserts for a guest",
        ],
    ),
    "row level security off": (
        "alter table public.async_jobs disable row level security",
        "alter table public.async_jobs enable row level security",
        [
            "guest upserts another guest's job",
            "guest updates without a filter and return=minimal",
            "user deletes another user's job",
        ],
    ),
    "guests delete": (
        "grant delete on public.async_jobs to anon",
        "revoke delete on public.async_jobs from anon",
        ["guest deletes without a filter", "guest deletes its own job"],
    ),
    "guests clean up": (
        "grant execute on function public.cleanup_old_jobs, private.cleanup_old_jobs to anon",
        "revoke execute on function public.cleanup_old_jobs, private.cleanup_old_jobs from anon",
        ["guest calls cleanup_old_jobs"],
    ),
    "guests claim jobs": (
        "grant execute on function public.claim_jobs to anon; alter function public.claim_jobs"
        " security definer",
        "revoke execute on function public.claim_jobs from anon; alter function public.claim_jobs"
        " security invoker",
        ["guest calls claim_jobs"],
    ),
}


@contextmanager
def injected(runner: CaseRunner, fault: str) -> Iterator[list[str]]:
    """Inject a fault, yield the names of the cases that detect it, and fix it."""
    break_sql, fix_sql, detected_by = FAULTS[fault]
    runner.api.sql(break_sql)
    try:
        yield detected_by
    finally:
        runner.api.sql(fix_sql)


@pytest.mark.parametrize("fault", FAULTS)
def test_cases_detect_the_fault(case_runner: CaseRunner, fault: str) -> None:
    with injected(case_runner, fault) as names:
        for name in names:
            with pytest.raises(AssertionError):
                check(case_runner, CASES[name])
