"""access.toml: every cell is declared, and a file that leaves one out is refused."""

from pathlib import Path

import click
import pytest

from supabase_jobs.cli.verify import command
from supabase_jobs.errors import ConfigError
from supabase_jobs.verify import run
from supabase_jobs.verify.access.declaration import DEFAULT_FILE, load

WORDS = "public.async_jobs"


def test_the_packaged_matrix() -> None:
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
    ("old", "new", "said"),
    [
        ("| select |", "| selects |", "columns"),
        ("| hidden |", "| maybe  |", "'maybe', which is no outcome"),
        ("| hidden |", "|", "cells for"),
        ('[matrix.rows."anon, no header"]', '[matrix.rows."anon, other"]', "in the grid or under rows"),
        ('identity = "anon_no_header"', 'identity = "nobody"', "unknown identity 'nobody'"),
        ('job = "job_guest_a"', 'job = "job_x"', "'job_x', which is not among the ids"),
        ('role = "anon"', 'rule = "anon"', "not an access matrix"),
        ("fixture = [", "fixtures = [", "not an access matrix"),
        ("ids = [", "ids = ", "not valid TOML"),
    ],
)
def test_a_broken_matrix_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "access.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load(path)


def test_the_help_names_every_area() -> None:
    [only] = [option for option in command.params if option.name == "only"]
    assert isinstance(only, click.Option)
    assert only.help == f"Only these areas: {', '.join(run.AREAS)}."


def test_identities_out_of_the_ordinary() -> None:
    identities = {row.identity.name: row.identity for matrix in load().matrices for row in matrix.rows}
    texts = {"guest_header": "x-guest-id", "GUEST_HEADER": "X-GUEST-ID", "guest_a": "ab-c", "GUEST_A": "AB-C",
             "guest_a_hex": "abc", "user_anonymous": "u", "guest_b": "b"}  # fmt: skip
    made = {name: identities[name].settings_for(texts) for name in (
        "guest_a_header_in_caps", "guest_a_id_in_caps", "anon_raw_header_in_caps", "anon_id_without_hyphens",
        "anonymous", "guest_b_after_guest_a", "anon_after_guest_a")}  # fmt: skip
    assert made["guest_a_header_in_caps"] == {"request.headers": '{"x-guest-id": "ab-c"}'}
    assert made["guest_a_id_in_caps"] == {"request.headers": '{"x-guest-id": "AB-C"}'}
    assert made["anon_raw_header_in_caps"] == {"request.headers": '{"X-GUEST-ID": "ab-c"}'}
    assert made["anon_id_without_hyphens"] == {"request.headers": '{"x-guest-id": "abc"}'}
    assert '"is_anonymous": true' in made["anonymous"]["request.jwt.claims"]
    assert made["guest_b_after_guest_a"] == {"request.headers": '{"x-guest-id": "b"}'}
    assert made["anon_after_guest_a"] == {"request.headers": ""}


def test_what_is_declared_are_cells_and_lines() -> None:
    privileges = load().privileges
    assert ("public.async_jobs", "anon", "UPDATE") in privileges
    assert ("public.async_jobs", "service_role", "MAINTAIN") in privileges
    assert ("public.async_jobs", "anon", "REFERENCES") not in privileges


def test_areas() -> None:
    assert run.parse(None) == ("structure", "access", "functions", "plans")
    assert run.parse(" access,structure") == ("structure", "access")
    for wrong in ("", ",", "access,plan"):
        with pytest.raises(ConfigError, match="--only"):
            run.parse(wrong)
