"""What is remembered of a directory's API (`api.json`): its keys, its port, its two processes."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from supabase_jobs.api.keys import Keys
from supabase_jobs.errors import LocalServerError
from supabase_jobs.local import background
from supabase_jobs.local import place as places
from supabase_jobs.local.place import Place

POSTGREST_MARK = "postgrest.conf"
GATEWAY_MARK = "gateway.json"


@dataclass(frozen=True)
class Processes:
    """PostgREST and the gateway before it, each with the file that is its mark, and PostgREST's database."""

    postgrest: int
    postgrest_mark: Path
    postgrest_port: int
    gateway: int
    gateway_mark: Path
    database_port: int

    def alive(self) -> bool:
        """Whether both live."""
        return background.alive(self.postgrest, self.postgrest_mark) and background.alive(
            self.gateway, self.gateway_mark
        )

    def stop(self) -> bool:
        """Stop whichever lives, remove their settings; says whether there was any."""
        stopped = background.stop(self.gateway, self.gateway_mark)
        stopped = background.stop(self.postgrest, self.postgrest_mark) or stopped
        for mark in (self.postgrest_mark, self.gateway_mark):
            background.clear(mark)
        return stopped


@dataclass(frozen=True)
class ApiState:
    """The keys and the port stay from one start to the next, so that a front end need not be told again."""

    keys: Keys = field(repr=False)
    port: int = 0
    processes: Processes | None = None


def file(place: Place) -> Path:
    """The file, readable by its owner only."""
    return place.root / "api.json"


def load(place: Place) -> ApiState | None:
    """The remembered state; None where there is none. It decides what is stopped, so only our own is believed."""
    if not places.exists(place):
        return None
    try:
        handle = os.open(file(place), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, encoding="utf-8") as opened:
        found = os.fstat(opened.fileno())
        try:
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ValueError("it is not a file that only its owner can read")
            document = json.load(opened)
            return ApiState(Keys(**document["keys"]), int(document["port"]), _processes(document["processes"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LocalServerError(
                f"{file(place)} is not usable: {error}", hint="remove it; the next start makes new keys"
            ) from None


def save(place: Place, state: ApiState) -> None:
    """Write the state, whole or not at all."""
    partial = file(place).with_suffix(".new")
    write_private(partial, json.dumps(asdict(state), default=str, indent=1))
    partial.replace(file(place))


def halt(place: Place) -> bool:
    """Stop what is left of a directory's API, also after a crash; says whether there was anything.

    Keys and port are kept. The caller holds the directory's lock.
    """
    state = load(place)
    stopped = False
    if state is not None and state.processes is not None:
        stopped = state.processes.stop()
        save(place, replace(state, processes=None))
    for mark in marks(place):  # of a start that was killed before it could save them
        stopped = background.clear(mark) or stopped
    return stopped


def marks(place: Place) -> list[Path]:
    """Where a directory's processes can have their marks: only in folders that nobody else can write to."""
    homes = [home for home in place.homes() if home.is_dir() and home.stat().st_uid == os.geteuid()]
    return [home / name for home in homes for name in (POSTGREST_MARK, GATEWAY_MARK)]


def write_private(path: Path, text: str) -> None:
    """Write a new file that only we can read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)


def _processes(document: dict[str, object] | None) -> Processes | None:
    if document is None:
        return None
    return Processes(
        postgrest=int(str(document["postgrest"])),
        postgrest_mark=Path(str(document["postgrest_mark"])),
        postgrest_port=int(str(document["postgrest_port"])),
        gateway=int(str(document["gateway"])),
        gateway_mark=Path(str(document["gateway_mark"])),
        database_port=int(str(document["database_port"])),
    )
