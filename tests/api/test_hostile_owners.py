"""Anything a guest or user sends over the API with supabase-py is rejected, or has no effect on the
jobs of others.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import postgrest
import pytest

from tests.fix_api import Api, rows

if TYPE_CHECKING:
    from supabase import Client

KIB = 1024
HUGE = 10**400  # an integer that supabase-py sends; no double precision number is as large
DEEP: list[Any] = []
for _ in range(100):
    DEEP = [DEEP]


@dataclass
class Hostile:
    """An owner with supabase-py, a job of its own, and the queued jobs of others that are older
    than it.
    """

    api: Api
    caller: dict[str, Any]
    job: str
    others: Sequence[str]
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def client(self) -> "Client":
        """The owner's client."""
        return self.api.client(**self.caller)

    @property
    def owned(self) -> dict[str, str]:
        """The column that makes a new job the owner's."""
        [(kind, owner)] = self.caller.items()
        return {f"{kind}_id": str(owner)}

    def insert(self, **columns: Any) -> list[dict[str, Any]]:
        """Insert a job of the owner."""
        job = {"url": "https://x.com/1", **self.owned, **columns}
        return rows(self.client.table("async_jobs").insert(job).execute())

    def update(self, **columns: Any) -> list[dict[str, Any]]:
        """Update the owner's job."""
        return rows(self.client.table("async_jobs").update(columns).eq("id", self.job).execute())

    def raw(self, method: str, body: str) -> Any:
        """Send JSON that Python cannot represent; returns the response."""
        headers = self.api.headers(**self.caller) | {"Content-Type": "application/json"}
        path = "async_jobs" if method == "POST" else f"async_jobs?id=eq.{self.job}"
        return self.api.request(method, path, headers=headers, content=body)

    def claim(self, limit: int = 100) -> dict[str, dict[str, Any]]:
        """Let a worker claim jobs, oldest first."""
        arguments = {"p_worker": "w", "p_limit": limit}
        claimed = rows(self.api.client(service=True).rpc("claim_jobs", arguments).execute())
        self.claims = {row["id"]: row for row in claimed}
        return self.claims

    def complete(self) -> int:
        """Let the worker complete all jobs that it has claimed; returns how many it held."""
        jobs = [
            {"id": job, "claim_id": row["metadata"]["claim_id"], "result": {"ok": True}}
            for job, row in self.claims.items()
        ]
        done: Any = (
            self.api.client(service=True)
            .rpc("complete_jobs", {"p_worker": "w", "p_jobs": jobs})
            .execute()
            .data
        )
        return int(done)

    def others_complete(self) -> bool:
        """Whether all jobs of others are completed with the result of the worker."""
        found = self.api.sql(
            "select bool_and(status = 'completed' and result = '{\"ok\": true}') from"
            " public.async_jobs"
            " where id = any(%s::uuid[])",
            self.others,
        )
        return found == [(True,)]


@pytest.fixture(params=["guest", "user"])
def hostile(one_api: Api, request: pytest.FixtureRequest) -> Hostile:
    one_api.sql("delete from public.async_jobs")  # of earlier tests
    others = [
        str(job)
        for job in (
            one_api.new_job(guest=one_api.new_guest()),
            one_api.new_job(user=one_api.new_user()),
            one_api.new_job(user=one_api.new_user()),
        )
    ]
    owner = one_api.new_guest() if request.param == "guest" else one_api.new_user()
    return Hostile(
        one_api, {request.param: owner}, str(one_api.new_job(**{request.param: owner})), others
    )


def refused(send: Callable[[], object]) -> tuple[str, str]:
    """The SQLSTATE and the message of a rejected request."""
    with pytest.raises(postgrest.APIError) as caught:
        send()
    return str(caught.value.code), str(caught.value.message)


