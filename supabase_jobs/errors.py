"""One root exception and its family; the exit codes of `docs/cli` stand here and nowhere else.

A class docstring is the default message. Each error says what was found and why it matters;
`hint` says what to do. `sqlstate`, `file` and `line` are filled where they are known.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Report:
    """What `--json` prints of an error; the field names are part of the CLI contract."""

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
    """The command could not be carried out."""

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
        """The error as the flat record that `--json` prints."""
        return Report(self.code, self.message, self.hint, self.sqlstate, self.file, self.line)


class ConfigError(SupabaseJobsError):
    """The configuration or an option is wrong."""

    code = "config"
    exit_code = 2


class VerificationError(SupabaseJobsError):
    """The database does not hold what the migrations expectations."""

    code = "verification_failed"
    exit_code = 1


class DriftError(SupabaseJobsError):
    """The database and the migration files disagree."""

    code = "drift"
    exit_code = 4


class BusyError(SupabaseJobsError):
    """Another runner is at work, or a lock could not be had in time."""

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
    """The role lacks a right that this command needs."""

    code = "insufficient_privilege"
    exit_code = 7


class LocalServerError(SupabaseJobsError):
    """The embedded server cannot be started or stopped."""

    code = "local_server"
    exit_code = 7
