"""The whole flow of the specification over HTTP, with the client that applications use."""

import uuid

from tests.fix_api import Api, rows


def test_a_guest_creates_itself_and_a_job(api: Api) -> None:
    guest = uuid.uuid4()
    client = api.client(guest=guest)
    client.table("guest_users").insert({"guest_id": str(guest)}).execute()
    made = client.table("async_jobs").insert({"url": "https://x.com/1", "guest_id": str(guest)}).execute()
    assert rows(made)[0]["status"] == "queued"
