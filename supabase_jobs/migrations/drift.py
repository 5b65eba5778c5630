"""Detect edited files: compare a migration file with the statements that were applied."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff
from enum import Enum

from supabase_jobs.database.parser.statements import after_separator, split
from supabase_jobs.database.parser.syntax import meaning
from supabase_jobs.sources.files import Migration


class Difference(Enum):
    """How a file differs from the statements that were applied."""

    NONE = "none"
    LAYOUT = "layout or comments only"
    MEANING = "meaning"
    UNKNOWN = "unknown, because the ledger does not contain the statements"


def compare(migration: Migration, applied: Sequence[str] | None) -> Difference:
    """Compare a file with the `statements` of its ledger row, as a whole.

    The pieces of the row are not compared one by one, because each version of the Supabase CLI
    splits some files differently.
    """
    if applied is None:
        return Difference.UNKNOWN
    if _consists_of(migration.text, applied):
        return Difference.NONE
    same = list(meanings(_texts(migration))) == list(meanings(whole_statements(applied)))
    return Difference.LAYOUT if same else Difference.MEANING


def diff(migration: Migration, applied: Sequence[str]) -> str:
    """A unified diff from the applied statements to those of the file, each with its semicolon."""

    name = migration.file_name
    before = text_of(whole_statements(applied)).splitlines(keepends=True)
    after = text_of(_texts(migration)).splitlines(keepends=True)
    return "".join(unified_diff(before, after, f"{name} as applied", f"{name} now"))


def text_of(statements: Sequence[str]) -> str:
    """The text of a migration file with these statements."""
    return "".join(f"{statement}{_end_of(statement)}\n\n" for statement in statements)


def _end_of(statement: str) -> str:
    # a line comment at the end would swallow the semicolon
    return "\n;" if "--" in statement.rpartition("\n")[2] else ";"


def _consists_of(text: str, pieces: Sequence[str]) -> bool:
    """Whether a text is the pieces in their order, separated by `;` and white space only."""
    at = 0
    for number, piece in enumerate(pieces):
        start = after_separator(text, at)
        if not text.startswith(piece, start) or (number and ";" not in text[at:start]):
            return False
        at = start + len(piece)
    return after_separator(text, at) == len(text)


def whole_statements(pieces: Sequence[str]) -> list[str]:
    """The statements of a ledger row, even if it was split inside a statement."""
    # on a line of its own, because a piece may end in a line comment
    return [statement.text for statement in split("\n;\n".join(pieces))]


def _texts(migration: Migration) -> list[str]:
    return [statement.text for statement in migration.statements]


def meanings(statements: Sequence[str]) -> Iterator[str]:
    """Texts that are equal for statements of the same meaning; none for a comment."""
    for statement in statements:
        statement = statement.replace(
            "\r\n", "\n"
        )  # a checkout on Windows also changes function bodies
        parsed = meaning(statement)
        if parsed is None:  # newer than the parser's grammar: compare the text
            yield statement
        elif parsed != "[]":  # "[]" is a comment without a statement
            yield parsed
