"""rls_api: requests through the real PostgREST, on a throwaway server or a configured API, and
removal of rows.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import programs
from tests.fix_api import Api
from tests.fix_db import Database
from tests.testing.conftest import RunTests
from tests.verify.harmless import named

pytestmark = pytest.mark.slow

TESTS = """
import pytest
from supabase_jobs.errors import ConfigError

def notes(client):
    return client.table("notes")

def test_users(rls_api):
    ann, bob = rls_api.new_user(), rls_api.new_user()
    rls_api.remove_after("notes", owner=ann)
    note = {"owner": str(ann), "body": "hello"}
    rls_api.assert_allowed(notes(rls_api.as_user(ann)).insert(note), count=1)
    rls_api.assert_violates(notes(rls_api.as_user(bob)).insert(note))
    control = notes(rls_api.as_service()).select("id").eq("owner", ann)
    rls_api.assert_hidden(notes(rls_api.as_user(bob)).select("*"), control=control)
    rls_api.assert_denied(notes(rls_api.as_user(ann)).delete().eq("owner", ann))
    rls_api.assert_fails("23514", notes(rls_api.as_user(ann)).insert({**note, "body": "x" * 100}))
    assert rls_api.assert_allowed(notes(rls_api.as_user(ann)).select("body")) == [{"body": "hello"}]

def test_guests(rls_api):
    rls_api.remove_after("notes", device="d1")
    rls_api.assert_allowed(notes(rls_api.as_guest("d1")).insert({"device": "d1"}))
    control = notes(rls_api.as_service()).select("id").eq("device", "d1")
    rls_api.assert_hidden(notes(rls_api.as_guest("d2")).select("*"), control=control)
    rls_api.assert_hidden(notes(rls_api.as_anon()).select("*"), control=control)

def test_claims(rls_api):
    ann = rls_api.new_user()
    client = rls_api.as_user(ann, claims={"exp": 1})
    rls_api.assert_fails("PGRST301", notes(client).select("*"))

def test_minimal(rls_api):
    rls_api.remove_after("notes", device="d3")
    insert = {"device": "d3"}
    with pytest.raises(ConfigError, match="does not show whether a row was affected"):
        rls_api.outcome(notes(rls_api.as_guest("d3")).insert(insert, returning="minimal"))
    minimal = notes(rls_api.as_guest("d3")).insert(insert, returning="minimal", count="exact")
    assert rls_api.outcome(minimal).name == "rows"

def test_mistakes(rls_api):
    with pytest.raises(ConfigError, match="names no column"):
        rls_api.remove_after("notes")
    with pytest.raises(ConfigError, match="settings cannot be sent"):
        rls_api.as_role("anon", settings={"a.b": "c"})

def test_nothing_there(rls_api):
    nothing = notes(rls_api.as_service()).select("id").eq("device", "nobody")
    with pytest.raises(AssertionError, match="inconclusive: expected rows from the control, got hidden"):
        rls_api.assert_hidden(notes(rls_api.as_anon()).select("*"), control=nothing)
"""
REJECTED = """
def listed(rls_api):
    return rls_api.as_service().table("allowed_emails").select("email").execute().data

def test_the_address_is_listed(rls_api):
    rls_api.new_user()
    assert len(listed(rls_api)) == 1

def test_and_removed_after_the_test(rls_api):
    assert listed(rls_api) == []
"""
FAILING = """
def test_fails(rls_api):
    rls_api.remove_after("notes", device="d1")
    guest = rls_api.as_guest("d1")
    rls_api.assert_allowed(guest.table("notes").insert({"device": "d1"}))
    rls_api.assert_hidden(guest.table("notes").select("device").eq("device", "d1"), control=None)
"""
LEFT = """
def test_leaves_something(rls_api):
    rls_api.remove_after("nowhere", id=1)
