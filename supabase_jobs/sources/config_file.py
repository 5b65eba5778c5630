"""The configuration file of a Supabase project, read as version 3 of the Supabase CLI reads it."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.env_files import load_env_files

FOLDER = Path("supabase")
CONFIG_TOML = FOLDER / "config.toml"
# the first that exists counts; JSON and JSONC together are an error
CONFIG_FILES = (FOLDER / "config.json", FOLDER / "config.jsonc", CONFIG_TOML)

D = TypeVar("D")

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_REFERENCE = re.compile(r"env\((.*)\)")
_PROJECT_REF = re.compile(r"[a-z]{20}")
_JSON_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)


@dataclass(frozen=True)
class ConfigFile:
    """The keys of a configuration file.

    A variable SUPABASE_SECTION_KEY overrides a key, and `env(NAME)` stands for a variable. A text
    counts as the number, the list with commas, or the true and false that it spells; a number
    other than 0 counts as true.
    """

    path: Path
    document: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def flag(self, *key: str, default: D) -> bool | D:
        """A key that is true or false."""
        value = self._value(*key)
        if value is None:
            return default
        if isinstance(value, int):
            return bool(value)
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise self.error(*key, problem="is neither true nor false")

    def number(self, *key: str, default: D) -> int | D:
        """A key that is a whole number."""
        value = self._value(*key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().isdecimal():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.error(*key, problem="is not a number")

    def names(self, *key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A key that is a list of texts."""
        value = self._value(*key)
        if value is None:
            return default
        if isinstance(value, str):
            return tuple(value.split(",")) if value else ()
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return tuple(self._resolved(name) for name in value)
        raise self.error(*key, problem="is not a list of names")

    def text(self, *key: str, default: D) -> str | D:
        """A key that is a text."""
        value = self._value(*key)
        if value is None or isinstance(value, str):
            return default if value is None else value
        raise self.error(*key, problem="is not a text")

    def table(self, *names: str) -> Mapping[str, Any]:
        """A table; empty if the file lacks it."""
        table = self.document
        for name in names:
            found = table.get(name, {})
            if not isinstance(found, dict):
                raise ConfigError(f"{self.path}: {name} is not a table", file=str(self.path))
            table = found
        return table

    def error(self, *key: str, problem: str, hint: str | None = None) -> ConfigError:
        """The error for the value of a key."""
        *section, name = key
        return ConfigError(
            f"{self.path}: [{'.'.join(section)}] {name} {problem}", hint=hint, file=str(self.path)
        )

    def _value(self, *key: str) -> Any:
        override = self.environ.get("_".join(("SUPABASE", *key)).upper())
        if override:
            return override
        *section, name = key
        value = self.table(*section).get(name)
        return self._resolved(value) if isinstance(value, str) else value

    def _resolved(self, value: str) -> str:
        """The variable that `env(NAME)` stands for; the text itself if there is none."""
        reference = _REFERENCE.fullmatch(value)
        return (self.environ.get(reference[1]) if reference else None) or value


def load_config(project: Path, project_ref: str | None = None) -> ConfigFile:
    """The configuration of a project, with the section of `[remotes]` for a hosted project.

    Raises ConfigError for a file that cannot be read, two files in JSON, or a remote without the
    reference of a project.
    """
    path = _path(project)
    document = _read(path) if path.is_file() else {}
    environ = load_env_files(project, os.environ)
    return ConfigFile(path, _for_project(path, document, project_ref), environ)


def parse_config(text: str, label: str) -> ConfigFile:
    """The configuration in the text of a file, whose language its name tells. The variables of this
    machine do not count.
    """
    return ConfigFile(Path(label), _parse(text, label))


def _path(project: Path) -> Path:
    found = [project / file for file in CONFIG_FILES if (project / file).is_file()]
    json_files = [path for path in found if path.suffix != ".toml"]
    if len(json_files) > 1:
        raise ConfigError(
            f"{project / FOLDER} has both config.json and config.jsonc",
            hint="Delete the file that you do not use.",
            file=str(json_files[1]),
        )
    return found[0] if found else project / CONFIG_TOML


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # editors of Windows write a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not valid UTF-8: {error}", file=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", file=str(path)) from error
    return _parse(text, path.name)


def _parse(text: str, label: str) -> dict[str, Any]:
    language = "TOML" if label.endswith(".toml") else "JSON"
    try:
        document = (
            tomllib.loads(text) if language == "TOML" else json.loads(_without_comments(text))
        )
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{label} is not valid {language}: {error}", file=label) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{label} is not an object", file=label)
    return document


def _without_comments(text: str) -> str:
    """JSON without comments and trailing commas, each line on its number."""
    bare = _JSON_TOKEN.sub(_blanked, text)
    return _TRAILING_COMMA.sub(_blanked, bare)


def _blanked(token: re.Match[str]) -> str:
    return token[0] if token[0].startswith('"') else re.sub(r"[^\r\n]", " ", token[0])


def _for_project(path: Path, document: dict[str, Any], ref: str | None) -> dict[str, Any]:
    """The document with the values of the remote that has the reference of the project."""
    remotes = document.get("remotes", {})
    if not isinstance(remotes, dict):
        raise ConfigError(f"{path}: remotes is not a table", file=str(path))
    names: dict[str, str] = {}
    for name, remote in remotes.items():
        found = remote.get("project_id") if isinstance(remote, dict) else None
        if not isinstance(found, str) or not _PROJECT_REF.fullmatch(found):
            raise ConfigError(
                f"{path}: [remotes.{name}] project_id is not the reference of a project",
                hint="It has 20 letters: abcdefghijklmnopqrst.",
                file=str(path),
            )
        if found in names:
            raise ConfigError(
                f"{path}: [remotes.{name}] and [remotes.{names[found]}] have one project_id",
                file=str(path),
            )
        names[found] = name
    if ref is None or ref not in names:
        return document
    return _merged(document, remotes[names[ref]])


def _merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in other.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
