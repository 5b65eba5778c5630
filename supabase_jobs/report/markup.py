"""Markdown of texts from a database: escaped, in table cells and in code."""

import re
from collections.abc import Iterable, Sequence

from supabase_jobs.report import printable

# markup of Markdown and HTML; an underscore inside a word is not markup
_MARKUP = re.compile(r"[\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w)")


def block(text: str, language: str = "sql") -> str:
    """A code block; its fence is longer than any run of backquotes inside."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{printable.sql(text)}\n{fence}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(text: str) -> str:
    """A text in one line, escaped for a table cell; an @ would notify a user of that name."""
    line = html(printable.line(text), brackets=False)
    return _MARKUP.sub(lambda match: f"\\{match[0]}", line).replace("@", "&#64;")


def code(text: str) -> str:
    """A code span for a table cell: bars are escaped, and the fence is longer than any run of
    backquotes inside.
    """
    line = printable.line(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else ""


def html(text: str, *, brackets: bool = True) -> str:
    """A text escaped for HTML."""
    text = text.replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;") if brackets else text
