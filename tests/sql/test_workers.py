"""The worker functions: results, errors, privileges, and robustness against forged metadata."""

import json
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from supabase_jobs.database.connection import Connection
from tests.fix_db import oldest_and_newest
from tests.impersonation import (
    ANON,
    GUEST_A,
    JOBS,
    SERVICE,
    USER_A,
    acting_as,
    guest,
    insert_fixture_rows,
    sqlstate_of,
    user,
)

CLAIM = "select id, status, metadata from public.claim_jobs(%s, %s)"
HEARTBEAT = "select public.heartbeat_job(%s, %s, %s, %s)"
COMPLETE = "select public.complete_job(%s, %s, %s, %s)"
FAIL = "select public.fail_job(%s, %s, %s, %s)"
REQUEUE = "select requeued_count, failed_count from public.requeue_stale_jobs(%s, %s, %s)"
UNKNOWN = uuid.UUID(int=0xDEAD)

# values that owners can write into metadata
POISON: list[Any] = [
    [],
    "x",
    5,
    None,
    True,
    {"retry_count": "many"},
    {"retry_count": -1},
    {"retry_count": 10**30},
    {"retry_count": []},
    {"retry_count": {"a": 1}},
    {"last_check": "garbage"},
    {"last_check": None},
    {"last_check": 7},
    {"last_check": "infinity"},
    {"last_check": "-infinity"},
    {"last_check": "9999999-01-01"},
    {"last_check": ["x"]},
    {"last_check": "2025-13-45T99:00:00Z"},
    {"last_check": "2025-01-01 00:00 Nowhere/City"},
    {"server_id": None, "claim_id": None},
    {"server_id": {"a": 1}, "claim_id": 3, "claimed_at": "garbage"},
    {"claimed_at": "infinity"},
    {"claimed_at": "4713-01-01 BC"},
]


def value(connection: Connection, statement: str, *values: object) -> Any:
    """The single value of a result."""
    [[found]] = connection.execute(statement.encode(), values).fetchall()
    return found


def job(connection: Connection, job_id: uuid.UUID) -> dict[str, Any]:
    """The current row of a job."""
    return dict(
        value(connection, "select to_jsonb(j) from public.async_jobs j where id = %s", job_id)
    )


def state(connection: Connection, job_id: uuid.UUID) -> dict[str, Any]:
    """The worker state of a job."""
    return dict(
        value(
            connection, "select to_jsonb(s) from private.worker_state s where job_id = %s", job_id
        )
    )


def claim(
    connection: Connection, worker: str = "w1", limit: int = 1
) -> list[tuple[uuid.UUID, str]]:
    """Claim jobs; returns (job, claim id) of each."""
    rows = connection.execute(CLAIM.encode(), (worker, limit)).fetchall()
    return [(job_id, metadata["claim_id"]) for job_id, _, metadata in rows]


def silence(connection: Connection, job_id: uuid.UUID, minutes: int = 10) -> None:
    """Set the last heartbeat and the last update of a job to `minutes` ago."""
    connection.execute("alter table public.async_jobs disable trigger user")
    for statement in (
        "update public.async_jobs set updated_at = now() - make_interval(mins => %s) where id = %s",
        "update private.worker_state set heartbeat_at = now() - make_interval(mins => %s) where"
        " job_id = %s",
    ):
        connection.execute(statement.encode(), (minutes, job_id))
    connection.execute("alter table public.async_jobs enable trigger user")


@pytest.fixture
def queue(rolled_back: Connection) -> Connection:
    """Four queued jobs; the job of user A is the oldest."""
    insert_fixture_rows(rolled_back)
    rolled_back.execute(
        "update public.async_jobs set created_at = '2020-01-01' where id = %s", (JOBS[USER_A],)
    )
    return rolled_back


def test_claim_returns_the_oldest_job_with_its_claim(queue: Connection) -> None:
    [(job_id, status, metadata)] = queue.execute(CLAIM.encode(), ("w1", 1)).fetchall()
    assert (job_id, status) == (JOBS[USER_A], "processing")
    assert metadata.pop("claim_id") == state(queue, job_id)["claim_id"]
    assert metadata == job(queue, job_id)["metadata"]
    assert (metadata["server_id"], metadata["retry_count"]) == ("w1", 0)
    assert value(queue, "select (%s)::timestamptz = now()", metadata["last_check"])


