"""The audit's own score: a sample of the faults of `mutate --run` in an example project is
reported.
"""

from collections.abc import Callable

import pytest

from audit_score import MISSED, NOTED, REPORTED, UNCHANGED, score, table
from supabase_jobs.audit.baseline import Baseline, apply
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.findings import Audit, Severity
from tests.audit.conftest import run_audit

_SAMPLE, _SEED = 8, 1


def test_sample_of_faults_is_reported(project_url: Callable[[str], str]) -> None:
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        found = list(score(connection, "todos", _SAMPLE, _SEED))
    states = [scored.state for scored in found]
    assert len(states) == _SAMPLE
    assert MISSED not in states
    assert states.count(REPORTED) >= _SAMPLE // 2
    assert set(states) <= {REPORTED, NOTED, UNCHANGED}
    assert (
        table(found).splitlines()[-2].startswith(f"| all | {_SAMPLE} | {states.count(REPORTED)} | ")
    )


@pytest.mark.parametrize(
    ("project", "name", "sql", "found"),
    [
        (
            "profiles",
            "profiles",
            'drop policy "Accept" on public.follows',
            "owner, rows of members:update",
        ),
        (
            "profiles",
            "profiles",
            "grant update on public.follows to authenticated",
            "owner, rows of members:update",
        ),
        (
            "tenants",
            "tenants",
            'drop policy "Admins read the activity" on public.activity',
            "admin, own rows:read",
        ),
    ],
    indirect=["project"],
)
def test_access_of_owners_to_members_and_of_claims_is_in_the_baseline(
    project: Connection, name: str, sql: str, found: str, unmodified: Callable[[str], Audit]
) -> None:
    before = unmodified(name)
    known = Baseline(before.access, before.functions, {f.id: "intended" for f in before.findings})
    project.execute(sql.encode())
    compared = apply(run_audit(project, repairs=False), known, strict=False, narrowed=False)
    assert [f.id for f in compared.findings if f.severity is not Severity.INFO and found in f.id]
