"""`audit --fix` on each example project: the errors are gone, what remains needs a decision, and the
app works as before.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.audit.options import Options
from supabase_jobs.cli.audit_fix import audit_and_fix
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit, Severity
from tests.audit import catalogue
from tests.audit.catalogue import groups, names
from tests.audit.conftest import accepted, run_audit

pytestmark = pytest.mark.slow
each_project = pytest.mark.parametrize(
    ("project", "name"), [(name, name) for name in names()], ids=names(), indirect=["project"]
)


def errors(result: Audit) -> set[str]:
    return {f.id for f in result.findings if f.severity is Severity.ERROR}


def says_what_it_needs(fix: str) -> bool:
    return any(
        f"-- {said}" in fix
        for said in ("Tried: it would take: ", "Tried: nobody is left with: ", "Decide who should")
    )


@each_project
def test_project_without_a_fault(
    project: Connection, name: str, unmodified: Callable[[str], Audit], tmp_path: Path
) -> None:
    found = catalogue.project(name)
    assert len(found.app) == 3
    assert found.broken(project) == []
    if not any(f.severity.is_problem for f in unmodified(name).findings):
        return
    file = tmp_path / "repairs.sql"
    audit_and_fix(project, Options(), file, (), lambda audited: audited)
    if file.exists():
        project.execute(file.read_bytes())
    assert errors(run_audit(project, repairs=False)) == set()
    assert found.broken(project) == []


@each_project
def test_project_with_faults(
    project: Connection, name: str, unmodified: Callable[[str], Audit], tmp_path: Path
) -> None:
    known = accepted(unmodified(name), tmp_path)
    found = catalogue.project(name)
    faults = groups([f for f in found.faults if not f.takes])[0]
    for fault in faults:
        project.execute(fault.sql.encode())

    # the first is the audit of the repaired project by --fix, which tries repairs of what is left
    audits: list[Audit] = []

    def compared(audited: Audit) -> Audit:
        audits.append(baseline.apply(audited, known, strict=False, narrowed=False))
        return audits[-1]

    options = Options(accepted=known.access, intended=list(known.accepted))
    file = tmp_path / "repairs.sql"
    audit_and_fix(project, options, file, (), compared)
    project.execute(file.read_bytes())
    assert found.broken(project) == []
    after = compared(run_audit(project, known.access, repairs=False))
    proved = [fault for fault in faults if found.prove(project, fault)]
    assert errors(audits[0]) == errors(after)
    if errors(after) or proved:
        after = audits[0]
    left = [f for f in after.findings if f.severity is Severity.ERROR]
    assert [f.id for f in left if not says_what_it_needs(f.fix)] == []
    named = {f.object for f in after.findings if says_what_it_needs(f.fix)}
    assert [fault.name for fault in proved if fault.object not in named] == []
