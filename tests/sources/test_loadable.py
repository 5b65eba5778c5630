"""Which files an audit loads, and what it says about them."""

from pathlib import Path

import pytest

from supabase_jobs.sources.loadable import loadable


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "supabase" / "migrations").mkdir(parents=True)
    return tmp_path


def write(project: Path, *names: str, folder: str = "migrations") -> None:
    for name in names:
        file = project / "supabase" / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("select 1;\n")


def found(project: Path) -> tuple[list[str], tuple[str, ...]]:
    result = loadable(project, project / "supabase" / "migrations")
    return [Path(m.label).name for m in result.files.migrations], result.notes


def test_files_of_one_version_are_loaded_in_the_order_of_names(project: Path) -> None:
    write(project, "2_c.sql", "1_b.sql", "1_a.sql")
    names, [note] = found(project)
    assert names == ["1_a.sql", "1_b.sql", "2_c.sql"]
    assert note.startswith("note: several migrations have the version 1, of which")
    assert note.endswith("1_a.sql, 1_b.sql")


def test_a_file_with_a_number_is_loaded_and_one_without_is_skipped(project: Path) -> None:
    write(project, "005_a.sql", "005b_x.sql", "006_b.sql", "fix.sql", "007_c.down.sql")
    names, notes = found(project)
    assert names == ["005_a.sql", "005b_x.sql", "006_b.sql"]
    assert [note.rpartition(": ")[2] for note in notes] == [
        "007_c.down.sql",
        "005b_x.sql",
        "fix.sql",
    ]


def test_files_of_subfolders_count_where_there_are_no_migrations(project: Path) -> None:
    write(project, "b/1_x.sql", "a/2_y.sql", "readme.md")
    names, [note] = found(project)
    assert names == ["2_y.sql", "1_x.sql"]
    assert note.endswith("loaded in the order of names: a/2_y.sql, b/1_x.sql")
    write(project, "3_z.sql")
    assert found(project) == (["3_z.sql"], ())


def test_schemas_are_loaded_where_there_are_no_migrations(project: Path) -> None:
    assert found(project) == ([], ())
    write(project, "b.sql", "a/c.sql", folder="schemas")
    names, [note] = found(project)
    assert names == ["c.sql", "b.sql"]
    assert "no migrations; loaded the schemas instead" in note
    (project / "supabase" / "config.toml").write_text(
        '[db.migrations]\nschema_paths = ["./schemas/b.sql", "./schemas/*/*.sql"]\n'
    )
    assert found(project)[0] == ["b.sql", "c.sql"]
