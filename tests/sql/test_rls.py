"""The rules of the specification, one test each, by impersonation with the settings of PostgREST.

Each statement in `broken_by` breaks its rule, and the check must then fail.
"""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from tests.impersonation import insert_fixture_rows
from tests.sql import rules_guests, rules_jobs  # noqa: F401  registers their rules
from tests.sql.rules import RULES, Rule


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)
def test_rule_holds(rolled_back: Connection, case: Rule) -> None:
    insert_fixture_rows(rolled_back)
    case.check(rolled_back)


BROKEN = [pytest.param(r, sql, id=f"{r.name}-{n}") for r in RULES for n, sql in enumerate(r.broken_by, 1)]


@pytest.mark.parametrize(("case", "broken_by"), BROKEN)
def test_check_fails_if_rule_is_broken(rolled_back: Connection, case: Rule, broken_by: str) -> None:
    insert_fixture_rows(rolled_back)
    rolled_back.execute(broken_by.encode())
    with pytest.raises((AssertionError, psycopg.Error)):
        case.check(rolled_back)
