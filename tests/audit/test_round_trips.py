"""A run takes few round trips, whatever the number of tables; every generated table of the
benchmark gets rows.
"""

import psycopg
import pytest

from benchmarks.databases import statement
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.findings import Audit, Severity
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR
from tests.round_trips import traced

_TABLES = 20
# the contract allows 60; a new kind of trial may cost one that no earlier batch can hold
_LIMIT = 35
_OF_SUGGESTIONS = 30


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    """The project of the benchmark."""
    database = session_copy(request, "audited", "platform", DEFAULT_MAJOR)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "select set_config('audit.tables', %s, true), set_config('audit.functions', '2', true)",
            [str(_TABLES)],
        )
        connection.execute(statement("audit_project"))
    return database.url


def _audited(url: str, options: Options) -> tuple[Audit, int]:
    """The audit, and its round trips."""
    with (
        traced() as connections,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection,
    ):
        result = audit(connection, options)
        return result, sum(c.round_trips for c in connections)


def test_round_trips_of_twenty_tables(url: str) -> None:
    result, round_trips = _audited(url, Options())
    assert round_trips <= _LIMIT
    assert result.tables == result.planted == _TABLES
    assert [f for f in result.findings if f.severity in (Severity.ERROR, Severity.WARNING)] == []
    assert result.not_tested == ()


def test_suggestions_take_as_many_round_trips_for_any_number_of_tables(url: str) -> None:
    result, round_trips = _audited(url, Options(performance=True))
    assert len(result.performance) > _TABLES
    assert round_trips <= _LIMIT + _OF_SUGGESTIONS
