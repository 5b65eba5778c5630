"""The tests of `verify` run on one version, unless they name others; the fault catalogues run on
all of them.
"""

import pytest

from tests.programs import DEFAULT_MAJOR


@pytest.fixture(params=[DEFAULT_MAJOR], ids=lambda major: f"pg{major}")
def each_major(request: pytest.FixtureRequest) -> int:
    """Runs a test on the default version."""
    major: int = request.param
    return major
