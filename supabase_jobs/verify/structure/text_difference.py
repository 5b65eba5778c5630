"""Show where two long texts differ."""

import unicodedata
from itertools import zip_longest

# texts that are shorter show their difference themselves
_LONG = 60
_AROUND = 12
_SHOWN = 100


def text_difference(actual: str, expected: str) -> str:
    """`; it differs at "…", expected "…"` for two texts that look alike, else ''."""
    if min(len(actual), len(expected)) < _LONG and not _look_equal(actual, expected):
        return ""
    start, end = _common(actual, expected)
    if 2 * (start + end) < max(len(actual), len(expected)):
        return ""
    parts = [_visible(_excerpt(text, start, len(text) - end)) for text in (actual, expected)]
    return f"; it differs at {parts[0]}, expected {parts[1]}"


def body_difference(actual: str, expected: str) -> str:
    """The first line that differs: `line 3 is "…", expected "…"`."""
    pairs = zip_longest(actual.splitlines(), expected.splitlines())
    for number, (is_line, expected_line) in enumerate(pairs, 1):
        if is_line != expected_line:
            return (
                f"line {number} is {_line(is_line, expected_line)}, expected"
                f" {_line(expected_line, is_line)}"
            )
    return "the line ends differ"


def _line(line: str | None, other: str | None) -> str:
    if line is None:
        return "missing"
    stripped = line.strip()
    if other is not None and stripped == other.strip():
        stripped = line  # only white space differs
    start, end = _common(line.strip(), (other or "").strip())
    return _visible(
        stripped if len(stripped) <= _SHOWN else _excerpt(stripped, start, len(stripped) - end)
    )


def _common(left: str, right: str) -> tuple[int, int]:
    """The lengths of the common beginning and of the common end."""
    shorter = min(len(left), len(right))
    start = next((n for n in range(shorter) if left[n] != right[n]), shorter)
    end = next(
        (n for n in range(shorter - start) if left[-1 - n] != right[-1 - n]), shorter - start
    )
    return start, end


def _excerpt(text: str, start: int, end: int) -> str:
    """The part between two offsets with some characters around it, shortened in the middle."""
    first, last = max(start - _AROUND, 0), min(end + _AROUND, len(text))
    part = text[first:last]
    if len(part) > _SHOWN:
        part = f"{part[: _SHOWN // 2]} … {part[-_SHOWN // 2 :]}"
    return ("…" if first else "") + part + ("…" if last < len(text) else "")


def _look_equal(left: str, right: str) -> bool:
    plain, other = (unicodedata.normalize("NFKC", " ".join(text.split())) for text in (left, right))
    return plain == other


def _visible(text: str) -> str:
    """A quoted text in which every character looks unlike another: other alphabets and white space
    are escaped.
    """
    escaped = "".join(
        c if (c.isascii() and c.isprintable()) or c == "…" else ascii(c)[1:-1] for c in text
    )
    return f'"{escaped}"'
