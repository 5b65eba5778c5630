"""A trial of a repair takes over the outcomes that its change cannot reach."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from supabase_jobs.audit.policies.uses import BodyUses, Usage
from supabase_jobs.audit.probes.known import Altered, Reach
from supabase_jobs.audit.repairs.demand import Demand
from supabase_jobs.database.connection import Connection
from supabase_jobs.session.runner import Probe, Runner
from tests.audit.catalogs import table
from tests.audit.conftest import run_audit

# the policies of table 2 read table 1; a trigger of table 3 has to do with table 1
USAGE = Usage(reads={2: {1, 2}}, bodies=BodyUses(function_reads={9: {1}}))
TABLES = {oid: table(f"t{oid}", oid=oid) for oid in (1, 2, 3, 4)}
TABLES[3] = replace(TABLES[3], triggers=(9,))
OPEN = """
create policy "open" on public.notes for select to authenticated using (true);
create policy "open changes" on public.notes for update to authenticated using (true);
"""


@pytest.mark.parametrize(
    ("altered", "reached"),
    [
        ((1, "select"), {"1 select", "1 insert", "2 select", "2 insert", "3 select", "3 insert"}),
        ((1, "insert"), {"1 insert", "3 select", "3 insert"}),
        ((4, "update"), set()),
        ((2, "select"), {"2 select", "2 insert"}),
    ],
)
def test_reach_of_a_change(altered: Altered, reached: set[str]) -> None:
    reach = Reach(USAGE, [altered])
    found = {
        f"{oid} {action}"
        for oid, relation in TABLES.items()
        for action in ("select", "insert")
        if reach.has(relation, action)
    }
    assert found == reached


@pytest.mark.parametrize("project", ["soft_delete"], indirect=True)
def test_trials_find_the_same_with_fewer_attempts(
    project: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    run = Runner.run

    def counted(self: Runner, probes: Sequence[Probe]) -> None:
        sent.append(sum(len(getattr(probe, "tried", ())) for probe in probes))
        run(self, probes)

    monkeypatch.setattr(Runner, "run", counted)
    project.execute(OPEN)
    found = run_audit(project).findings
    few = sum(sent)
    sent.clear()
    monkeypatch.setattr(Demand, "altered", None)
    assert run_audit(project).findings == found
    assert few < sum(sent) * 0.8
