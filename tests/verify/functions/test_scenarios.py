"""functions.toml: what it declares, and the errors for a malformed or incomplete declaration."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.session.caller import Caller
from supabase_jobs.sources.variables import Value
from supabase_jobs.verify.access import matrix
from supabase_jobs.verify.functions.scenarios import DEFAULT_FILE, load
from tests.fix_db import EXPECTATIONS


def test_packaged_scenarios_cover_every_function() -> None:
    limits = [
        "max_active_jobs_per_guest",
        "max_active_jobs_per_user",
        "max_new_jobs_per_guest_per_hour",
    ]
    names = [*EXPECTATIONS.variables]
    declared = [
        load(None, {name: name in on for name in names})
        for on in ([], limits, ["owners_may_only_cancel"])
    ]
    assert {s.subject for d in declared for s in d.scenarios} == {
        "public.migrate_guest_jobs",
        "private.migrate_guest_jobs",
        "public.cleanup_old_jobs",
        "private.cleanup_old_jobs",
        "public.cleanup_inactive_guests",
        "private.cleanup_inactive_guests",
        "private.count_old_jobs",
        "private.count_inactive_guests",
        "update_async_job_updated_at_trigger",
        "public.guest_users",
        "auth.users",
        "private.request_guest_id",
        "public.claim_jobs",
        "public.heartbeat_job",
        "public.complete_job",
        "public.complete_jobs",
        "public.fail_job",
        "public.fail_jobs",
        "public.complete_and_claim",
        "set_async_job_times_trigger",
        "set_guest_user_times_trigger",
        "delete_worker_state_trigger",
        "limit_owner_result_trigger",
        "public.requeue_stale_jobs",
        "public.async_jobs",
        "private.max_owner_jobs",
        "limit_new_jobs_trigger",
        "limit_reactivated_jobs_trigger",
        "allow_only_cancellation_trigger",
    }
    assert declared[0].placeholders == {"guest_header", "owners_may_only_cancel", *limits}
    assert set(matrix.load().ids) < set(declared[0].ids)


VALID = """
ids = ["thing"]
absent_ids = ["nothing"]
fixture = ["insert into public.things values (%(thing)s)"]
watch = "select id::text, to_jsonb(t)::text, null from public.things as t where id = any(%(ids)s)"

[identities.somebody]
role = "anon"
headers = { "x-thing" = "$thing" }

[[scenario]]
subject = "public.f"
name = "does it"
as = "somebody"
call = "select public.f(%(nothing)s)"
result = [[1, true, "null"]]
changes = { "thing" = { n = 2 } }

