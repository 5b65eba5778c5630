"""The planner differs: these tests run on the oldest and the newest version."""

import pytest

from tests.fix_db import OLDEST_AND_NEWEST


@pytest.fixture(params=OLDEST_AND_NEWEST, ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """Runs a test on the oldest and the newest version."""
    major: int = request.param
    return major
