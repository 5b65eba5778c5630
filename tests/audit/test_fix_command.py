"""`audit --fix`: one migration with the proven repairs, whose result has none of the findings."""

import json
import shutil
from pathlib import Path

import pytest

from supabase_jobs.cli.terminal import narrate
from tests.audit.catalogue import PROJECTS, project
from tests.fix_cli import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("embedded")]
OPEN = "projects can be changed blindly"
ANY_TEAM = "comments for members of any team"
# owners read it, too
COPY = "create materialized view public.copies as select * from public.projects;"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the migrations of the project teams."""
    shutil.copytree(PROJECTS / "teams" / "supabase", tmp_path / "teams" / "supabase")
    return tmp_path / "teams"


def plant(folder: Path, *names: str) -> None:
    faults = {fault.name: fault.sql for fault in project("teams").faults}
    text = ";\n".join(faults[name] for name in names)
    (folder / "supabase" / "migrations" / "20250101000000_fault.sql").write_text(text)


def problems(cli: Run, folder: Path) -> list[str]:
    """The ids of errors and warnings."""
    found = json.loads(cli("audit", "--json", cwd=folder).out)["findings"]
    return [f["id"] for f in found if f["severity"] in ("error", "warning")]


def test_the_result_of_the_migration_has_no_finding(cli: Run, folder: Path) -> None:
    known = problems(cli, folder)
    plant(folder, OPEN, ANY_TEAM)
    file = folder / "supabase" / "migrations" / "20250102000000_repairs.sql"
    ran = cli("audit", "--fix", str(file), "--json", cwd=folder)
    assert ran.code == 1
    found = json.loads(ran.out)
    errors = [f["id"] for f in found["findings"] if f["severity"] == "error"]
    assert set(errors) <= set(found["repairs"]["findings"])
    assert found["repairs"]["lost"] == 0
    assert found["repairs"]["closed"] > 0
    assert f"closed {found['repairs']['closed']} cells, lost 0; " in ran.err
    assert "-- write:public.projects:update" in file.read_text()
    # the report is that of the state before
    assert not [f["id"] for f in found["findings"] if (f["file"] or "").endswith(file.name)]
    assert set(problems(cli, folder)) <= set(known)


def test_only_the_repair_of_one_finding(cli: Run, folder: Path) -> None:
    plant(folder, OPEN, ANY_TEAM)
    file = folder / "repairs.sql"
    ran = cli("audit", "--fix", str(file), "--only", "write:public.projects:update", cwd=folder)
    assert ran.code == 1
    text = file.read_text()
    assert "projects" in text
    assert "comments" not in text
    whole = cli("audit", "--fix", str(folder / "all.sql"), cwd=folder)
    decisions = [run.err.splitlines()[-1].partition("; ")[2] for run in (ran, whole)]
    assert decisions[0] == decisions[1], "the other repair is proven too, and needs no decision"


def test_without_a_proven_repair_no_file_is_written(cli: Run, folder: Path) -> None:
    (folder / "supabase" / "migrations" / "20250101000000_copy.sql").write_text(COPY)
    file = folder / "repairs.sql"
    ran = cli("audit", "--fix", str(file), "--only", "view:public.copies:select", cwd=folder)
    assert ran.code == 1
    assert "wrote no repair, since none is proven; " in ran.err
    assert "for 1 each repair takes something from somebody" in ran.err
    assert "-- Tried: it would take: " in ran.out
    assert not file.exists()
    file.write_text("-- of an earlier run")
    again = cli("audit", "--fix", str(file), "--only", "view:public.copies:select", cwd=folder)
    assert f"since none is proven, and left {file} as it is; " in again.err.replace("\n", " ")
    assert file.read_text() == "-- of an earlier run"


def test_the_last_line_says_what_was_written(
    cli: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(folder, OPEN)
    monkeypatch.setattr("supabase_jobs.cli.audit.show_reports", lambda *_: narrate("the report"))
    options = ("--fix", "repairs.sql"), ("--update-baseline",), ("--emit", "pgtap", "tests")
    for option in options:
        before, _, after = cli("audit", *option, cwd=folder).err.partition("the report\n")
        assert "wrote " not in before
        assert after.startswith("wrote ")


def test_options_that_conflict(cli: Run, folder: Path) -> None:
    ran = cli("audit", "--only", "write:public.projects:update", cwd=folder)
    assert (ran.code, "--only needs --fix FILE" in ran.err) == (2, True)
    ran = cli("audit", "--fix", "repairs.sql", "--migrations-from", "main", cwd=folder)
    assert (ran.code, "--fix conflicts with --migrations-from" in ran.err) == (2, True)
