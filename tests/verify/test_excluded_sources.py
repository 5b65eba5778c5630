"""A project without the functions for workers, without the limits of owners, or without both:
`[sources] exclude`.
"""

from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.findings import Fault
from supabase_jobs.mutation import mutate as mutation
from supabase_jobs.mutation.mutate import derive, mutate
from supabase_jobs.settings import load_settings, read_toml
from supabase_jobs.sources.files import load_sources
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS, load_expectations
from supabase_jobs.verify.structure import snapshot
from tests.fix_cli import Ran, Run
from tests.fix_db import EXPECTATIONS, Make

WORKERS, LIMITS = "005_create_worker_functions", "006_limit_job_owners"

COMBINATIONS = [[WORKERS], [LIMITS], [WORKERS, LIMITS]]

excluded = pytest.mark.parametrize("names", COMBINATIONS, ids=["workers", "limits", "both"])


def exclude(folder: Path, names: Sequence[str], **variables: object) -> None:
    """Write the settings of a project."""
    lines = ["[sources]", f"exclude = {list(names)}", "[variables]"]
    lines += [f"{name} = {str(value).lower()}" for name, value in variables.items()]
    (folder / "supabase-jobs.toml").write_text("\n".join(lines))


def rendered(folder: Path) -> list[str]:
    """The names of the migrations, in their order."""
    return sorted(path.name for path in (folder / "supabase" / "migrations").iterdir())


def passed(ran: Ran) -> bool:
    """Whether `verify` has found nothing."""
    return bool(ran.code == 0 and ran.json["findings"] == [] and ran.json["unchecked"] == [])


@excluded
def test_a_project_without_sources_passes_and_includes_them_later(
    tmp_path: Path, cli: Run, platform_url: str, names: list[str]
) -> None:
    exclude(tmp_path, names)
    assert cli("render").code == 0
    first = rendered(tmp_path)
    assert len(first) == 6 - len(names)
    applied = cli("apply", "--json", SUPABASE_DB_URL=platform_url).json["applied"]
    assert [f"{one['version']}_{one['name']}.sql" for one in applied] == first
    partly = cli("verify", "--json", SUPABASE_DB_URL=platform_url)
    assert passed(partly)
    for command in (["render", "--check"], ["stats"], ["status", "--exit-code"], ["plan"]):
        assert cli(*command, SUPABASE_DB_URL=platform_url).code == 0

    exclude(tmp_path, [])
    assert cli("render").code == 0
    assert rendered(tmp_path)[: len(first)] == first
    assert cli("apply", SUPABASE_DB_URL=platform_url).code == 0
    whole = cli("verify", "--json", SUPABASE_DB_URL=platform_url)
    assert passed(whole)
    assert whole.json["summary"]["checks"] > partly.json["summary"]["checks"]


@excluded
def test_faults_are_reported_without_the_sources(
    tmp_path: Path,
    cli: Run,
    platform_url: str,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
) -> None:
    """One fault of every third operator, so that each operator is tried once."""
    exclude(tmp_path, names)
    assert cli("apply", SUPABASE_DB_URL=platform_url).code == 0
    every_third = slice(COMBINATIONS.index(names), None, 3)

    def some(connection: psycopg.Connection, objects: Sequence[str]) -> list[Fault]:
        faults = derive(connection, objects)
        return list({fault.operator: fault for fault in faults}.values())[every_third]

    monkeypatch.setattr(mutation, "derive", some)
    expectations = load_expectations(load_settings(tmp_path, {}))
    with connect(platform_url) as connection:
        result = mutate(connection, expectations)
    assert len(result.mutants) > 30
    assert result.ok


def test_a_function_of_the_project_is_its_own(
    tmp_path: Path, cli: Run, make_database: Make
) -> None:
    """A function with the name of an excluded one is neither expected nor dropped."""
    url = make_database("platform").url
    exclude(tmp_path, [WORKERS, LIMITS])
    cli("render")
    cli("apply", SUPABASE_DB_URL=url)
    own = "create function public.claim_jobs(text, integer) returns integer language sql return 1"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(own)
        connection.execute("revoke all on function public.claim_jobs from public, anon")
    assert passed(cli("verify", "--json", SUPABASE_DB_URL=url))
    assert cli("render", "--uninstall").code == 0
    assert cli("apply", SUPABASE_DB_URL=url).code == 0
    with psycopg.connect(url, autocommit=True) as connection:
        [left] = connection.execute("select public.claim_jobs('', 1)").fetchall()
    assert left == (1,)


def test_limits_that_came_first_stay_first(tmp_path: Path, cli: Run) -> None:
    """005 gets a version after 006, which is applied already."""
    exclude(tmp_path, [WORKERS])
    cli("render")
    exclude(tmp_path, [])
    cli("render")
    assert rendered(tmp_path)[-2].endswith("_limit_job_owners.sql")
    assert rendered(tmp_path)[-1].endswith("_create_worker_functions.sql")


@pytest.mark.parametrize("command", ["render", "verify"])
def test_an_installed_source_cannot_be_excluded(
    tmp_path: Path, cli: Run, platform_url: str, command: str
) -> None:
    cli("render")
    exclude(tmp_path, [WORKERS])
    ran = cli(command, SUPABASE_DB_URL=platform_url)
    assert ran.code == 2
    assert "20251108000005_create_worker_functions.sql was rendered from" in ran.err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("002_create_async_jobs_table", "is needed by the other sources"),
        ("007_no_such_source", "is not a source"),
    ],
)
def test_only_an_optional_source_can_be_excluded(
    tmp_path: Path, cli: Run, name: str, problem: str
) -> None:
    exclude(tmp_path, [name])
    ran = cli("render")
    assert ran.code == 2
    assert f"{name!r} {problem}" in ran.err
    assert f"Optional: {WORKERS}, {LIMITS}." in ran.err


def test_a_variable_of_an_excluded_source_is_refused(tmp_path: Path, cli: Run) -> None:
    exclude(tmp_path, [LIMITS], owners_may_only_cancel=True)
    ran = cli("render")
    assert ran.code == 2
    assert f"the variable 'owners_may_only_cancel' belongs to {LIMITS}" in ran.err


def test_each_source_of_a_declaration_is_optional() -> None:
    optional = set(load_sources().optional)
    assert {source.stem for source in load_sources().sources} > optional
    recorded = snapshot.load(EXPECTATIONS.declaration(snapshot.FILE_NAME))
    assert set(recorded.sources.values()) == optional
    access = read_toml(PACKAGED_DECLARATIONS / "access.toml")
    functions = read_toml(PACKAGED_DECLARATIONS / "functions.toml")
    actions = [
        action for matrix in access["matrix"] for action in matrix.get("actions", {}).values()
    ]
    parts = [*access["fixture"], *functions["fixture"], *functions["watch"]]
    tables = [*actions, *functions["scenario"], *(one for one in parts if isinstance(one, dict))]
    assert {table["source"] for table in tables if "source" in table} == optional
