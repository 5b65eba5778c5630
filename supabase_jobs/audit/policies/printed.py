"""Conditions as the server prints them: the operands of AND and OR."""

from collections.abc import Iterator
from functools import lru_cache


def operands(text: str, operator: str) -> list[str]:
    """The operands of AND or OR, as the server prints an expression, or `alternatives`: each in
    parentheses of its own, or a call. The expression itself if another operator is its outermost
    one.
    """
    return [*_split(text, operator)]


@lru_cache(maxsize=4096)  # each trial of a repair asks about the conditions of all other policies
def _split(text: str, operator: str) -> tuple[str, ...]:
    inner = text.strip()
    while _is_enclosed(inner):
        inner = inner[1:-1].strip()
    found, start = list[str](), 0
    written = f" {operator} ", f" {operator.lower()} "
    for at, depth in outside_quotes(inner):
        if depth == 0 and inner.startswith(written, at):
            found.append(inner[start:at].strip())
            start = at + len(operator) + 2
    return *found, inner[start:].strip()


def alternatives(text: str, limit: int) -> list[str]:
    """The conditions each of which suffices for an expression: the operands of OR, also of one
    below AND. The expression itself if they are more than the limit.
    """
    parts = operands(text, "OR")
    if len(parts) > 1:
        found = [one for part in parts for one in alternatives(part, limit)]
        return list(dict.fromkeys(found)) if len(found) <= limit else [text]
    chosen: list[tuple[str, ...]] = [()]
    for part in operands(text, "AND"):
        inner = operands(part, "OR")
        each = alternatives(part, limit) if len(inner) > 1 else [part]
        chosen = [(*one, other) for one in chosen for other in each]
    if not 1 < len(chosen) <= limit:
        return [text]
    return [" and ".join(map("({})".format, one)) for one in chosen]


def _is_enclosed(text: str) -> bool:
    """Whether one pair of parentheses encloses a text."""
    if not text.startswith("("):
        return False
    closed = next((at for at, depth in outside_quotes(text) if at > 0 and depth == 0), None)
    return closed == len(text) - 1


def outside_quotes(text: str) -> Iterator[tuple[int, int]]:
    """The position of each character outside of quotes, and the open parentheses after it."""
    depth, quote = 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
            continue
        if char in "'\"":
            quote = char
            continue
        depth += (char == "(") - (char == ")")
        yield at, depth
