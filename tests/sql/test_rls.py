"""The rules of the specification, one test each, by impersonation with the settings of PostgREST.

Each fault that a rule names breaks it, and the check must then fail.
"""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from tests.impersonation import insert_fixture_rows
from tests.sql import rules_guests, rules_jobs  # noqa: F401  registers their rules
from tests.sql.rules import RULES, Rule
from tests.verify.catalogue import TESTS, every_catalogue, read

CATALOGUE = TESTS / "sql" / "faults.toml"


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.name)
def test_rule_holds(rolled_back: Connection, case: Rule) -> None:
    insert_fixture_rows(rolled_back)
    case.check(rolled_back)


BROKEN = [pytest.param(r, name, id=f"{r.name}-{name}") for r in RULES for name in r.faults]


@pytest.mark.parametrize(("case", "name"), BROKEN)
def test_check_fails_if_rule_is_broken(rolled_back: Connection, case: Rule, name: str) -> None:
    insert_fixture_rows(rolled_back)
    every_catalogue()[name].insert(rolled_back)
    with pytest.raises((AssertionError, psycopg.Error)):
        case.check(rolled_back)


def test_every_fault_of_this_catalogue_breaks_a_rule() -> None:
    assert {fault.name for fault in read(CATALOGUE)} <= {
        name for rule in RULES for name in rule.faults
    }
