"""`render`: variables are quoted, versions sort after existing ones, existing files are never
rewritten.
"""

import errno
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from supabase_jobs.database.parser.statements import split
from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.files import fingerprint, load_sources
from supabase_jobs.sources.render import compare_folder, render_sources, standard_migrations, write


def render(out: Path, sql_dir: Path | None = None, **variables: object) -> list[str]:
    """Render into a folder; returns the names of the new files."""
    sources = load_sources(sql_dir)
    comparison = compare_folder(sources, render_sources(sources, variables), out)
    write(comparison, out)
    return [m.file_name for m in comparison.new]


@pytest.fixture
def sources(tmp_path: Path, root: Path) -> Path:
    """A copy of the sources that a test may change."""
    return Path(shutil.copytree(root / "sql", tmp_path / "sql"))


def test_the_committed_migrations_are_the_rendered_sources(root: Path) -> None:
    loaded = load_sources()
    comparison = compare_folder(
        loaded, render_sources(loaded, {}), root / "supabase" / "migrations"
    )
    assert not comparison.differs
    assert len(comparison.unchanged) == len(loaded.sources)


def test_files_get_standard_versions_and_name_their_source(tmp_path: Path) -> None:
    names = render(tmp_path)
    assert names[0] == "20251108000001_create_guest_users_table.sql"
    for name in names:
        first, body = (tmp_path / name).read_text().split("\n", 1)
        match = re.fullmatch(r"-- supabase-jobs: (\d{3})_(\w+) sha256:([0-9a-f]{64})", first)
        assert match
        assert (match[2] + ".sql", match[3]) == (name.split("_", 1)[1], fingerprint(body))


def test_a_full_disk_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def write_half(path: Path, text: str, **options: Any) -> int:
        write_text(path, text[:10], **options)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(ConfigError, match=r"cannot write .*: No space left on device"):
        render(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_render_writes_nothing(tmp_path: Path) -> None:
    render(tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert render(tmp_path) == []
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("newest", ["20260101120000", "20991231235959", "0001", "3"])
def test_versions_sort_after_the_newest_migration_of_a_project(tmp_path: Path, newest: str) -> None:
    (tmp_path / f"{newest}_users.sql").write_text("select 1;")
    names = render(tmp_path)
    versions = [newest, *(name.split("_")[0] for name in names)]
    assert versions == sorted(set(versions))
    assert all(len(v) == 14 for v in versions[1:])
    assert render(tmp_path) == []
    (tmp_path / "20991231235999_later.sql").write_text("select 2;")
    assert render(tmp_path) == []


def test_no_version_after_the_newest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "99999999999999_last.sql").write_text("select 1;")
    with pytest.raises(ConfigError, match="99999999999999"):
        render(tmp_path)


def test_only_new_sources_are_added(tmp_path: Path, sources: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "20990101000000_users.sql").write_text("select 1;")
    first = render(out, sources)
    (sources / "904_more.sql").write_text("select {{ retention_days }};\n")
    [new] = render(out, sources)
    assert new > max(first)
    assert (out / new).read_text().endswith("\nselect 7;\n")


def test_a_deleted_file_is_rendered_with_its_standard_version(tmp_path: Path) -> None:
    names = render(tmp_path)
    (tmp_path / names[1]).unlink()
    assert render(tmp_path) == [names[1]]


def test_an_existing_file_is_never_rewritten(tmp_path: Path, sources: Path) -> None:
    names = render(tmp_path / "out", sources)
    edited = tmp_path / "out" / names[0]
    edited.write_text(edited.read_text() + "-- by hand\n")
    changed = sources / "002_create_async_jobs_table.sql"
    changed.write_text(changed.read_text().replace("2048", "4096"))
    loaded = load_sources(sources)
    comparison = compare_folder(loaded, render_sources(loaded, {}), tmp_path / "out")
    assert [m.file_name for m in comparison.edited] == [names[0]]
    assert [m.file_name for m in comparison.outdated] == [names[1]]
    assert comparison.new == ()
    write(comparison, tmp_path / "out")
    assert edited.read_text().endswith("-- by hand\n")


@pytest.mark.parametrize("header", ["it's", "x-client-id", "X-Guest-Id", "a`b|c~d", "'", "''"])
def test_a_value_becomes_one_quoted_literal(header: str) -> None:
    loaded = load_sources()
    text = render_sources(loaded, {"guest_header": header})[0].text
    assert "lower('" + header.replace("'", "''") + "')" in text
    assert len(split(text)) == len(split(render_sources(loaded, {})[0].text))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("guest_header", "x; drop table public.async_jobs"),
        ("guest_header", "x$$; drop table t; --"),
        ("guest_header", "x\\"),
        ("guest_header", "x\ny"),
        ("guest_header", "x\x00"),
        ("guest_header", ""),
        ("guest_header", 7),
        ("guest_header", None),
        ("retention_days", "7"),
        ("retention_days", "7; drop table x"),
        ("retention_days", 7.0),
        ("retention_days", True),
        ("retention_days", -1),
        ("retention_days", 2**31),
        ("guest_inactive_days", []),
        ("max_active_jobs_per_guest", -1),
        ("max_active_jobs_per_user", 1001),
        ("owners_may_only_cancel", 1),
        ("retention_dais", 7),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_variable(variable: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        render_sources(load_sources(), {variable: value})
    assert variable in caught.value.message
    assert caught.value.exit_code == 2


def test_an_unknown_variable_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        render_sources(load_sources(), {"retention_dais": 7})
    assert "retention_days" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "template",
    [
        "select {{ nowhere }};",
        "select {{ 'text' }};",
        "select {{ guest_header | upper }};",
        "select {{ 1 + 1 }};",
        "select {{ guest_header ~ retention_days }};",
        "select {{",
        "{% for x in retention_days %}{% endfor %}",
        "{% include 'x' %}",
        "select {{ guest_header.no }};",
    ],
)
def test_a_template_that_prints_anything_unquoted_is_an_error(sources: Path, template: str) -> None:
    (sources / "904_bad.sql").write_text(template)
    loaded = load_sources(sources)
    with pytest.raises(ConfigError) as caught:
        render_sources(loaded, {})
    assert "904_bad.sql" in caught.value.message


def test_text_without_template_syntax_is_unchanged(sources: Path) -> None:
    text = "select '100%', '{not a variable}', $tag$ {# comment #}$tag$;\n"
    (sources / "904_plain.sql").write_text(text)
    rendered = render_sources(load_sources(sources), {})[-1].text
    assert rendered.split("\n", 1)[1] == text.replace("{# comment #}", "")


def test_an_unwritable_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        render(tmp_path / "file" / "migrations")


def test_migrations_in_memory_equal_the_written_files(tmp_path: Path) -> None:
    render(tmp_path)
    loaded = load_sources()
    for migration in standard_migrations(loaded, render_sources(loaded, {})):
        assert (tmp_path / migration.file_name).read_text() == migration.text
