"""Answers to a statement in several worlds, and what they say about rows that its caller cannot
read.

The worlds differ in exactly these rows: first their contents are others, then the rows are absent.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

_WORD = re.compile(r"[\w.-]+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_BOOLEANS = {"t", "f", "true", "false"}


class Flow(Enum):
    """The kind of information that flows from the rows to the caller."""

    CONTENTS = "contents"
    DERIVED = "derived"  # a number computed from contents, such as a sum for each user
    IDS = "ids"
    EXISTENCE = "existence"  # whether there is a row, or how many there are of one kind
    TOTAL = "total"  # one number, or a yes or no, about all rows


@dataclass(frozen=True)
class Answer:
    """The answer to a statement: a line for each row, or the SQLSTATE of its error."""

    text: str = ""
    error: str = ""


@dataclass(frozen=True)
class Answers:
    """The answers to one statement: twice in the same world, without the rows, and with `other`
    contents of the rows.
    """

    first: Answer
    again: Answer
    absent: Answer
    other: Answer


def flow(
    answers: Answers, ids: Collection[str], contents: Collection[str], *, is_general: bool
) -> Flow | None:
    """The kind of information that flows, None if none does.

    `ids` and `contents` are those of the rows. `is_general`: nothing that the caller
    passes can identify a row.

    Answers that differ in the same world have a clock, a random value or a sequence in them, and
    say nothing.
    """
    first, absent, other = answers.first, answers.absent, answers.other
    if first != answers.again or first.error:
        return None
    found = None
    # a call without a result that succeeds says yes, and its error says no
    is_yes_or_no = first.text in _BOOLEANS or (not first.text and bool(other.error))
    if first != other and not is_yes_or_no:
        found = _of_contents(first.text, other.text, contents)
    elif first != absent:
        shown = [id_ for id_ in ids if id_ in first.text and id_ not in absent.text]
        found = Flow.IDS if shown else Flow.EXISTENCE
    if found in (Flow.DERIVED, Flow.EXISTENCE) and is_general and _is_about_all(answers):
        return Flow.TOTAL
    return found


def _is_about_all(answers: Answers) -> bool:
    """Whether an answer is one row, also without the refused rows."""
    before, after = (words(a.text) for a in (answers.first, answers.absent))
    return len(before) == len(after) and "\n" not in answers.first.text


def _of_contents(first: str, other: str, contents: Collection[str]) -> Flow:
    """Contents, unless only numbers differ that no row has."""
    changed = Counter(words(first)) - Counter(words(other))
    counted = {number for word in changed if (number := _number(word)) is not None}
    if len(counted) < len(changed):
        return Flow.CONTENTS
    return Flow.CONTENTS if counted & set(map(_number, contents)) else Flow.DERIVED


def words(text: str) -> list[str]:
    """The words of an answer: names, ids and numbers."""
    return _WORD.findall(text)


def has_number(text: str) -> bool:
    """Whether a word of an answer is a number."""
    return any(_number(word) is not None for word in words(text))


def _number(word: str) -> Decimal | None:
    """A word as a number, None if it is none."""
    return Decimal(word).normalize() if _NUMBER.fullmatch(word) else None
