"""The statements about optional limits in docs/limits.md that are marked with ✓.

tests/sql/test_owner_limits.py has those about concurrent requests and isolation levels.
"""

from uuid import uuid4

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.testing import Rls
from tests.security.conftest import ADD, ADD_USERS, new_guest, new_user
from tests.sql.owner_limits import STRICTEST, set_limits

MANY = "insert into async_jobs (url, guest_id) select 'x', %s from generate_series(1, %s)"
MANY_USERS = MANY.replace("guest_id", "user_id")
FABRICATED = "insert into async_jobs (url, status, result, {}) values ('x', 'completed', '1', %s)"
MIGRATE = "select migrated_count from migrate_guest_jobs(%s, %s)"
CANCEL = "update async_jobs set status = 'cancelled'"


def test_active_jobs_are_limited(rls: Rls, rolled_back: Connection) -> None:
    """Each owner has one job before."""
    set_limits(rolled_back, max_active_jobs_per_guest=3, max_active_jobs_per_user=2)
    guest, user = new_guest(rls), new_user(rls)
    guest.caller.assert_fails("PT429", MANY, [guest.id, 3])
    guest.caller.assert_allowed(MANY, [guest.id, 2], count=2)
    user.caller.assert_fails("PT429", MANY_USERS, [user.id, 2])
    user.caller.execute(ADD_USERS, [user.id])
    user.caller.assert_fails("PT429", ADD_USERS, [user.id])
    user.caller.execute(FABRICATED.format("user_id"), [user.id])
    user.caller.assert_fails(
        "PT429", "update async_jobs set status = 'queued' where status = 'completed'"
    )
    user.caller.execute(CANCEL)
    user.caller.assert_allowed(ADD_USERS, [user.id])


def test_new_jobs_of_a_guest_in_an_hour_are_limited(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, max_new_jobs_per_guest_per_hour=3)
    guest = new_guest(rls)
    guest.caller.execute(ADD, [guest.id])
    guest.caller.execute(FABRICATED.format("guest_id"), [guest.id])
    guest.caller.execute(CANCEL)
    guest.caller.assert_fails("PT429", ADD, [guest.id])
    guest.caller.assert_fails(
        "PT429",
        FABRICATED.format("guest_id, created_at").replace("%s)", "%s, '2001-01-01')"),
        [guest.id],
    )
    guest.caller.assert_denied("delete from async_jobs")
    rls.owner.execute("update async_jobs set created_at = now() - interval '1 hour'")
    guest.caller.assert_allowed(ADD, [guest.id])


def test_owners_may_only_cancel(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, owners_may_only_cancel=True)
    guest, user = new_guest(rls), new_user(rls)
    for owner in (guest, user):
        owner.caller.assert_fails("PT403", "update async_jobs set result = '1'")
        owner.caller.assert_fails("PT403", "update async_jobs set status = 'completed'")
        owner.caller.assert_allowed(CANCEL, count=1)
        rls.owner.execute("update async_jobs set status = 'failed' where id = %s", [owner.job])
        owner.caller.assert_fails("PT403", "update async_jobs set status = 'queued'")
        owner.caller.assert_fails("PT403", CANCEL)
    guest.caller.assert_allowed(FABRICATED.format("guest_id"), [guest.id])
    user.caller.assert_allowed(FABRICATED.format("user_id"), [user.id])


def test_another_guest_id_has_new_limits(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, max_active_jobs_per_guest=1, max_new_jobs_per_guest_per_hour=1)
    for _ in range(5):
        guest = uuid4()
        rls.as_guest(guest).execute("insert into guest_users (guest_id) values (%s)", [guest])
        rls.as_guest(guest).execute(ADD, [guest])
        rls.as_guest(guest).assert_fails("PT429", ADD, [guest])


def test_a_user_replaces_its_jobs_and_a_guest_does_not(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, max_active_jobs_per_user=1, max_new_jobs_per_guest_per_hour=1)
    guest, user = new_guest(rls), new_user(rls)
    for _ in range(3):
        rls.as_service().execute("select from claim_jobs('w', 10)")
        user.caller.assert_allowed("delete from async_jobs", count=1)
        user.caller.execute("delete from async_jobs")
        user.caller.execute(ADD_USERS, [user.id])
    guest.caller.assert_denied("delete from async_jobs")
    guest.caller.assert_fails("PT429", ADD, [guest.id])


@pytest.mark.parametrize("removal", ["cleanup", "migration"])
def test_removed_jobs_are_not_counted(rls: Rls, rolled_back: Connection, removal: str) -> None:
    set_limits(rolled_back, max_new_jobs_per_guest_per_hour=1)
    guest, user = new_guest(rls), new_user(rls)
    guest.caller.execute(CANCEL)
    guest.caller.assert_fails("PT429", ADD, [guest.id])
    if removal == "cleanup":
        assert rls.as_service().value("select deleted_count from cleanup_old_jobs(0)") == 1
    else:
        rls.as_service().execute(MIGRATE, [guest.id, user.id])
    guest.caller.assert_allowed(ADD, [guest.id])


def test_a_migration_exceeds_the_limit_of_the_user(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, **STRICTEST)
    user = new_user(rls)
    for _ in range(3):
        guest = new_guest(rls)
        rls.as_user(user.id, headers={"X-Guest-Id": str(guest.id)}).execute(
            MIGRATE, [guest.id, user.id]
        )
    assert user.caller.value("select count(*) from async_jobs where status = 'queued'") == 4
    user.caller.assert_fails("PT429", ADD_USERS, [user.id])
    user.caller.execute(CANCEL)
    user.caller.assert_allowed(ADD_USERS, [user.id])


def test_the_service_and_the_owner_have_no_limits(rls: Rls, rolled_back: Connection) -> None:
    set_limits(rolled_back, **STRICTEST)
    guest = new_guest(rls)
    for caller in (rls.as_service(), rls.owner):
        caller.execute(MANY, [guest.id, 3])
        caller.execute("update async_jobs set progress = 50")
    rls.owner.execute(
        "create function add_job(g uuid) returns void language sql security definer"
        " begin atomic insert into public.async_jobs (url, guest_id) values ('x', g); end"
    )
    guest.caller.execute("select add_job(%s)", [guest.id])
