"""rls_api: through the real PostgREST, of a throwaway server or one that is named; what was to go is gone."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import parts
from tests.fix_api import Api
from tests.testing.conftest import RunTests

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
    there = notes(rls_api.as_service()).select("id").eq("owner", ann)
    rls_api.assert_hidden(notes(rls_api.as_user(bob)).select("*"), control=there)
    rls_api.assert_denied(notes(rls_api.as_user(ann)).delete().eq("owner", ann))
    rls_api.assert_fails("23514", notes(rls_api.as_user(ann)).insert({**note, "body": "x" * 100}))
    assert rls_api.assert_allowed(notes(rls_api.as_user(ann)).select("body")) == [{"body": "hello"}]

def test_guests(rls_api):
    rls_api.remove_after("notes", device="d1")
    rls_api.assert_allowed(notes(rls_api.as_guest("d1")).insert({"device": "d1"}))
    there = notes(rls_api.as_service()).select("id").eq("device", "d1")
    rls_api.assert_hidden(notes(rls_api.as_guest("d2")).select("*"), control=there)
    rls_api.assert_hidden(notes(rls_api.as_anon()).select("*"), control=there)

def test_claims(rls_api):
    ann = rls_api.new_user()
    client = rls_api.as_user(ann, claims={"exp": 1})
    rls_api.assert_fails("PGRST301", notes(client).select("*"))

def test_minimal(rls_api):
    rls_api.remove_after("notes", device="d3")
    insert = {"device": "d3"}
    with pytest.raises(ConfigError, match="does not say whether a row was reached"):
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
    with pytest.raises(AssertionError, match="this proves nothing: the control came to hidden"):
        rls_api.assert_hidden(notes(rls_api.as_anon()).select("*"), control=nothing)
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
    (folder / "20250101000000_notes.sql").write_text(Path(__file__).with_name("notes.sql").read_text())


@pytest.fixture
def run_api(run_tests: RunTests) -> RunTests:
    """Runs that find PostgREST, without the variables of another API."""

    def run(text: str, *words: str, **environ: str) -> pytest.RunResult:
        binary = {"SUPABASE_JOBS_POSTGREST_BIN": str(parts.postgrest())}
        return run_tests(text, *words, **{"SUPABASE_URL": "", **binary, **environ})

    return run


def test_on_a_throwaway_server_with_an_api(run_api: RunTests, migrations: None) -> None:
    result = run_api(TESTS)
    result.assert_outcomes(passed=6)
    assert str(result.stderr) == ""


def test_a_failure_says_what_was_sent_and_no_key(run_api: RunTests, migrations: None) -> None:
    result = run_api(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "E       AssertionError: expected hidden, but it came to rows",
        "E         as:       role anon",
        "E         headers:  {'X-Device': 'd1'}",
        "E         request:  GET /rest/v1/notes?select=device&device=eq.d1",
        "E         got:      {'device': 'd1'}",
        "E         usually:  row level security is off*",
    ])  # fmt: skip
    assert "Bearer" not in str(result.stdout)
    assert "eyJ" not in str(result.stdout)


def test_what_could_not_be_removed_is_said(run_api: RunTests, migrations: None) -> None:
    result = run_api(LEFT)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("what the test wrote is still there: nowhere {'id': 1}: *")


WITH_A_NAMED_API = """
def test_guests(rls_api):
    guest, job = "{guest}", "{job}"
    user = rls_api.new_user()
    rls_api.remove_after("guest_users", guest_id=guest)
    me = rls_api.as_guest(guest)
    rls_api.assert_allowed(me.table("guest_users").insert({{"guest_id": guest}}))
    rls_api.assert_allowed(me.table("async_jobs").insert({{"id": job, "url": "https://x.com/1", "guest_id": guest}}))
    there = rls_api.as_service().table("async_jobs").select("id").eq("id", job)
    rls_api.assert_hidden(rls_api.as_user(user).table("async_jobs").select("*").eq("id", job), control=there)
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
def nothing_left(one_api: Api) -> Callable[[], None]:
    def check() -> None:
        with psycopg.connect(one_api.db_url) as connection:
            for statement in (
                "select from public.guest_users where guest_id = %(guest)s",
                "select from public.async_jobs where id = %(job)s or url = 'https://x.com/2' and user_id is not null",
            ):
                assert connection.execute(statement.encode(), {"guest": GUEST, "job": JOB}).fetchone() is None

    return check


def test_on_an_api_that_is_named(run_api: RunTests, one_api: Api, nothing_left: Callable[[], None]) -> None:
    text = WITH_A_NAMED_API.format(guest=GUEST, job=JOB)
    run_api(text, "-o", "supabase_guest_header=", **environment(one_api)).assert_outcomes(passed=1)
    nothing_left()


def test_what_was_written_is_removed_also_after_a_failure(
    run_api: RunTests, one_api: Api, nothing_left: Callable[[], None]
) -> None:
    text = WITH_A_NAMED_API.format(guest=GUEST, job=JOB) + "    assert not rls_api\n"
    run_api(text, "-o", "supabase_guest_header=", **environment(one_api)).assert_outcomes(failed=1)
    nothing_left()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"SUPABASE_URL": ""}, "no API was named for this database"),
        ({"SUPABASE_ANON_KEY": ""}, "SUPABASE_URL is set, and its keys are not"),
        ({"SUPABASE_URL": "https://abc.supabase.co"}, "abc.supabase.co is not this machine"),
        ({"SUPABASE_JWT_SECRET": ""}, "*the JWT secret is needed to act as a user"),
    ],
)
def test_what_is_missing_is_said(run_api: RunTests, one_api: Api, missing: dict[str, str], said: str) -> None:
    text = WITH_A_NAMED_API.format(guest=GUEST, job=JOB)
    result = run_api(text, "-o", "supabase_guest_header=", **environment(one_api, **missing))
    assert result.ret == 1
    result.stdout.fnmatch_lines(f"{said}*")


def test_without_the_extra_it_says_how_to_get_it(run_api: RunTests) -> None:
    result = run_api("import sys\nsys.modules['supabase'] = None\ndef test_a(rls_api):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("hint: pip install 'supabase-jobs[[]api]'")