def test_a_claim_that_finds_too_few_jobs_takes_older_ones_too(queue: Connection) -> None:
    """A claim starts where the last one did. It must not leave a job in the queue of a worker that
    wants more.
    """
    oldest = JOBS[USER_A]
    queue.execute("update public.async_jobs set status = 'completed' where id = %s", (oldest,))
    assert len(claim(queue)) == 1
    queue.execute("update public.async_jobs set status = 'queued' where id = %s", (oldest,))
    assert oldest not in {job for job, _ in claim(queue)}
    assert claim(queue, limit=3)[0][0] == oldest


def test_an_older_job_is_claimed_if_there_is_no_younger_one(queue: Connection) -> None:
    claimed = claim(queue, limit=4)
    queue.execute("update public.async_jobs set status = 'queued' where id = %s", (JOBS[USER_A],))
    queue.execute("update public.async_jobs set created_at = '2019-01-01' where status = 'queued'")
    assert [job for job, _ in claim(queue)] == [JOBS[USER_A]]
    assert len(claimed) == 4


@pytest.mark.parametrize("seconds", [-2, 0, 2])
def test_a_claim_starts_at_the_beginning_after_a_second(queue: Connection, seconds: int) -> None:
    """Also if the clock was set back since."""
    last_claim = "array[clock_timestamp() + make_interval(secs => %s), %s]::text"
    value(
        queue,
        f"select set_config('supabase_jobs.last_claim', {last_claim}, false)",
        seconds,
        "2021-01-01",
    )
    # a moment later, zero seconds ago is within the last second
    assert (claim(queue)[0][0] == JOBS[USER_A]) is (seconds != 0)


# values of the setting that claim_jobs did not write
FOREIGN = [
    "x",
    " ",
    "[]",
    "{}",
    "{1}",
    "{now}",
    "{NULL,2021-01-01}",
    "{9999999-01-01,2021-01-01}",
    "{{now,now}}",
    "{{{{{{{now}}}}}}}",
    "[2147483647:2147483647]={now}",
]


@pytest.mark.parametrize("last_claim", FOREIGN)
def test_a_claim_ignores_a_foreign_value_of_the_setting(queue: Connection, last_claim: str) -> None:
    value(queue, "select set_config('supabase_jobs.last_claim', %s, false)", last_claim)
    assert [job for job, _ in claim(queue)] == [JOBS[USER_A]]


def test_a_column_may_have_the_name_of_a_variable(queue: Connection) -> None:
    for name in (
        "wanted",
        "states",
        "p_limit",
        "p_status",
        "p_worker",
        "p_progress",
        "retries",
        "cutoff",
    ):
        queue.execute(f"alter table public.async_jobs add column {name} integer".encode())
    [(first, claim_id), (second, second_claim), (third, third_claim)] = claim(queue, limit=3)
    assert value(queue, "select public.heartbeat_job(%s, 'w1', %s, 50)", first, claim_id)
    assert value(queue, "select public.complete_job(%s, 'w1', %s, '{}')", first, claim_id)
    for function, job_id, claimed in (
        ("complete_jobs", second, second_claim),
        ("fail_jobs", third, third_claim),
    ):
        jobs = Jsonb([{"id": str(job_id), "claim_id": claimed}])
        assert value(queue, f"select public.{function}('w1', %s)", jobs) == 1
    assert queue.execute("select * from public.requeue_stale_jobs()").fetchone() is not None


