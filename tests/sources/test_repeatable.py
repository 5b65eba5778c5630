"""Repeatable sections: a changed variable results in a new version, and so do uninstall and
reinstall.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from supabase_jobs.database.parser.statements import split
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import Settings
from supabase_jobs.sources.files import MigrationFiles, load_migrations, load_sources
from supabase_jobs.sources.project import installs_sources
from supabase_jobs.sources.render import (
    FolderComparison,
    compare_folder,
    render_sources,
    render_uninstall,
    standard_migrations,
    uninstall_folder,
    write,
)
from supabase_jobs.sources.repeatable import sections

# variable, another value, and the sources that it changes
CHANGES: list[tuple[str, Any, list[str]]] = [
    ("guest_header", "x-client-id", ["create_guest_users_table"]),
    ("retention_days", 14, ["create_guest_job_functions", "schedule_job_cleanup"]),
    ("guest_inactive_days", 60, ["create_guest_job_functions", "schedule_job_cleanup"]),
    ("cleanup_schedule", "30 4 * * *", ["schedule_job_cleanup"]),
    ("cleanup_batch_size", 500, ["schedule_job_cleanup"]),
    ("max_metadata_bytes", 2048, ["create_async_jobs_table"]),
    ("max_result_bytes", 2048, ["create_async_jobs_table"]),
    ("max_error_bytes", 2048, ["create_async_jobs_table"]),
    ("max_active_jobs_per_guest", 5, ["limit_job_owners"]),
    ("max_active_jobs_per_user", 5, ["limit_job_owners"]),
    ("max_new_jobs_per_guest_per_hour", 5, ["limit_job_owners"]),
    ("owners_may_only_cancel", True, ["limit_job_owners"]),
    ("drop_data", True, []),
]


def compared(
    out: Path, *, reinstall: bool = False, sql_dir: Path | None = None, **variables: Any
) -> FolderComparison:
    """Compare a folder with the packaged sources."""
    sources = load_sources(sql_dir)
    return compare_folder(sources, render_sources(sources, variables), out, reinstall=reinstall)


def render(
    out: Path, *, reinstall: bool = False, sql_dir: Path | None = None, **variables: Any
) -> list[str]:
    """Render into a folder; returns the names of the new files."""
    comparison = compared(out, reinstall=reinstall, sql_dir=sql_dir, **variables)
    write(comparison, out)
    assert not comparison.edited
    assert not comparison.outdated
    return [m.file_name for m in comparison.new]


def uninstall(out: Path, **variables: object) -> FolderComparison:
    """Render the uninstall source into a folder."""
    sources = load_sources()
    comparison = uninstall_folder(sources, render_uninstall(sources, variables), out)
    write(comparison, out)
    return comparison


@pytest.mark.parametrize(("variable", "value", "changed"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_changed_variable_results_in_new_versions(
    tmp_path: Path, variable: str, value: Any, changed: list[str]
) -> None:
    first = render(tmp_path)
    before = {p.name: p.read_text() for p in tmp_path.iterdir()}
    new = render(tmp_path, **{variable: value})
    assert [name.split("_", 1)[1] for name in new] == [f"{stem}_again.sql" for stem in changed]
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p.name in before} == before
    assert sorted([*first, *new]) == [*first, *new]
    assert render(tmp_path, **{variable: value}) == []
    assert not compared(tmp_path, **{variable: value}).differs


def test_variables_are_used_in_repeatable_sections_only() -> None:
    sources = load_sources()
    assert {c[0] for c in CHANGES} == set(sources.variables)
    plain = render_sources(sources, {})
    for variable, value, _ in CHANGES:
        for one, other in zip(plain, render_sources(sources, {variable: value}), strict=True):
            assert one.fixed == other.fixed
            assert (one.text == other.text) == (one.update == other.update)


def test_a_new_version_contains_only_the_repeatable_sections(tmp_path: Path) -> None:
    render(tmp_path)
    [name] = render(tmp_path, guest_header="x-client-id")
    statements = [s.text for s in split((tmp_path / name).read_text())]
    assert len(statements) == 1
    assert "create or replace function private.request_guest_id()" in statements[0]
    assert "lower('x-client-id')" in statements[0]
    migration = next(m for m in load_migrations(tmp_path) if m.file_name == name)
    assert migration.origin is not None
    assert migration.origin[0] == "001_create_guest_users_table"


def test_a_variable_set_back_results_in_one_more_version(tmp_path: Path) -> None:
    render(tmp_path)
    [there] = render(tmp_path, guest_header="x-client-id")
    [back] = render(tmp_path)
    assert back > there
    assert "lower('x-guest-id')" in (tmp_path / back).read_text()
    assert render(tmp_path) == []
    assert compared(tmp_path, guest_header="x-client-id").differs


def test_a_new_version_sorts_after_the_newest_migration_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "20991231235959_users.sql").write_text("select 1;")
    first = render(tmp_path)
    (tmp_path / "20991231235999_later.sql").write_text("select 2;")
    [new] = render(tmp_path, cleanup_schedule="@daily")
    assert new > "20991231235999_later.sql" > max(first)


def test_a_change_outside_repeatable_sections_makes_a_file_outdated(
    tmp_path: Path, root: Path
) -> None:
    sql = Path(shutil.copytree(root / "sql", tmp_path / "sql"))
    out = tmp_path / "out"
    names = render(out, sql_dir=sql)
    source = sql / "001_create_guest_users_table.sql"
    source.write_text(source.read_text() + "select 1;\n")
    comparison = compared(out, sql_dir=sql, guest_header="x-client-id")
    assert comparison.new == ()
    assert [m.file_name for m in comparison.outdated] == [names[0]]


def test_an_update_without_its_original_file_is_outdated(tmp_path: Path) -> None:
    names = render(tmp_path)
    [again] = render(tmp_path, guest_header="x-client-id")
    (tmp_path / names[0]).unlink()
    comparison = compared(tmp_path, guest_header="x-client-id")
    assert [m.file_name for m in comparison.outdated] == [again]


@pytest.mark.parametrize("which", [0, -1], ids=["older", "newest"])
def test_an_edited_file_of_a_source_is_reported(tmp_path: Path, which: int) -> None:
    files = [render(tmp_path)[0], *render(tmp_path, guest_header="x-client-id")]
    edited = tmp_path / files[which]
    edited.write_text(edited.read_text() + "-- by hand\n")
    comparison = compared(tmp_path, guest_header="x-client-id")
    assert [m.file_name for m in comparison.edited] == [files[which]]
    assert comparison.differs
    assert comparison.new == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("select 1;\n--! end\n", 2),
        ("--! repeatable\n--! repeatable\n", 2),
        ("--! repeteable\n", 1),
        ("--! repeatable\n--! end\n--! ending\n", 3),
    ],
)
def test_unknown_and_unpaired_directives_are_errors(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        sections(text, "904_x.sql")
    assert (caught.value.file, caught.value.line) == ("904_x.sql", line)


def test_sections_are_separated_at_the_directives() -> None:
    text = "a\n--! repeatable\nb\n --! end\nc\n--! repeatable\nd"
    assert sections(text) == ("a\nc\n", "b\nd")


def test_a_nontransactional_file_has_no_repeatable_sections() -> None:
    assert sections("--! transaction:false\nvacuum;").repeatable == ""
    with pytest.raises(ConfigError, match="transaction"):
        sections("--! transaction:false\n--! repeatable\nvacuum;")


def test_uninstall_is_one_version_after_all_others(tmp_path: Path) -> None:
    first = render(tmp_path)
    [removal] = uninstall(tmp_path).new
    assert removal.name == "uninstall_async_jobs"
    assert removal.file_name > max(first)
    assert uninstall(tmp_path).new == ()
    with pytest.raises(ConfigError, match="already uninstalls the sources, but its text differs"):
        uninstall(tmp_path, drop_data=True)


def test_after_an_uninstall_only_reinstall_renders(tmp_path: Path) -> None:
    first = render(tmp_path)
    [removal] = uninstall(tmp_path).new
    comparison = compared(tmp_path, retention_days=14)
    assert not comparison.differs
    assert comparison.uninstalled_by is not None
    assert comparison.uninstalled_by.file_name == removal.file_name
    again = render(tmp_path, reinstall=True, retention_days=14)
    assert [n.split("_", 1)[1] for n in again] == [n.split("_", 1)[1] for n in first]
    assert min(again) > removal.file_name
    assert not compared(tmp_path, retention_days=14).differs
    assert render(tmp_path, reinstall=True, retention_days=14) == []
    [second] = uninstall(tmp_path, drop_data=True).new
    assert second.file_name > max(again)


def test_uninstall_needs_rendered_sources_and_an_uninstall_source(
    tmp_path: Path, root: Path
) -> None:
    with pytest.raises(ConfigError, match="nothing to uninstall"):
        uninstall(tmp_path)
    sql = Path(shutil.copytree(root / "sql", tmp_path / "sql"))
    shutil.rmtree(sql / "uninstall")
    with pytest.raises(ConfigError, match="no uninstall source"):
        render_uninstall(load_sources(sql), {})


def test_two_uninstall_sources_are_an_error(tmp_path: Path, root: Path) -> None:
    sql = Path(shutil.copytree(root / "sql", tmp_path / "sql"))
    (sql / "uninstall" / "998_more.sql").write_text("")
    with pytest.raises(ConfigError, match="may contain only one"):
        load_sources(sql)


def test_after_an_uninstall_there_is_nothing_to_verify(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    packaged = standard_migrations(load_sources(), render_sources(load_sources(), {}))
    assert installs_sources(settings, MigrationFiles(packaged))
    render(tmp_path)
    uninstall(tmp_path)
    assert not installs_sources(settings, MigrationFiles(load_migrations(tmp_path)))
    render(tmp_path, reinstall=True)
    assert installs_sources(settings, MigrationFiles(load_migrations(tmp_path)))
    assert not installs_sources(settings, MigrationFiles([]))
