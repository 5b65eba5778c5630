"""The title of a generated test, which states who can do what, and the name of its file."""

import re
from collections.abc import Container
from itertools import chain, count

from supabase_jobs.audit.emit.recording import RecordedAttempt
from supabase_jobs.outcomes import ROWS, is_constraint_violation

_ACTIONS = {
    "select": "read {row} in {object}",
    "insert": "insert {row} into {object}",
    "update": "change {column} of {row} in {object}",
    "delete": "delete {row} from {object}",
    "truncate": "truncate {object}",
    "call": "call {object}",
    "receive": "receive {column} messages",
    "send": "send {column} messages",
    "insert join": "add themselves to the group of another in {object}",
    "insert forge": "insert a row in the name of another into {object}",
    "insert choose": "insert a row of their own with another {column} into {object}",
    "insert below": "insert a row of their own below that of another, by {column}, into {object}",
    "insert name": "insert a row of their own that names another in {column} into {object}",
    "insert add": "add another to their own group in {object}",
    "update accept": "accept an invitation with another role in {object}",
    "insert open": "insert {row} in a state that opens more into {object}",
    "update take over": "take over {row} in {object} by {column}",
}
_WHOSE = {
    "own": "a row of their own",
    "group": "a row of their group",
    "other": "a row of another",
    "none": "a row",
}
# names of files have at most 255 bytes
_MAX_STEM = 120
_OPENED = (ROWS, "touched")


def title(attempt: RecordedAttempt, outcome: str) -> str:
    """The title of a test, such as `stranger cannot read a row of another in notes`."""
    verb, column = attempt.verb, attempt.column
    says = _ACTIONS.get(f"{verb} {attempt.name}") or _ACTIONS.get(verb, f"{verb} {{object}}")
    target = short_name(attempt.object)
    action = says.format(object=target, row=_WHOSE[attempt.whose], column=column or "a column")
    if is_constraint_violation(outcome):
        return f"{attempt.caller.label} can {action}: only a constraint refuses it"
    return f"{attempt.caller.label} {'can' if outcome in _OPENED else 'cannot'} {action}"


def short_name(object_: str) -> str:
    """An object without the schema public."""
    return object_.removeprefix("public.")


def file_stem(object_: str, taken: Container[str]) -> str:
    """A part of a file name for a table, view or function: its name in lower case, with a number if
    that is taken.
    """
    name = short_name(object_)
    stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()[:_MAX_STEM] or "table"
    numbered = (f"{stem}_{number}" for number in count(2))
    return next(name for name in chain([stem], numbered) if name not in taken)