def test_claims_work_in_a_time_zone_that_postgresql_cannot_read(queue: Connection) -> None:
    """It writes 2025-01-01T20:00:00+20:00 and reads at most 15 hours."""
    queue.execute("set local timezone to '<x>-20'")
    assert [len(claim(queue)) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("limit", [1, 3])
def test_claims_of_extreme_times_are_in_order(queue: Connection, limit: int) -> None:
    times = ["-infinity", "4000-01-01 BC", "12000-01-01", "infinity"]
    for job_id, time in zip(JOBS.values(), times, strict=True):
        queue.execute(
            "update public.async_jobs set created_at = %s::timestamptz where id = %s",
            (time, job_id),
        )
    assert [job for _ in times for job, _ in claim(queue, limit=limit)] == list(JOBS.values())


def test_claim_keeps_other_metadata_and_claims_no_job_twice(queue: Connection) -> None:
    queue.execute(
        'update public.async_jobs set metadata = \'{"item_id": "a", "retry_count": 2, "server_id": "x"}\''
    )
    first, second = claim(queue, limit=3), claim(queue, "w2", limit=3)
    assert (len(first), len(second), claim(queue)) == (3, 1, [])
    assert {j for j, _ in first + second} == set(JOBS.values())
    metadata = job(queue, first[0][0])["metadata"]
    assert (metadata["item_id"], metadata["retry_count"], metadata["server_id"]) == ("a", 0, "w1")


def test_only_queued_jobs_are_claimed(queue: Connection) -> None:
    for status in ("processing", "completed", "failed", "cancelled"):
        queue.execute("update public.async_jobs set status = %s", (status,))
        assert claim(queue, limit=10) == []


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (CLAIM, (None, 1)),
        (CLAIM, ("", 1)),
        (CLAIM, ("w", 0)),
        (CLAIM, ("w", -1)),
        (CLAIM, ("w", None)),
        (CLAIM, ("w" * 256, 1)),
        ("select public.complete_jobs('w', %s)", (Jsonb({}),)),
        ("select public.complete_jobs('w', %s)", (None,)),
        ("select public.fail_jobs('w', %s)", (Jsonb("x"),)),
        ("select public.fail_jobs('w', %s)", (None,)),
        (HEARTBEAT, (UNKNOWN, "w", UNKNOWN, 101)),
        (HEARTBEAT, (UNKNOWN, "w", UNKNOWN, -1)),
        (FAIL, (UNKNOWN, "w", UNKNOWN, None)),
        (FAIL, (UNKNOWN, "w", UNKNOWN, "")),
        (REQUEUE, (None, 3, None)),
        (REQUEUE, ("-1 second", 3, None)),
        (REQUEUE, ("1 second", -1, None)),
        (REQUEUE, ("1 second", None, None)),
        (REQUEUE, ("1 second", 3, 0)),
    ],
    ids=str,
)
@oldest_and_newest
def test_invalid_arguments_are_rejected(
    queue: Connection, statement: str, values: tuple[object, ...]
) -> None:
    assert sqlstate_of(queue, SERVICE, statement, *values) == "22023"


def test_heartbeat_sets_progress_and_last_check(queue: Connection) -> None:
    [(job_id, claim_id)] = claim(queue)
    silence(queue, job_id)
    assert value(queue, HEARTBEAT, job_id, "w1", claim_id, 40)
    found = job(queue, job_id)
    assert (found["progress"], found["status"]) == (40, "processing")
    assert value(queue, "select (%s)::timestamptz = now()", found["metadata"]["last_check"])
    assert value(queue, HEARTBEAT, job_id, "w1", claim_id, None)
    assert job(queue, job_id)["progress"] == 40


def test_complete_job_sets_result_and_processing_time(queue: Connection) -> None:
    [(job_id, claim_id)] = claim(queue)
    queue.execute("update private.worker_state set claimed_at = now() - interval '1500 ms'")
    assert value(queue, COMPLETE, job_id, "w1", claim_id, Jsonb({"vision": "a cat"}))
    found = job(queue, job_id)
    assert (found["status"], found["progress"], found["result"]) == (
        "completed",
        100,
        {"vision": "a cat"},
    )
    assert found["metadata"]["processing_time_ms"] == 1500
    assert found["metadata"]["server_id"] == "w1"
    assert queue.execute("select from private.worker_state").rowcount == 0
    assert not value(queue, COMPLETE, job_id, "w1", claim_id, Jsonb({}))


def test_fail_job_sets_error_and_keeps_progress(queue: Connection) -> None:
    [(job_id, claim_id)] = claim(queue)
    value(queue, HEARTBEAT, job_id, "w1", claim_id, 40)
    assert value(queue, FAIL, job_id, "w1", claim_id, "no video")
    found = job(queue, job_id)
    assert (found["status"], found["progress"], found["error"]) == ("failed", 40, "no video")
    assert found["metadata"]["processing_time_ms"] == 0
    assert not value(queue, FAIL, job_id, "w1", claim_id, "again")


