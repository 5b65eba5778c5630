"""Every case against the real PostgREST, on every version of PostgreSQL; planted faults, and cases that see them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api import cases_identity, cases_rows, cases_surface
from tests.api.world import Case, World

ALL = [*cases_rows.CASES, *cases_identity.CASES, *cases_surface.CASES]
CASES = {case.name: case for case in ALL}


def check(world: World, case: Case) -> None:
    """Make a case's request and assert what it has to end in."""
    before = world.owned()
    response = world.send(case)
    after = world.owned()

    shown = f"{response.status_code} {response.text}"
    assert response.status_code == case.status, shown
    if case.code is not None:
        assert response.json()["code"] == case.code, shown
    if case.rows is not None:
        assert len(response.json()) == case.rows, shown
    if case.total is not None:
        assert response.headers["content-range"].split("/")[1] == case.total
    if case.says is not None:
        assert world.fill(case.says) in response.text, shown
    if case.jobs is not None:
        caller = case.who.split(" + ")[0]
        assert sum("id" in row for row in after[caller]) == case.jobs

    # whatever the case: what was refused or only read left no trace, and others' rows stay whole and out of sight
    if case.status >= 400 or case.request.startswith(("GET", "HEAD")):
        assert after == before
    if "service" not in case.who:
        others = before.keys() - world.callers(case)
        assert {name: after[name] for name in others} == {name: before[name] for name in others}
        assert [name for name in world.hidden(case) if world.ids[name] in response.text.lower()] == []
    if "private" not in str(case.headers):
        assert "private" not in response.text


def test_the_cases_have_names_of_their_own() -> None:
    assert len(CASES) == len(ALL)
    assert len(CASES) >= 80


@pytest.mark.parametrize("name", CASES)
def test_case(world: World, name: str) -> None:
    check(world, CASES[name])


OWN_GUEST = "guest_id = (select private.request_guest_id())"
OWN_USER = "user_id = (select auth.uid())"

# what is broken, how it is mended, and cases that have to fail meanwhile
FAULTS = {
    "jobs shown to every guest": (
        'alter policy "guests read their own jobs" on public.async_jobs using (true)',
        f'alter policy "guests read their own jobs" on public.async_jobs using ({OWN_GUEST})',
        ["nobody sees no job", "or() shows no more", "count=exact counts no other's", "garbage is nobody"],
    ),
    "users give their jobs away": (
        'alter policy "users update their own jobs" on public.async_jobs with check (true);'
        ' alter policy "users read their own jobs" on public.async_jobs using (true)',
        f'alter policy "users update their own jobs" on public.async_jobs with check ({OWN_USER});'
        f' alter policy "users read their own jobs" on public.async_jobs using ({OWN_USER})',
        ["user gives its job away by a blind update", "user gives its job away", "user reads its own job only"],
    ),
    "guests give their jobs away": (
        'alter policy "guests update their own jobs" on public.async_jobs with check (true)',
        f'alter policy "guests update their own jobs" on public.async_jobs with check ({OWN_GUEST})',
        ["guest gives its job away by a blind update", "guest gives its job to a user by a blind update"],
    ),
    "users update any job": (
        'alter policy "users update their own jobs" on public.async_jobs using (true)',
        f'alter policy "users update their own jobs" on public.async_jobs using ({OWN_USER})',
        ["user takes over everything by a blind update"],
    ),
    "users delete any job": (
        'alter policy "users delete their own jobs" on public.async_jobs using (true)',
        f'alter policy "users delete their own jobs" on public.async_jobs using ({OWN_USER})',
        ["blind delete without a filter"],
    ),
    "guests touch any guest": (
        'alter policy "guests touch their own guest row" on public.guest_users using (true)',
        f'alter policy "guests touch their own guest row" on public.guest_users using ({OWN_GUEST})',
        ["guest touches itself alone by a blind update"],
    ),
    "everybody with the header is a guest": (
        'alter policy "guests update their own jobs" on public.async_jobs to public',
        'alter policy "guests update their own jobs" on public.async_jobs to anon',
        ["both at once update the user's job alone, blindly"],
    ),
    "everybody with a subject is a user": (
        'alter policy "users create their own jobs" on public.async_jobs to public;'
        ' alter policy "users update their own jobs" on public.async_jobs to public',
        'alter policy "users create their own jobs" on public.async_jobs to authenticated;'
        ' alter policy "users update their own jobs" on public.async_jobs to authenticated',
        ["role anon with a subject inserts nothing", "role anon with a subject updates nothing"],
    ),
    "guests insert for anybody": (
        'alter policy "guests create their own jobs" on public.async_jobs with check (true)',
        f'alter policy "guests create their own jobs" on public.async_jobs with check ({OWN_GUEST})',
        ["guest forges another guest", "bulk that mixes guests keeps nothing", "nobody inserts for a guest"],
    ),
    "row level security off": (
        "alter table public.async_jobs disable row level security",
        "alter table public.async_jobs enable row level security",
        ["upsert on another guest's job", "blind update without a filter", "user deletes another's job"],
    ),
    "guests may delete": (
        "grant delete on public.async_jobs to anon",
        "revoke delete on public.async_jobs from anon",
        ["guest deletes without a filter", "guest may not delete its own job"],
    ),
    "anybody may clean up": (
        "grant execute on function public.cleanup_old_jobs, private.cleanup_old_jobs to anon",
        "revoke execute on function public.cleanup_old_jobs, private.cleanup_old_jobs from anon",
        ["guest may not clean up"],
    ),
    "guests may work": (
        "grant execute on function public.claim_jobs, private.metadata_retry_count to anon",
        "revoke execute on function public.claim_jobs, private.metadata_retry_count from anon",
        ["guest may not call claim_jobs"],
    ),
}


@contextmanager
def broken(world: World, fault: str) -> Iterator[list[str]]:
    """Plant a fault, and mend it again; gives the cases that have to see it."""
    breaks, mends, seen_by = FAULTS[fault]
    world.api.sql(breaks)
    try:
        yield seen_by
    finally:
        world.api.sql(mends)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(world: World, fault: str) -> None:
    with broken(world, fault) as names:
        for name in names:
            with pytest.raises(AssertionError):
                check(world, CASES[name])
