"""Requests of the access matrix to the API: what is declared, and what is refused."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.verify.access import declaration
from supabase_jobs.verify.access.http import FIRST, LAST
from supabase_jobs.verify.access.requests import Request, parse

# what a request would commit all over a table, or what no request can say
NEVER_SENT = {
    "blind update",
    "blind take over",
    "blind delete",
    "blind touch",
    "truncate",
    "request_guest_id",
    "claim_jobs",
}


def test_a_request_is_a_verb_a_target_and_more() -> None:
    request = parse("x", {"update": "things", "values": {"a": 1, "b": "$owner"}, "where": {"id": "$thing"}})
    assert request == Request("update", "things", values={"a": 1, "b": "$owner"}, where={"id": "$thing"})
    assert request.placeholders() == {"owner", "thing"}


@pytest.mark.parametrize(
    "table", [{}, {"values": {}}, {"select": "a", "delete": "a"}, {"patch": "a"}, {"select": "a", "were": {}}]
)
def test_anything_else_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="action 'x': its api table"):
        parse("x", table)


def test_every_action_of_the_packaged_matrix_that_can_be_sent_is() -> None:
    for matrix in declaration.load().matrices:
        assert {a.name for a in matrix.actions if a.api is None} <= NEVER_SENT


def test_a_parameter_that_no_row_binds_is_refused(tmp_path: Path) -> None:
    text = declaration.DEFAULT_FILE.read_text(encoding="utf-8")
    path = tmp_path / "access.toml"
    path.write_text(text.replace('where = { id = "$job" }', 'where = { id = "$jop" }', 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has no \$jop, which a request to the API uses"):
        declaration.load(path)


def test_a_mark_is_no_id_that_a_guest_makes() -> None:
    assert (FIRST.version, LAST.version) == (8, 8)
    assert FIRST.bytes[:6] == LAST.bytes[:6] == b"verify"
