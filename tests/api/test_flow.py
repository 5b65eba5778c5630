"""The whole flow of the specification over HTTP, with the client that applications use."""

import uuid
from typing import Any

import postgrest
import pytest

from supabase import Client
from tests.fix_api import Api, rows

RESULT = {
    "media": {"post_id": "1", "type": "video", "video_url": "https://…", "thumbnail_url": "https://…", "images": []},
    "transcription": "Texto transcrito",
    "entities": [{"name": "n", "type": "person", "priority": "high", "category": "people"}],
    "metrics": {"likes": 100, "retweets": 50, "replies": 25, "views": 1000},
}
ACTIVE = ["queued", "processing"]


@pytest.fixture
def guest(api: Api) -> uuid.UUID:
    """A guest who has created itself, through the API."""
    guest = uuid.uuid4()
    api.client(guest=guest).table("guest_users").insert({"guest_id": str(guest)}).execute()
    return guest


def create(api: Api, guest: uuid.UUID) -> str:
    job = {"url": "https://x.com/user/status/123", "guest_id": str(guest)}
    (made,) = rows(api.client(guest=guest).table("async_jobs").insert(job).execute())
    assert (made["status"], made["progress"], made["result"], made["user_id"]) == ("queued", 0, None, None)
    return str(made["id"])


def active(api: Api, **who: Any) -> list[str]:
    """The ids of a caller's active jobs, newest first."""
    query = api.client(**who).table("async_jobs").select("id").in_("status", ACTIVE)
    return [row["id"] for row in rows(query.order("created_at", desc=True).execute())]


def look(api: Api, job: str, **who: Any) -> dict[str, object] | None:
    found = rows(api.client(**who).table("async_jobs").select("*").eq("id", job).execute())
    return found[0] if found else None


def move(api: Api, job: str, **changes: object) -> dict[str, object]:
    (row,) = rows(api.client(service=True).table("async_jobs").update(changes).eq("id", job).execute())
    return row


def migrate(client: Client, guest: uuid.UUID, user: uuid.UUID) -> int:
    (row,) = rows(client.rpc("migrate_guest_jobs", {"p_guest_id": str(guest), "p_user_id": str(user)}).execute())
    return int(row["migrated_count"])


def test_from_guest_to_user(api: Api, guest: uuid.UUID) -> None:
    job = create(api, guest)
    assert active(api, guest=guest) == [job]
    assert active(api, guest=uuid.uuid4()) == []

    started = move(api, job, status="processing", progress=50, metadata={"server_id": "worker-1"})
    seen = look(api, job, guest=guest)
    assert seen == started
    assert seen is not None
    assert (seen["status"], seen["progress"]) == ("processing", 50)
    assert str(seen["updated_at"]) > str(seen["created_at"])

    move(api, job, status="completed", progress=100, result=RESULT)
    done = look(api, job, guest=guest)
    assert done is not None
    assert (done["status"], done["result"]) == ("completed", RESULT)
    assert active(api, guest=guest) == []

    user = api.new_user()  # signs up
    assert look(api, job, user=user) is None
    assert migrate(api.client(guest=guest, user=user), guest, user) == 1
    assert look(api, job, guest=guest) is None
    mine = look(api, job, user=user)
    assert mine is not None
    assert (mine["guest_id"], mine["user_id"], mine["result"]) == (None, str(user), RESULT)
    assert migrate(api.client(guest=guest, user=user), guest, user) == 0
    assert api.sql("select migrated_to_user_id from public.guest_users where guest_id = %s", guest) == [(user,)]


def test_the_service_hands_over_too(api: Api, guest: uuid.UUID) -> None:
    job, user = create(api, guest), api.new_user()
    assert migrate(api.client(service=True), guest, user) == 1
    assert look(api, job, user=user) is not None


def test_a_migrated_guest_goes_on_as_a_guest(api: Api, guest: uuid.UUID) -> None:
    user = api.new_user()
    migrate(api.client(guest=guest, user=user), guest, user)
    job = create(api, guest)
    assert active(api, guest=guest) == [job]
    assert active(api, user=user) == []


def test_a_job_that_is_still_active_moves_along(api: Api, guest: uuid.UUID) -> None:
    job, user = create(api, guest), api.new_user()
    move(api, job, status="processing", progress=10)
    migrate(api.client(guest=guest, user=user), guest, user)
    assert active(api, user=user) == [job]
    move(api, job, status="completed", progress=100, result=RESULT)
    assert look(api, job, user=user) is not None


def test_one_identity_is_not_enough(api: Api, guest: uuid.UUID) -> None:
    job, user = create(api, guest), api.new_user()
    with pytest.raises(postgrest.APIError) as caught:
        migrate(api.client(user=user), guest, user)
    assert caught.value.code == "42501"
    assert "header" in str(caught.value.hint)
    assert look(api, job, guest=guest) is not None


def test_cancelling(api: Api, guest: uuid.UUID) -> None:
    job = create(api, guest)
    query = api.client(guest=guest).table("async_jobs").update({"status": "cancelled"}).eq("id", job)
    assert [row["status"] for row in rows(query.in_("status", ACTIVE).execute())] == ["cancelled"]
    late = api.client(service=True).table("async_jobs").update({"status": "completed"})
    assert rows(late.eq("id", job).eq("status", "processing").execute()) == []
    assert active(api, guest=guest) == []


def test_failing(api: Api, guest: uuid.UUID) -> None:
    job = create(api, guest)
    move(api, job, status="processing")
    move(api, job, status="failed", error="Timeout error: job took too long")
    seen = look(api, job, guest=guest)
    assert seen is not None
    assert (seen["status"], seen["error"]) == ("failed", "Timeout error: job took too long")


def test_cleaning_up(api: Api, guest: uuid.UUID) -> None:
    old, recent, running = (create(api, guest) for _ in range(3))
    move(api, old, status="completed")
    move(api, recent, status="completed")
    move(api, running, status="processing")
    api.db.execute("alter table public.async_jobs disable trigger update_async_job_updated_at_trigger")
    api.sql(
        "update public.async_jobs set updated_at = now() - interval '8 days' where id = any(%s::uuid[])", [old, running]
    )
    api.db.execute("alter table public.async_jobs enable trigger update_async_job_updated_at_trigger")

    service = api.client(service=True)
    assert rows(service.rpc("cleanup_old_jobs", {"p_days": 7}).execute()) == [{"deleted_count": 1}]
    assert look(api, old, guest=guest) is None
    assert look(api, recent, guest=guest) is not None
    assert look(api, running, guest=guest) is not None


def test_cleaning_up_guests(api: Api, guest: uuid.UUID) -> None:
    busy = api.new_guest()
    create(api, busy)
    api.sql(
        "update public.guest_users set last_seen_at = now() - interval '31 days' where guest_id = any(%s)",
        [guest, busy],
    )
    service = api.client(service=True)
    assert rows(service.rpc("cleanup_inactive_guests", {"p_days": 30}).execute()) == [{"deleted_count": 1}]
    left = api.sql("select guest_id from public.guest_users where guest_id = any(%s)", [guest, busy])
    assert left == [(busy,)]


def test_deleting_a_user_deletes_its_jobs(api: Api, guest: uuid.UUID) -> None:
    job, user = create(api, guest), api.new_user()
    migrate(api.client(guest=guest, user=user), guest, user)
    api.sql("delete from auth.users where id = %s", user)
    assert look(api, job, service=True) is None
    assert look(api, job, user=user) is None
