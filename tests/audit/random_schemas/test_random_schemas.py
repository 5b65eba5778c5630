"""Random schemas: the audit neither fails nor lacks rows, and each cell equals an independent
evaluation.

SUPABASE_JOBS_RANDOM_SCHEMAS is the number of schemas, in four parts that can run side by side;
SUPABASE_JOBS_RANDOM_SEED chooses other ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from supabase_jobs.database.connection import Connection, connect
from tests.audit.random_schemas.comparison import Comparison, compare
from tests.audit.random_schemas.counterexamples import COUNTEREXAMPLES
from tests.audit.random_schemas.schema import Schema
from tests.audit.random_schemas.strategies import schemas
from tests.fix_db import session_copy
from tests.programs import DEFAULT_MAJOR

SCHEMAS = int(os.environ.get("SUPABASE_JOBS_RANDOM_SCHEMAS", "200"))
SEED = int(os.environ.get("SUPABASE_JOBS_RANDOM_SEED", "0"))
PARTS = 4
# of how many schemas the repairs of one are tried
REPAIRED = 10


@pytest.fixture(scope="session")
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database with the platform only."""
    return session_copy(request, "random", "platform", DEFAULT_MAJOR).url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    """That database."""
    with connect(empty_url) as connection:
        yield connection


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_random_schemas(empty: Connection, part: int) -> None:
    found = Comparison()

    # derandomized: the numbers decide, and nothing is kept between runs
    @seed(SEED * PARTS + part)
    @settings(
        max_examples=SCHEMAS // PARTS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schemas(), st.integers(min_value=1, max_value=REPAIRED))
    def each(schema: Schema, number: int) -> None:
        one = compare(empty, schema, repairs=number == REPAIRED)
        found.add(one)
        assert one.differing == []

    each()
    print(found)  # noqa: T201  the counts, for `pytest -s`
    assert found.planted >= 0.98 * found.tables
    assert found.cells > found.tables  # of four actions, few are left out


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_schema_that_has_shown_a_defect(empty: Connection, name: str) -> None:
    """Those that random schemas have found, made small."""
    found = compare(empty, COUNTEREXAMPLES[name], repairs=True)
    assert found.differing == []
    assert found.planted == found.tables
    assert found.cells > 0
