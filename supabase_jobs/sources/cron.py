"""Validate the schedule of a pg_cron job, so that a typing error is reported before anything is
applied.
"""

import re

# name, lowest and highest value, and the names of values; weekday 7 is Sunday too
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    (
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    ("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_SHORTHANDS = {
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@reboot",
}
_SECONDS = re.compile(r"([0-9]+) *seconds?", re.IGNORECASE)
_LONGEST_SECONDS = 59
_RANGE = re.compile(r"(?:\*|([0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?)(?:/([0-9]+))?")


def problem(schedule: str) -> str | None:
    """Why pg_cron would refuse a schedule, or never run it; None if it is valid."""
    if schedule in _SHORTHANDS:
        return None
    if schedule.startswith("@"):
        return f"{schedule!r} is none of {', '.join(sorted(_SHORTHANDS))}"
    if match := _SECONDS.fullmatch(schedule):
        valid = 1 <= int(match[1]) <= _LONGEST_SECONDS
        return None if valid else f"an interval has 1 to {_LONGEST_SECONDS} seconds, not {match[1]}"
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return (
            f"{schedule!r} has {len(fields)} fields; cron notation has {len(_FIELDS)},"
            " as in '0 3 * * *'"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        if any(not _valid(part, low, high, names) for part in field.split(",")):
            return (
                f"the {name} {field!r} is not valid: {low} to {high}, *, a range"
                " (1-5), a step (*/10) or a list (1,15)"
            )
    return None


def _valid(part: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = _RANGE.fullmatch(part)
    if match is None:
        return False
    first, last, step = match.groups()
    if step is not None and (int(step) == 0 or (first is not None and last is None)):
        return False
    numbers = [_number(text, low, names) for text in (first, last) if text is not None]
    return all(n is not None and low <= n <= high for n in numbers) and numbers == sorted(
        numbers, key=lambda n: n or 0
    )


def _number(text: str, low: int, names: tuple[str, ...]) -> int | None:
    if text.isdecimal():
        return int(text)
    return names.index(text.lower()) + low if text.lower() in names else None
