"""The plans area reports each fault of its catalogue."""

from supabase_jobs.database.connection import Connection
from tests.verify.catalogue import Fault, assert_reported, each_fault


@each_fault("plans")
def test_fault_is_reported(
    as_postgres: Connection, fault: Fault, together: tuple[Fault, ...]
) -> None:
    assert together == (fault,)
    result = assert_reported(as_postgres, fault)
    assert result.unchecked == ()
    findings = [finding for finding in result.findings if finding.area == "plans"]
    assert {finding.id for finding in findings} <= {case.id for case in result.cases}
    per_row = [finding for finding in findings if "for each row" in finding.message]
    assert all(
        "sub-select" in finding.fix or finding.cause.startswith("structure:") for finding in per_row
    )
