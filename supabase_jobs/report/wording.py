"""Phrases of reports. Imports nothing, because `apply` without pending files loads it too."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 finding`, `2 findings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