TOO_LARGE = {
    "metadata": {"k": "x" * 64 * KIB},
    "result": {"k": "x" * 8 * KIB * KIB},
    "error": "x" * (16 * KIB + 1),
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (column, value)
        for column in ("metadata", "result")
        for value in ({"a": HUGE}, {"a": -HUGE}, DEEP)
    ]
    + list(TOO_LARGE.items()),
    ids=[
        "number",
        "negative",
        "depth",
        "result number",
        "result negative",
        "result depth",
        *TOO_LARGE,
    ],
)
def test_poison_and_large_values_are_refused_by_name(
    hostile: Hostile, column: str, value: Any
) -> None:
    for send in (hostile.insert, hostile.update):
        code, message = refused(partial(send, **{column: value}))
        assert (code, f'"chk_valid_{column}"' in message) == ("23514", True), message
    assert set(hostile.claim()) == {*hostile.others, hostile.job}
    assert hostile.complete() == 4
    assert hostile.others_complete()


def test_numbers_with_exponents_are_refused_by_name(hostile: Hostile) -> None:
    """PostgreSQL would store 1e5000; Python has no such number."""
    [(column, owner)] = hostile.owned.items()
    for method, more in (("POST", f'"url": "u", "{column}": "{owner}", '), ("PATCH", "")):
        for poisoned in ("metadata", "result"):
            response = hostile.raw(method, f'{{{more}"{poisoned}": {{"a": 1e5000}}}}')
            assert (response.status_code, response.json()["code"]) == (400, "23514")
            assert f'"chk_valid_{poisoned}"' in response.json()["message"]
    assert len(hostile.claim()) == hostile.complete() == 4
    assert hostile.others_complete()


def test_jobs_dated_1970_wait_for_their_turn(hostile: Hostile) -> None:
    many = [
        {"url": "u", **hostile.owned, "created_at": "1970-01-01", "updated_at": "1970-01-01"}
    ] * 500
    dated = rows(hostile.client.table("async_jobs").insert(many).execute())
    assert len(dated) == 500
    hostile.update(created_at="1970-01-01")
    assert set(hostile.claim(limit=3)) == set(hostile.others)
    assert hostile.complete() == 3
    assert hostile.others_complete()


@pytest.mark.parametrize("time", ["infinity", "-infinity", "2999-01-01"])
def test_no_row_is_immortal(hostile: Hostile, time: str) -> None:
    [inserted] = hostile.insert(status="completed", created_at=time, updated_at=time)
    [updated] = hostile.update(status="cancelled", created_at=time, updated_at=time)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    for row in (inserted, updated):
        for column in ("created_at", "updated_at"):
            assert soon - timedelta(minutes=10) < datetime.fromisoformat(row[column]) < soon
    [deleted] = rows(
        hostile.api.client(service=True).rpc("cleanup_old_jobs", {"p_days": 0}).execute()
    )
    assert deleted == {"deleted_count": 2}


@pytest.mark.parametrize("time", ["infinity", "2999-01-01", "1970-01-01"])
def test_no_guest_is_immortal(one_api: Api, time: str) -> None:
    guest = uuid.uuid4()
    guests = one_api.client(guest=guest).table("guest_users")
    soon = datetime.now(UTC) + timedelta(minutes=1)
    row = {"guest_id": str(guest), "last_seen_at": time}
    for request in (
        guests.insert(row),
        guests.upsert(row),
        guests.update({"last_seen_at": time}).eq("guest_id", guest),
    ):
        [seen] = rows(request.execute())
        assert soon - timedelta(minutes=10) < datetime.fromisoformat(seen["last_seen_at"]) < soon
    code, _ = refused(
        lambda: guests.insert({"guest_id": str(uuid.uuid4()), "created_at": time}).execute()
    )
    assert code == "42501"


