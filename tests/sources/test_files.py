"""Reading sources, migrations and settings, and the errors of malformed files."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import ALLOWED_SECTIONS, Settings, load_settings
from supabase_jobs.sources.files import load_migrations, load_sources
from supabase_jobs.sources.variables import parse_declarations
from tests.programs import unavailable


def write(folder: Path, **files: str) -> None:
    """Write files; `_sql` at the end of a name becomes `.sql`."""
    for name, text in files.items():
        (folder / (name.removesuffix("_sql") + ".sql")).write_text(text)


def test_migrations_are_sorted_by_version_as_text(tmp_path: Path) -> None:
    for name in ("10_b.sql", "9_c.sql", "1_a.sql", "20250101000000_d.sql"):
        (tmp_path / name).write_text("")
    assert [m.version for m in load_migrations(tmp_path)] == ["1", "10", "20250101000000", "9"]


def test_files_without_the_name_of_a_migration_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "1_folder.sql").mkdir()
    for name in ("README.md", "seed.sql", "1_a.SQL", "x1_a.sql", "1-a.sql"):
        (tmp_path / name).write_bytes(b"\xff")
    (tmp_path / "2_a.down.sql").write_text("select 1")
    assert [(m.version, m.name) for m in load_migrations(tmp_path)] == [("2", "a.down")]


def test_two_files_with_the_same_version_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("")
    (tmp_path / "1_b.sql").write_text("")
    with pytest.raises(ConfigError, match=r"1_a\.sql and 1_b\.sql"):
        load_migrations(tmp_path)


def test_the_error_of_a_file_that_is_not_utf8_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_bytes(b"select 1;\n-- caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load_migrations(tmp_path)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "1_a.sql"), 2)


def test_a_fifo_is_an_error_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1_a.sql")
    with pytest.raises(ConfigError, match=r"1_a\.sql is not a regular file") as caught:
        load_migrations(tmp_path)
    assert caught.value.file == str(tmp_path / "1_a.sql")


def test_a_link_to_a_fifo_is_an_error_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "1_a.sql").symlink_to(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_migrations(tmp_path)


def test_a_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("1_a.sql")
        with pytest.raises(ConfigError, match="not a regular file"):
            load_migrations(tmp_path)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("select 1")
    (tmp_path / "1_a.sql").symlink_to(tmp_path / "a")
    assert [m.text for m in load_migrations(tmp_path)] == ["select 1"]


@pytest.mark.parametrize("name", [b"1_caf\xe9.sql", b"caf\xe9.sql", b"1_caf\xe9.SQL"])
def test_a_file_name_that_is_not_utf8_is_an_error(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118  pathlib has no paths of bytes
    with open(path, "wb"):  # noqa: PTH123
        pass
    with pytest.raises(ConfigError, match=r"caf\\xe9\.(sql|SQL) .* is not UTF-8") as caught:
        load_migrations(tmp_path)
    caught.value.message.encode()


_LATIN_1 = "en_US.ISO-8859-1"
_NAME_IN_LOCALE = """
import sys
from pathlib import Path
from supabase_jobs.sources.files import load_migrations

print(sys.getfilesystemencoding(), ascii(load_migrations(Path(sys.argv[1]))[0].name))
"""


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1"])
def test_a_file_name_is_utf8_in_every_locale(tmp_path: Path, encoding: str) -> None:
    with open(os.path.join(os.fsencode(tmp_path), "1_café.sql".encode()), "wb"):  # noqa: PTH118, PTH123
        pass
    locale = {"LC_ALL": "C"}
    if encoding == "iso8859-1":
        if (
            shutil.which("localedef") is None
            or not Path("/usr/share/i18n/charmaps/ISO-8859-1.gz").exists()
        ):
            unavailable("needs localedef and its charmaps")
        made = tmp_path / "locales"
        made.mkdir()
        words = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(made / _LATIN_1)]
        subprocess.run(words, check=True, capture_output=True)
        locale = {"LC_ALL": _LATIN_1, "LOCPATH": str(made)}
    environ = {**os.environ, **locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-c", _NAME_IN_LOCALE, str(tmp_path)]
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert ran.stdout == f"{encoding} 'caf\\xe9'\n", ran.stderr


def test_line_ends_and_byte_order_marks_are_kept(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_bytes(b"\xef\xbb\xbfselect 1;\r\n")
    assert load_migrations(tmp_path)[0].text == "\ufeffselect 1;\r\n"


@pytest.fixture
def sources(tmp_path: Path, root: Path) -> Path:
    """A copy of the sources that a test may change."""
    return Path(shutil.copytree(root / "sql", tmp_path / "sql"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("4_short.sql", "", "4_short.sql"),
        ("003_twice.sql", "", "number 003"),
        ("manifest.toml", "base_version = 2025", "14 digits"),
        ("manifest.toml", "base_version = '20251108000000'", "14 digits"),
        ("manifest.toml", "base_version = 20251108000000\nother = 1", "'other'"),
        ("manifest.toml", "", "base_version"),
        ("manifest.toml", "base_version = ", "not valid TOML"),
        (
            "manifest.toml",
            "base_version = 20251108000000\n[variables.x]\ndefault = 1\nno = 2",
            "'x'",
        ),
        (
            "manifest.toml",
            "base_version = 20251108000000\n[variables.x]\ndefault = 1.5\ndescription = ''",
            "'x'",
        ),
    ],
)
def test_malformed_sources_are_errors(sources: Path, name: str, text: str, message: str) -> None:
    (sources / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_sources(sources)


def test_a_folder_without_manifest_or_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"manifest\.toml"):
        load_sources(tmp_path)
    (tmp_path / "manifest.toml").write_text("base_version = 20251108000000")
    with pytest.raises(ConfigError, match="no source"):
        load_sources(tmp_path)


def test_a_default_out_of_its_limits_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'days'"):
        parse_declarations({"days": {"default": -1, "minimum": 0, "description": "days"}})


def test_options_override_the_file_and_the_file_overrides_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == Settings(
        tmp_path, allowed={section: {} for section in ALLOWED_SECTIONS}
    )
    (tmp_path / "db").mkdir()
    (tmp_path / "supabase" / "migrations").mkdir(parents=True)
    assert load_settings(tmp_path, {}).migrations == tmp_path / "supabase" / "migrations"
    (tmp_path / "supabase-jobs.toml").write_text(
        'migrations = "db"\n[variables]\nretention_days = 9\n'
    )
    given = load_settings(tmp_path, {"SUPABASE_DB_URL": "postgresql://env/"})
    assert (given.migrations, given.variables, given.db_url) == (
        tmp_path / "db",
        {"retention_days": 9},
        "postgresql://env/",
    )
    option = load_settings(
        tmp_path,
        {"SUPABASE_DB_URL": "x"},
        db_url="postgresql://option/",
        migrations=Path("supabase"),
    )
    assert (option.migrations, option.db_url) == (tmp_path / "supabase", "postgresql://option/")
    assert "option" not in repr(option).replace("option/", "") or "postgresql" not in repr(option)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("guest_header = 'x'", "'guest_header'"),
        ("variables = 3", "variables must be a table"),
        ("migrations = 3", "migrations must be a string"),
        ("migrations = 'nowhere'", "nowhere"),
        ("[variables", "not valid TOML"),
    ],
)
def test_malformed_settings_are_errors(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(tmp_path, {})
