"""Functions, embedding, and what else the API shows of the schema."""

from tests.api.world import Case

MIGRATE = "POST rpc/migrate_guest_jobs"
BOTH = {"p_guest_id": "$guest_a", "p_user_id": "$user_a"}
OLD = "POST rpc/cleanup_old_jobs"
INACTIVE = "POST rpc/cleanup_inactive_guests"

FUNCTIONS = [
    Case("service migrates", "service", MIGRATE, 200, body=BOTH, says='[{"migrated_count":1}]'),
    Case("user with both identities migrates", "user_a + guest_a", MIGRATE, 200, body=BOTH,
         says='[{"migrated_count":1}]', jobs=2),
    Case("user without the guest's header", "user_a", MIGRATE, 403, "42501", body=BOTH, jobs=1),
    Case("user with another guest's header", "user_a + guest_b", MIGRATE, 403, "42501", body=BOTH, jobs=1),
    Case("user for another user", "user_b + guest_a", MIGRATE, 403, "42501", body=BOTH, jobs=1),
    Case("guest may not migrate", "guest_a", MIGRATE, 401, "42501", body=BOTH, jobs=1),
    Case("nobody may migrate", "nobody", MIGRATE, 401, "42501", body=BOTH),
    Case("migrating by GET is no write", "user_a + guest_a",
         "GET rpc/migrate_guest_jobs?p_guest_id=$guest_a&p_user_id=$user_a", 405, "25006", jobs=1),
    Case("HEAD does not migrate", "user_a + guest_a",
         "HEAD rpc/migrate_guest_jobs?p_guest_id=$guest_a&p_user_id=$user_a", 405, jobs=1),
    Case("null ids", "service", MIGRATE, 400, "22004", body={"p_guest_id": None, "p_user_id": "$user_a"}),
    Case("a user who is none", "service", MIGRATE, 409, "23503", body={"p_guest_id": "$guest_a",
         "p_user_id": "$fresh"}),
    Case("a guest who is none", "service", MIGRATE, 200, body={"p_guest_id": "$fresh", "p_user_id": "$user_a"},
         says='[{"migrated_count":0}]'),
    Case("an argument missing", "service", MIGRATE, 404, "PGRST202", body={"p_guest_id": "$guest_a"}),
    Case("an argument too many", "service", MIGRATE, 404, "PGRST202", body={**BOTH, "p_force": True}),
    Case("service cleans up old jobs", "service", OLD, 200, body={}, says='[{"deleted_count":0}]'),
    Case("user may not clean up", "user_a", OLD, 403, "42501", body={}),
    Case("guest may not clean up", "guest_a", OLD, 401, "42501", body={"p_days": 0}, jobs=1),
    Case("negative days", "service", OLD, 400, "22023", body={"p_days": -1}),
    Case("limit of nothing", "service", OLD, 400, "22023", body={"p_limit": 0}),
    Case("cleanup by GET is no write", "service", "GET rpc/cleanup_old_jobs?p_days=0", 405, "25006"),
    Case("service cleans up guests", "service", INACTIVE, 200, body={"p_days": 30}, says='[{"deleted_count":0}]'),
    Case("user may not clean up guests", "user_a", INACTIVE, 403, "42501", body={}),
    Case("guest may not clean up guests", "guest_a", INACTIVE, 401, "42501", body={}),
    Case("the trigger's function is not there", "service", "POST rpc/update_async_job_updated_at", 404, "PGRST202",
         body={}),
    Case("the guest helper is not there", "guest_a", "GET rpc/request_guest_id", 404, "PGRST202"),
    Case("set_config is not there", "guest_a", "POST rpc/set_config", 404, "PGRST202",
         body={"setting_name": "role", "new_value": "service_role", "is_local": True}),
]  # fmt: skip

