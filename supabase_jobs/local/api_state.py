"""Saved state of a directory's API (`api.json`): its keys, its port and its two processes."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from supabase_jobs.api.keys import Keys
from supabase_jobs.api.signing import SigningKey
from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import directory as directories
from supabase_jobs.local import process
from supabase_jobs.local.directory import ServerDirectory

POSTGREST_CONFIG = "postgrest.conf"
GATEWAY_CONFIG = "gateway.json"


@dataclass(frozen=True)
class Processes:
    """PostgREST and the gateway: process ids, configuration files, PostgREST's port and that of its
    database.
    """

    postgrest: int
    postgrest_config: Path
    postgrest_port: int
    gateway: int
    gateway_config: Path
    database_port: int

    def alive(self) -> bool:
        """Whether both run."""
        return process.alive(self.postgrest, self.postgrest_config) and process.alive(
            self.gateway, self.gateway_config
        )

    def stop(self) -> bool:
        """Stop both and remove their configuration files; whether one of them was running."""
        stopped = process.stop(self.gateway, self.gateway_config)
        stopped = process.stop(self.postgrest, self.postgrest_config) or stopped
        for config_file in (self.postgrest_config, self.gateway_config):
            stop_launched(config_file)
        return stopped


@dataclass(frozen=True)
class ApiState:
    """Keys and port persist across restarts, so that clients keep their configuration."""

    keys: Keys = field(repr=False)
    port: int = 0
    processes: Processes | None = None


def load(directory: ServerDirectory) -> ApiState | None:
    """The saved state; None if there is none. Raises LocalServerError for an unusable file."""
    if not directories.exists(directory):
        return None
    try:
        text = directories.read_private(_file(directory))
        if text is None:
            return None
        document = json.loads(text)
        return ApiState(
            _keys(document["keys"]), int(document["port"]), _processes(document["processes"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LocalServerError(
            f"{_file(directory)} is not usable: {error}",
            hint="remove it; the next start makes new keys",
        ) from None


def save(directory: ServerDirectory, state: ApiState) -> None:
    """Save the state; only its owner can read the file."""
    directories.replace_private(_file(directory), json.dumps(asdict(state), default=str, indent=1))


def stop(directory: ServerDirectory) -> bool:
    """Stop the processes of a directory's API, also after a crash; return whether one of them was
    running.

    Keys and port are kept. The caller holds the directory's lock.
    """
    state = load(directory)
    stopped = False
    if state is not None and state.processes is not None:
        stopped = state.processes.stop()
        save(directory, replace(state, processes=None))
    for config_file in _config_files(
        directory
    ):  # of a start that was killed before it saved the processes
        stopped = stop_launched(config_file) or stopped
    return stopped


def pid_file(config_file: Path) -> Path:
    """The file with the process id of the program that was launched with a configuration file."""
    return config_file.with_suffix(".pid")


def stop_launched(config_file: Path) -> bool:
    """Stop the process launched with a configuration file and remove its files; return whether it
    was running.
    """
    pid, _ = process.read_pid_file(pid_file(config_file), config_file)
    stopped = pid is not None and process.stop(pid, config_file)
    pid_file(config_file).unlink(missing_ok=True)
    config_file.unlink(missing_ok=True)
    return stopped


def _keys(saved: dict[str, Any]) -> Keys:
    signing = tuple(SigningKey(**key) for key in saved.pop("signing", ()))
    return Keys(**saved, signing=signing)


def _file(directory: ServerDirectory) -> Path:
    return directory.root / "api.json"


def _config_files(directory: ServerDirectory) -> list[Path]:
    """The configuration files that the API's processes can have, in folders that only we can write
    to.
    """
    homes = [
        home for home in directory.homes() if home.is_dir() and home.stat().st_uid == os.geteuid()
    ]
    return [home / name for home in homes for name in (POSTGREST_CONFIG, GATEWAY_CONFIG)]


def _processes(document: dict[str, object] | None) -> Processes | None:
    if document is None:
        return None
    return Processes(
        postgrest=int(str(document["postgrest"])),
        postgrest_config=Path(str(document["postgrest_config"])),
        postgrest_port=int(str(document["postgrest_port"])),
        gateway=int(str(document["gateway"])),
        gateway_config=Path(str(document["gateway_config"])),
        database_port=int(str(document["database_port"])),
    )
