"""Cases of embedded resources, and of schemas and objects that the API does not expose."""

from tests.api.case_runner import Case

EMBEDDING = [
    Case(
        "job with its embedded guest",
        "guest_a",
        "GET async_jobs?select=id,guest_users(guest_id)",
        200,
        rows=1,
        contains='{"guest_id": "$guest_a"}',
    ),
    Case(
        "guest with its embedded jobs",
        "guest_a",
        "GET guest_users?select=guest_id,async_jobs(id)",
        200,
        rows=1,
        contains='[{"id": "$job_guest_a"}]',
    ),
    Case(
        "guest with embedded jobs filtered by another guest",
        "guest_a",
        "GET guest_users?select=guest_id,async_jobs!inner(id)&async_jobs.guest_id=eq.$guest_b",
        200,
        rows=0,
    ),
    Case(
        "jobs filtered by another embedded guest",
        "guest_a",
        "GET async_jobs?select=id,guest_users!inner(guest_id)&guest_users.guest_id=eq.$guest_b",
        200,
        rows=0,
    ),
    Case(
        "or() on embedded jobs returns only the guest's job",
        "guest_a",
        "GET guest_users?select=guest_id,async_jobs(id,guest_id)&async_jobs.or=(guest_id.eq.$guest_b,id.not.is.null)",
        200,
        rows=1,
        contains='[{"id": "$job_guest_a"',
    ),
    Case(
        "ordering by an embedded column",
        "guest_a",
        "GET async_jobs?select=id,guest_users(created_at)&order=guest_users(created_at).desc",
        200,
        rows=1,
    ),
    Case(
        "spread of the embedded guest",
        "guest_a",
        "GET async_jobs?select=id,...guest_users(last_seen_at)",
        200,
        rows=1,
    ),
    Case(
        "user is denied the embedded guest",
        "user_a",
        "GET async_jobs?select=id,guest_users(guest_id)",
        403,
        "42501",
    ),
    Case(
        "anon reads nothing embedded",
        "anon",
        "GET guest_users?select=guest_id,async_jobs(id)",
        200,
        rows=0,
    ),
    Case(
        "service reads embedded jobs",
        "service",
        "GET guest_users?select=guest_id,async_jobs(id)&guest_id=eq.$guest_b",
        200,
        rows=1,
        contains='[{"id": "$job_guest_b"}]',
    ),
    Case(
        "auth.users cannot be embedded",
        "user_a",
        "GET async_jobs?select=id,users(email)",
        400,
        "PGRST200",
    ),
    Case(
        "count of embedded jobs counts only the guest's own",
        "guest_a",
        "GET guest_users?select=async_jobs(count)",
        200,
        rows=1,
        contains='[{"count": 1}]',
    ),
]

SCHEMA = [
    Case(
        "schema private with Accept-Profile",
        "guest_a",
        "GET async_jobs",
        406,
        "PGRST106",
        headers={"Accept-Profile": "private"},
    ),
    Case(
        "schema private with Content-Profile",
        "service",
        "POST rpc/cleanup_old_jobs",
        406,
        "PGRST106",
        body={},
        headers={"Content-Profile": "private"},
    ),
    Case(
        "schema auth", "service", "GET users", 406, "PGRST106", headers={"Accept-Profile": "auth"}
    ),
    Case(
        "schema supabase_migrations",
        "service",
        "GET schema_migrations",
        406,
        "PGRST106",
        headers={"Accept-Profile": "supabase_migrations"},
    ),
    Case(
        "schema pg_catalog",
        "service",
        "GET pg_class",
        406,
        "PGRST106",
        headers={"Accept-Profile": "pg_catalog"},
    ),
    Case("table users", "user_a", "GET users", 404, "42P01"),
    Case("table name with a schema", "user_a", "GET auth.users", 404, "42P01"),
    Case("cast to regclass", "guest_a", "GET async_jobs?select=id::regclass", 400, "42846"),
    Case("unknown column", "guest_a", "GET async_jobs?select=secret", 400, "42703"),
    Case("unknown operator", "guest_a", "GET async_jobs?id=is_secret.1", 400, "PGRST100"),
    Case("unknown method TRUNCATE", "guest_a", "TRUNCATE async_jobs", 501),
]

CASES = [*EMBEDDING, *SCHEMA]
