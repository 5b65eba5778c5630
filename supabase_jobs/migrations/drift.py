"""How a file differs from what the ledger says was applied: not at all, in layout only, or in meaning."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff
from enum import Enum

from supabase_jobs.parser.statements import split
from supabase_jobs.parser.syntax import meaning


class Difference(Enum):
    """What a comparison of two lists of statements comes to."""

    NONE = "none"
    LAYOUT = "layout or comments only"
    MEANING = "meaning"


def compare(text: str, applied: Sequence[str]) -> Difference:
    """Compare a file with the statements that were recorded when it was applied."""
    ours = [statement.text for statement in split(text)]
    if ours == list(applied):
        return Difference.NONE
    same = list(_meanings(ours)) == list(_meanings(applied))
    return Difference.LAYOUT if same else Difference.MEANING


def diff(text: str, applied: Sequence[str], name: str) -> str:
    """A unified diff from what was applied to what the file says, statement ends restored."""

    def lines(statements: Sequence[str]) -> list[str]:
        return "".join(f"{statement};\n\n" for statement in statements).splitlines(keepends=True)

    ours = [statement.text for statement in split(text)]
    return "".join(unified_diff(lines(applied), lines(ours), f"{name} as applied", f"{name} now"))


def _meanings(statements: Sequence[str]) -> Iterator[str]:
    for statement in statements:
        statement = statement.replace("\r\n", "\n")  # a checkout on Windows; it would also be in function bodies
        sense = meaning(statement)
        if sense is None:  # newer than the parser's grammar: then its text is all there is to compare
            yield statement
        elif sense != "[]":  # only comment
            yield sense
