"""Phrases of reports. Imports nothing, because `apply` without pending files loads it too."""

from collections.abc import Iterable
from typing import Any


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 finding`, `2 findings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def joined(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = dict.fromkeys(names)
    return f"{', '.join(first)} and {last}" if first else last


def severities(findings: Iterable[Any]) -> str:
    """`1 error, 2 warnings, 3 info, 4 questions`, the most severe first; '' without findings."""
    numbers: dict[str, int] = {"error": 0, "warning": 0, "info": 0, "question": 0}
    for finding in findings:
        numbers[finding.severity] += 1
    return ", ".join(
        f"{number} info" if name == "info" else counted(number, name)
        for name, number in numbers.items()
        if number
    )
