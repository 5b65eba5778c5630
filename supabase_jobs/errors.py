"""Exceptions of this package and the exit codes of its commands.

The docstring of a class is its default message. `hint` states what to do; `sqlstate`, `file` and `line` are set if
they are known.
"""

from dataclasses import asdict, dataclass

# the meaning of each exit code, as in `--help` and README
EXIT_CODES = {
    0: "done, nothing wrong",
    1: "verification failed, an audit found a leak, rendered files differ, or a mutant survived",
    2: "wrong usage or configuration",
    3: "`status --exit-code`: migrations are pending",
    4: "drift: an applied file was edited, the database holds versions that the files do not, "
    "or a file would be applied out of order",
    5: "could not get a lock in time, or another runner is active",
    6: "a migration's SQL failed; nothing of that file was kept",
    7: "cannot connect, or the role lacks a privilege",
}


@dataclass(frozen=True)
class Report:
    """An error as `--json` prints it; the field names are part of the CLI contract."""

    code: str
    message: str
    hint: str | None
    sqlstate: str | None
    file: str | None
    line: int | None

    def as_json(self) -> dict[str, object]:
        """The one JSON document of a failed command: `{"error": {...}}`."""
        return {"error": asdict(self)}


class SupabaseJobsError(Exception):
    """The command failed."""

    code = "error"
    exit_code = 2

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        sqlstate: str | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.message = str(self)
        self.hint = hint
        self.sqlstate = sqlstate
        self.file = file
        self.line = line

    def report(self) -> Report:
        """The error as `--json` prints it."""
        return Report(self.code, self.message, self.hint, self.sqlstate, self.file, self.line)


class ConfigError(SupabaseJobsError):
    """The configuration or an option is wrong."""

    code = "config"
    exit_code = 2


class VerificationError(SupabaseJobsError):
    """Verification of the database failed."""

    code = "verification_failed"
    exit_code = 1


class DriftError(SupabaseJobsError):
    """The database and the migration files disagree."""

    code = "drift"
    exit_code = 4


class BusyError(SupabaseJobsError):
    """A lock could not be acquired in time, or another runner is active."""

    code = "busy"
    exit_code = 5


class MigrationError(SupabaseJobsError):
    """A migration's SQL failed; nothing of that file was kept."""

    code = "migration_failed"
    exit_code = 6


class ConnectError(SupabaseJobsError):
    """The database cannot be reached."""

    code = "cannot_connect"
    exit_code = 7


class PrivilegeError(SupabaseJobsError):
    """The role lacks a privilege that this command needs."""

    code = "insufficient_privilege"
    exit_code = 7


class LocalServerError(SupabaseJobsError):
    """The embedded server cannot be started or stopped."""

    code = "local_server"
    exit_code = 7
