"""Harmless changes, each of which is made to each example project: an audit with the baseline of
before reports nothing.

An SQL file of tests/audit/refactorings makes one kind of change to whatever schema it finds; a TOML
file has a project in `sql`, and a `change` that only fits it.

Kinds that change different things share an audit, which must report nothing. Where it reports
something, each of them gets an audit of its own, which names the culprit.
"""

import tomllib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import pytest

from supabase_jobs.audit import baseline
from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Audit
from tests.audit.catalogue import names
from tests.audit.conftest import accepted, run_audit

FOLDER = Path(__file__).with_name("refactorings")
KINDS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql"))}

# made together, in this order; what hides a condition or a helper from the audit, and so could hide
# what another kind does to it, is alone
TOGETHER = (
    # columns, constraints and what is beside the tables
    (
        "defaults",
        "not_null",
        "check_constraints",
        "unused_labels",
        "constraint_names",
        "indexes",
        "updated_at_triggers",
        "comments",
        "grants_again",
        "unreached_tables",
        "unused_views",
    ),
    # which policy says it, and by which name
    ("split_policies_by_command", "rename_policies", "helpers_by_another_name"),
    # how often, and to whom
    ("split_policies_by_role", "policies_twice", "restrictive_without_effect"),
    # how a condition says it, and a column that none mentions
    ("caller_once_per_statement", "conditions_without_null", "nullable_columns"),
    ("conditions_as_functions",),
    ("helpers_in_plpgsql",),
)

PROJECTS = [
    tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))
]

Unmodified = Callable[[str], Audit]

each_project = pytest.mark.parametrize(
    ("project", "name"), [(name, name) for name in names()], ids=names(), indirect=["project"]
)


def test_each_kind_is_made_once() -> None:
    assert sorted(chain(*TOGETHER)) == sorted(KINDS)


@pytest.fixture(scope="session")
def quiet() -> dict[tuple[str, Sequence[str]], bool]:
    """Whether the audit of a project with some kinds reported nothing."""
    return {}


# the kinds of a project that share an audit come one after another, so most in one process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "together"),
    [(kind, kinds) for kinds in TOGETHER for kind in kinds],
    ids=list(chain(*TOGETHER)),
)
@each_project
def test_refactoring_is_not_reported(
    project: Connection,
    name: str,
    kind: str,
    together: Sequence[str],
    unmodified: Unmodified,
    quiet: dict[tuple[str, Sequence[str]], bool],
    tmp_path: Path,
) -> None:
    known = accepted(unmodified(name), tmp_path)
    if (name, together) not in quiet:
        with project.transaction(force_rollback=True):
            quiet[name, together] = _reported_with(together, project, known) == []
    if not quiet[name, together]:
        assert _reported_with([kind], project, known) == []


def _reported_with(
    kinds: Sequence[str], connection: Connection, known: baseline.Baseline
) -> list[str]:
    for kind in kinds:
        connection.execute(KINDS[kind].encode())
    return _reported(connection, known)


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