def reports(connection: Connection, job_id: uuid.UUID, worker: str, claim_id: object) -> list[bool]:
    """The results of all reports of a worker that does not hold the job; asserts that nothing
    changes.
    """
    before = job(connection, job_id)
    results = [
        value(connection, HEARTBEAT, job_id, worker, claim_id, 99),
        value(connection, COMPLETE, job_id, worker, claim_id, Jsonb({"late": 1})),
        value(connection, FAIL, job_id, worker, claim_id, "late"),
    ]
    assert job(connection, job_id) == before
    return results


def test_worker_reports_only_on_jobs_that_it_holds(queue: Connection) -> None:
    [(job_id, claim_id), (_, other)] = claim(queue, limit=2)
    for worker, claimed in (
        ("w2", claim_id),
        ("w1", other),
        ("w1", UNKNOWN),
        ("w1", None),
        (None, claim_id),
        ("", claim_id),
    ):
        assert reports(queue, job_id, worker, claimed) == [False] * 3  # type: ignore[arg-type]
    assert not value(queue, HEARTBEAT, UNKNOWN, "w1", claim_id, 1)


@pytest.mark.parametrize("status", ["queued", "completed", "failed", "cancelled"])
@oldest_and_newest
def test_status_set_by_the_owner_stays(queue: Connection, status: str) -> None:
    """A result never overwrites a cancelled job, and the worker gets false."""
    [(job_id, claim_id)] = claim(queue)
    with queue.transaction():
        for name, text in (
            ("request.jwt.claims", json.dumps({"sub": str(USER_A)})),
            ("role", "authenticated"),
        ):
            queue.execute("select set_config(%s, %s, true)", (name, text))
        assert (
            queue.execute(
                "update public.async_jobs set status = %s where id = %s", (status, job_id)
            ).rowcount
            == 1
        )
        queue.execute("select set_config('role', 'postgres', true)")
    assert reports(queue, job_id, "w1", claim_id) == [False] * 3


def test_late_worker_cannot_complete_a_job_that_was_claimed_again(queue: Connection) -> None:
    [(job_id, stale)] = claim(queue)
    silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (1, 0)
    assert reports(queue, job_id, "w1", stale) == [False] * 3
    for worker in ("w2", "w1"):
        [(again, fresh)] = claim(queue, worker)
        assert again == job_id
        assert reports(queue, job_id, "w1", stale) == [False] * 3
        assert value(queue, HEARTBEAT, job_id, worker, fresh, 10)
        silence(queue, job_id)
        queue.execute(REQUEUE.encode(), ("5 minutes", 3, None))
        assert reports(queue, job_id, worker, fresh) == [False] * 3


def test_silent_jobs_are_requeued_and_fail_after_the_retry_limit(queue: Connection) -> None:
    for retry in (1, 2):
        [(job_id, _)] = claim(queue)
        assert job_id == JOBS[USER_A]
        queue.execute("update public.async_jobs set progress = 70 where id = %s", (job_id,))
        silence(queue, job_id)
        assert queue.execute(REQUEUE.encode(), ("11 minutes", 2, None)).fetchone() == (0, 0)
        assert queue.execute(REQUEUE.encode(), ("10 minutes", 2, None)).fetchone() == (1, 0)
        found = job(queue, job_id)
        assert (found["status"], found["progress"], found["metadata"]["retry_count"]) == (
            "queued",
            0,
            retry,
        )
        assert "server_id" not in found["metadata"]
        assert state(queue, job_id)["claim_id"] is None
    [(job_id, _)] = claim(queue)
    silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("10 minutes", 2, None)).fetchone() == (0, 1)
    found = job(queue, job_id)
    assert (found["status"], found["metadata"]["retry_count"]) == ("failed", 2)
    assert "2 retries" in found["error"]


def test_requeue_respects_the_limit_and_skips_live_jobs(queue: Connection) -> None:
    claimed = claim(queue, limit=4)
    for job_id, _ in claimed[:3]:
        silence(queue, job_id)
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, 2)).fetchone() == (2, 0)
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (1, 0)
    assert job(queue, claimed[3][0])["status"] == "processing"