[[scenario]]
subject = "public.f"
name = "does it again"
given = ["select 1"]
requires = ["does it"]
steps = [{ as = { role = "anon" }, call = "select public.f(null)", error = "22004" }]
"""


def load_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(text, encoding="utf-8")
    load(path)


CONDITIONAL = """
[[scenario]]
subject = "public.f"
name = "does it with a limit"
if = ["limit"]
unless = ["free", "open"]
call = "select public.f(null)"
"""


@pytest.mark.parametrize(
    ("variables", "applies"),
    [
        ({"limit": 1, "free": False, "open": ""}, True),
        ({"limit": 0, "free": False, "open": ""}, False),
        ({"limit": 1, "free": True, "open": ""}, False),
        ({"limit": 1, "free": False, "open": "x"}, False),
        (None, False),
    ],
)
def test_a_scenario_holds_for_values_of_variables(
    tmp_path: Path, variables: dict[str, Value] | None, applies: bool
) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(
        VALID.replace(
            '(%(thing)s)"]',
            '(%(thing)s)", {sql = "select 1", if = ["limit"], unless = ["free", "open"]}]',
        )
        + CONDITIONAL,
        encoding="utf-8",
    )
    declared = load(path, variables)
    assert [s.name for s in declared.scenarios][2:] == ["does it with a limit"] * applies
    assert declared.fixture.statements[1:] == ("select 1",) * applies


def test_a_condition_names_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(VALID + CONDITIONAL, encoding="utf-8")
    with pytest.raises(ConfigError, match="'limit' is not a variable of the SQL sources"):
        load(path, {"free": True, "open": True})


def test_a_changed_access_matrix_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "functions.toml"
    path.write_text('access_matrix = "access.toml"\n' + VALID, encoding="utf-8")
    matrix_file = tmp_path / "access.toml"
    found = []
    for name in ("one", "two"):
        matrix_file.write_text(
            f'ids = ["{name}"]\nfixture = []\nidentities = {{}}\nmatrix = []\n', encoding="utf-8"
        )
        found.append(load(path).ids[0])
    assert found == ["one", "two"]


def test_access_matrix_is_optional(tmp_path: Path) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(VALID, encoding="utf-8")
    declared = load(path)
    assert (declared.ids, declared.fixture_ids) == (("thing", "nothing"), ("thing",))
    first, second = declared.scenarios
    assert (first.steps[0].result, dict(first.changes)) == (
        (("1", "true", "null"),),
        {"thing": {"n": "2"}},
    )
    assert first.steps[0].identity == Caller(
        "anon", headers={"x-thing": "$thing"}, label="somebody"
    )
    assert (second.steps[0].error, second.requires) == ("22004", ("does it",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('as = "somebody"', 'as = "nobody"', "unknown identity 'nobody'"),
        ("%(nothing)s", "%(nobody)s", r"%\(nobody\)s in a statement is not among the ids"),
        ("%(ids)s", "%(id)s", r"%\(id\)s in a statement"),
        (
            '{ "thing" = { n = 2 } }',
            '{ "things" = { n = 2 } }',
            "changes names 'things', which is not among the ids",
        ),
        (
            '{ "thing" = { n = 2 } }',
            '{ "thing" = "gone" }',
            "is 'gone'; allowed: inserted, deleted or a table",
        ),
        ('error = "22004"', 'error = "hidden"', "'hidden' is neither an SQLSTATE"),
        ('error = "22004"', 'error = "22004", result = [[1]]', "either a result or an error"),
        (
            'requires = ["does it"]',
            'requires = ["does that"]',
            "requires 'does that', but no earlier scenario",
        ),
        ('requires = ["does it"]', 'requires = ["does it again"]', "no earlier scenario has"),
        ('name = "does it again"', 'name = "does it"', "an earlier scenario has the same name"),
        ('absent_ids = ["nothing"]', 'absent_ids = ["thing"]', "'thing' is declared twice"),
        ('call = "select public.f(%(nothing)s)"', "", "the key 'as' needs a call"),
        ("steps = [{", "stops = [{", "unknown key 'stops'"),
        ('call = "select public.f(null)"', 'sql = "select public.f(null)"', "unknown key 'sql'"),
        ("fixture = [", "fixtures = [", "unknown key 'fixtures'"),
        ('result = [[1, true, "null"]]', "result = 1", "does not declare scenarios"),
        ('as = { role = "anon" }', 'as = { rule = "anon" }', "does not declare scenarios"),
        ('subject = "public.f"', "", "does not declare scenarios"),
        ('watch = "', 'watched = "', "unknown key 'watched'"),
        ("ids = [", "ids = ", "not valid TOML"),
        ('ids = ["thing"]', 'ids = ["thing"]\naccess_matrix = "access.toml"', "access.toml"),
    ],
)
def test_malformed_declaration_raises_config_error(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in VALID
    with pytest.raises(ConfigError, match=message) as caught:
        load_text(tmp_path, VALID.replace(old, new, 1))
    assert str(tmp_path) in str(caught.value.file)


def test_scenario_without_call_raises_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no call"):
        load_text(tmp_path, VALID + '[[scenario]]\nsubject = "public.f"\nname = "nothing"\n')


def test_error_in_access_matrix_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text("ids = []", encoding="utf-8")
    with pytest.raises(ConfigError, match="not an access matrix") as caught:
        load_text(tmp_path, DEFAULT_FILE.read_text(encoding="utf-8"))
    assert caught.value.file == str(tmp_path / "access.toml")
