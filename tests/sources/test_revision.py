"""Migrations of a git revision: subfolders, links, and files that are refused."""

import subprocess
from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources import revision
from tests.checkout import program

SETTINGS = (
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@example.com",
    "-c",
    "init.defaultBranch=main",
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        [program("git"), "-C", str(folder), *SETTINGS, *words], check=True, capture_output=True
    )


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "files")


def test_migrations_are_those_of_the_revision(repository: Path) -> None:
    folder = repository / "a b" / "migrations"
    (folder / "2_folder.sql").mkdir(parents=True)
    (folder / "2_folder.sql" / "x").write_text("")
    (folder / "10_last.sql").write_text("select 'ü';")
    (folder / "1_first: ö.sql").write_text("select 1;")
    (folder / "readme.txt").write_text("")
    (folder / "other.SQL").write_text("")
    commit(repository)
    git(repository, "tag", "--annotate", "--message", "x", "v1")
    (folder / "10_last.sql").write_text("select 2;")
    files = revision.load("v1", folder).migrations(folder)
    assert [(m.version, m.name, m.text) for m in files.migrations] == [
        ("1", "first: ö", "select 1;"),
        ("10", "last", "select 'ü';"),
    ]
    assert files.migrations[0].label == "v1:a b/migrations/1_first: ö.sql"
    assert [path.name for path in files.unrecognized] == ["other.SQL"]


def test_a_folder_that_is_gone_and_the_top_of_the_repository(repository: Path) -> None:
    (repository / "1_a.sql").write_text("select 1;")
    folder = repository / "old" / "migrations"
    folder.mkdir(parents=True)
    (folder / "2_b.sql").write_text("select 2;")
    commit(repository)
    git(repository, "rm", "-r", "old")
    found = revision.load("HEAD", repository)
    assert [m.label for m in found.migrations(repository).migrations] == ["HEAD:1_a.sql"]
    assert [m.version for m in found.migrations(folder).migrations] == ["2"]
    assert found.text(folder / "2_b.sql") == "select 2;"
    assert found.text(folder / "3.toml") is None


def test_links_are_followed_inside_the_revision_only(repository: Path) -> None:
    folder = repository / "migrations"
    folder.mkdir()
    (repository / "shared.sql").write_text("select 1;")
    (folder / "1_link.sql").symlink_to("../shared.sql")
    commit(repository)
    [migration] = revision.load("HEAD", folder).migrations(folder).migrations
    assert migration.text == "select 1;"
    (folder / "2_outside.sql").symlink_to("../../outside.sql")
    commit(repository)
    with pytest.raises(
        ConfigError,
        match=r"2_outside.sql is a link to .*outside.sql, which is no file of the revision",
    ):
        revision.load("HEAD", folder).migrations(folder)


def test_files_that_are_refused(repository: Path) -> None:
    folder = repository / "migrations"
    folder.mkdir()
    (folder / "1_bad.sql").write_bytes(b"select '\xff';")
    commit(repository)
    with pytest.raises(ConfigError, match=r"1_bad.sql is not UTF-8") as caught:
        revision.load("HEAD", folder).migrations(folder)
    assert caught.value.file == "HEAD:migrations/1_bad.sql"
    (folder / "1_bad.sql").write_text("select 1;")
    (folder / "1_again.sql").write_text("select 1;")
    commit(repository)
    with pytest.raises(ConfigError, match="two migrations have the version 1"):
        revision.load("HEAD", folder).migrations(folder)


def test_a_damaged_repository_is_reported_with_the_words_of_git(repository: Path) -> None:
    (repository / "1_a.sql").write_text("select 1;")
    commit(repository)
    (repository / ".git" / "config").write_text("[core\n")
    with pytest.raises(ConfigError, match=r"git rev-parse failed in .*: bad config line 1"):
        revision.load("HEAD", repository)
