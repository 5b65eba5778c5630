"""Settings from `supabase-jobs.toml`, the environment and the options."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError

FILE_NAME = "supabase-jobs.toml"
DB_URL_VARIABLE = "SUPABASE_DB_URL"
DEFAULT_MIGRATIONS = Path("supabase") / "migrations"

_PATHS = ("migrations", "sql_dir")
ALLOWED_SECTIONS = ("allowed_bypasses", "allowed_privileges")
_REASONS = (*ALLOWED_SECTIONS, "accepted_unchecked")
_TABLES = ("variables", *_REASONS)
_KNOWN = (*_TABLES, *_PATHS)
# former key → new key


@dataclass(frozen=True)
class AllowedEntry:
    """An intended bypass or privilege: the reason, and the SHA-256 of its reviewed definition
    (None: not pinned).
    """

    reason: str
    sha256: str | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of a command; every path is absolute.

    `migrations` and `sql_dir` are None if neither an option nor the file names a folder: the
    packaged sources are used. `allowed` maps `ALLOWED_SECTIONS` to their entries by name: user
    views and functions that bypass row level security on purpose, and intended policies and
    privileges on managed objects. `accepted_unchecked` maps each area or id of a case that `verify`
    may leave unchecked to the reason for it. `db_url` is left out of the repr, because it may
    contain a password.
    """

    directory: Path
    variables: Mapping[str, object] = field(default_factory=dict)
    allowed: Mapping[str, Mapping[str, AllowedEntry]] = field(default_factory=dict)
    accepted_unchecked: Mapping[str, str] = field(default_factory=dict)
    migrations: Path | None = None
    sql_dir: Path | None = None
    db_url: str | None = field(default=None, repr=False)


def load_settings(
    directory: Path,
    environ: Mapping[str, str],
    *,
    db_url: str | None = None,
    migrations: Path | None = None,
    sql_dir: Path | None = None,
) -> Settings:
    """The settings of a command in `directory`: options override the file, and the file overrides
    the defaults.

    Raises ConfigError (exit 2) for a file that is not TOML, an unknown key, a value of the wrong
    type, or a path that does not exist.
    """
    directory = directory.absolute()
    path = directory / FILE_NAME
    from_file = _read(path)
    named = from_file.get("migrations")
    if named is not None and Path(named) == DEFAULT_MIGRATIONS:
        named = None  # it may not exist yet: `render` writes it
    found_migrations = _folder(directory, migrations, named, "migrations")
    if found_migrations is None and (directory / DEFAULT_MIGRATIONS).is_dir():
        found_migrations = directory / DEFAULT_MIGRATIONS
    return Settings(
        directory=directory,
        variables=from_file.get("variables", {}),
        allowed={section: _entries(path, from_file, section) for section in ALLOWED_SECTIONS},
        accepted_unchecked={
            name: entry.reason
            for name, entry in _entries(path, from_file, "accepted_unchecked").items()
        },
        migrations=found_migrations,
        sql_dir=_folder(directory, sql_dir, from_file.get("sql_dir"), "sql_dir"),
        db_url=_database_url(db_url, environ),
    )


def _database_url(option: str | None, environ: Mapping[str, str]) -> str | None:
    """The URL without the blanks around it. An empty variable counts as unset, like a secret that a
    workflow lacks.
    """
    name, url = (
        ("--db-url", option)
        if option is not None
        else (DB_URL_VARIABLE, environ.get(DB_URL_VARIABLE) or None)
    )
    if url is not None and not url.strip():
        raise ConfigError(
            f"{name} is empty", hint="Pass a URL: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    return None if url is None else url.strip()


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; ConfigError names a file that cannot be read or parsed."""
    try:
        return tomllib.loads(
            path.read_bytes().decode("utf-8-sig")
        )  # editors of Windows write a byte order mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}", file=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", file=str(path)) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    values = read_toml(path)
    for key, value in values.items():
        wanted = dict if key in _TABLES else str
        if key not in _KNOWN:
            raise ConfigError(
                f"{FILE_NAME}: unknown key {key!r}",
                hint=f"Known keys: {', '.join(_KNOWN)}. The variables of the SQL belong under"
                " [variables].",
                file=str(path),
            )
        if not isinstance(value, wanted):
            raise ConfigError(
                f"{FILE_NAME}: {key} must be a {'table' if wanted is dict else 'string'}, not"
                f" {type(value).__name__}",
                file=str(path),
            )
    return values


def _entries(path: Path, values: Mapping[str, Any], section: str) -> dict[str, AllowedEntry]:
    """The entries of a section by name. Each is a reason, or a table with a reason and, for
    something allowed, a SHA-256.
    """
    keys = ("reason", "sha256") if section in ALLOWED_SECTIONS else ("reason",)
    entries = {}
    for name, value in values.get(section, {}).items():
        entry = value if isinstance(value, dict) else {"reason": value}
        reason, sha256 = entry.get("reason"), entry.get("sha256")
        if not isinstance(reason, str) or not reason.strip():
            problem, hint = (
                "needs a reason",
                f'Write [{section}.{toml_string(name)}] and below it reason = "…".',
            )
        elif unknown := entry.keys() - set(keys):
            problem, hint = (
                f"has the unknown key {min(unknown)!r}",
                f"Known keys: {', '.join(keys)}.",
            )
        elif sha256 is not None and not (
            isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)
        ):
            problem, hint = (
                "has a sha256 that is not 64 hexadecimal digits",
                "Copy the entry that verify prints.",
            )
        else:
            entries[name] = AllowedEntry(reason, sha256)
            continue
        message = f"{FILE_NAME}: {section}: {name!r} {problem}"
        raise ConfigError(message, hint=hint, file=str(path), line=_line(path, name))
    return entries


def toml_string(name: str) -> str:
    """A text as a TOML string, which may also be a key."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def _line(path: Path, name: str) -> int | None:
    """The first line with the name as a quoted key, if it is written in one of the usual ways."""
    keys = (toml_string(name), f"'{name}'")
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if any(key in line for key in keys):
            return number
    return None


def _folder(directory: Path, option: Path | None, from_file: str | None, name: str) -> Path | None:
    chosen = option if option is not None else from_file
    if chosen is None:
        return None
    path = directory / Path(chosen)
    if not path.is_dir():
        raise ConfigError(
            f"{name}: the folder {path} does not exist",
            hint="Create it, or name an existing folder. If none is named, the packaged SQL is"
            " used.",
        )
    return path
