"""access.toml: the packaged declaration, its requests, and the errors for a malformed or incomplete
declaration.
"""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.verify.access.matrix import DEFAULT_FILE, DeclaredRequest, load, parse_request
from tests.fix_db import EXPECTATIONS

# actions that would commit changes to a whole table, or that no request can express
NEVER_SENT = {
    "blind update",
    "blind take over",
    "blind delete",
    "blind touch",
    "truncate",
    "request_guest_id",
    "claim_jobs",
    "complete_and_claim",
}


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """A copy of the packaged file in which the first `old` is replaced."""
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "access.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_every_cell_of_the_packaged_matrix_is_declared() -> None:
    declared = load()
    objects = ["public.async_jobs", "public.guest_users", "functions"]
    assert [m.title for m in declared.matrices] == [
        title for object in objects for title in (object, f"{object}, odd requests")
    ]
    assert [m.object for m in declared.matrices] == [object for object in objects for _ in range(2)]
    assert sum(len(m.rows) * len(m.actions) for m in declared.matrices) >= 500
    for matrix in declared.matrices:
        assert matrix.rows
        for row in matrix.rows:
            assert row.expected.keys() == {a.name for a in matrix.actions}
            assert row.label.startswith(("guest", "user", "service_role", "anon"))
    assert declared.placeholders == {"guest_header"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("| select |", "| selects |", "columns"),
        ("| hidden |", "| maybe  |", "'maybe', which is not an outcome"),
        ("| hidden |", "|", "cells for"),
        (
            '[matrix.rows."anon, no header"]',
            '[matrix.rows."anon, other"]',
            "in the grid or only under rows",
        ),
        ('identity = "anon_no_header"', 'identity = "nobody"', "unknown identity 'nobody'"),
        ('job = "job_guest_a"', 'job = "job_x"', "'job_x', which is not among the ids"),
        ('role = "anon"', 'rule = "anon"', "anon_unset: unknown key 'rule'"),
        ("fixture = [", "fixtures = [", "unknown key 'fixtures'"),
        ("ids = [", "ids = ", "not valid TOML"),
        (
            "| update | take over | blind update | blind take over\n",
            "| update | take over | blind update | blind x\n",
            "an override names the unknown action 'blind x'",
        ),
        (
            "guest, its own job         | PT403  |",
            "guest, its own jobs        | PT403  |",
            "an override names the unknown row 'guest, its own jobs'",
        ),
        ("| PT403  | PT403     |", "| PT403  |", "cells for"),
    ],
)
def test_a_malformed_matrix_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(changed(tmp_path, old, new))


def test_an_override_holds_for_values_of_variables() -> None:
    free = load(None, dict.fromkeys(EXPECTATIONS.variables, 0)).matrices[0].rows
    limited = (
        load(None, {name: name == "owners_may_only_cancel" for name in EXPECTATIONS.variables})
        .matrices[0]
        .rows
    )
    changed_cells = {
        (row.label, action): (outcome, other.expected[action])
        for row, other in zip(free, limited, strict=True)
        for action, outcome in row.expected.items()
        if outcome != other.expected[action]
    }
    assert changed_cells["guest, its own job", "update"] == ("rows", "PT403")
    assert changed_cells["user, its own job", "take over"] == ("violates", "PT403")
    assert {new for _, new in changed_cells.values()} == {"PT403"}


def test_a_condition_names_a_variable() -> None:
    with pytest.raises(
        ConfigError, match="'owners_may_only_cancel' is not a variable of the SQL sources"
    ):
        load(None, {"guest_header": "x-guest-id"})


@pytest.mark.parametrize("line", ["hidden = ['private']\n", "[[matrix]]\ntitle = 'x'\nrow = {}\n"])
def test_an_unknown_key_raises_an_error_with_the_known_keys(tmp_path: Path, line: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    path = tmp_path / "access.toml"
    path.write_text(line + text if line.startswith("hidden") else text + line, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"access\.toml: .*: unknown key '(hidden|row)'"
    ) as caught:
        load(path)
    assert (caught.value.hint or "").startswith("Known keys: ")


def test_settings_of_identities_with_unusual_requests() -> None:
    rows = {row.identity.label: row for matrix in load().matrices for row in matrix.rows}
    texts = {
        "guest_header": "x-guest-id",
        "GUEST_HEADER": "X-GUEST-ID",
        "guest_a": "ab-c",
        "GUEST_A": "AB-C",
        "guest_a_hex": "abc",
        "user_anonymous": "u",
        "guest_b": "b",
    }
    settings = {
        name: rows[name].filled(texts).identity.all_settings()
        for name in (
            "guest_a_header_in_caps",
            "guest_a_id_in_caps",
            "anon_raw_header_in_caps",
            "anon_id_without_hyphens",
            "anonymous",
            "guest_b_after_guest_a",
            "anon_after_guest_a",
        )
    }
    assert settings["guest_a_header_in_caps"] == {"request.headers": '{"x-guest-id": "ab-c"}'}
    assert settings["guest_a_id_in_caps"] == {"request.headers": '{"x-guest-id": "AB-C"}'}
    assert settings["anon_raw_header_in_caps"] == {"request.headers": '{"X-GUEST-ID": "ab-c"}'}
    assert settings["anon_id_without_hyphens"] == {"request.headers": '{"x-guest-id": "abc"}'}
    assert '"is_anonymous": true' in settings["anonymous"]["request.jwt.claims"]
    assert settings["guest_b_after_guest_a"] == {"request.headers": '{"x-guest-id": "b"}'}
    assert settings["anon_after_guest_a"] == {"request.headers": ""}


def test_declared_privileges_are_tested_or_listed() -> None:
    privileges = load().privileges
    assert ("public.async_jobs", "anon", "UPDATE") in privileges
    assert ("public.async_jobs", "service_role", "MAINTAIN") in privileges
    assert ("public.async_jobs", "anon", "REFERENCES") not in privileges


def test_an_api_table_is_parsed_as_a_request() -> None:
    values = {"a": 1, "b": "$owner", "c": [{"d": "$other"}]}
    table = {"update": "things", "values": values, "where": {"id": "$thing"}}
    request = parse_request("x", table)
    assert request == DeclaredRequest("update", "things", values=values, where={"id": "$thing"})
    assert request.placeholders() == {"owner", "other", "thing"}


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"values": {}},
        {"select": "a", "delete": "a"},
        {"patch": "a"},
        {"select": "a", "were": {}},
    ],
)
def test_an_api_table_that_is_not_a_request_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="action 'x': its api table"):
        parse_request("x", table)


def test_every_action_that_can_be_a_request_is_one() -> None:
    for matrix in load().matrices:
        assert {a.name for a in matrix.actions if a.api is None} <= NEVER_SENT


def test_a_request_with_an_unbound_parameter_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, 'where = { id = "$job" }', 'where = { id = "$jop" }')
    with pytest.raises(ConfigError, match=r"has no \$jop, which a request to the API uses"):
        load(path)
