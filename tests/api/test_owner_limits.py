"""The optional limits of owners over HTTP: status, code, message and hint, as guest and as user."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgrest import APIError

from tests.fix_api import Api, rows
from tests.fix_cli import Run
from tests.sql.owner_limits import STRICTEST, set_limits
from tests.verify.access.test_http import environ


@pytest.fixture
def limited_api(one_api: Api) -> Iterator[Api]:
    """The API of a database in which an owner has one active job and may only cancel it."""
    with psycopg.connect(one_api.db_url) as connection:
        set_limits(connection, **STRICTEST)
    yield one_api
    with psycopg.connect(one_api.db_url) as connection:
        set_limits(connection)


def owner(api: Api, kind: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers of a new owner, and the columns of a job of it."""
    if kind == "guest":
        guest = api.new_guest()
        return api.headers(guest=guest), {"url": "https://x.com/1", "guest_id": str(guest)}
    user = api.new_user()
    return api.headers(user=user), {"url": "https://x.com/1", "user_id": str(user)}


@pytest.mark.parametrize("kind", ["guest", "user"])
def test_the_limits_are_statuses_with_a_message_and_a_hint(limited_api: Api, kind: str) -> None:
    headers, job = owner(limited_api, kind)
    returning = {**headers, "Prefer": "return=representation"}
    two = limited_api.request(
        "POST", "async_jobs", headers=headers, json=[{**job, "progress": n} for n in (1, 2)]
    )
    assert two.status_code == 429
    [row] = limited_api.request("POST", "async_jobs", headers=returning, json=job).json()
    refused = limited_api.request("POST", "async_jobs", headers=headers, json=job)
    assert (refused.status_code, refused.json()) == (
        429,
        {
            "code": "PT429",
            "message": "too many active jobs",
            "details": f"Queued and processing jobs of a {kind}: at most 1.",
            "hint": "Wait until a job has ended, or cancel one.",
        },
    )
    path = f"async_jobs?id=eq.{row['id']}"
    refused = limited_api.request(
        "PATCH", path, headers=headers, json={"status": "cancelled", "progress": 50}
    )
    assert (refused.status_code, refused.json()) == (
        403,
        {
            "code": "PT403",
            "message": "a guest or user may only cancel a job that is queued or processing",
            "details": None,
            "hint": "Update nothing but the status, and filter by the status queued or processing.",
        },
    )
    upsert = {**returning, "Prefer": "resolution=merge-duplicates,return=representation"}
    cancelled = limited_api.request(
        "POST", "async_jobs", headers=upsert, json={**row, "status": "cancelled"}
    )
    assert (cancelled.status_code, cancelled.json()[0]["status"]) == (200, "cancelled")
    after = limited_api.request("POST", "async_jobs", headers=headers, json=job)
    if kind == "user":
        assert after.status_code == 201
    else:
        assert (after.status_code, after.json()) == (
            429,
            {
                "code": "PT429",
                "message": "too many new jobs",
                "details": "New jobs of a guest in one hour: at most 1.",
                "hint": "Try again later.",
            },
        )


def test_the_client_raises_an_error_with_the_hint(limited_api: Api) -> None:
    guest = limited_api.new_guest()
    client, job = (
        limited_api.client(guest=guest),
        {"url": "https://x.com/1", "guest_id": str(guest)},
    )
    [row] = rows(client.table("async_jobs").insert(job).execute())
    with pytest.raises(APIError) as caught:
        client.table("async_jobs").insert(job).execute()
    assert (caught.value.code, caught.value.hint) == (
        "PT429",
        "Wait until a job has ended, or cancel one.",
    )
    assert rows(
        client.table("async_jobs").update({"status": "cancelled"}).eq("id", row["id"]).execute()
    )
    with pytest.raises(APIError) as caught:
        client.table("async_jobs").update({"status": "queued"}).eq("id", row["id"]).execute()
    assert caught.value.code == "PT403"


def test_the_service_has_no_limit(limited_api: Api) -> None:
    guest = str(limited_api.new_guest())
    headers = {**limited_api.headers(service=True), "Prefer": "return=representation"}
    jobs = [{"url": "https://x.com/1", "guest_id": guest, "progress": n} for n in range(3)]
    created = limited_api.request("POST", "async_jobs", headers=headers, json=jobs).json()
    assert len(created) == 3
    ids = ",".join(str(uuid.UUID(job["id"])) for job in created)
    changed = limited_api.request(
        "PATCH", f"async_jobs?id=in.({ids})", headers=headers, json={"progress": 7}
    )
    assert [job["progress"] for job in changed.json()] == [7, 7, 7]


@pytest.mark.slow
def test_verify_passes_over_the_api(limited_api: Api, cli: Run, tmp_path: Path) -> None:
    values = [f"{name} = {str(value).lower()}" for name, value in STRICTEST.items()]
    (tmp_path / "supabase-jobs.toml").write_text("\n".join(["[variables]", *values]))
    words = (
        "verify",
        "--json",
        "--only",
        "access",
        "--allow-remote",
        "--api-url",
        limited_api.url,
        "--db-url",
        limited_api.db_url,
    )
    ran = cli(*words, **environ(limited_api))
    assert (ran.code, ran.json["findings"]) == (0, [])
    grids = {grid["title"]: grid for grid in ran.json["matrix"]}
    [row] = [
        r for r in grids["public.async_jobs (API)"]["rows"] if r["identity"] == "guest, its own job"
    ]
    assert row["outcomes"]["update"] == "PT403"
