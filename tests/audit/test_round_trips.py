"""A run takes few round trips, whatever the number of tables; every generated table of the
benchmark gets rows.
"""

import psycopg
import pytest

from benchmarks.databases import statement
from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.findings import Severity
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR
from tests.round_trips import traced

_TABLES = 20
# the contract allows 60; a new kind of trial may cost one that no earlier batch can hold
_LIMIT = 35


def test_round_trips_of_twenty_tables(request: pytest.FixtureRequest) -> None:
    database = session_copy(request, "audited", "platform", DEFAULT_MAJOR)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "select set_config('audit.tables', %s, true), set_config('audit.functions', '2', true)",
            [str(_TABLES)],
        )
        connection.execute(statement("audit_project"))
    with (
        traced() as connections,
        psycopg.connect(database.url, autocommit=True, prepare_threshold=None) as connection,
    ):
        result = audit(connection, Options())
        assert sum(c.round_trips for c in connections) <= _LIMIT
    assert result.tables == result.planted == _TABLES
    assert [f for f in result.findings if f.severity in (Severity.ERROR, Severity.WARNING)] == []
    assert result.not_tested == ()
