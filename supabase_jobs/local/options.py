"""What a caller asks of a server, held against what can be and what is there already."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import binaries as programs
from supabase_jobs.local.account import Account
from supabase_jobs.local.binaries import Binaries
from supabase_jobs.local.state import State

_RESERVED = {
    *("port", "listen_addresses", "unix_socket_directories", "data_directory"),
    *("config_file", "hba_file", "ident_file", "external_pid_file"),
}


@dataclass(frozen=True)
class Wanted:
    """What a caller asks for; None means: as it was made, else the default. Raises ConfigError."""

    major: int | None = None
    postgres_bin: Path | None = None
    port: int | None = None
    platform: bool | None = None
    default_privileges: bool | None = None
    settings: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse what can never be."""
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} does not exist", hint="give one from 1 to 65535")
        if self.platform is False and self.default_privileges:
            raise ConfigError("default privileges are part of the platform, which is switched off")
        for name, value in (self.settings or {}).items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name) or "\0" in value:
                raise ConfigError(f"{name!r} is not a PostgreSQL setting")
            if name.lower() in _RESERVED:
                raise ConfigError(f"the setting {name} is the local server's own and cannot be given")

    def as_before(self, old: State) -> "Wanted":
        """The same, with what is not said taken from the server as it was made."""
        other_version = self.major not in (None, old.major)
        return Wanted(
            major=self.major if self.major or self.postgres_bin else old.major,
            postgres_bin=self.postgres_bin or (None if other_version else old.postgres_bin),
            port=self.port,
            platform=old.platform if self.platform is None else self.platform,
            default_privileges=self._privileges_as_before(old),
            settings=old.settings if self.settings is None else self.settings,
        )

    def _privileges_as_before(self, old: State) -> bool | None:
        if self.default_privileges is not None or self.platform is False:
            return self.default_privileges
        return old.default_privileges if old.platform else None

    def check_against(self, state: State) -> None:
        """Raise ConfigError where the existing data contradicts what is asked for."""
        differences: list[tuple[str, object, object]] = [
            ("PostgreSQL version", self.major, state.major),
            ("--postgres-bin", self.postgres_bin and programs.check_folder(self.postgres_bin), state.postgres_bin),
            ("platform", self.platform, state.platform),
            ("default privileges", self.default_privileges, state.default_privileges),
        ]
        for name, asked, there in differences:
            if asked is not None and asked != there:
                raise ConfigError(
                    f"the local database of this directory was made with {name}: {_shown(there)}, "
                    f"and now {_shown(asked)} is asked for",
                    hint="run `supabase-jobs local reset` with the new option; it makes a new, empty database",
                )

    def check_against_running(self, state: State, port: int) -> None:
        """Raise ConfigError for what only a start can change."""
        hint = "run `supabase-jobs local stop` first (`local reset` also empties the database)"
        if self.port not in (None, port):
            raise ConfigError(f"the local server of this directory runs on port {port}, not on {self.port}", hint=hint)
        if self.settings is not None and {**state.settings, **self.settings} != state.settings:
            raise ConfigError("the local server of this directory runs with other settings", hint=hint)


def find_binaries(major: int | None, postgres_bin: Path | None, account: Account) -> Binaries:
    """The programs for a version, or those of a folder; raises ConfigError, LocalServerError."""
    if postgres_bin is None:
        return programs.embedded(major)
    folder = programs.check_folder(postgres_bin)
    said = account.version_of(folder / "postgres")
    if said is None:
        raise LocalServerError(
            f"the account that runs the server ({account.name}) cannot execute {folder / 'postgres'}",
            hint="give a PostgreSQL that this account may execute, with all its shared libraries",
        )
    found = programs.given(folder, said)
    if major not in (None, found.major):
        raise ConfigError(f"--postgres-bin {postgres_bin} holds PostgreSQL {found.major}, not {major}")
    return found


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