def test_update_by_the_owner_is_no_heartbeat(queue: Connection) -> None:
    [(job_id, _)] = claim(queue)
    silence(queue, job_id)
    queue.execute("update public.async_jobs set url = url || '?' where id = %s", (job_id,))
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (1, 0)


def test_heartbeat_without_progress_writes_only_the_state(queue: Connection) -> None:
    [(job_id, claim_id)] = claim(queue)
    value(queue, HEARTBEAT, job_id, "w1", claim_id, 40)
    silence(queue, job_id)
    before = job(queue, job_id)
    for progress in (None, 40):
        assert value(queue, HEARTBEAT, job_id, "w1", claim_id, progress)
        assert job(queue, job_id) == before
    assert value(queue, "select heartbeat_at = now() from private.worker_state")
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (0, 0)


@pytest.mark.parametrize("poison", POISON, ids=json.dumps)
@oldest_and_newest
def test_forged_metadata_has_no_effect(queue: Connection, poison: object) -> None:
    forge = "update public.async_jobs set metadata = %s where id = %s"
    queue.execute(forge.encode(), (Jsonb(poison), JOBS[USER_A]))
    claimed = dict(claim(queue, limit=10))
    assert set(claimed) == set(JOBS.values())
    for job_id, claim_id in claimed.items():
        assert value(queue, HEARTBEAT, job_id, "w1", claim_id, 1)

    # the same while it is processing
    queue.execute(forge.encode(), (Jsonb(poison), JOBS[USER_A]))
    silence(queue, JOBS[USER_A])
    assert queue.execute(REQUEUE.encode(), ("5 minutes", 3, None)).fetchone() == (1, 0)
    assert job(queue, JOBS[USER_A])["metadata"]["retry_count"] == 1
    [(job_id, claim_id)] = claim(queue)
    queue.execute(forge.encode(), (Jsonb(poison), job_id))
    assert value(queue, COMPLETE, job_id, "w1", claim_id, Jsonb({}))
    assert job(queue, job_id)["metadata"]["retry_count"] == 1


def test_completed_jobs_are_counted_one_by_one(queue: Connection) -> None:
    first, second, third, fourth = claim(queue, limit=4)
    queue.execute("update public.async_jobs set status = 'cancelled' where id = %s", (second[0],))
    jobs = [
        {"id": str(first[0]), "claim_id": first[1], "result": {"vision": "a cat"}},
        {"id": str(first[0]), "claim_id": first[1], "result": {"vision": "again"}},
        {"id": str(second[0]), "claim_id": second[1], "result": {}},
        {"id": str(third[0]), "claim_id": fourth[1], "result": {}},
        {"id": str(fourth[0]), "claim_id": fourth[1]},
        {"id": str(UNKNOWN), "claim_id": str(UNKNOWN), "result": {}},
        {},
    ]
    assert value(queue, "select public.complete_jobs('other', %s)", Jsonb(jobs)) == 0
    assert value(queue, "select public.complete_jobs('w1', %s)", Jsonb(jobs)) == 2
    assert value(queue, "select public.complete_jobs('w1', %s)", Jsonb(jobs)) == 0
    assert value(queue, "select public.complete_jobs('w1', '[]')") == 0
    found = job(queue, first[0])
    assert (found["status"], found["progress"], found["result"]) == (
        "completed",
        100,
        {"vision": "a cat"},
    )
    assert found["metadata"]["processing_time_ms"] == 0
    assert [job(queue, j)["status"] for j, _ in (second, third, fourth)] == [
        "cancelled",
        "processing",
        "completed",
    ]
    assert {j for (j,) in queue.execute("select job_id from private.worker_state")} == {
        second[0],
        third[0],
    }


def test_failed_jobs_are_counted_one_by_one(queue: Connection) -> None:
    first, second, third, _ = claim(queue, limit=4)
    queue.execute("update public.async_jobs set status = 'cancelled' where id = %s", (second[0],))
    queue.execute("update public.async_jobs set result = '1' where id = %s", (first[0],))
    jobs = [
        {"id": str(j), "claim_id": c, "error": f"error {j}"}
        for j, c in (first, second, (third[0], first[1]))
    ]
    assert value(queue, "select public.fail_jobs('other', %s)", Jsonb(jobs)) == 0
    assert value(queue, "select public.fail_jobs('w1', %s)", Jsonb(jobs)) == 1
    assert value(queue, "select public.fail_jobs('w1', %s)", Jsonb(jobs)) == 0
    found = job(queue, first[0])
    assert (found["status"], found["error"], found["result"]) == (
        "failed",
        f"error {first[0]}",
        None,
    )
    assert [job(queue, j)["status"] for j, _ in (second, third)] == ["cancelled", "processing"]


