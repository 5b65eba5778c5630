"""`mutate` on a table of a project's own: what its declarations do not try survives."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from supabase_jobs.database.connection import connect
from supabase_jobs.migrations.apply import apply_pending
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import MigrationFiles
from supabase_jobs.sources.project import rendered
from supabase_jobs.verify.structure import snapshot
from tests.fix_db import Make
from tests.mutation.test_mutate import run

NOTES = Path(__file__).parents[1] / "data" / "notes"


@dataclass(frozen=True)
class Project:
    """A folder of sources with its declarations, and a database in which they were applied."""

    folder: Path
    url: str

    def mutate(self, *words: str) -> tuple[int, Any]:
        """Exit code and JSON document."""
        code, out = run("mutate", "--json", "--sql-dir", str(self.folder), "--db-url", self.url, *words)
        return code, json.loads(out)


@pytest.fixture
def project(make_database: Make, tmp_path: Path) -> Project:
    """The notes, applied to a new database, with their recorded structure."""
    folder, url = tmp_path / "sql", make_database("platform").url
    shutil.copytree(NOTES, folder)
    with connect(url) as connection:
        before = snapshot.objects(connection)
        apply_pending(connection, MigrationFiles(rendered(Settings(folder, sql_dir=folder))))
        made = snapshot.objects(connection) - before
        connection.execute("set search_path = ''")
        text = snapshot.dump(snapshot.record(connection, made))
    (folder / snapshot.DEFAULT_FILE.name).write_text(text)
    return Project(folder, url)


def survivors(document: Any) -> list[str]:
    """The ids of what nothing noticed."""
    return [m["id"] for m in document["mutants"] if not m["killed"] and not m["waived"]]


def test_a_good_declaration_lets_none_survive(project: Project) -> None:
    code, document = project.mutate()
    assert (code, survivors(document), document["not_planted"]) == (0, [], [])
    assert document["total"] >= 150
    assert {m["object"] for m in document["mutants"]} == {"public.notes"}


def test_what_a_weak_one_does_not_try_survives(project: Project) -> None:
    """Nobody tries to leave a note to nobody, so a policy that lets a user do that is taken for the same."""
    file = project.folder / "access.toml"
    file.write_text(file.read_text().replace('note = "note_ann", to = "null"', 'note = "note_ann", to = "bob"'))
    file.write_text(file.read_text().replace('note = "note_nobody", to = "null"', 'note = "note_nobody", to = "bob"'))
    code, document = project.mutate()
    assert code == 1
    assert "policies:check-or-null:public.notes:users change their own notes:owner" in survivors(document)


def test_a_policy_that_nothing_has_tried_is_not_taken_for_the_same(project: Project) -> None:
    """Without a matrix only the recorded structure can tell, and it does."""
    (project.folder / "access.toml").unlink()
    assert [name for name in survivors(project.mutate()[1]) if name.startswith("policies:")] == []


def test_only_the_areas_that_were_named_may_notice(project: Project) -> None:
    """What changes nothing for a request is not noticed by the matrix, and a waiver says that it need not be."""
    dropped = "constraints:drop:public.notes:notes_body_check"
    (project.folder / "waivers.toml").write_text(f'[waivers]\n"{dropped}" = "length is a matter of taste"\n')
    code, document = project.mutate("--only", "access")
    assert code == 1
    assert [w["id"] for w in document["waived"]] == [dropped]
    assert {name.partition(":")[0] for m in document["mutants"] for name in m["by"]} == {"access"}
    alive = survivors(document)
    assert "constraints:true:public.notes:notes_body_check" in alive
    assert not any(name.startswith("policies:check-") for name in alive)
    assert project.mutate("--only", "structure")[1]["killed"] > document["killed"]
