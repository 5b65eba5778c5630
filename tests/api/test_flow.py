"""The flow of the specification over HTTP with supabase-py: guest, job, worker, user, migration,
cleanup.
"""

import uuid
from typing import Any

import postgrest
import pytest

from supabase import Client
from tests.fix_api import Api, rows

RESULT = {
    "media": {
        "post_id": "1",
        "type": "video",
        "video_url": "https://…",
        "thumbnail_url": "https://…",
        "images": [],
    },
    "transcription": "Texto transcrito",
    "entities": [{"name": "n", "type": "person", "priority": "high", "category": "people"}],
    "metrics": {"likes": 100, "retweets": 50, "replies": 25, "views": 1000},
}
ACTIVE = ["queued", "processing"]


@pytest.fixture
def guest(api: Api) -> uuid.UUID:
    """A guest that inserted itself over the API."""
    guest = uuid.uuid4()
    api.client(guest=guest).table("guest_users").insert({"guest_id": str(guest)}).execute()
    return guest


def create_job(api: Api, guest: uuid.UUID) -> str:
    job = {"url": "https://x.com/user/status/123", "guest_id": str(guest)}
    (row,) = rows(api.client(guest=guest).table("async_jobs").insert(job).execute())
    assert (row["status"], row["progress"], row["result"], row["user_id"]) == (
        "queued",
        0,
        None,
        None,
    )
    return str(row["id"])


def active_jobs(api: Api, **caller: Any) -> list[str]:
    """The ids of a caller's active jobs, newest first."""
    query = api.client(**caller).table("async_jobs").select("id").in_("status", ACTIVE)
    return [row["id"] for row in rows(query.order("created_at", desc=True).execute())]


def read_job(api: Api, job: str, **caller: Any) -> dict[str, object] | None:
    jobs = rows(api.client(**caller).table("async_jobs").select("*").eq("id", job).execute())
    return jobs[0] if jobs else None


def update_job(api: Api, job: str, **changes: object) -> dict[str, object]:
    (row,) = rows(
        api.client(service=True).table("async_jobs").update(changes).eq("id", job).execute()
    )
    return row


def migrate(client: Client, guest: uuid.UUID, user: uuid.UUID) -> int:
    (row,) = rows(
        client.rpc(
            "migrate_guest_jobs", {"p_guest_id": str(guest), "p_user_id": str(user)}
        ).execute()
    )
    return int(row["migrated_count"])


def test_a_guest_job_is_processed_and_migrated_to_a_user(api: Api, guest: uuid.UUID) -> None:
    job = create_job(api, guest)
    assert active_jobs(api, guest=guest) == [job]
    assert active_jobs(api, guest=uuid.uuid4()) == []

    started = update_job(
        api, job, status="processing", progress=50, metadata={"server_id": "worker-1"}
    )
    job_row = read_job(api, job, guest=guest)
    assert job_row == started
    assert job_row is not None
    assert (job_row["status"], job_row["progress"]) == ("processing", 50)
    assert str(job_row["updated_at"]) > str(job_row["created_at"])

    update_job(api, job, status="completed", progress=100, result=RESULT)
    completed = read_job(api, job, guest=guest)
    assert completed is not None
    assert (completed["status"], completed["result"]) == ("completed", RESULT)
    assert active_jobs(api, guest=guest) == []

    user = api.new_user()  # signs up
    assert read_job(api, job, user=user) is None
    assert migrate(api.client(guest=guest, user=user), guest, user) == 1
    assert read_job(api, job, guest=guest) is None
    user_job = read_job(api, job, user=user)
    assert user_job is not None
    assert (user_job["guest_id"], user_job["user_id"], user_job["result"]) == (
        None,
        str(user),
        RESULT,
    )
    assert migrate(api.client(guest=guest, user=user), guest, user) == 0
    assert api.sql(
        "select migrated_to_user_id from public.guest_users where guest_id = %s", guest
    ) == [(user,)]


def test_the_service_migrates_a_guest(api: Api, guest: uuid.UUID) -> None:
    job, user = create_job(api, guest), api.new_user()
    assert migrate(api.client(service=True), guest, user) == 1
    assert read_job(api, job, user=user) is not None


