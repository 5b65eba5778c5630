"""supabase/audit.toml: further callers, values of rows that cannot be generated, and excluded
tables.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import API_ROLES, Catalog, Relation
from supabase_jobs.audit.expressions import is_expression
from supabase_jobs.audit.words import Words
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import read_toml, toml_string

DEFAULT_FILE = Path("supabase") / "audit.toml"
# whose identity a caller has: the owner of tenant A, that of tenant B, or a user without rows
USERS = ("stranger", "owner", "newcomer")
# the table of private channels, which is no table of the project
CHANNELS = "realtime.messages"
RESERVED = ("anon", "newcomer", "stranger", "owner", "colleague", "service_role")

_KNOWN = ("callers", "rows", "excluded", "words")
_CALLER = ("role", "user", "claims", "headers", "outsider")

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class DeclaredCaller:
    """A kind of request. `user` is one of `USERS`, '' for a request without a user.

    What an `outsider` reaches is a leak; any other caller is trusted, and only the baseline limits
    it.
    """

    name: str
    role: str
    user: str
    claims: Mapping[str, Any]
    headers: Mapping[str, str]
    outsider: bool


@dataclass(frozen=True)
class Expression:
    """An SQL expression as the value of a column."""

    text: str


@dataclass(frozen=True)
class Configuration:
    """The file: `rows` maps tables to columns to expressions, and `excluded` tables to reasons.

    `words` are the lists of words.toml with those of the project.
    """

    callers: tuple[DeclaredCaller, ...] = ()
    rows: Mapping[str, Mapping[str, Expression]] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    words: Words = field(default_factory=words.load)
    file: Path = DEFAULT_FILE
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        """An error about a key, with its line."""
        return _error(self.file, self.lines, path, message, hint)

    def check(self, *catalogs: Catalog) -> None:
        """Raise ConfigError for a table or column that none of the databases has."""
        tables: dict[str, list[Relation]] = {}
        for relation in (r for catalog in catalogs for r in catalog.relations):
            tables.setdefault(relation.label, []).append(relation)
        for name in self.excluded:
            if name not in tables and name != CHANNELS:
                raise self.error(
                    ("excluded", name), f"no table {name!r} in the database", _HINT_NAME
                )
        for name, columns in self.rows.items():
            known = {
                column: None for r in tables.get(name, ()) if r.is_table for column in r.by_name
            }
            if not known:
                raise self.error(("rows", name), f"no table {name!r} in the database", _HINT_NAME)
            for column in columns:
                if column not in known:
                    raise self.error(
                        ("rows", name, column),
                        f"no column {column!r} in {name}",
                        f"Columns: {', '.join(known)}.",
                    )

    def values(self, relation: Relation) -> Mapping[str, Expression]:
        """The declared values of a table's columns."""
        return self.rows.get(relation.label, {})


_HINT_NAME = "Write schema.table."


def load(path: Path) -> Configuration:
    """Read the file. Raises ConfigError with the line for an unknown key, or a value of another
    type or meaning.
    """
    table = read_toml(path)
    lines = _lines(path.read_text(encoding="utf-8"))
    reader = _Reader(path, lines)
    reader.keys((), table, _KNOWN)
    callers = tuple(
        reader.caller(name, entry) for name, entry in reader.table(("callers",), table).items()
    )
    rows = {
        name: reader.expressions(("rows", name), columns)
        for name, columns in reader.table(("rows",), table).items()
    }
    excluded = {
        name: reader.text(("excluded", name), reason, "the reason")
        for name, reason in reader.table(("excluded",), table).items()
    }
    more = reader.table(("words",), table)
    reader.keys(("words",), more, words.NAMES)
    return Configuration(
        callers=callers,
        rows=rows,
        excluded=excluded,
        words=words.load().with_more(
            {name: reader.texts(("words", name), found) for name, found in more.items()}
        ),
        file=path,
        lines=lines,
    )