# the functions of workers, each with arguments that would reach the caller's own job
WORKERS = {
    "claim_jobs": {"p_worker": "w", "p_limit": 1},
    "heartbeat_job": {"p_job_id": "$job_guest_a", "p_worker": "w", "p_claim_id": "$fresh"},
    "complete_job": {"p_job_id": "$job_guest_a", "p_worker": "w", "p_claim_id": "$fresh", "p_result": {}},
    "fail_job": {"p_job_id": "$job_guest_a", "p_worker": "w", "p_claim_id": "$fresh", "p_error": "why"},
    "requeue_stale_jobs": {"p_timeout": "0 s"},
}
FUNCTIONS += [
    Case(f"{who} may not call {name}", caller, f"POST rpc/{name}", status, "42501", body=body)
    for who, caller, status in (("guest", "guest_a", 401), ("user", "user_a + guest_a", 403))
    for name, body in WORKERS.items()
]
FUNCTIONS += [
    Case(
        f"service calls {name}, without the claim", "service", f"POST rpc/{name}", 200, body=WORKERS[name], says="false"
    )
    for name in ("heartbeat_job", "complete_job", "fail_job")
]

EMBEDDING = [
    Case("a guest's job with its guest", "guest_a", "GET async_jobs?select=id,guest_users(guest_id)", 200, rows=1,
         says='{"guest_id": "$guest_a"}'),
    Case("a guest with its jobs", "guest_a", "GET guest_users?select=guest_id,async_jobs(id)", 200, rows=1,
         says='[{"id": "$job_guest_a"}]'),
    Case("a guest's jobs, filtered by another's", "guest_a",
         "GET guest_users?select=guest_id,async_jobs!inner(id)&async_jobs.guest_id=eq.$guest_b", 200, rows=0),
    Case("jobs, filtered by another guest", "guest_a",
         "GET async_jobs?select=id,guest_users!inner(guest_id)&guest_users.guest_id=eq.$guest_b", 200, rows=0),
    Case("embedding by or() shows no more", "guest_a",
         "GET guest_users?select=guest_id,async_jobs(id,guest_id)&async_jobs.or=(guest_id.eq.$guest_b,id.not.is.null)",
         200, rows=1, says='[{"id": "$job_guest_a"'),
    Case("ordering by an embedded column", "guest_a",
         "GET async_jobs?select=id,guest_users(created_at)&order=guest_users(created_at).desc", 200, rows=1),
    Case("spreading the guest", "guest_a", "GET async_jobs?select=id,...guest_users(last_seen_at)", 200, rows=1),
    Case("a user's job with its guest is refused", "user_a", "GET async_jobs?select=id,guest_users(guest_id)", 403,
         "42501"),
    Case("nobody embeds nothing", "nobody", "GET guest_users?select=guest_id,async_jobs(id)", 200, rows=0),
    Case("service embeds", "service", "GET guest_users?select=guest_id,async_jobs(id)&guest_id=eq.$guest_b", 200,
         rows=1,
         says='[{"id": "$job_guest_b"}]'),
    Case("users are in no exposed schema", "user_a", "GET async_jobs?select=id,users(email)", 400, "PGRST200"),
    Case("counting embedded rows counts one's own", "guest_a", "GET guest_users?select=async_jobs(count)", 200, rows=1,
         says='[{"count": 1}]'),
]  # fmt: skip

SCHEMA = [
    Case("schema private by Accept-Profile", "guest_a", "GET async_jobs", 406, "PGRST106",
         headers={"Accept-Profile": "private"}),
    Case("schema private by Content-Profile", "service", "POST rpc/cleanup_old_jobs", 406, "PGRST106", body={},
         headers={"Content-Profile": "private"}),
    Case("schema auth", "service", "GET users", 406, "PGRST106", headers={"Accept-Profile": "auth"}),
    Case("schema supabase_migrations", "service", "GET schema_migrations", 406, "PGRST106",
         headers={"Accept-Profile": "supabase_migrations"}),
    Case("schema pg_catalog", "service", "GET pg_class", 406, "PGRST106", headers={"Accept-Profile": "pg_catalog"}),
    Case("auth.users by name", "user_a", "GET users", 404, "42P01"),
    Case("a qualified name is a name", "user_a", "GET auth.users", 404, "42P01"),
    Case("a cast to regclass", "guest_a", "GET async_jobs?select=id::regclass", 400, "42846"),
    Case("a column that is not there", "guest_a", "GET async_jobs?select=secret", 400, "42703"),
    Case("an operator that is none", "guest_a", "GET async_jobs?id=is_secret.1", 400, "PGRST100"),
    Case("TRUNCATE is no method", "guest_a", "TRUNCATE async_jobs", 501),
]  # fmt: skip

CASES = [*FUNCTIONS, *EMBEDDING, *SCHEMA]