def test_worker_state_is_neither_visible_nor_writable(hostile: Hostile) -> None:
    claim_id = hostile.claim()[hostile.job]["metadata"]["claim_id"]
    [own] = rows(hostile.client.table("async_jobs").select("*").execute())
    assert claim_id not in str(own)
    assert set(own["metadata"]) == {"server_id", "last_check", "retry_count"}
    state = hostile.client.schema("private").table("worker_state")
    for send in (state.select("*"), state.update({"retry_count": 0}).neq("retry_count", -1)):
        assert refused(send.execute)[0] == "PGRST106"
    calls: dict[str, dict[str, Any]] = {
        "claim_jobs": {"p_worker": "w"},
        "heartbeat_job": {"p_job_id": hostile.job, "p_worker": "w", "p_claim_id": claim_id},
        "complete_job": {
            "p_job_id": hostile.job,
            "p_worker": "w",
            "p_claim_id": claim_id,
            "p_result": {},
        },
        "complete_jobs": {
            "p_worker": "w",
            "p_jobs": [{"id": hostile.job, "claim_id": claim_id, "result": {}}],
        },
        "fail_job": {
            "p_job_id": hostile.job,
            "p_worker": "w",
            "p_claim_id": claim_id,
            "p_error": "e",
        },
        "fail_jobs": {
            "p_worker": "w",
            "p_jobs": [{"id": hostile.job, "claim_id": claim_id, "error": "e"}],
        },
        "complete_and_claim": {
            "p_reports": [{"id": hostile.job, "claim_id": claim_id, "result": {}}],
            "p_worker": "w",
        },
        "requeue_stale_jobs": {"p_timeout": "0"},
    }
    for function, arguments in calls.items():
        assert refused(hostile.client.rpc(function, arguments).execute)[0] == "42501", function
    assert hostile.complete() == 4


FORGED = {
    "server_id": "me",
    "claim_id": str(uuid.UUID(int=7)),
    "retry_count": -5,
    "last_check": "infinity",
}
FREE_RUNS: dict[str, dict[str, Any]] = {
    "queued": {"status": "queued", "metadata": {}, "progress": 0},
    "completed": {"status": "completed", "progress": 100, "result": {"invented": True}},
    "cancelled": {"status": "cancelled"},
}


@pytest.mark.parametrize("change", FREE_RUNS)
def test_an_owner_that_ends_its_claim_does_so_for_its_own_job_only(
    hostile: Hostile, change: str
) -> None:
    hostile.claim()
    hostile.update(metadata=FORGED)
    assert len(hostile.update(**FREE_RUNS[change])) == 1
    assert hostile.complete() == 3
    assert hostile.others_complete()
    own = hostile.api.sql("select status, result from public.async_jobs where id = %s", hostile.job)
    assert own == [(FREE_RUNS[change]["status"], FREE_RUNS[change].get("result"))]


def test_forged_metadata_neither_ends_a_claim_nor_resets_the_retries(hostile: Hostile) -> None:
    service = hostile.api.client(service=True)
    for retries in (1, 2):
        hostile.claim()
        hostile.update(metadata=FORGED)
        claim_id = hostile.claims[hostile.job]["metadata"]["claim_id"]
        forged = {"p_job_id": hostile.job, "p_worker": "me", "p_claim_id": FORGED["claim_id"]}
        assert service.rpc("heartbeat_job", forged).execute().data is False
        beat = {"p_job_id": hostile.job, "p_worker": "w", "p_claim_id": claim_id}
        assert service.rpc("heartbeat_job", beat).execute().data is True
        hostile.update(metadata=FORGED)
        [requeued] = rows(
            service.rpc("requeue_stale_jobs", {"p_timeout": "0", "p_max_retries": 2}).execute()
        )
        assert requeued == {"requeued_count": 4, "failed_count": 0}
        state = hostile.api.sql(
            "select retry_count from private.worker_state where job_id = %s", hostile.job
        )
        assert state == [(retries,)]
    hostile.claim()
    assert hostile.claims[hostile.job]["metadata"]["retry_count"] == 2
    assert hostile.complete() == 4
    assert hostile.others_complete()
