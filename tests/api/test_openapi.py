"""The OpenAPI description at the root of the API: the tables and functions that each role can use,
and no rows.
"""

import pytest

from tests.fix_api import Api

TABLES = {"/async_jobs", "/guest_users"}
FUNCTIONS = {
    *(
        "/rpc/migrate_guest_jobs",
        "/rpc/cleanup_old_jobs",
        "/rpc/cleanup_inactive_guests",
        "/rpc/requeue_stale_jobs",
    ),
    *("/rpc/claim_jobs", "/rpc/heartbeat_job", "/rpc/complete_job", "/rpc/complete_jobs"),
    *("/rpc/fail_job", "/rpc/fail_jobs", "/rpc/complete_and_claim"),
}
USER = "5a1f0000-0000-4000-8000-000000000000"
VISIBLE = {
    "anon": ({}, TABLES),
    "user": ({"user": USER}, {"/async_jobs", "/rpc/migrate_guest_jobs"}),
    "service": ({"service": True}, TABLES | FUNCTIONS),
}


@pytest.mark.parametrize("role", VISIBLE)
def test_openapi_lists_the_tables_and_functions_of_the_role(api: Api, role: str) -> None:
    credentials, paths = VISIBLE[role]
    response = api.request("GET", "", headers=api.headers(**credentials))  # type: ignore[arg-type]
    assert response.status_code == 200
    openapi = response.json()
    assert set(openapi["paths"]) - {"/"} == paths
    assert "private" not in response.text
    assert "request_guest_id" not in response.text
    assert set(openapi["definitions"]) == {path.strip("/") for path in paths & TABLES}


def test_openapi_contains_no_rows(api: Api) -> None:
    guest = api.new_guest()
    assert str(guest) not in api.request("GET", "", headers=api.headers(service=True)).text