@pytest.mark.parametrize("function", ["complete_jobs", "fail_jobs"])
def test_a_malformed_report_is_not_counted(queue: Connection, function: str) -> None:
    """Each job of a batch ends independently."""
    (first, first_claim), (second, second_claim), *_ = claim(queue, limit=4)
    jobs: list[object] = [
        1,
        None,
        [],
        {},
        {"id": "x", "claim_id": "x", "error": "e"},
        {"id": 7, "claim_id": str(first_claim), "error": "e"},
        {"id": str(second), "claim_id": f"{second_claim}x", "error": "e"},
        {
            "id": f"{{{str(first).upper()}}}",
            "claim_id": first_claim.replace("-", ""),
            "error": None,
        },
    ]
    assert value(queue, f"select public.{function}('w1', %s)", Jsonb(jobs)) == 1
    assert (job(queue, first)["status"], job(queue, second)["status"]) == (
        "completed" if function == "complete_jobs" else "failed",
        "processing",
    )


def test_a_job_fails_without_a_message(queue: Connection) -> None:
    claimed = claim(queue, limit=4)
    errors: list[dict[str, object]] = [{"error": ""}, {"error": None}, {}, {"error": "why"}]
    jobs = [
        {"id": str(j), "claim_id": c} | error for (j, c), error in zip(claimed, errors, strict=True)
    ]
    assert value(queue, "select public.fail_jobs('w1', %s)", Jsonb(jobs)) == 4
    assert [job(queue, j)["error"] for j, _ in claimed] == [
        "The worker reported no error message."
    ] * 3 + ["why"]


NEXT = "select id, status, metadata from public.complete_and_claim(%s, %s, %s)"


def test_the_last_jobs_end_and_the_next_ones_are_claimed(queue: Connection) -> None:
    (first, first_claim), (second, second_claim) = claim(queue, limit=2)
    reports = [
        {"id": str(first), "claim_id": first_claim, "result": {"vision": "a cat"}, "error": None},
        {"id": str(second), "claim_id": second_claim, "error": "why"},
    ]
    claimed = queue.execute(NEXT.encode(), (Jsonb(reports), "w1", 5)).fetchall()
    assert len(claimed) == 2
    assert {job_id for job_id, *_ in claimed} == {*JOBS.values()} - {first, second}
    for job_id, status, metadata in claimed:
        assert (status, job(queue, job_id)["status"]) == ("processing", "processing")
        assert metadata["claim_id"] == state(queue, job_id)["claim_id"]
    ended = job(queue, first)
    assert (ended["status"], ended["progress"], ended["result"], ended["error"]) == (
        "completed",
        100,
        {"vision": "a cat"},
        None,
    )
    ended = job(queue, second)
    assert (ended["status"], ended["result"], ended["error"]) == ("failed", None, "why")
    assert {j for (j,) in queue.execute("select job_id from private.worker_state")} == {
        job_id for job_id, *_ in claimed
    }


def test_a_call_that_finds_too_few_jobs_claims_older_ones_too(queue: Connection) -> None:
    oldest = JOBS[USER_A]
    queue.execute("update public.async_jobs set status = 'completed' where id = %s", (oldest,))
    [(job_id, claim_id)] = claim(queue)
    queue.execute("update public.async_jobs set status = 'queued' where id = %s", (oldest,))
    reports = Jsonb([{"id": str(job_id), "claim_id": claim_id, "result": {}}])
    claimed = queue.execute(NEXT.encode(), (reports, "w1", 5)).fetchall()
    assert {j for j, *_ in claimed} == {*JOBS.values()} - {job_id}
    assert [metadata["claim_id"] for *_, metadata in claimed] == [
        state(queue, j)["claim_id"] for j, *_ in claimed
    ]


