"""`mutate` on user tables: mutants survive that the declarations do not cover."""

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

pytestmark = pytest.mark.slow

NOTES = Path(__file__).parents[1] / "data" / "notes"


@dataclass(frozen=True)
class Project:
    """A folder of sources with its declarations, and a database in which they were applied."""

    folder: Path
    url: str

    def mutate(self, *words: str) -> tuple[int, Any]:
        """Exit code and JSON document."""
        code, out = run(
            "mutate", "--json", "--sql-dir", str(self.folder), "--db-url", self.url, *words
        )
        return code, json.loads(out)


@pytest.fixture
def project(make_database: Make, tmp_path: Path) -> Project:
    """The notes project, applied to a new database, with its recorded structure."""
    folder, url = tmp_path / "sql", make_database("platform").url
    shutil.copytree(NOTES, folder)
    with connect(url) as connection:
        before = snapshot.objects(connection)
        apply_pending(connection, MigrationFiles(rendered(Settings(folder, sql_dir=folder))))
        created = snapshot.objects(connection) - before
        connection.execute("set search_path = ''")
        text = snapshot.dump(snapshot.record(connection, created))
    (folder / snapshot.DEFAULT_FILE.name).write_text(text)
    return Project(folder, url)


def survivors(document: Any) -> list[str]:
    """The ids of the mutants that survived."""
    return [m["id"] for m in document["mutants"] if not m["killed"] and not m["waived"]]


def test_no_mutant_survives_complete_declarations(project: Project) -> None:
    code, document = project.mutate()
    assert (code, survivors(document), document["not_injected"]) == (0, [], [])
    assert document["total"] >= 150
    assert {m["object"] for m in document["mutants"]} == {"public.notes"}


def test_a_mutant_survives_if_no_cell_covers_it(project: Project) -> None:
    """No cell sets an owner to null, so that a policy that allows it counts as equivalent."""
    file = project.folder / "access.toml"
    file.write_text(
        file.read_text().replace('note = "note_ann", to = "null"', 'note = "note_ann", to = "bob"')
    )
    file.write_text(
        file.read_text().replace(
            'note = "note_nobody", to = "null"', 'note = "note_nobody", to = "bob"'
        )
    )
    code, document = project.mutate()
    assert code == 1
    assert "policies:check-or-null:public.notes:users change their own notes:owner" in survivors(
        document
    )


def test_a_policy_without_a_matrix_does_not_count_as_equivalent(project: Project) -> None:
    """Without an access matrix, the recorded structure kills the mutants of policies."""
    (project.folder / "access.toml").unlink()
    assert [name for name in survivors(project.mutate()[1]) if name.startswith("policies:")] == []


def test_only_the_given_areas_kill_mutants(project: Project) -> None:
    """The matrix does not kill a mutant that changes nothing for a request; a waiver accepts one of
    them.
    """
    dropped = "constraints:drop:public.notes:notes_body_check"
    (project.folder / "waivers.toml").write_text(
        f'[waivers]\n"{dropped}" = "any length is accepted"\n'
    )
    code, document = project.mutate("--only", "access")
    assert code == 1
    assert [w["id"] for w in document["waived"]] == [dropped]
    assert {name.partition(":")[0] for m in document["mutants"] for name in m["by"]} == {"access"}
    survived = survivors(document)
    assert "constraints:true:public.notes:notes_body_check" in survived
    assert not any(name.startswith("policies:check-") for name in survived)
    assert project.mutate("--only", "structure")[1]["killed"] > document["killed"]