"""


@pytest.fixture
def migrations(pytester: pytest.Pytester) -> None:
    folder = pytester.path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20250101000000_notes.sql").write_text(
        Path(__file__).with_name("notes.sql").read_text()
    )


@pytest.fixture
def run_api(run_tests: RunTests) -> RunTests:
    """`run_tests` with the path of PostgREST and without the variables of another API."""

    def run(text: str, *arguments: str, **environ: str) -> pytest.RunResult:
        binary = {"SUPABASE_JOBS_POSTGREST_BIN": str(programs.postgrest())}
        return run_tests(text, *arguments, **{"SUPABASE_URL": "", **binary, **environ})

    return run


def test_rls_api_runs_on_a_throwaway_server(run_api: RunTests, migrations: None) -> None:
    result = run_api(TESTS)
    result.assert_outcomes(passed=6)
    assert str(result.stderr) == ""


def test_a_user_is_adapted_to_a_trigger_that_rejects_sign_ups(
    run_api: RunTests, migrations: None, pytester: pytest.Pytester
) -> None:
    trigger = named("sign_up", "an allow-list of addresses").decode()
    grant = ";\ngrant all on public.allowed_emails to service_role;"
    (pytester.path / "supabase" / "migrations" / "20250101000001_sign_up.sql").write_text(
        trigger + grant
    )
    result = run_api(REJECTED)
    result.assert_outcomes(passed=2)


def test_a_failure_shows_the_request_and_no_key(run_api: RunTests, migrations: None) -> None:
    result = run_api(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: expected hidden, got rows",
            "E         as:       role anon",
            "E         headers:  {'X-Device': 'd1'}",
            "E         request:  GET /rest/v1/notes?select=device&device=eq.d1",
            "E         row:      {'device': 'd1'}",
            "E         hint:     row level security is off*",
        ]
    )
    assert "Bearer" not in str(result.stdout)
    assert "eyJ" not in str(result.stdout)


def test_a_failed_removal_is_reported(run_api: RunTests, migrations: None) -> None:
    result = run_api(LEFT)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("rows of the test could not be removed: nowhere {'id': 1}: *")


CONFIGURED_API = """
def test_guests(rls_api):
    guest, job = "{guest}", "{job}"
    user = rls_api.new_user()
    rls_api.remove_after("guest_users", guest_id=guest)
    me = rls_api.as_guest(guest)
    rls_api.assert_allowed(me.table("guest_users").insert({{"guest_id": guest}}))
    rls_api.assert_allowed(me.table("async_jobs").insert({{"id": job, "url": "https://x.com/1", "guest_id": guest}}))
    control = rls_api.as_service().table("async_jobs").select("id").eq("id", job)
    rls_api.assert_hidden(rls_api.as_user(user).table("async_jobs").select("*").eq("id", job), control=control)
    rls_api.assert_denied(me.table("async_jobs").delete().eq("id", job))
    mine = {{"url": "https://x.com/2", "user_id": str(user)}}
    rls_api.assert_allowed(rls_api.as_user(user).table("async_jobs").insert(mine))
"""
GUEST, JOB = "5f0d3c52-0f6c-4d0a-8a4f-9a3c8f6a1b2c", "6f0d3c52-0f6c-4d0a-8a4f-9a3c8f6a1b2c"


def environment(api: Api, **more: str) -> dict[str, str]:
    return {
        "SUPABASE_URL": api.url,
        "SUPABASE_ANON_KEY": api.keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": api.keys.service_role,
        "SUPABASE_JWT_SECRET": api.keys.secret,
        "SUPABASE_DB_URL": api.db_url,
        **more,
    }


@pytest.fixture
def assert_removed(one_api: Api) -> Callable[[], None]:
    def check() -> None:
        with psycopg.connect(one_api.db_url) as connection:
            for statement in (
                "select from public.guest_users where guest_id = %(guest)s",
                "select from public.async_jobs where id = %(job)s or url = 'https://x.com/2' and"
                " user_id is not null",
            ):
                assert (
                    connection.execute(statement.encode(), {"guest": GUEST, "job": JOB}).fetchone()
                    is None
                )

    return check


def test_rls_api_uses_a_configured_api(
    run_api: RunTests, one_api: Api, assert_removed: Callable[[], None]
) -> None:
    text = CONFIGURED_API.format(guest=GUEST, job=JOB)
    run_api(text, "-o", "supabase_guest_header=", **environment(one_api)).assert_outcomes(passed=1)
    assert_removed()


def test_rows_are_removed_after_a_failed_test(
    run_api: RunTests, one_api: Api, assert_removed: Callable[[], None]
) -> None:
    text = CONFIGURED_API.format(guest=GUEST, job=JOB) + "    assert not rls_api\n"
    run_api(text, "-o", "supabase_guest_header=", **environment(one_api)).assert_outcomes(failed=1)
    assert_removed()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SUPABASE_URL": ""}, "no API is configured for this database"),
        ({"SUPABASE_ANON_KEY": ""}, "SUPABASE_URL is set, but its keys are not"),
        ({"SUPABASE_URL": "https://abc.supabase.co"}, "abc.supabase.co is not this machine"),
        ({"SUPABASE_JWT_SECRET": ""}, "*the JWT secret is required to act as a user"),
    ],
)
def test_missing_configuration_is_reported(
    run_api: RunTests, one_api: Api, variables: dict[str, str], message: str
) -> None:
    text = CONFIGURED_API.format(guest=GUEST, job=JOB)
    result = run_api(text, "-o", "supabase_guest_header=", **environment(one_api, **variables))
    assert result.ret == 1
    result.stdout.fnmatch_lines(f"{message}*")


def test_an_api_of_a_forwarded_database_is_rejected(
    run_api: RunTests, one_api: Api, in_use: Database
) -> None:
    text = CONFIGURED_API.format(guest=GUEST, job=JOB)
    result = run_api(text, **environment(one_api, SUPABASE_DB_URL=in_use.url))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("this is not an embedded server of supabase-jobs*")


def test_an_api_of_an_unknown_database_is_rejected(
    run_api: RunTests, one_api: Api, migrations: None
) -> None:
    text = CONFIGURED_API.format(guest=GUEST, job=JOB)
    result = run_api(text, **environment(one_api, SUPABASE_DB_URL=""))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("SUPABASE_URL is set, but not the database behind it*")


def test_without_the_extra_api_the_error_has_an_install_command(run_api: RunTests) -> None:
    result = run_api("import sys\nsys.modules['supabase'] = None\ndef test_a(rls_api):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("hint: pip install 'supabase-jobs[[]api]'")
