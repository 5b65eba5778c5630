"""The functions area reports each fault of its catalogue by its effect on the rows."""

from supabase_jobs.database.connection import Connection
from tests.verify.catalogue import Fault, assert_reported_among, each_fault


@each_fault("functions")
def test_fault_is_reported(
    as_postgres: Connection, fault: Fault, together: tuple[Fault, ...]
) -> None:
    assert_reported_among(as_postgres, fault, together)
