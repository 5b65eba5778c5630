"""supabase/audit.toml: further callers, values of rows that cannot be generated, and excluded
tables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supabase_jobs.audit import words
from supabase_jobs.audit.catalog import Catalog, Relation
from supabase_jobs.audit.policies.parse_trees import is_expression
from supabase_jobs.audit.words import Words
from supabase_jobs.errors import ConfigError
from supabase_jobs.session.caller import Caller
from supabase_jobs.settings import KeyPath, deviation, key_lines, line_of, read_toml, toml_string

DEFAULT_FILE = Path("supabase") / "audit.toml"
# whose identity a caller has: the owner of tenant A, that of tenant B, or a user without rows
USERS = ("stranger", "owner", "newcomer")
# the table of private channels, which is no table of the project
CHANNELS = "realtime.messages"
_SCHEMA = Path(__file__).with_name("audit.schema.json")


@dataclass(frozen=True, kw_only=True)
class DeclaredCaller(Caller):
    """A caller of the file: its claims and headers add to those of its user. `user` is one of
    `USERS`, '' for a request without a user.

    What an `outsider` reaches is a leak; any other caller is trusted, and only the baseline limits
    it.
    """

    user: str
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
    lines = key_lines(path.read_text(encoding="utf-8-sig"))
    if (found := deviation(table, _SCHEMA)) is not None:
        raise _error(path, lines, found.place, found.problem, found.hint)
    configuration = Configuration(
        callers=tuple(_caller(name, entry) for name, entry in table.get("callers", {}).items()),
        rows={name: _expressions(columns) for name, columns in table.get("rows", {}).items()},
        excluded=table.get("excluded", {}),
        words=words.load().with_more(table.get("words", {})),
        file=path,
        lines=lines,
    )
    for name, columns in configuration.rows.items():
        for column, expression in columns.items():
            if not is_expression(expression.text):
                message = f"{column} is not an SQL expression: {expression.text}"
                hint = "A text is written in quotes: \"'draft'\"."
                raise configuration.error(("rows", name, column), message, hint)
    return configuration


def _caller(name: str, entry: Mapping[str, Any]) -> DeclaredCaller:
    role = entry.get("role", "authenticated")
    return DeclaredCaller(
        label=name,
        role=role,
        user=entry.get("user", USERS[0]) if role == "authenticated" else "",
        claims=entry.get("claims", {}),
        headers={header.lower(): value for header, value in entry.get("headers", {}).items()},
        outsider=entry.get("outsider", False),
    )


def _expressions(columns: Mapping[str, str]) -> dict[str, Expression]:
    return {column: Expression(text) for column, text in columns.items()}


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


def _error(
    file: Path, lines: Mapping[KeyPath, int], path: KeyPath, message: str, hint: str | None
) -> ConfigError:
    """An error with the line of a key, or of the table that contains it."""
    line = line_of(lines, path)
    where = f"{file.name}:{line}" if line is not None else file.name
    return ConfigError(f"{where}: {message}", hint=hint, file=str(file), line=line)