@pytest.mark.parametrize("child", [False, True], ids=["one table", "a child table"])
def test_claimed_jobs_come_oldest_first_from_any_plan(queue: Connection, child: bool) -> None:
    """A child table has no index, so the planner reads it once and joins in another order."""
    first, second, third, fourth = sorted(JOBS.values())
    oldest_first = [second, fourth, first, third]
    for job_id in (first, second, third, fourth):  # another order, of the index and on the disk
        move = "update public.async_jobs set created_at = make_date(2020, 1, %s) where id = %s"
        queue.execute(move, (oldest_first.index(job_id) + 1, job_id))
    if child:
        queue.execute("create table public.archive () inherits (public.async_jobs)")
    with queue.transaction(force_rollback=True):
        assert [job_id for job_id, _ in claim(queue, limit=4)] == oldest_first
    [(held, claim_id)] = claim(queue)
    reports = Jsonb([{"id": str(held), "claim_id": claim_id, "result": {}}])
    claimed = queue.execute(NEXT.encode(), (reports, "w1", 3)).fetchall()
    assert [job_id for job_id, *_ in claimed] == oldest_first[1:]


def test_reports_on_jobs_of_others_change_nothing_and_the_claim_goes_on(queue: Connection) -> None:
    (first, first_claim), (second, second_claim), (third, third_claim) = claim(queue, limit=3)
    queue.execute("update public.async_jobs set status = 'cancelled' where id = %s", (second,))
    reports = [
        1,
        {},
        {"id": "x", "claim_id": "x"},
        {"id": str(second), "claim_id": second_claim, "result": {}},
        {"id": str(third), "claim_id": first_claim, "error": "why"},
        {"id": str(UNKNOWN), "claim_id": str(UNKNOWN), "result": {}},
    ]
    [(fourth, _, _)] = queue.execute(NEXT.encode(), (Jsonb(reports), "w1", 5)).fetchall()
    assert fourth not in (first, second, third)
    assert [job(queue, j)["status"] for j in (first, second, third)] == [
        "processing",
        "cancelled",
        "processing",
    ]
    held = [{"id": str(j), "claim_id": c} for j, c in ((first, first_claim), (third, third_claim))]
    assert queue.execute(NEXT.encode(), (Jsonb(held), "other", 5)).fetchall() == []
    assert [job(queue, j)["status"] for j in (first, third)] == ["processing", "processing"]
    assert queue.execute(NEXT.encode(), (Jsonb(held), "w1", 5)).fetchall() == []
    assert [job(queue, j)["status"] for j in (first, third)] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("reports", "worker", "limit", "message"),
    [
        (
            {},
            "w1",
            1,
            "complete_and_claim: p_reports must be an array of objects with id, claim_id",
        ),
        (None, "w1", 1, "complete_and_claim: p_reports must be an array"),
        ([], "", 1, "p_worker must name the worker"),
        ([], "w1", 0, "p_limit must be 1 or more"),
        ([], "w1", None, "p_limit must be 1 or more"),
    ],
)
def test_a_refused_call_neither_ends_nor_claims_a_job(
    queue: Connection, reports: object, worker: str, limit: int | None, message: str
) -> None:
    [(first, first_claim)] = claim(queue)
    if isinstance(reports, list):
        reports = [{"id": str(first), "claim_id": first_claim, "result": {}}]
    before = value(queue, "select jsonb_agg(j order by id) from public.async_jobs j")
    values = (None if reports is None else Jsonb(reports), worker, limit)
    with (
        pytest.raises(psycopg.errors.InvalidParameterValue, match=message),
        queue.transaction(),
    ):
        queue.execute(NEXT.encode(), values)
    assert value(queue, "select jsonb_agg(j order by id) from public.async_jobs j") == before
    assert state(queue, first)["claim_id"] == first_claim


def test_a_session_claims_jobs_with_a_column_that_the_project_adds(queue: Connection) -> None:
    [(first, _, metadata)] = queue.execute(NEXT.encode(), (Jsonb([]), "w1", 1)).fetchall()
    queue.execute("alter table public.async_jobs add column note text default 'new'")
    report = {"id": str(first), "claim_id": metadata["claim_id"], "result": {}}
    call = "select id, note from public.complete_and_claim(%s, %s, %s)"
    [(second, note)] = queue.execute(call, (Jsonb([report]), "w1", 1)).fetchall()
    assert (note, job(queue, first)["status"]) == ("new", "completed")
    queue.execute("alter table public.async_jobs drop column note")
    assert {j for j, *_ in queue.execute(NEXT.encode(), (Jsonb([]), "w1", 9))} == {
        *JOBS.values()
    } - {first, second}


