"""Settings from `supabase-jobs.toml`, the environment and the options."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.errors import ConfigError

FILE_NAME = "supabase-jobs.toml"
DB_URL_VARIABLE = "SUPABASE_DB_URL"

# `mutate --run` sets them for the pytest plugin
LEARN_VARIABLE = "SUPABASE_JOBS_LEARN"
"""The file that gets a line of JSON: the words of the SQL that each test file sends."""
ORDER_VARIABLE = "SUPABASE_JOBS_ORDER"
"""The test files that come first, as JSON, or REVERSED_ORDER. With a list, the first failed test
ends the run.
"""
REVERSED_ORDER = "reversed"
DEFAULT_MIGRATIONS = Path("supabase") / "migrations"

ALLOWED_SECTIONS = ("allowed_bypasses", "allowed_privileges")
_SCHEMA = Path(__file__).with_name("settings.schema.json")

KeyPath = tuple[str, ...]


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
    may leave unchecked to the reason for it. `result_schemas` maps `result` and `metadata` to JSON
    Schemas of the project. `excluded_sources` names the SQL sources that it does without. `db_url`
    is left out of the repr, because it may contain a password.
    """

    directory: Path
    variables: Mapping[str, object] = field(default_factory=dict)
    allowed: Mapping[str, Mapping[str, AllowedEntry]] = field(default_factory=dict)
    accepted_unchecked: Mapping[str, str] = field(default_factory=dict)
    result_schemas: Mapping[str, Path] = field(default_factory=dict)
    migrations: Path | None = None
    sql_dir: Path | None = None
    excluded_sources: tuple[str, ...] = ()
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
    from_file = read_toml(path) if path.exists() else {}
    variables = from_file.get("variables", {})
    # the manifest of the sources validates the variables
    others = {**from_file, "variables": {}} if isinstance(variables, dict) else from_file
    if from_file:
        validate_toml(path, others, _SCHEMA)
    named = from_file.get("migrations")
    if named is not None and Path(named) == DEFAULT_MIGRATIONS:
        named = None  # it may not exist yet: `render` writes it
    found_migrations = _folder(directory, migrations, named, "migrations")
    if found_migrations is None and (directory / DEFAULT_MIGRATIONS).is_dir():
        found_migrations = directory / DEFAULT_MIGRATIONS
    return Settings(
        directory=directory,
        variables=variables,
        allowed={section: _entries(from_file, section) for section in ALLOWED_SECTIONS},
        accepted_unchecked={
            name: entry.reason for name, entry in _entries(from_file, "accepted_unchecked").items()
        },
        result_schemas=_result_schemas(directory, from_file.get("results", {})),
        migrations=found_migrations,
        sql_dir=_folder(directory, sql_dir, from_file.get("sql_dir"), "sql_dir"),
        excluded_sources=tuple(from_file.get("sources", {}).get("exclude", ())),
        db_url=_database_url(db_url, environ),
    )


def _result_schemas(directory: Path, results: Mapping[str, str]) -> dict[str, Path]:
    columns = {"schema": "result", "metadata_schema": "metadata"}
    return {columns[key]: directory / value for key, value in results.items()}


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


@dataclass(frozen=True)
class Deviation:
    """The worst deviation of a TOML file from its JSON Schema. `path` leads to the value, with the
    title or name of each table of a list; `key` is an unknown key in it.
    """

    path: KeyPath
    problem: str
    hint: str | None = None
    key: str = ""

    @property
    def place(self) -> KeyPath:
        """The path to the value or to the unknown key."""
        return (*self.path, self.key) if self.key else self.path


def validate_toml(path: Path, values: Mapping[str, Any], schema: Path) -> None:
    """Raise ConfigError for the worst deviation of a TOML file from its JSON Schema."""
    found = deviation(values, schema)
    if found is None:
        return
    place = ": ".join([*found.path[:1], *map(repr, found.path[1:])])
    raise ConfigError(
        f"{path.name}: {' '.join(filter(None, (place, found.problem)))}",
        hint=found.hint,
        file=str(path),
        line=line_of(key_lines(path.read_bytes().decode("utf-8-sig")), found.place),
    )


def deviation(values: Mapping[str, Any], schema: Path) -> Deviation | None:
    """The worst deviation of values from a JSON Schema.

    In the schema, `errorMessage` is the problem of a value that deviates; it may contain `{path}`
    and `{name}`, with their format. `x-hint` is a hint.
    """
    from jsonschema import Draft202012Validator  # a tenth of a second
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    error = best_match(validator.iter_errors(values))
    if error is None:
        return None
    path = tuple(_path(values, error.absolute_path))
    if "propertyNames" in error.absolute_schema_path:
        path = (*path, error.instance)
    return _deviation(path, error.validator, error.instance, error.schema, error.message)


def _path(values: Any, steps: Iterable[str | int]) -> Iterator[str]:
    """The keys, and the titles or names of the tables of lists."""
    for step in steps:
        values = values[step]
        if isinstance(step, str):
            yield step
        elif isinstance(values, dict) and (name := values.get("title") or values.get("name")):
            yield str(name)


_TYPES = {"object": "table", "array": "list"}


def _deviation(
    path: tuple[str, ...], rule: str, value: Any, schema: Mapping[str, Any], message: str
) -> Deviation:
    hint = schema.get("x-hint")
    if rule == "additionalProperties":
        known = schema["properties"]
        unknown = min(value.keys() - known)
        hints = (f"Known keys: {', '.join(known)}.", hint)
        return Deviation(
            path, f"unknown key {unknown!r}", " ".join(filter(None, hints)), key=unknown
        )
    if "errorMessage" in schema:
        name = path[-1] if path else ""
        problem = schema["errorMessage"].format(path=".".join(path), name=name)
        return Deviation(path, problem, hint)
    if rule == "type":
        wanted = _TYPES.get(schema["type"], schema["type"])
        return Deviation(path, f"must be a {wanted}, not {type(value).__name__}", hint)
    return Deviation(path, message, hint)


def _entries(values: Mapping[str, Any], section: str) -> dict[str, AllowedEntry]:
    """The entries of a section by name. Each is a reason, or a table with a reason and, for
    something allowed, a SHA-256.
    """
    entries = {}
    for name, value in values.get(section, {}).items():
        entry = value if isinstance(value, dict) else {"reason": value}
        entries[name] = AllowedEntry(entry["reason"], entry.get("sha256"))
    return entries


def toml_string(name: str) -> str:
    """A text as a TOML string, which may also be a key."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of a key, or of the table that contains it."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of each key and table of a TOML text. Keys within inline tables have none."""
    found: dict[KeyPath, int] = {}
    header: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("[") and (path := _path_of(stripped)):
            header = path
        elif "=" in stripped and (path := _path_before_equals(stripped)):
            path = (*header, *path)
        else:
            continue
        for end in range(1, len(path) + 1):
            found.setdefault(path[:end], number)
    return found


def _path_before_equals(line: str) -> KeyPath:
    """The key of a line; the first `=` outside of its quotes ends it."""
    for end in (at for at, char in enumerate(line) if char == "="):
        if path := _path_of(f"{line[:end]} = 0"):
            return path
    return ()


def _path_of(line: str) -> KeyPath:
    """The path of the only key that a line of TOML defines."""
    try:
        table = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    return tuple(_only_keys(table))


def _only_keys(table: Any) -> Iterator[str]:
    while isinstance(table, dict) and len(table) == 1:
        [(key, table)] = table.items()
        yield key


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
