"""functions.toml: a scenario that is half declared, or names what is not there, is refused before anything runs."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.verify.access import declaration
from supabase_jobs.verify.functions.scenarios import DEFAULT_FILE, load
from supabase_jobs.verify.identity import Identity


def test_the_packaged_scenarios() -> None:
    declared = load()
    assert {s.subject for s in declared.scenarios} == {
        "public.migrate_guest_jobs", "private.migrate_guest_jobs", "public.cleanup_old_jobs",
        "private.cleanup_old_jobs", "public.cleanup_inactive_guests", "private.cleanup_inactive_guests",
        "update_async_job_updated_at_trigger", "public.guest_users", "auth.users", "private.request_guest_id",
        "public.claim_jobs", "public.heartbeat_job", "public.complete_job", "public.fail_job",
        "public.requeue_stale_jobs", "public.async_jobs",
    }  # fmt: skip
    assert declared.placeholders == {"guest_header"}
    assert set(declaration.load().ids) < set(declared.ids)


SOUND = """
ids = ["thing"]
absent = ["nothing"]
fixture = ["insert into public.things values (%(thing)s)"]
watch = "select jsonb_object_agg(id, to_jsonb(t)) from public.things as t where id = any(%(ids)s)"

[identities.somebody]
role = "anon"
headers = { "x-thing" = "$thing" }

[[scenario]]
of = "public.f"
name = "does it"
as = "somebody"
call = "select public.f(%(nothing)s)"
result = [[1, true, "null"]]
changes = { "thing" = { n = 2 } }

[[scenario]]
of = "public.f"
name = "does it again"
given = ["select 1"]
after = ["does it"]
steps = [{ as = { role = "anon" }, call = "select public.f(null)", error = "22004" }]
"""


def read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(text, encoding="utf-8")
    load(path)


def test_a_declaration_needs_no_access_matrix(tmp_path: Path) -> None:
    path = tmp_path / "functions.toml"
    path.write_text(SOUND, encoding="utf-8")
    declared = load(path)
    assert (declared.ids, declared.planted) == (("thing", "nothing"), ("thing",))
    first, second = declared.scenarios
    assert (first.steps[0].result, dict(first.changes)) == ((("1", "true", "null"),), {"thing": {"n": "2"}})
    assert first.steps[0].identity == Identity("somebody", "anon", headers={"x-thing": "$thing"})
    assert (second.steps[0].error, second.after) == ("22004", ("does it",))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('as = "somebody"', 'as = "nobody"', "unknown identity 'nobody'"),
        ("%(nothing)s", "%(nobody)s", r"%\(nobody\)s in a statement is not among the ids"),
        ("%(ids)s", "%(id)s", r"%\(id\)s in a statement"),
        ('{ "thing" = { n = 2 } }', '{ "things" = { n = 2 } }', "'things' is to change, and is not among the ids"),
        ('{ "thing" = { n = 2 } }', '{ "thing" = "gone" }', "'gone', and not inserted, deleted or a table"),
        ('error = "22004"', 'error = "hidden"', "'hidden' is no SQLSTATE"),
        ('error = "22004"', 'error = "22004", result = [[1]]', "a result and an error"),
        ('after = ["does it"]', 'after = ["does that"]', "after 'does that', and no scenario before"),
        ('after = ["does it"]', 'after = ["does it again"]', "no scenario before it"),
        ('name = "does it again"', 'name = "does it"', "the name is taken"),
        ('absent = ["nothing"]', 'absent = ["thing"]', "'thing' is declared twice"),
        ('call = "select public.f(%(nothing)s)"', "", "stands beside no call"),
        ("steps = [{", "stops = [{", "unknown key 'stops'"),
        ('call = "select public.f(null)"', 'sql = "select public.f(null)"', "unknown key 'sql'"),
        ("fixture = [", "fixtures = [", "unknown key 'fixtures'"),
        ('result = [[1, true, "null"]]', "result = 1", "does not declare scenarios"),
        ('as = { role = "anon" }', 'as = { rule = "anon" }', "does not declare scenarios"),
        ('of = "public.f"', "", "does not declare scenarios"),
        ('watch = "', 'watched = "', "unknown key 'watched'"),
        ("ids = [", "ids = ", "not valid TOML"),
        ('ids = ["thing"]', 'ids = ["thing"]\nuses = "access.toml"', "access.toml"),
    ],
)
def test_a_broken_declaration_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SOUND
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, SOUND.replace(old, new, 1))
    assert str(tmp_path) in str(caught.value.file)


def test_a_scenario_calls_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is called"):
        read(tmp_path, SOUND + '[[scenario]]\nof = "public.f"\nname = "nothing"\n')


def test_a_fault_in_the_matrix_it_uses_is_the_matrixs(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text("ids = []", encoding="utf-8")
    with pytest.raises(ConfigError, match="not an access matrix") as caught:
        read(tmp_path, DEFAULT_FILE.read_text(encoding="utf-8"))
    assert caught.value.file == str(tmp_path / "access.toml")
