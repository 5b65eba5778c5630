"""The variables of a project's .env files, in the order of the Supabase CLI."""

import re
from collections.abc import Mapping
from pathlib import Path

from supabase_jobs.errors import ConfigError

_ENVIRONMENT_VARIABLE = "SUPABASE_ENV"
_ASSIGNMENT = re.compile(
    r"""
    [^\S\n]* (?:export[^\S\n]+)? (?P<name>[\w.-]+) [^\S\n]* [=:] [^\S\n]*
    (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:\\.|[^"\\])*)" | (?P<bare>[^\n]*?) )
    [^\S\n]* (?:(?<=\s)\#[^\n]*|(?<=["'])\#[^\n]*)? (?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r"}


def load_env_files(project: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process, then those of the files below supabase/ and of the folder.

    The first value of a name counts. Raises ConfigError for a line that assigns nothing.
    """
    values = dict(environ)
    names = _file_names(environ.get(_ENVIRONMENT_VARIABLE) or "development")
    for folder in (project / "supabase", project):
        for name in names:
            path = folder / name
            if path.is_file():
                values = {**_parse(path), **values}
    return values


def _file_names(environment: str) -> list[str]:
    local = [] if environment == "test" else [".env.local"]
    return [f".env.{environment}.local", *local, f".env.{environment}", ".env"]


def _parse(path: Path) -> dict[str, str]:
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}", file=str(path)) from error
    values: dict[str, str] = {}
    place = 0
    while place < len(text):
        blank = _BLANK.match(text, place)
        found = blank or _ASSIGNMENT.match(text, place)
        if found is None:
            line = text.count("\n", 0, place) + 1
            raise ConfigError(
                f"{path}, line {line}: this line assigns no variable", file=str(path), line=line
            )
        if blank is None:
            values[found["name"]] = _value(found)
        place = found.end()
    return values


def _value(found: re.Match[str]) -> str:
    if found["literal"] is not None:
        return str(found["literal"])
    if found["quoted"] is not None:
        return re.sub(
            r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), str(found["quoted"])
        )
    return str(found["bare"])
