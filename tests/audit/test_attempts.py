"""Attempts without a database: their statements, their requests, and what their results mean."""

import json
from dataclasses import replace

import psycopg
import pytest
from psycopg import errors

from supabase_jobs.audit.callers import ANON, STRANGER, Persona
from supabase_jobs.audit.catalog import Constraint, Relation
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    INSERT,
    OTHER,
    SELECT,
    UPDATE,
    Around,
    Attempt,
    is_referenced,
)
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Answer, GroupResult
from supabase_jobs.outcomes import DENIED, HIDDEN, ROWS
from supabase_jobs.session.action import Action, printed
from tests.audit.catalogs import column, table

KEY = Constraint(
    name="notes_pkey",
    kind="p",
    columns=("id",),
    target=None,
    target_name="",
    target_columns=(),
    definition=None,
    deferrable=False,
)
READABLE = frozenset({"anon SELECT", "anon UPDATE"})


def notes(*readable: str) -> Relation:
    """A table with a key; anon may read these columns."""
    columns = [
        column("id", "bigint"),
        column("owner", "uuid"),
        column("body"),
        column("data", "jsonb"),
    ]
    granted = [replace(c, granted=READABLE if c.name in readable else frozenset()) for c in columns]
    return table("notes", *granted, constraints=[KEY])


def row(relation: Relation) -> Row:
    values = {"id": "7", "owner": None, "body": "it's", "data": '{"a": 1}'}
    return Row(relation=relation, values=values, ctid="(0,1)")


def attempt(relation: Relation, action: str, sent: Action | None = None) -> Attempt:
    caller = Persona(label="anon", kind=ANON, role="anon", claims={"role": "anon"}, headers={})
    return Attempt(caller, relation, OTHER, action, row(relation), sent)


def test_row_is_selected_by_its_key_if_the_role_may_read_it() -> None:
    known = statements.select(row(notes("id", "body")), "anon")
    assert printed(known.query()) == """select 1 from "public"."notes" where "id" = '7'::bigint"""


def test_row_is_selected_by_other_columns_with_a_value_otherwise() -> None:
    other = statements.select(row(notes("owner", "body")), "anon")
    assert (
        printed(other.query()) == """select 1 from "public"."notes" where "body"::text = 'it''s'"""
    )
    nothing = statements.select(row(notes()), "anon")
    assert printed(nothing.query()) == 'select 1 from "public"."notes" where true'


def test_cursor_names_no_column() -> None:
    one = row(notes("id"))
    update = statements.update(one, {"body": "x"}, statements.cursor(3, one))
    assert printed(update.query()) == (
        """update "public"."notes" set "body" = 'x'::text where current of "audit_row_3\""""
    )
    assert printed(update.by_key().query()).endswith("""where "id" = '7'::bigint""")


@pytest.mark.parametrize(
    ("action", "method", "address"),
    [
        (SELECT, "GET", "rest/v1/notes?id=eq.7&select=id,body"),
        (INSERT, "POST", "rest/v1/notes"),
        (UPDATE, "PATCH", "rest/v1/notes?id=eq.7"),
        (DELETE, "DELETE", "rest/v1/notes?id=eq.7"),
    ],
)
def test_request_of_an_action(action: str, method: str, address: str) -> None:
    relation = notes("id", "body")
    sent = {
        SELECT: statements.select(row(relation), "anon"),
        INSERT: statements.insert(relation, row(relation).values, relation.columns),
        UPDATE: statements.update(row(relation), {"data": '{"b": 2}'}),
        DELETE: statements.delete(row(relation)),
    }[action]
    request = attempt(relation, action, sent).request("public")
    assert (request.method, request.address) == (method, address)
    assert bool(request.body) == (action in (INSERT, UPDATE))
    if action == UPDATE:
        assert json.loads(request.body) == {"data": {"b": 2}}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (GroupResult((Answer([(1,)], 1),)), ROWS),
        (GroupResult((Answer([], 0),)), HIDDEN),
        (GroupResult((), errors.InsufficientPrivilege()), DENIED),
        (GroupResult((), errors.RaiseException()), "P0001"),
    ],
)
def test_result_of_an_attempt(result: GroupResult, outcome: str) -> None:
    tried = attempt(notes("id"), SELECT)
    tried.read(result)
    assert (tried.outcome, tried.reached) == (outcome, outcome == ROWS)


def test_effect_decides_instead_of_the_number_of_rows() -> None:
    tried = attempt(notes("id"), UPDATE)
    tried.around = Around(effect=lambda answers: len(answers) == 2)
    tried.read(GroupResult((Answer([], 0), Answer([], 0))))
    assert tried.outcome == ROWS


@pytest.mark.parametrize(
    ("error", "referenced"),
    [(errors.ForeignKeyViolation(), True), (errors.UniqueViolation(), False)],
)
def test_row_that_others_refer_to_is_kept_after_the_policies_agreed(
    error: psycopg.Error, referenced: bool
) -> None:
    assert is_referenced(error) == referenced
    tried = attempt(notes("id"), DELETE)
    tried.read(GroupResult((), error))
    assert tried.reached == referenced


def test_stranger_is_an_outsider() -> None:
    assert Persona(label="s", kind=STRANGER, role="authenticated").is_outsider
