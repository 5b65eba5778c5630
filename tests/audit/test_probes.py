"""Results of probes, without a database."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from psycopg import errors

from supabase_jobs.audit.callers import STRANGER, Persona
from supabase_jobs.audit.probes.bypass import CALL, SQL, Bypass, Injection
from supabase_jobs.audit.probes.effects import Snapshot, Watch
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult
from supabase_jobs.outcomes import HIDDEN, ROWS
from tests.audit.catalogs import column, function, table

CALLER = Persona(label="stranger", kind=STRANGER, role="authenticated")
AUTHOR = replace(column("author_id", "uuid"), default="auth.uid()")
POSTS = table("posts", "id", AUTHOR, "receiver_id", "body")
POST = Row(relation=POSTS, values={"body": "zqa1"}, ctid="(0,1)", token="zqa1")


def seen(values: Mapping[str, object] | None) -> Snapshot:
    """A snapshot of the post."""
    return {(id(POST), ""): None if values is None else json.dumps(["(0,1)", values])}


@pytest.mark.parametrize(
    ("after", "changed", "recounted", "raised"),
    [
        ({"likes": 1, "body": "a"}, False, False, False),
        ({"likes": 2, "body": "a"}, True, True, True),
        ({"likes": 0, "body": "a"}, True, True, False),
        ({"likes": 2, "body": "b"}, True, False, False),
        (None, True, False, False),
    ],
    ids=["same", "more", "less", "another text", "deleted"],
)
def test_effects_on_a_row(
    after: Mapping[str, object] | None, changed: bool, recounted: bool, raised: bool
) -> None:
    found = Watch(rows=[POST]).effects(seen({"likes": 1, "body": "a"}), seen(after))
    shown = [bool(rows) for rows in (found.changed, found.recounted, found.raised)]
    assert shown == [changed, recounted, raised]


def test_only_larger_numbers_are_raised() -> None:
    before = seen({"likes": 1, "views": 5, "body": "a"})
    after = seen({"likes": 2, "views": 4, "body": "b"})
    assert Watch(rows=[POST]).raised(before, after) == {(POST.relation.oid, "likes")}


def test_row_that_is_added_in_the_name_of_a_person() -> None:
    watch = Watch(names=[(POST, "author_id"), (POST, "receiver_id")])
    before = {(id(POST), "author_id"): 1, (id(POST), "receiver_id"): 1}
    found = watch.effects(before, {**before, (id(POST), "author_id"): 2})
    assert (found.forged, found.addressed) == ([POST], [])
    found = watch.effects(before, {**before, (id(POST), "receiver_id"): 2})
    assert (found.forged, found.addressed) == ([], [POST])


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(errors.DivisionByZero(), ROWS), (errors.SyntaxError(), HIDDEN), (None, HIDDEN)],
    ids=["its own error", "another error", "none"],
)
def test_injected_sql_fails_with_an_error_of_its_own(
    error: errors.Error | None, outcome: str
) -> None:
    probe = Injection(
        caller=CALLER, object=function("run", "select 1"), action=SQL, is_statement=False
    )
    probe.read(GroupResult((), error))
    assert probe.outcome == outcome


@pytest.mark.parametrize(("passed", "is_shown"), [("", True), ("id of zqa1", False)])
def test_error_shows_a_row_that_the_caller_has_not_named(passed: str, is_shown: bool) -> None:
    class Shown(errors.RaiseException):
        """An error with a message, which only a server can give one of psycopg's own."""

        @property
        def diag(self):  # type: ignore[no-untyped-def]
            return type("Diag", (), {"message_primary": "no zqa1", "message_detail": None})

    probe = Bypass(caller=CALLER, object=function("f", "select 1"), action=CALL, hidden=[POST])
    assert probe.has_failed(GroupResult((), Shown()), [passed])
    assert probe.said.shown == ([POST] if is_shown else [])
