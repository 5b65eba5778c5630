"""The example projects: no error on the unmodified project, each fault reported, no harmless change reported."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit, Severity
from tests.audit.catalogue import Fault, Project, names, project
from tests.audit.conftest import run_audit

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
    ("project", "name", "sql"),
    [
        pytest.param(name, name, sql, id=f"{name}-{change}")
        for name in names()
        for change, sql in project(name).harmless.items()
    ],
    indirect=["project"],
)

Unmodified = Callable[[str], Audit]


def _baseline(result: Audit, folder: Path) -> baseline.Baseline:
    """The baseline of an audit, written and read again, with a reason for each leak."""
    file = folder / "access.toml"
    file.write_text(baseline.render(result, baseline.Baseline()), encoding="utf-8")
    loaded = baseline.load(file)
    return baseline.Baseline(loaded.access, loaded.functions, dict.fromkeys(loaded.accepted, "intended"))


@pytest.mark.parametrize("name", names())
def test_no_error_on_the_project(unmodified: Unmodified, name: str) -> None:
    result = unmodified(name)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    assert result.not_tested == ()
    assert result.planted == result.tables > 0
    assert tomllib.loads(baseline.render(result, baseline.Baseline()))["access"].keys() == result.access.keys()


@each_fault
def test_fault_is_reported(
    project: Connection, fault: Fault, found: Project, unmodified: Unmodified, tmp_path: Path
) -> None:
    known = _baseline(unmodified(found.name), tmp_path)
    assert found.prove(project, fault) < 1, "the proof reaches rows without the fault"
    project.execute(fault.sql.encode())
    assert found.prove(project, fault) > 0, "the fault opens no hole"
    result = run_audit(project, known.access)
    compared = baseline.apply(result, known, strict=False, narrowed=False)
    findings = {f"{f.severity} {f.id}": f for f in (*compared.findings, *result.findings)}
    assert fault.finds in findings
    finding = findings[fault.finds]
    assert fault.cause in finding.cause
    deviations = [f for f in compared.findings if f.severity is not Severity.INFO and f.object == finding.object]
    assert any(fault.cause in f.cause for f in deviations)
    project.execute(finding.fix.encode())
    assert found.prove(project, fault) < 1, "the fix closes nothing"


@each_change
def test_harmless_change_is_not_reported(
    project: Connection, name: str, sql: str, unmodified: Unmodified, tmp_path: Path
) -> None:
    known = _baseline(unmodified(name), tmp_path)
    project.execute(sql.encode())
    result = run_audit(project)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    compared = baseline.apply(result, known, strict=False, narrowed=False)
    assert [f for f in compared.findings if f.severity is not Severity.INFO] == []
