"""The example projects: no error on the unmodified project, each fault reported, no harmless change reported."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from tests.audit.catalogue import Fault, Project, names, project
from tests.audit.conftest import RunAudit

each_project = pytest.mark.parametrize(("project", "name"), [(name, name) for name in names()], indirect=["project"])
each_fault = pytest.mark.parametrize(
    ("project", "fault", "found"),
    [
        pytest.param(name, fault, project(name), id=f"{name}-{fault.name}")
        for name in names()
        for fault in project(name).faults
    ],
    indirect=["project"],
)
each_change = pytest.mark.parametrize(
    ("project", "sql"),
    [
        pytest.param(name, sql, id=f"{name}-{change}")
        for name in names()
        for change, sql in project(name).harmless.items()
    ],
    indirect=["project"],
)


def _errors(run_audit: RunAudit, connection: Connection) -> set[str]:
    return {f"{f.severity} {f.id}" for f in run_audit(connection).findings if f.severity is not Severity.INFO}


@each_project
def test_no_error_on_the_project(project: Connection, name: str, run_audit: RunAudit) -> None:
    result = run_audit(project)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    assert result.not_tested == ()
    assert result.planted == result.tables > 0


@each_fault
def test_fault_is_reported(project: Connection, fault: Fault, found: Project, run_audit: RunAudit) -> None:
    assert found.prove(project, fault) < 1, "the proof reaches rows without the fault"
    project.execute(fault.sql.encode())
    assert found.prove(project, fault) > 0, "the fault opens no hole"
    findings = {f"{f.severity} {f.id}": f for f in run_audit(project).findings}
    assert fault.finds in findings
    assert fault.cause in findings[fault.finds].cause
    assert findings[fault.finds].fix


@each_change
def test_harmless_change_is_not_reported(project: Connection, sql: str, run_audit: RunAudit) -> None:
    before = _errors(run_audit, project)
    project.execute(sql.encode())
    assert _errors(run_audit, project) == before
