"""The audit's own score: a sample of the faults of `mutate --run` in an example project is reported."""

from collections.abc import Callable

from audit_score import MISSED, NOTED, REPORTED, UNCHANGED, score, table
from supabase_jobs.database.connection import connect

_SAMPLE, _SEED = 8, 1


def test_sample_of_faults_is_reported(project_url: Callable[[str], str]) -> None:
    with connect(project_url("todos")) as connection, connection.transaction(force_rollback=True):
        found = list(score(connection, "todos", _SAMPLE, _SEED))
    states = [scored.state for scored in found]
    assert len(states) == _SAMPLE
    assert MISSED not in states
    assert states.count(REPORTED) >= _SAMPLE // 2
    assert set(states) <= {REPORTED, NOTED, UNCHANGED}
    assert table(found).splitlines()[-2].startswith(f"| all | {_SAMPLE} | {states.count(REPORTED)} | ")
