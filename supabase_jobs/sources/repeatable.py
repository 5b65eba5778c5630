"""The parts of a SQL source that may be applied again, so that a changed variable makes a new version of them.

They stand between a line `--! repeatable` and a line `--! end`; the last of them may go on to the end of the file.
The rest is applied once and never again.
"""

from dataclasses import dataclass

from supabase_jobs.errors import ConfigError

BEGIN, END = "--! repeatable", "--! end"
_HEADER_ONLY = "--! transaction"


@dataclass(frozen=True)
class Parts:
    """A source or a rendered file taken apart: what is applied `once`, and what may be applied `again` (or "")."""

    once: str
    again: str


def parts(text: str, file: str = "") -> Parts:
    """Take a text apart at its marks, which belong to neither part.

    Raises ConfigError, with file and line, for a mark that is none, one that has no counterpart, and repeatable
    parts in a file that runs outside a transaction.
    """
    once: list[str] = []
    again: list[str] = []
    began = 0
    untransacted = False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        mark = line.strip()
        if not mark.startswith("--!"):
            (again if began else once).append(line)
        elif mark == BEGIN and not began:
            began = number
        elif mark == END and began:
            began = 0
        elif mark.startswith(_HEADER_ONLY):
            once.append(line)
            untransacted = untransacted or mark.endswith("false")
        else:
            raise ConfigError(
                f"{file}: {mark!r} has no counterpart, or is no mark",
                hint=f"A part that may be applied again stands between {BEGIN!r} and {END!r}.",
                file=file,
                line=number,
            )
    found = Parts("".join(once), "".join(again))
    if untransacted and found.again:
        raise ConfigError(f"{file}: what runs outside a transaction cannot be repeatable", file=file)
    return found
