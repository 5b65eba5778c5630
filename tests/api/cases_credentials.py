"""Cases of request headers, JWTs and keys."""

from tests.api.case_runner import Case

JOBS = "GET async_jobs"
UPPER_CASE_ID = "$GUEST_A"

HEADERS = [
    Case("header name in lower case", "anon", JOBS, 200, headers={"x-guest-id": "$guest_a"}, rows=1),
    Case("header name in upper case", "anon", JOBS, 200, headers={"X-GUEST-ID": "$guest_a"}, rows=1),
    Case("header name in mixed case", "anon", JOBS, 200, headers={"x-GuEsT-iD": "$guest_a"}, rows=1),
    Case("guest id in upper case is the same guest", "anon", JOBS, 200, headers={"X-Guest-Id": UPPER_CASE_ID}, rows=1),
    Case("empty header is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": ""}, rows=0),
    Case("invalid guest id is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "garbage"}, rows=0),
    Case("invalid guest id cannot insert", "anon", "POST async_jobs", 401, "42501", headers={"X-Guest-Id": "garbage"},
         body={"url": "https://x.com/2", "guest_id": "$guest_a"}),
    Case("guest id in braces is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "{$guest_a}"}, rows=0),
    Case("guest id in quotes is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": '"$guest_a"'}, rows=0),
    Case("SQL in the header is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "$guest_a' or"
                                                                                    " '1'='1"}, rows=0),
    Case("JSON in the header is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": '","x-guest-id":"$guest_a'},
         rows=0),
    Case("guest id with an extra digit is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "${guest_a}0"}, rows=0),
    Case("header of 8000 characters is no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "a" * 8000}, rows=0),
    Case("two ids in one header are no guest", "anon", JOBS, 200, headers={"X-Guest-Id": "$guest_a,$guest_b"}, rows=0),
    Case("two ids with a space in one header are no guest", "anon", JOBS, 200,
         headers={"X-Guest-Id": "$guest_a, $guest_b"}, rows=0),
    Case("repeated header is one guest, not two", "guest_a + guest_b", JOBS, 200, rows=1),
    Case("repeated header does not insert for two guests", "guest_a + guest_b", "POST async_jobs", 401, "42501",
         body=[{"url": "https://x.com/2", "guest_id": "$guest_a"}, {"url": "https://x.com/2", "guest_id": "$guest_b"}]),
    Case("nil UUID of no guest reads nothing", "anon", JOBS, 200, rows=0,
         headers={"X-Guest-Id": "00000000-0000-0000-0000-000000000000"}),
    Case("header Guest-Id is ignored", "anon", JOBS, 200, headers={"Guest-Id": "$guest_a"}, rows=0),
    Case("header with underscores is ignored", "anon", JOBS, 200, headers={"X_Guest_Id": "$guest_a"}, rows=0),
    Case("cookie with the guest id is ignored", "anon", JOBS, 200, headers={"Cookie": "x-guest-id=$guest_a"}, rows=0),
    Case("forwarding headers do not change the guest", "guest_a", JOBS, 200, rows=1,
         headers={"X-Forwarded-For": "127.0.0.1", "X-Original-X-Guest-Id": "$guest_b"}),
    Case("claims sent as headers are ignored", "guest_a", JOBS, 200, rows=1,
         headers={"request.jwt.claims": '{"sub":"$user_a"}', "Role": "service_role", "sub": "$user_a"}),
    Case("guest id as a query parameter is an unknown column", "anon", "GET async_jobs?x-guest-id=eq.$guest_a", 400,
         "42703"),
    Case("header of another guest reads nothing", "guest_b", "GET async_jobs?id=eq.$job_guest_a", 200, rows=0),
]  # fmt: skip

TOKENS = [
    Case("expired token", "expired user_a", JOBS, 401, "PGRST301"),
    Case("token that is not yet valid", "not-yet-valid user_a", JOBS, 401, "PGRST301"),
    Case("token signed with another secret", "forged user_a", JOBS, 401, "PGRST301"),
    Case("unsigned token", "unsigned user_a", JOBS, 401, "PGRST301"),
    Case("HS512 token with the project's secret is accepted", "HS512 user_a", JOBS, 200, rows=1),
    Case("token with replaced claims", "tampered user_a", JOBS, 401, "PGRST301"),
    Case("expired token does not fall back to the guest", "expired user_a + guest_a", JOBS, 401, "PGRST301"),
    Case("role postgres", "role postgres user_a", JOBS, 403, "42501"),
    Case("role supabase_admin", "role supabase_admin user_a", JOBS, 403, "42501"),
    Case("role authenticator reads nothing", "role authenticator user_a", JOBS, 403, "42501"),
    Case("unknown role", "role nope user_a", JOBS, 400, "22023"),
    Case("token without role is anon", "no-role user_a", JOBS, 200, rows=0),
    Case("token without role and a guest header is the guest", "no-role user_a + guest_a", JOBS, 200, rows=1),
    Case("token without subject reads nothing", "no-sub user_a", JOBS, 200, rows=0),
    Case("token without subject inserts nothing", "no-sub user_a", "POST async_jobs", 403, "42501",
         body={"url": "https://x.com/2", "user_id": "$user_a"}),
    Case("subject that is not a UUID is an error", "not-uuid user_a", JOBS, 400, "22P02"),
    Case("role anon with a subject is not a user", "role anon user_a", JOBS, 200, rows=0),
    Case("role anon with a subject inserts nothing", "role anon user_a", "POST async_jobs", 401, "42501",
         body={"url": "https://x.com/2", "user_id": "$user_a"}),
    Case("role anon with a subject updates nothing", "role anon user_a", "PATCH async_jobs", 204, total="0",
         prefer="return=minimal,count=exact", body={"progress": 7}),
    Case("role anon with a subject and a guest header is the guest", "role anon user_a + guest_a", JOBS, 200, rows=1),
    Case("malformed token", "anon", JOBS, 401, "PGRST301", headers={"Authorization": "Bearer rubbish"}),
    Case("Basic authorization is ignored", "guest_a", JOBS, 200, headers={"Authorization": "Basic eDp5"}, rows=1),
    Case("guest id as a token", "anon", JOBS, 401, "PGRST301", headers={"Authorization": "Bearer $guest_a"}),
    Case("token of a deleted user reads nothing", "$fresh", JOBS, 200, rows=0),
]  # fmt: skip

CASES = [*HEADERS, *TOKENS]
