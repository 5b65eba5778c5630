"""The exit codes of the commands, in one table; `--help`, docs/reference.md and the classes in
`errors` take them from here.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """An exit code and its meaning."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """The member with this code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done, nothing wrong"
    FAILED = (
        1,
        "verification failed, an audit found a leak, rendered files differ, a mutant survived, or "
        "a squash would lose something",
    )
    USAGE = 2, "wrong usage or configuration"
    PENDING = 3, "`status --exit-code`: migrations are pending"
    DRIFT = (
        4,
        "drift: an applied file was edited, the database holds versions that the files do not, a "
        "file would be applied out of order, or catalogs and migrations differ",
    )
    BUSY = 5, "could not get a lock in time, or another runner is active"
    MIGRATION_FAILED = 6, "a migration's SQL failed; nothing of that file was kept"
    NO_CONNECTION = 7, "cannot connect, or the role lacks a privilege"


def passed(ok: bool) -> ExitCode:
    """The exit code of a command that checks something."""
    return ExitCode.DONE if ok else ExitCode.FAILED
