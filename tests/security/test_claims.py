"""The statements of docs/security.md and docs/limits.md marked with ✓, one test each."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.testing import Rls
from tests.security.conftest import ADD, ADD_USERS, READ, JobOwner, new_guest, new_user

MIGRATE = "select migrated_count from migrate_guest_jobs(%s, %s)"
UPDATE = "update async_jobs set status = 'cancelled' where id = %s"


def test_the_anonymous_key_alone_reads_and_writes_nothing(rls: Rls) -> None:
    job = new_guest(rls).job
    rls.as_anon().assert_hidden(READ, [job])
    rls.as_anon().assert_hidden("select * from guest_users")
    rls.as_anon().assert_violates(ADD, [uuid4()])
    rls.as_anon().assert_violates("insert into guest_users (guest_id) values (%s)", [uuid4()])


def test_a_user_with_a_guest_header_is_only_that_user(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    both = rls.as_user(user.id, headers={"X-Guest-Id": str(guest.id)})
    both.assert_hidden(READ, [guest.job])
    both.assert_allowed(READ, [user.job])


def test_the_guest_id_alone_identifies_the_guest(rls: Rls) -> None:
    guest = new_guest(rls)
    thief = rls.as_guest(str(guest.id).upper())
    thief.assert_allowed(READ, [guest.job])
    thief.assert_allowed(UPDATE, [guest.job])
    thief.assert_allowed(ADD, [guest.id])


def test_a_user_with_the_guest_id_can_migrate_the_jobs_to_itself(rls: Rls) -> None:
    guest, thief = new_guest(rls), rls.new_user()
    with rls.as_user(thief, headers={"X-Guest-Id": str(guest.id)}) as db:
        assert db.value(MIGRATE, [guest.id, thief]) == 1
    guest.caller.assert_hidden(READ, [guest.job])
    rls.as_user(thief).assert_allowed(READ, [guest.job])


def test_the_database_accepts_guessable_guest_ids(rls: Rls) -> None:
    guessable = UUID(int=1)
    rls.as_guest(guessable).assert_allowed(
        "insert into guest_users (guest_id) values (%s)", [guessable]
    )


def test_a_guest_cannot_delete_itself_or_its_jobs(rls: Rls) -> None:
    guest = new_guest(rls)
    guest.caller.assert_denied("delete from guest_users where guest_id = %s", [guest.id])
    guest.caller.assert_denied("delete from async_jobs where id = %s", [guest.job])


def test_after_a_hand_over_the_id_opens_only_what_is_new(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    rls.as_service().execute(MIGRATE, [guest.id, user.id])
    guest.caller.assert_hidden(READ, [guest.job])
    guest.caller.assert_allowed(ADD, [guest.id])
    assert rls.owner.value("select guest_id from async_jobs where id = %s", [guest.job]) is None


def test_a_guest_needs_no_filter_to_see_its_own_rows(rls: Rls) -> None:
    guest, _other = new_guest(rls), new_guest(rls)
    assert guest.caller.rows("select id from async_jobs") == [(guest.job,)]
    assert guest.caller.rows("select guest_id from guest_users") == [(guest.id,)]


def test_a_guests_id_is_read_by_itself_and_the_service_only(rls: Rls) -> None:
    guest, other, user = new_guest(rls), new_guest(rls), new_user(rls)
    statement = "select guest_id from async_jobs where guest_id = %s"
    guest.caller.assert_allowed(statement, [guest.id])
    rls.as_service().assert_allowed(statement, [guest.id])
    for caller in (other.caller, user.caller, rls.as_anon()):
        caller.assert_hidden(statement, [guest.id])
    user.caller.assert_denied("select guest_id from guest_users")


@pytest.mark.parametrize("statement", [READ, UPDATE])
def test_rows_of_others_are_hidden(rls: Rls, statement: str) -> None:
    guest, user = new_guest(rls), new_user(rls)
    for caller in (new_guest(rls).caller, new_user(rls).caller):
        caller.assert_hidden(statement, [guest.job])
        caller.assert_hidden(statement, [user.job])
    new_user(rls).caller.assert_hidden("delete from async_jobs where id = %s", [user.job])


def test_rows_of_others_of_two_owners_or_none_cannot_be_written(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    both = "insert into async_jobs (url, guest_id, user_id) values ('https://x.com/1', %s, %s)"
    guest.caller.assert_violates(ADD, [new_guest(rls).id])
    guest.caller.assert_violates(ADD_USERS, [user.id])
    guest.caller.assert_violates(ADD, [None])
    user.caller.assert_violates(ADD_USERS, [new_user(rls).id])
    guest.caller.assert_fails("23514", both, [guest.id, user.id])
    user.caller.assert_violates("update async_jobs set user_id = %s", [new_user(rls).id])
    guest.caller.assert_violates("update async_jobs set guest_id = %s", [new_guest(rls).id])


def test_guests_and_users_cannot_truncate(rls: Rls) -> None:
    for caller in (new_guest(rls).caller, new_user(rls).caller):
        caller.assert_denied("truncate async_jobs")
        caller.assert_denied("truncate guest_users cascade")


@pytest.mark.parametrize("column", ["migrated_to_user_id", "migrated_at"])
def test_a_guest_cannot_write_the_migration_columns(rls: Rls, column: str) -> None:
    new_guest(rls).caller.assert_denied(f"update guest_users set {column} = null")


def test_count_includes_only_visible_rows(rls: Rls) -> None:
    guest = new_guest(rls)
    new_guest(rls)
    assert guest.caller.value("select count(*) from async_jobs") == 1


def test_the_service_and_the_owner_bypass_row_level_security(rls: Rls) -> None:
    job = new_guest(rls).job
    rls.as_service().assert_allowed(READ, [job])
    rls.owner.assert_allowed(READ, [job])


def test_a_view_returns_all_rows_without_security_invoker(rls: Rls) -> None:
    new_guest(rls)
    rls.owner.execute(
        "create view all_jobs as select id from async_jobs; grant select on all_jobs to anon"
    )
    rls.as_anon().assert_allowed("select * from all_jobs")
    rls.owner.execute("alter view all_jobs set (security_invoker = true)")
    rls.as_anon().assert_hidden("select * from all_jobs")


def test_a_new_table_is_open_to_anon(rls: Rls) -> None:
    rls.owner.execute("create table secrets (text text); insert into secrets values ('x')")
    rls.as_anon().assert_allowed("select * from secrets")
    rls.as_anon().assert_allowed("delete from secrets")
    rls.owner.execute("alter table secrets enable row level security")
    rls.as_anon().assert_hidden("select * from secrets")


def test_no_policy_applies_to_truncate(rls: Rls) -> None:
    rls.owner.execute(
        "create table secrets (text text); alter table secrets enable row level security"
    )
    rls.owner.execute("insert into secrets values ('x')")
    rls.as_anon().assert_hidden("delete from secrets")
    rls.as_anon().execute("truncate secrets")
    assert rls.owner.rows("select * from secrets") == []


def test_a_guest_without_a_header_reads_nothing_as_in_realtime(rls: Rls) -> None:
    job = new_guest(rls).job
    rls.as_role("anon", claims={"role": "anon"}).assert_hidden(READ, [job])


JOB = "insert into async_jobs (id, url, guest_id) values (%s, 'https://x.com/1', %s)"
UPSERT = JOB + " on conflict (id) do update set url = excluded.url"


def test_a_constraint_error_reveals_that_a_job_id_exists(rls: Rls) -> None:
    guest, job = new_guest(rls), new_guest(rls).job
    guest.caller.assert_fails("23505", JOB, [job, guest.id])
    guest.caller.assert_violates(UPSERT, [job, guest.id])
    guest.caller.assert_allowed(UPSERT, [uuid4(), guest.id])


def test_guest_and_user_ids_cannot_be_probed(rls: Rls) -> None:
    me, you = new_guest(rls), new_user(rls)
    for existing, absent in ((new_guest(rls).id, uuid4()),):
        me.caller.assert_violates(ADD, [existing])
        me.caller.assert_violates(ADD, [absent])
        me.caller.assert_violates("insert into guest_users (guest_id) values (%s)", [existing])
        me.caller.assert_violates("insert into guest_users (guest_id) values (%s)", [absent])
        you.caller.assert_denied(MIGRATE, [existing, you.id])
        you.caller.assert_denied(MIGRATE, [absent, you.id])
    for user in (new_user(rls).id, uuid4()):
        you.caller.assert_violates(ADD_USERS, [user])
        you.caller.assert_denied(MIGRATE, [me.id, user])


def test_url_status_progress_and_owner_are_limited(rls: Rls) -> None:
    guest = new_guest(rls)
    job = "insert into async_jobs (url, status, progress, guest_id) values (%s, %s, %s, %s)"
    guest.caller.assert_allowed(job, ["x" * 2048, "queued", 0, guest.id])
    guest.caller.assert_fails("23514", job, ["x" * 2049, "queued", 0, guest.id])
    guest.caller.assert_fails("23514", job, ["", "queued", 0, guest.id])
    guest.caller.assert_fails("23514", job, ["x", "done", 0, guest.id])
    guest.caller.assert_fails("23514", job, ["x", "queued", 101, guest.id])
    stranger = uuid4()
    rls.as_guest(stranger).assert_fails("23503", job, ["x", "queued", 0, stranger])


def test_the_number_of_guests_and_jobs_is_not_limited(rls: Rls) -> None:
    for _ in range(20):
        guest = uuid4()
        rls.as_guest(guest).execute("insert into guest_users (guest_id) values (%s)", [guest])
    many = "insert into async_jobs (url, guest_id) select 'https://x.com/1', %s from generate_series(1, 2000)"
    rls.as_guest(guest).assert_allowed(many, [guest], count=2000)


def test_an_owner_can_fabricate_a_completed_job_with_a_result(rls: Rls) -> None:
    guest = new_guest(rls)
    fabricated = "insert into async_jobs (url, status, progress, result, error, metadata, guest_id)"
    values = """ values ('x', 'completed', 100, '{"a": 1}', 'e', '{"b": 2}', %s)"""
    guest.caller.assert_allowed(fabricated + values, [guest.id])


@pytest.mark.parametrize("new_owner", [new_guest, new_user])
def test_the_times_of_a_job_are_those_of_the_request(
    rls: Rls, new_owner: Callable[[Rls], JobOwner]
) -> None:
    owner = new_owner(rls)
    times = "select created_at = now() and updated_at = now() from async_jobs where id = %s"
    column = "guest_id" if new_owner is new_guest else "user_id"
    statement = f"insert into async_jobs (url, {column}, created_at, updated_at) values ('x', %s, %s, %s) returning id"
    for time in ("1970-01-01", "infinity"):
        [(job,)] = owner.caller.rows(statement, [owner.id, time, time])
        owner.caller.execute(
            "update async_jobs set created_at = %s, updated_at = %s where id = %s",
            [time, time, job],
        )
        assert rls.owner.value(times, [job])


@pytest.mark.parametrize("new_owner", [new_guest, new_user])
def test_the_id_of_a_job_stays(rls: Rls, new_owner: Callable[[Rls], JobOwner]) -> None:
    owner = new_owner(rls)
    assert owner.caller.rows("update async_jobs set id = %s returning id", [uuid4()]) == [
        (owner.job,)
    ]


def test_the_visit_of_a_guest_is_the_time_of_the_request(rls: Rls) -> None:
    guest = new_guest(rls)
    rls.owner.execute("update guest_users set last_seen_at = '2020-01-01'")
    guest.caller.execute("update guest_users set last_seen_at = 'infinity'")
    assert rls.owner.value(
        "select last_seen_at = now() from guest_users where guest_id = %s", [guest.id]
    )


def test_sizes_numbers_and_depth_are_limited(rls: Rls) -> None:
    for owner in (new_guest(rls), new_user(rls)):
        for column, size in (("metadata", 2**16), ("result", 2**16)):
            statement = f"update async_jobs set {column} = to_jsonb(repeat('x', %s))"
            owner.caller.assert_allowed(statement, [size - 2], count=1)
            owner.caller.assert_fails("23514", statement, [size - 1])
            for text in ("[1e5000]", "[" * 101 + "]" * 101):
                owner.caller.assert_fails("23514", f"update async_jobs set {column} = %s", [text])
        owner.caller.assert_allowed("update async_jobs set error = repeat('x', 16384)", count=1)
        owner.caller.assert_fails("23514", "update async_jobs set error = repeat('x', 16385)")


def test_owners_neither_read_nor_write_the_worker_state(rls: Rls) -> None:
    owners = (new_guest(rls), new_user(rls))
    claimed = rls.as_service().rows("select metadata ->> 'claim_id' from claim_jobs('w', 10)")
    for owner in owners:
        [(text,)] = owner.caller.rows("select j::text from async_jobs j")
        assert not any(claim in text for (claim,) in claimed)
        owner.caller.assert_denied("select from private.worker_state")
        owner.caller.assert_denied("update private.worker_state set retry_count = 0")


def test_an_owner_requeues_its_job_but_not_its_retries_and_result(rls: Rls) -> None:
    for new_owner in (
        new_guest,
        new_user,
    ):  # one job at a time: jobs of one transaction have the same age
        owner = new_owner(rls)
        rls.as_service().execute("select from claim_jobs('w', 1)")
        rls.as_service().execute("select from requeue_stale_jobs('0', 3)")
        requeue = (
            "update async_jobs set status = 'queued', metadata = '{}', result = '1', error = 'e'"
        )
        owner.caller.assert_allowed(requeue, count=1)
        owner.caller.execute(requeue)
        [claimed] = rls.as_service().rows(
            "select metadata ->> 'retry_count', result, error from claim_jobs('w', 1)"
        )
        assert claimed == ("1", None, None)
        rls.as_service().execute("update async_jobs set status = 'cancelled'")


def test_an_owner_delays_later_jobs_and_no_earlier_ones(rls: Rls) -> None:
    first, hostile, later = new_user(rls), new_guest(rls), new_user(rls)
    backdated = "insert into async_jobs (url, guest_id, created_at) select 'x', %s, '1970-01-01' from generate_series(1, 9)"
    hostile.caller.execute(backdated, [hostile.id])
    for job, seconds in ((first.job, -1), (later.job, 1)):
        moved = "update async_jobs set created_at = now() + make_interval(secs => %s) where id = %s"
        rls.owner.execute(moved, [seconds, job])
    claim = "select id from claim_jobs('w', %s)"
    assert rls.as_service().rows(claim, [1]) == [(first.job,)]
    assert len(rls.as_service().rows(claim, [10])) == 10
    assert rls.as_service().rows(claim, [1]) == [(later.job,)]


def test_no_owner_reads_who_processes_the_jobs_of_others(rls: Rls) -> None:
    job, others = new_guest(rls).job, (new_guest(rls), new_user(rls))
    rls.as_service().execute("select from claim_jobs('w', 10)")
    for other in others:
        other.caller.assert_hidden("select metadata from async_jobs where id = %s", [job])
        other.caller.assert_denied(
            "select worker from private.worker_state where job_id = %s", [job]
        )


@pytest.mark.parametrize(
    "change", ["status = 'cancelled'", "status = 'queued'", "status = 'completed', result = '7'"]
)
def test_an_owner_ends_the_claim_of_its_own_job_only(rls: Rls, change: str) -> None:
    for new_hostile, new_other in ((new_guest, new_user), (new_user, new_guest)):
        hostile, other = new_hostile(rls), new_other(rls)
        claimed = rls.as_service().rows(
            "select id, metadata ->> 'claim_id' from claim_jobs('w', 10)"
        )
        hostile.caller.execute(f"update async_jobs set {change}")
        jobs = [{"id": str(job), "claim_id": claim, "result": {}} for job, claim in claimed]
        assert rls.as_service().value("select complete_jobs('w', %s)", [Jsonb(jobs)]) == 1
        status = "select status from async_jobs where id = %s"
        assert rls.owner.value(status, [other.job]) == "completed"
        assert rls.owner.value(status, [hostile.job]) == change.split("'")[1]
        rls.owner.execute("delete from async_jobs")


def test_an_unreadable_job_fails_alone(rls: Rls) -> None:
    bad, good = new_guest(rls), new_user(rls)
    rls.owner.execute("alter table async_jobs drop constraint chk_valid_metadata")
    rls.owner.execute("update async_jobs set metadata = '[1e5000]' where id = %s", [bad.job])
    rls.owner.execute("update async_jobs set metadata = '{\"a\": 1e5000}' where id = %s", [bad.job])
    assert rls.as_service().rows("select id from claim_jobs('w', 10)") == [(good.job,)]
    assert rls.owner.value("select status from async_jobs where id = %s", [bad.job]) == "failed"


def test_the_cleanup_skips_no_row_of_an_owner(rls: Rls) -> None:
    guest = new_guest(rls)
    guest.caller.execute("update async_jobs set status = 'completed', updated_at = 'infinity'")
    guest.caller.execute("update guest_users set last_seen_at = 'infinity'")
    assert rls.as_service().value("select deleted_count from cleanup_old_jobs(0)") == 1
    assert rls.as_service().value("select deleted_count from cleanup_inactive_guests(0)") == 1


def test_the_content_of_a_url_is_not_limited(rls: Rls) -> None:
    new_guest(rls).caller.assert_allowed(
        "update async_jobs set url = 'javascript:alert(1)'", count=1
    )


def test_migration_requires_both_identities(rls: Rls) -> None:
    guest, user = new_guest(rls), new_user(rls)
    header = {"X-Guest-Id": str(guest.id)}
    rls.as_user(user.id).assert_denied(MIGRATE, [guest.id, user.id])
    guest.caller.assert_denied(MIGRATE, [guest.id, user.id])
    rls.as_user(user.id, headers=header).assert_denied(MIGRATE, [new_guest(rls).id, user.id])
    rls.as_user(user.id, headers=header).assert_denied(MIGRATE, [guest.id, new_user(rls).id])
    rls.as_user(user.id, headers=header).assert_allowed(MIGRATE, [guest.id, user.id])
    rls.as_service().assert_allowed(MIGRATE, [guest.id, user.id])
