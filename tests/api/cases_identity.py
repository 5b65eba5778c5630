"""Who somebody is: headers, tokens, keys."""

from tests.api.world import Case

JOBS = "GET async_jobs"
UPPER = "$GUEST_A"

HEADERS = [
    Case("the header's name in lower case", "nobody", JOBS, 200, headers={"x-guest-id": "$guest_a"}, rows=1),
    Case("the header's name in upper case", "nobody", JOBS, 200, headers={"X-GUEST-ID": "$guest_a"}, rows=1),
    Case("the header's name in odd case", "nobody", JOBS, 200, headers={"x-GuEsT-iD": "$guest_a"}, rows=1),
    Case("the id in upper case is the same guest", "nobody", JOBS, 200, headers={"X-Guest-Id": UPPER}, rows=1),
    Case("an empty header is nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": ""}, rows=0),
    Case("garbage is nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "garbage"}, rows=0),
    Case("garbage may not insert", "nobody", "POST async_jobs", 401, "42501", headers={"X-Guest-Id": "garbage"},
         body={"url": "https://x.com/2", "guest_id": "$guest_a"}),
    Case("braces are no guest id", "nobody", JOBS, 200, headers={"X-Guest-Id": "{$guest_a}"}, rows=0),
    Case("quotes are no guest id", "nobody", JOBS, 200, headers={"X-Guest-Id": '"$guest_a"'}, rows=0),
    Case("SQL in the header is nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "$guest_a' or '1'='1"}, rows=0),
    Case("JSON in the header is nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": '","x-guest-id":"$guest_a'},
         rows=0),
    Case("one digit more is nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "${guest_a}0"}, rows=0),
    Case("eight thousand characters are nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "a" * 8000}, rows=0),
    Case("two ids in one header are nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "$guest_a,$guest_b"}, rows=0),
    Case("two ids with a space are nobody", "nobody", JOBS, 200, headers={"X-Guest-Id": "$guest_a, $guest_b"}, rows=0),
    Case("the header twice is one guest, not two", "guest_a + guest_b", JOBS, 200, rows=1),
    Case("the header twice does not insert for two", "guest_a + guest_b", "POST async_jobs", 401, "42501",
         body=[{"url": "https://x.com/2", "guest_id": "$guest_a"}, {"url": "https://x.com/2", "guest_id": "$guest_b"}]),
    Case("a guest of all zeros that nobody created", "nobody", JOBS, 200, rows=0,
         headers={"X-Guest-Id": "00000000-0000-0000-0000-000000000000"}),
    Case("another header is not the guest's", "nobody", JOBS, 200, headers={"Guest-Id": "$guest_a"}, rows=0),
    Case("an underscore is another header", "nobody", JOBS, 200, headers={"X_Guest_Id": "$guest_a"}, rows=0),
    Case("a cookie is not the header", "nobody", JOBS, 200, headers={"Cookie": "x-guest-id=$guest_a"}, rows=0),
    Case("a forwarding header changes nobody", "guest_a", JOBS, 200, rows=1,
         headers={"X-Forwarded-For": "127.0.0.1", "X-Original-X-Guest-Id": "$guest_b"}),
    Case("claims as headers are not claims", "guest_a", JOBS, 200, rows=1,
         headers={"request.jwt.claims": '{"sub":"$user_a"}', "Role": "service_role", "sub": "$user_a"}),
    Case("the id as a query parameter is a filter on no column", "nobody", "GET async_jobs?x-guest-id=eq.$guest_a", 400,
         "42703"),
    Case("a stranger's header sees nothing", "guest_b", "GET async_jobs?id=eq.$job_guest_a", 200, rows=0),
]  # fmt: skip

TOKENS = [
    Case("expired", "expired user_a", JOBS, 401, "PGRST301"),
    Case("not yet good", "early user_a", JOBS, 401, "PGRST301"),
    Case("signed with another secret", "forged user_a", JOBS, 401, "PGRST301"),
    Case("signed by nobody", "unsigned user_a", JOBS, 401, "PGRST301"),
    Case("HS512 with the project's secret is as good", "sha512 user_a", JOBS, 200, rows=1),
    Case("claims exchanged", "tampered user_a", JOBS, 401, "PGRST301"),
    Case("expired does not fall back to the guest", "expired user_a + guest_a", JOBS, 401, "PGRST301"),
    Case("role postgres", "role postgres user_a", JOBS, 403, "42501"),
    Case("role supabase_admin", "role supabase_admin user_a", JOBS, 403, "42501"),
    Case("role authenticator sees nothing", "role authenticator user_a", JOBS, 403, "42501"),
    Case("role that is none", "role nope user_a", JOBS, 400, "22023"),
    Case("no role is anon", "roleless user_a", JOBS, 200, rows=0),
    Case("no role is anon, with a header the guest", "roleless user_a + guest_a", JOBS, 200, rows=1),
    Case("no subject sees nothing", "subless user_a", JOBS, 200, rows=0),
    Case("no subject inserts nothing", "subless user_a", "POST async_jobs", 403, "42501",
         body={"url": "https://x.com/2", "user_id": "$user_a"}),
    Case("a subject that is no UUID is an error, not somebody", "not-uuid user_a", JOBS, 400, "22P02"),
    Case("role anon with a subject is no user", "role anon user_a", JOBS, 200, rows=0),
    Case("role anon with a subject inserts nothing", "role anon user_a", "POST async_jobs", 401, "42501",
         body={"url": "https://x.com/2", "user_id": "$user_a"}),
    Case("role anon with a subject updates nothing", "role anon user_a", "PATCH async_jobs", 204, total="0",
         prefer="return=minimal,count=exact", body={"progress": 7}),
    Case("role anon with a subject and a header is the guest", "role anon user_a + guest_a", JOBS, 200, rows=1),
    Case("no token at all, but rubbish", "nobody", JOBS, 401, "PGRST301", headers={"Authorization": "Bearer rubbish"}),
    Case("Basic is no token", "guest_a", JOBS, 200, headers={"Authorization": "Basic eDp5"}, rows=1),
    Case("the guest's id as a token", "nobody", JOBS, 401, "PGRST301", headers={"Authorization": "Bearer $guest_a"}),
    Case("a user who is gone", "$fresh", JOBS, 200, rows=0),
]  # fmt: skip

CASES = [*HEADERS, *TOKENS]
