"""The example projects: no error on the unmodified project, each fault reported, no harmless change
reported.

Faults of different objects share an audit, and so do the harmless changes of a project.
"""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit, Severity
from tests.audit import catalogue
from tests.audit.catalogue import Fault, Project, groups, names, project
from tests.audit.conftest import accepted, decided, run_audit

each_group = pytest.mark.parametrize(
    ("project", "faults", "found"),
    [
        pytest.param(name, group, project(name), id=f"{name}-{number}")
        for name in names()
        for number, group in enumerate(groups(project(name).faults))
    ],
    indirect=["project"],
)
Unmodified = Callable[[str], Audit]

_CHANGING = ("error function-writes:", "error function-opens:", "warning function-forges:")


@pytest.mark.parametrize("name", names())
def test_no_error_on_the_project(unmodified: Unmodified, name: str) -> None:
    result = unmodified(name)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    assert {
        f.fix for f in result.findings if f.severity is Severity.INFO and f.object != "public"
    } <= {""}
    assert result.not_tested == ()
    assert result.planted == result.tables > 0
    written = tomllib.loads(baseline.render(result, baseline.Baseline()))["access"]
    assert written.keys() == {str(one) for one in result.access}


@each_group
def test_faults_are_reported(
    project: Connection,
    faults: Sequence[Fault],
    found: Project,
    unmodified: Unmodified,
    tmp_path: Path,
) -> None:
    known = accepted(unmodified(found.name), tmp_path)
    assert proved(project, faults, found) == [], "the proofs reach rows without the faults"
    for fault in faults:
        project.execute(fault.sql.encode())
    assert proved(project, faults, found) == [fault.name for fault in faults], (
        "some faults open no hole"
    )
    result = run_audit(project, known.access)
    compared = baseline.apply(result, known, strict=False, narrowed=False)
    undecided: list[str] = []
    findings = {f"{f.severity} {f.id}": f for f in (*compared.findings, *result.findings)}
    for fault in faults:
        assert fault.finds in findings, fault.name
        finding = findings[fault.finds]
        # a question is about several tables; the deviations have the cause of each
        is_question = finding.severity is Severity.QUESTION
        assert is_question or fault.cause in finding.cause, fault.name
        deviations = [
            f for f in compared.findings if f.severity.is_problem and f.object == finding.object
        ]
        assert any(fault.cause in f.cause for f in deviations), fault.name
        of_cause = [f for f in deviations if fault.cause in f.cause]
        repaired = finding if finding.fix else next(f for f in of_cause if f.fix)
        if not repaired.proven:
            undecided.append(fault.name)
        proven = {f.fix for f in (repaired, *of_cause) if f.proven}
        for fix in proven or {decided(repaired.fix)}:
            project.execute(fix.encode())
    assert set(undecided) == {fault.name for fault in faults if fault.takes}
    assert set(proved(project, faults, found)) <= set(undecided), "some fixes close nothing"
    after = run_audit(project, repairs=False)
    if not undecided and not any(
        fault.other_rows for fault in faults
    ):  # a state of rows may be gone with what mentioned it
        before = {name: known.access[name] for name in after.access if name in known.access}
        assert list(baseline.wider(before, after.access)) == [], "some fixes take something"


def proved(connection: Connection, faults: Sequence[Fault], found: Project) -> list[str]:
    """The names of the faults whose proofs reach rows."""
    return [fault.name for fault in faults if found.prove(connection, fault) > 0]


@pytest.mark.parametrize(
    ("project", "name"), [(name, name) for name in names()], ids=names(), indirect=["project"]
)
def test_harmless_changes_are_not_reported(
    project: Connection, name: str, unmodified: Unmodified, tmp_path: Path
) -> None:
    known = accepted(unmodified(name), tmp_path)
    for sql in catalogue.project(name).harmless.values():
        project.execute(sql.encode())
    result = run_audit(project, repairs=False)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    compared = baseline.apply(result, known, strict=False, narrowed=False)
    assert [f for f in compared.findings if f.severity.is_problem] == []


def test_most_faults_have_a_proven_repair() -> None:
    """Of functions that change rows, a repair is proven only if a trial sees somebody whom it could
    take something from.
    """
    faults = [fault for name in names() for fault in project(name).faults]
    compared = [fault for fault in faults if not fault.finds.startswith(_CHANGING)]
    assert len(compared) >= len(faults) * 9 / 10
    assert sum(not fault.takes for fault in compared) >= len(compared) * 85 / 100
    assert sum(not fault.takes for fault in faults) >= len(faults) * 80 / 100
