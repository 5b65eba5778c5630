"""Exceptions of this package, each with the exit code of the command that it ends.

The docstring of a class is its default message. `hint` states what to do; `sqlstate`, `file` and
`line` are set if they are known.
"""

from dataclasses import asdict, dataclass

from supabase_jobs.exit_codes import ExitCode


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
    exit_code = ExitCode.USAGE

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
        return Report(
            code=self.code,
            message=self.message,
            hint=self.hint,
            sqlstate=self.sqlstate,
            file=self.file,
            line=self.line,
        )


class ConfigError(SupabaseJobsError):
    """The configuration or an option is wrong."""

    code = "config"
    exit_code = ExitCode.USAGE


class VerificationError(SupabaseJobsError):
    """Verification of the database failed."""

    code = "verification_failed"
    exit_code = ExitCode.FAILED


class DriftError(SupabaseJobsError):
    """The database and the migration files disagree."""

    code = "drift"
    exit_code = ExitCode.DRIFT


class BusyError(SupabaseJobsError):
    """A lock could not be acquired in time, or another runner is active."""

    code = "busy"
    exit_code = ExitCode.BUSY


class MigrationError(SupabaseJobsError):
    """A migration's SQL failed; nothing of that file was kept."""

    code = "migration_failed"
    exit_code = ExitCode.MIGRATION_FAILED


class ConnectError(SupabaseJobsError):
    """The database cannot be reached."""

    code = "cannot_connect"
    exit_code = ExitCode.NO_CONNECTION


class PrivilegeError(SupabaseJobsError):
    """The role lacks a privilege that this command needs."""

    code = "insufficient_privilege"
    exit_code = ExitCode.NO_CONNECTION


class LocalServerError(SupabaseJobsError):
    """The embedded server cannot be started or stopped."""

    code = "local_server"
    exit_code = ExitCode.NO_CONNECTION
