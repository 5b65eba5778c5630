"""Texts from a database in one line, or with their control characters escaped."""

import re

# control characters, and those that change the direction of writing; names in a database can
# contain them
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """A text with its control characters escaped, as in `\\x1b`; line ends are kept."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def sql(fix: str) -> str:
    """A fix with its control characters escaped, except tabs, which belong to its layout."""
    return "\t".join(map(visible, fix.split("\t")))


def line(text: str) -> str:
    """A text in one line, so that no part of it looks like another line of the report."""
    return " ".join(visible(text).split())
