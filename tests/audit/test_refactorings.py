"""Harmless changes, each of which is made to each example project: an audit with the baseline of
before reports nothing.

An SQL file of tests/audit/refactorings makes one kind of change to whatever schema it finds; a TOML
file has a project in `sql`, and a `change` that only fits it.
"""

import tomllib
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

PROJECTS = [
    tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))
]

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
    assert _reported(project, known) == []


@pytest.mark.parametrize(
    "example", PROJECTS, ids=[path.stem for path in sorted(FOLDER.glob("*.toml"))]
)
@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_refactoring_of_a_project_is_not_reported(
    project: Connection, example: dict[str, str], tmp_path: Path
) -> None:
    project.execute(example["sql"].encode())
    known = accepted(run_audit(project, repairs=False), tmp_path)
    project.execute(example["change"].encode())
    assert _reported(project, known) == []


def _reported(connection: Connection, known: baseline.Baseline) -> list[str]:
    """The problems of an audit that is compared with a baseline."""
    result = baseline.apply(
        run_audit(connection, repairs=False), known, strict=False, narrowed=False
    )
    return [f"{f.severity} {f.id}" for f in result.findings if f.severity.is_problem]
