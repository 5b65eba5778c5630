"""A run takes few round trips, whatever the number of tables; every generated table of the
benchmark gets rows.
"""

import psycopg
import pytest

from benchmarks.databases import statement
from benchmarks.distance import distance
from supabase_jobs.audit.audit import Options, audit
from supabase_jobs.findings import Severity
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

# longer than sending a batch takes: otherwise its first answers arrive before its end, and it
# counts as several
_ONE_WAY_SECONDS = 0.02
_TABLES = 20
# 24 when this was written
_LIMIT = 30


def test_round_trips_of_twenty_tables(request: pytest.FixtureRequest) -> None:
    database = session_copy(request, "audited", "platform", DEFAULT_MAJOR)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "select set_config('audit.tables', %s, true), set_config('audit.functions', '2', true)",
            [str(_TABLES)],
        )
        connection.execute(statement("audit_project"))
    with (
        distance(database.server.port, _ONE_WAY_SECONDS) as proxy,
        psycopg.connect(
            database.url, port=proxy.port, autocommit=True, prepare_threshold=None
        ) as connection,
    ):
        before = proxy.round_trips
        result = audit(connection, Options())
        assert proxy.round_trips - before <= _LIMIT
    assert result.tables == result.planted == _TABLES
    assert [f for f in result.findings if f.severity is not Severity.INFO] == []
    assert result.not_tested == ()