CALLS = [
    ("select * from public.claim_jobs('w', 1)", ()),
    (HEARTBEAT, (JOBS[USER_A], "w", UNKNOWN, 1)),
    (COMPLETE, (JOBS[USER_A], "w", UNKNOWN, Jsonb({}))),
    (FAIL, (JOBS[USER_A], "w", UNKNOWN, "why")),
    (REQUEUE, ("1 minute", 3, None)),
    ("select public.complete_jobs('w', '[]')", ()),
    ("select public.fail_jobs('w', '[]')", ()),
    ("select from public.complete_and_claim('[]', 'w', 1)", ()),
    ("select private.worker_metadata('{}', '{}')", ()),
    ("select private.finish_jobs('w', '[]', 'failed')", ()),
    ("select private.reported_error('e')", ()),
    ("select private.claim_start('w', 1)", ()),
    ("select from private.worker_state", ()),
    ("delete from private.worker_state", ()),
]


@pytest.mark.parametrize(("statement", "values"), CALLS, ids=[c[0].split("(")[0] for c in CALLS])
def test_only_the_service_may_call_worker_functions(
    queue: Connection, statement: str, values: tuple[object, ...]
) -> None:
    for caller in (ANON, guest(GUEST_A), user(USER_A)):
        assert sqlstate_of(queue, caller, statement, *values) == "42501"
    assert sqlstate_of(queue, SERVICE, statement, *values) is None
    queue.execute(statement.encode(), values)  # the owner


def test_service_runs_a_whole_job(queue: Connection) -> None:
    with acting_as(queue, SERVICE) as execute:
        [(job_id, _, metadata)] = execute(CLAIM, "w1", 1)
        assert execute(HEARTBEAT, job_id, "w1", metadata["claim_id"], 5) == [(True,)]
        assert execute(COMPLETE, job_id, "w1", metadata["claim_id"], Jsonb({})) == [(True,)]
        assert execute(REQUEUE, "0", 3, None) == [(0, 0)]
        [(job_id, _, metadata)] = execute(NEXT, Jsonb([]), "w1", 1)
        report = {"id": str(job_id), "claim_id": metadata["claim_id"], "result": {}}
        [(following, _, _)] = execute(NEXT, Jsonb([report]), "w1", 1)
        assert execute(
            "select id, status from public.async_jobs where id in (%s, %s) order by status",
            job_id,
            following,
        ) == [(job_id, "completed"), (following, "processing")]


def test_worker_functions_set_updated_at_without_a_trigger_call(queue: Connection) -> None:
    trigger = "trigger update_async_job_updated_at_trigger"
    queue.execute(f"alter table public.async_jobs disable {trigger}".encode())
    queue.execute(b"update public.async_jobs set updated_at = '2020-01-01'")
    queue.execute(f"alter table public.async_jobs enable {trigger}".encode())
    queue.execute(
        """
        create or replace function private.update_async_job_updated_at() returns trigger
        language plpgsql set search_path = ''
        as $$ begin raise exception 'called'; end $$
        """
    )
    assert sqlstate_of(queue, SERVICE, "update public.async_jobs set progress = 1") == "P0001"
    with acting_as(queue, SERVICE) as execute:
        [(job_id, _, metadata)] = execute(CLAIM, "w1", 1)
        assert execute(HEARTBEAT, job_id, "w1", metadata["claim_id"], 5) == [(True,)]
        assert execute(COMPLETE, job_id, "w1", metadata["claim_id"], Jsonb({})) == [(True,)]
        [(job_id, _, metadata)] = execute(NEXT, Jsonb([]), "w1", 1)
        report = {"id": str(job_id), "claim_id": metadata["claim_id"], "result": {}}
        assert len(execute(NEXT, Jsonb([report]), "w1", 1)) == 1
        assert execute(REQUEUE, "0", 3, None) == [(1, 0)]
