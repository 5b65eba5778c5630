"""Cases of functions over the API: migration, cleanup, workers, and functions that are not exposed."""

from tests.api.case_runner import Case

MIGRATE = "POST rpc/migrate_guest_jobs"
BOTH = {"p_guest_id": "$guest_a", "p_user_id": "$user_a"}
CLEANUP_JOBS = "POST rpc/cleanup_old_jobs"
CLEANUP_GUESTS = "POST rpc/cleanup_inactive_guests"

CASES = [
    Case(
        "service migrates a guest",
        "service",
        MIGRATE,
        200,
        body=BOTH,
        contains='[{"migrated_count":1}]',
    ),
    Case(
        "user with the guest's header migrates the guest",
        "user_a + guest_a",
        MIGRATE,
        200,
        body=BOTH,
        contains='[{"migrated_count":1}]',
        jobs=2,
    ),
    Case(
        "user without the guest's header migrates the guest",
        "user_a",
        MIGRATE,
        403,
        "42501",
        body=BOTH,
        jobs=1,
    ),
    Case(
        "user with another guest's header migrates the guest",
        "user_a + guest_b",
        MIGRATE,
        403,
        "42501",
        body=BOTH,
        jobs=1,
    ),
    Case(
        "user migrates the guest to another user",
        "user_b + guest_a",
        MIGRATE,
        403,
        "42501",
        body=BOTH,
        jobs=1,
    ),
    Case("guest calls migrate_guest_jobs", "guest_a", MIGRATE, 401, "42501", body=BOTH, jobs=1),
    Case("anon calls migrate_guest_jobs", "anon", MIGRATE, 401, "42501", body=BOTH),
    Case(
        "GET of migrate_guest_jobs is read-only",
        "user_a + guest_a",
        "GET rpc/migrate_guest_jobs?p_guest_id=$guest_a&p_user_id=$user_a",
        405,
        "25006",
        jobs=1,
    ),
    Case(
        "HEAD of migrate_guest_jobs is read-only",
        "user_a + guest_a",
        "HEAD rpc/migrate_guest_jobs?p_guest_id=$guest_a&p_user_id=$user_a",
        405,
        jobs=1,
    ),
    Case(
        "migrate_guest_jobs with null",
        "service",
        MIGRATE,
        400,
        "22004",
        body={"p_guest_id": None, "p_user_id": "$user_a"},
    ),
    Case(
        "migrate_guest_jobs with an unknown user",
        "service",
        MIGRATE,
        409,
        "23503",
        body={"p_guest_id": "$guest_a", "p_user_id": "$fresh"},
    ),
    Case(
        "migrate_guest_jobs with an unknown guest",
        "service",
        MIGRATE,
        200,
        body={"p_guest_id": "$fresh", "p_user_id": "$user_a"},
        contains='[{"migrated_count":0}]',
    ),
    Case(
        "migrate_guest_jobs without an argument",
        "service",
        MIGRATE,
        404,
        "PGRST202",
        body={"p_guest_id": "$guest_a"},
    ),
    Case(
        "migrate_guest_jobs with an extra argument",
        "service",
        MIGRATE,
        404,
        "PGRST202",
        body={**BOTH, "p_force": True},
    ),
    Case(
        "service calls cleanup_old_jobs",
        "service",
        CLEANUP_JOBS,
        200,
        body={},
        contains='[{"deleted_count":0}]',
    ),
    Case("user calls cleanup_old_jobs", "user_a", CLEANUP_JOBS, 403, "42501", body={}),
    Case(
        "guest calls cleanup_old_jobs",
        "guest_a",
        CLEANUP_JOBS,
        401,
        "42501",
        body={"p_days": 0},
        jobs=1,
    ),
    Case(
        "cleanup_old_jobs with negative days",
        "service",
        CLEANUP_JOBS,
        400,
        "22023",
        body={"p_days": -1},
    ),
    Case(
        "cleanup_old_jobs with limit 0", "service", CLEANUP_JOBS, 400, "22023", body={"p_limit": 0}
    ),
    Case(
        "GET of cleanup_old_jobs is read-only",
        "service",
        "GET rpc/cleanup_old_jobs?p_days=0",
        405,
        "25006",
    ),
    Case(
        "service calls cleanup_inactive_guests",
        "service",
        CLEANUP_GUESTS,
        200,
        body={"p_days": 30},
        contains='[{"deleted_count":0}]',
    ),
    Case("user calls cleanup_inactive_guests", "user_a", CLEANUP_GUESTS, 403, "42501", body={}),
    Case("guest calls cleanup_inactive_guests", "guest_a", CLEANUP_GUESTS, 401, "42501", body={}),
    Case(
        "trigger function is not exposed",
        "service",
        "POST rpc/update_async_job_updated_at",
        404,
        "PGRST202",
        body={},
    ),
    Case("request_guest_id is not exposed", "guest_a", "GET rpc/request_guest_id", 404, "PGRST202"),
    Case(
        "set_config is not exposed",
        "guest_a",
        "POST rpc/set_config",
        404,
        "PGRST202",
        body={"setting_name": "role", "new_value": "service_role", "is_local": True},
    ),
]

# worker functions, with the id of the caller's own job in the arguments
WORKER_FUNCTIONS = {
    "claim_jobs": {"p_worker": "w", "p_limit": 1},
    "heartbeat_job": {"p_job_id": "$job_guest_a", "p_worker": "w", "p_claim_id": "$fresh"},
    "complete_job": {
        "p_job_id": "$job_guest_a",
        "p_worker": "w",
        "p_claim_id": "$fresh",
        "p_result": {},
    },
    "complete_jobs": {"p_worker": "w", "p_jobs": []},
    "fail_job": {
        "p_job_id": "$job_guest_a",
        "p_worker": "w",
        "p_claim_id": "$fresh",
        "p_error": "why",
    },
    "fail_jobs": {"p_worker": "w", "p_jobs": []},
    "complete_and_claim": {"p_reports": [], "p_worker": "w", "p_limit": 1},
    "requeue_stale_jobs": {"p_timeout": "0 s"},
}
CASES += [
    Case(f"{name_of_role} calls {name}", caller, f"POST rpc/{name}", status, "42501", body=body)
    for name_of_role, caller, status in (
        ("guest", "guest_a", 401),
        ("user", "user_a + guest_a", 403),
    )
    for name, body in WORKER_FUNCTIONS.items()
]
CASES += [
    Case(
        f"service calls {name} without the claim",
        "service",
        f"POST rpc/{name}",
        200,
        body=WORKER_FUNCTIONS[name],
        contains="false",
    )
    for name in ("heartbeat_job", "complete_job", "fail_job")
]