def lines(table: KeyPath, key: str, value: str, exists: bool) -> str:
    """Text that ends with lines to paste into the file: a key, after the header of its table unless
    that `exists`.
    """
    header = f"[{'.'.join(map(_key, table))}]"
    line = f"{_key(key)} = {toml_string(value)}"
    return (
        f", below {header} in {DEFAULT_FILE}:\n{line}"
        if exists
        else f" in {DEFAULT_FILE}:\n{header}\n{line}"
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_string(name)


class _Reader:
    def __init__(self, path: Path, lines: Mapping[KeyPath, int]) -> None:
        self._path, self._lines = path, lines

    def keys(self, path: KeyPath, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self.error(
                    (*path, key), f"unknown key {key!r}", f"Known keys: {', '.join(known)}."
                )

    def table(self, path: KeyPath, parent: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.table_of(path, parent.get(path[-1], {}))

    def table_of(self, path: KeyPath, found: Any) -> Mapping[str, Any]:
        if not isinstance(found, dict):
            raise self.error(path, f"{'.'.join(path)} must be a table")
        return found

    def text(self, path: KeyPath, value: Any, what: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(path, f"{'.'.join(path)} must be {what}, a text")
        return value

    def texts(self, path: KeyPath, value: Any) -> list[str]:
        if not isinstance(value, list) or not value:
            raise self.error(path, f"{'.'.join(path)} must be a list of words")
        return [self.text(path, word, "a list of words") for word in value]

    def caller(self, name: str, entry: Any) -> DeclaredCaller:
        path = ("callers", name)
        table = self.table_of(path, entry)
        self.keys(path, table, _CALLER)
        if name in RESERVED:
            raise self.error(path, f"the caller {name!r} exists", "Choose another name.")
        role = self._choice((*path, "role"), table.get("role", "authenticated"), API_ROLES)
        signed_in = role == "authenticated"
        if "user" in table and not signed_in:
            raise self.error(
                (*path, "user"),
                f"{role} has no user",
                'Leave out user, or set role = "authenticated".',
            )
        user = (
            self._choice((*path, "user"), table.get("user", USERS[0]), USERS) if signed_in else ""
        )
        outsider = table.get("outsider", False)
        if not isinstance(outsider, bool):
            raise self.error((*path, "outsider"), "outsider must be true or false")
        if outsider and user == "owner":
            raise self.error(
                (*path, "outsider"), "the owner of rows is no outsider", "Leave out outsider."
            )
        headers = self.table((*path, "headers"), table)
        for header, value in headers.items():
            self.text((*path, "headers", header), value, "the value of the header")
        return DeclaredCaller(
            name,
            role,
            user,
            self.table((*path, "claims"), table),
            {h.lower(): v for h, v in headers.items()},
            outsider,
        )

    def expressions(self, path: KeyPath, columns: Any) -> Mapping[str, Expression]:
        table = self.table_of(path, columns)
        return {column: self.expression((*path, column), text) for column, text in table.items()}

    def expression(self, path: KeyPath, value: Any) -> Expression:
        text = self.text(path, value, "an SQL expression")
        if not is_expression(text):
            raise self.error(
                path,
                f"{path[-1]} is not an SQL expression: {text}",
                "A text is written in quotes: \"'draft'\".",
            )
        return Expression(text)

    def _choice(self, path: KeyPath, value: Any, known: tuple[str, ...]) -> str:
        if value not in known:
            raise self.error(path, f"{path[-1]} must be one of: {', '.join(known)}")
        return str(value)

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        return _error(self._path, self._lines, path, message, hint)


def _error(
    file: Path, lines: Mapping[KeyPath, int], path: KeyPath, message: str, hint: str | None
) -> ConfigError:
    """An error with the line of a key, or of the table that contains it."""
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    where = f"{file.name}:{line}" if line is not None else file.name
    return ConfigError(f"{where}: {message}", hint=hint, file=str(file), line=line)


def _lines(text: str) -> dict[KeyPath, int]:
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