def test_a_migrated_guest_can_create_jobs(api: Api, guest: uuid.UUID) -> None:
    user = api.new_user()
    migrate(api.client(guest=guest, user=user), guest, user)
    job = create_job(api, guest)
    assert active_jobs(api, guest=guest) == [job]
    assert active_jobs(api, user=user) == []


def test_an_active_job_is_migrated(api: Api, guest: uuid.UUID) -> None:
    job, user = create_job(api, guest), api.new_user()
    update_job(api, job, status="processing", progress=10)
    migrate(api.client(guest=guest, user=user), guest, user)
    assert active_jobs(api, user=user) == [job]
    update_job(api, job, status="completed", progress=100, result=RESULT)
    assert read_job(api, job, user=user) is not None


def test_migration_requires_the_guest_header(api: Api, guest: uuid.UUID) -> None:
    job, user = create_job(api, guest), api.new_user()
    with pytest.raises(postgrest.APIError) as caught:
        migrate(api.client(user=user), guest, user)
    assert caught.value.code == "42501"
    assert "header" in str(caught.value.hint)
    assert read_job(api, job, guest=guest) is not None


def test_a_cancelled_job_stays_cancelled(api: Api, guest: uuid.UUID) -> None:
    job = create_job(api, guest)
    query = (
        api.client(guest=guest).table("async_jobs").update({"status": "cancelled"}).eq("id", job)
    )
    assert [row["status"] for row in rows(query.in_("status", ACTIVE).execute())] == ["cancelled"]
    late = api.client(service=True).table("async_jobs").update({"status": "completed"})
    assert rows(late.eq("id", job).eq("status", "processing").execute()) == []
    assert active_jobs(api, guest=guest) == []


def test_a_failed_job_has_an_error(api: Api, guest: uuid.UUID) -> None:
    job = create_job(api, guest)
    update_job(api, job, status="processing")
    update_job(api, job, status="failed", error="Timeout error: job took too long")
    job_row = read_job(api, job, guest=guest)
    assert job_row is not None
    assert (job_row["status"], job_row["error"]) == ("failed", "Timeout error: job took too long")


def test_cleanup_deletes_old_finished_jobs_only(api: Api, guest: uuid.UUID) -> None:
    old, recent, running = (create_job(api, guest) for _ in range(3))
    update_job(api, old, status="completed")
    update_job(api, recent, status="completed")
    update_job(api, running, status="processing")
    api.db.execute(
        "alter table public.async_jobs disable trigger update_async_job_updated_at_trigger"
    )
    api.sql(
        "update public.async_jobs set updated_at = now() - interval '8 days' where id ="
        " any(%s::uuid[])",
        [old, running],
    )
    api.db.execute(
        "alter table public.async_jobs enable trigger update_async_job_updated_at_trigger"
    )

    service = api.client(service=True)
    assert rows(service.rpc("cleanup_old_jobs", {"p_days": 7}).execute()) == [{"deleted_count": 1}]
    assert read_job(api, old, guest=guest) is None
    assert read_job(api, recent, guest=guest) is not None
    assert read_job(api, running, guest=guest) is not None


def test_cleanup_deletes_inactive_guests_without_jobs(api: Api, guest: uuid.UUID) -> None:
    busy = api.new_guest()
    create_job(api, busy)
    api.sql(
        "update public.guest_users set last_seen_at = now() - interval '31 days' where guest_id ="
        " any(%s)",
        [guest, busy],
    )
    service = api.client(service=True)
    assert rows(service.rpc("cleanup_inactive_guests", {"p_days": 30}).execute()) == [
        {"deleted_count": 1}
    ]
    remaining = api.sql(
        "select guest_id from public.guest_users where guest_id = any(%s)", [guest, busy]
    )
    assert remaining == [(busy,)]


def test_deleting_a_user_deletes_its_jobs(api: Api, guest: uuid.UUID) -> None:
    job, user = create_job(api, guest), api.new_user()
    migrate(api.client(guest=guest, user=user), guest, user)
    api.sql("delete from auth.users where id = %s", user)
    assert read_job(api, job, service=True) is None
    assert read_job(api, job, user=user) is None
