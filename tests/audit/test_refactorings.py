"""Harmless changes, each of which is made to each example project: an audit with the baseline of
before reports nothing.

A file of tests/audit/refactorings makes one kind of change to whatever schema it finds.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit
from tests.audit.catalogue import names
from tests.audit.conftest import accepted, run_audit

FOLDER = Path(__file__).with_name("refactorings")
KINDS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql"))}

Unmodified = Callable[[str], Audit]

each_project = pytest.mark.parametrize(
    ("project", "name"), [(name, name) for name in names()], ids=names(), indirect=["project"]
)


@pytest.mark.slow
@each_project
@pytest.mark.parametrize("kind", KINDS)
def test_refactoring_is_not_reported(
    project: Connection, name: str, kind: str, unmodified: Unmodified, tmp_path: Path
) -> None:
    known = accepted(unmodified(name), tmp_path)
    project.execute(KINDS[kind].encode())
    result = baseline.apply(run_audit(project), known, strict=False, narrowed=False)
    assert [f"{f.severity} {f.id}" for f in result.findings if f.severity.is_problem] == []
