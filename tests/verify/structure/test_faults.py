"""The structure area reports each fault of its catalogue."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS
from tests.verify.catalogue import Fault, assert_reported_among, catalogue, each_fault


@each_fault("structure")
def test_fault_is_reported(
    as_postgres: Connection, fault: Fault, together: tuple[Fault, ...]
) -> None:
    assert_reported_among(as_postgres, fault, together)


@pytest.mark.parametrize(
    "name", [name for name in catalogue("structure") if "only adds jobs" in name]
)
def test_disabled_trigger_is_not_reported(rolled_back: Connection, name: str) -> None:
    catalogue("structure")[name].insert(rolled_back)
    rolled_back.execute("alter table public.uploads disable trigger enqueue")
    assert verify(rolled_back, EXPECTATIONS, ("structure",)).findings == ()
