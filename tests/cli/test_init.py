"""`supabase-jobs init`: files for agents, pull requests and pre-commit."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from supabase_jobs.cli import init
from tests.fix_cli import Run

ROOT = Path(__file__).parents[2]
AGENTS, WORKFLOW, HOOKS = "AGENTS.md", ".github/workflows/audit.yml", ".pre-commit-config.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260101000000_notes.sql").write_text("create table public.notes (id int);")
    return tmp_path


def actions(cli: Run, *words: str) -> dict[str, str]:
    ran = cli("init", "--json", *words)
    assert ran.code == 0, ran.err
    return {change["path"]: change["action"] for change in ran.json["changes"]}


def test_a_project_without_any_file_gets_all_and_a_second_run_changes_none(
    project: Path, cli: Run
) -> None:
    new = dict.fromkeys((AGENTS, WORKFLOW, HOOKS), "create")
    assert actions(cli, "--dry-run") == new
    assert not (project / AGENTS).exists()
    assert actions(cli, "--yes") == new
    assert actions(cli, "--yes") == dict.fromkeys(new, "none")
    workflow = yaml.safe_load((project / WORKFLOW).read_text())
    copied = yaml.safe_load((ROOT / "docs" / "github-audit-workflow.yml").read_text())
    assert workflow == copied
    hooks = yaml.safe_load((project / HOOKS).read_text())["repos"][0]["hooks"]
    assert hooks == [{"id": "supabase-jobs-migrations"}]


def test_hooks_of_a_project_with_rendered_sources(project: Path, cli: Run) -> None:
    assert cli("render").code == 0
    actions(cli, "--yes")
    hooks = yaml.safe_load((project / HOOKS).read_text())["repos"][0]["hooks"]
    known = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == [hook["id"] for hook in known]


def test_what_exists_is_kept_and_shown(project: Path, cli: Run) -> None:
    for name, text in (
        (AGENTS, "# Rules\n\nBe kind.\n"),
        (WORKFLOW, "name: x\n"),
        (HOOKS, "repos: []\n"),
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    ran = cli("init", "--yes")
    assert ran.code == 0
    assert "+## Database access" in ran.err
    assert "keep     .github/workflows/audit.yml" in ran.out
    assert "id: supabase-jobs-migrations" in ran.out
    assert (project / WORKFLOW).read_text() == "name: x\n"
    assert (project / HOOKS).read_text() == "repos: []\n"
    agents = (project / AGENTS).read_text()
    assert agents.startswith("# Rules\n\nBe kind.\n\n<!-- supabase-jobs: begin -->\n")


def test_a_section_is_replaced_and_the_rest_stays(project: Path, cli: Run) -> None:
    old = f"above\n{init._BEGIN}\nold\n{init._END}\nbelow\n"
    (project / AGENTS).write_text(old)
    assert actions(cli, "--yes")[AGENTS] == "change"
    agents = (project / AGENTS).read_text()
    assert agents.startswith("above\n<!--")
    assert agents.endswith("<!-- supabase-jobs: end -->\nbelow\n")
    assert "old" not in agents.splitlines()


def test_commands_in_the_section_exist(project: Path) -> None:
    from supabase_jobs.cli import COMMANDS

    text = (Path(init.__file__).with_name("init_files") / AGENTS).read_text()
    named = {part.split()[0].rstrip("`.:,") for part in text.split("`supabase-jobs ")[1:]}
    assert named
    assert named <= COMMANDS.keys()


def test_without_a_terminal_it_asks_for_a_flag(project: Path, cli: Run) -> None:
    ran = cli("init")
    assert (ran.code, "--dry-run" in ran.err) == (2, True)
    assert not (project / AGENTS).exists()


def test_a_folder_without_migrations_is_refused(cli: Run) -> None:
    ran = cli("init", "--yes")
    assert ran.code == 2
    assert "supabase/migrations" in ran.err
