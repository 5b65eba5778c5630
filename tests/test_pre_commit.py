"""The hooks for pre-commit pass in a rendered project and fail where a file is wrong."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.fix_cli import Run

HOOKS = {
    hook["id"]: hook
    for hook in yaml.safe_load(
        (Path(__file__).parents[1] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    )
}


def edit_rendered(migrations: Path) -> None:
    file = next(migrations.glob("*_create_async_jobs_table.sql"))
    file.write_text(
        file.read_text(encoding="utf-8").replace("progress >= 0", "progress >= 1"), encoding="utf-8"
    )


def add_commit(migrations: Path) -> None:
    (migrations / "20990101000000_x.sql").write_text("select 1;\ncommit;\n", encoding="utf-8")


FAULTS: dict[str, tuple[Callable[[Path], None], int]] = {
    "supabase-jobs-render": (edit_rendered, 1),
    "supabase-jobs-migrations": (add_commit, 2),
}


@pytest.mark.parametrize("id", HOOKS)
def test_a_hook_fails_where_a_file_is_wrong(cli: Run, tmp_path: Path, id: str) -> None:
    program, *words = shlex.split(HOOKS[id]["entry"])
    assert program == "supabase-jobs"
    assert cli("render").code == 0
    assert cli(*words).code == 0
    plant, code = FAULTS[id]
    plant(tmp_path / "supabase" / "migrations")
    assert cli(*words).code == code


@pytest.mark.parametrize("id", HOOKS)
def test_a_hook_runs_if_a_migration_changes(id: str) -> None:
    assert re.search(HOOKS[id]["files"], "supabase/migrations/20990101000000_x.sql")
    assert not re.search(HOOKS[id]["files"], "src/app.ts")


def test_the_guide_names_every_hook() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "CI.md").read_text(encoding="utf-8")
    assert [id for id in HOOKS if f"id: {id}\n" not in guide] == []
