"""Detect edited files: compare a migration file with the statements that were applied."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff
from enum import Enum

from supabase_jobs.parser.syntax import meaning
from supabase_jobs.sources.files import Migration


class Difference(Enum):
    """How a file differs from the statements that were applied."""

    NONE = "none"
    LAYOUT = "layout or comments only"
    MEANING = "meaning"
    UNKNOWN = "unknown, because the ledger does not contain the statements"


def compare(migration: Migration, applied: Sequence[str] | None) -> Difference:
    """Compare a file with the `statements` of its ledger row."""
    if applied is None:
        return Difference.UNKNOWN
    current = _texts(migration)
    if current == list(applied):
        return Difference.NONE
    same = list(_meanings(current)) == list(_meanings(applied))
    return Difference.LAYOUT if same else Difference.MEANING


def diff(migration: Migration, applied: Sequence[str]) -> str:
    """A unified diff from the applied statements to those of the file, each with its semicolon."""

    def lines(statements: Sequence[str]) -> list[str]:
        return "".join(f"{statement};\n\n" for statement in statements).splitlines(keepends=True)

    name = migration.file_name
    return "".join(unified_diff(lines(applied), lines(_texts(migration)), f"{name} as applied", f"{name} now"))


def _texts(migration: Migration) -> list[str]:
    return [statement.text for statement in migration.statements]


def _meanings(statements: Sequence[str]) -> Iterator[str]:
    for statement in statements:
        statement = statement.replace("\r\n", "\n")  # a checkout on Windows also changes function bodies
        parsed = meaning(statement)
        if parsed is None:  # newer than the parser's grammar: compare the text
            yield statement
        elif parsed != "[]":  # "[]" is a comment without a statement
            yield parsed
