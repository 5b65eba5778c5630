"""`verify` of a database with the optional limits of owners."""

from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.settings import Settings
from supabase_jobs.verify.expectations import load_expectations
from supabase_jobs.verify.verify import verify
from tests.fix_db import on_one_major_each
from tests.sql.owner_limits import STRICTEST, set_limits

SOME = {
    "max_active_jobs_per_guest": 3,
    "max_active_jobs_per_user": 7,
    "max_new_jobs_per_guest_per_hour": 2,
}


@on_one_major_each("variables", [STRICTEST, SOME], ["strictest", "some"])
def test_verify_passes_with_limits(
    rolled_back: Connection, variables: dict[str, int | bool]
) -> None:
    set_limits(rolled_back, **variables)
    result = verify(rolled_back, load_expectations(Settings(Path(), variables=variables)))
    assert result.findings == ()
    names = {case.name for case in result.cases}
    assert "active jobs: a guest below its limit creates one more" in names
    assert ("guests and users change nothing else" in names) is (
        "owners_may_only_cancel" in variables
    )
