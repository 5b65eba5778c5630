"""What is remembered of a directory's server (`server.json`), and the lock around changing it."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from supabase_jobs.errors import BusyError, LocalServerError
from supabase_jobs.local import place as places
from supabase_jobs.local.account import Account
from supabase_jobs.local.place import Place

LOCK_TIMEOUT = 120.0  # seconds; a cold start takes one or two, a copy of the programs a few more


@dataclass(frozen=True)
class State:
    """The settings a server was made with. The process itself is found through its data directory.

    `prepared` is false from before the data is made until the database is complete.
    """

    home: Path
    major: int
    port: int
    bin_dir: Path
    postgres_bin: Path | None
    platform: bool
    default_privileges: bool
    settings: dict[str, str]
    password: str = field(repr=False)
    prepared: bool = False

    @property
    def data_dir(self) -> Path:
        """The server's data directory."""
        return self.home / "data"


def load(place: Place) -> State | None:
    """The remembered state; None when there is none.

    The file decides what is executed and deleted, so one that others could have written is refused.
    """
    if not places.exists(place):
        return None
    try:
        handle = os.open(place.state_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        try:
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ValueError("it is not a file that only its owner can read")
            state = _parse(json.load(file))
            if state.home not in place.homes():
                raise ValueError(f"its data would lie in {state.home}")
        except (ValueError, KeyError, TypeError) as error:
            raise LocalServerError(
                f"{place.state_file} is not usable: {error}",
                hint="run `supabase-jobs local reset`; it makes a new, empty database",
            ) from None
    return state


def save(place: Place, state: State) -> None:
    """Write the state, whole or not at all, readable by its owner only."""
    partial = place.state_file.with_suffix(".new")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, default=str, indent=1)
    partial.replace(place.state_file)


def _parse(document: dict[str, object]) -> State:
    postgres_bin = document["postgres_bin"]
    settings = document["settings"]
    if not isinstance(settings, dict):
        raise TypeError("its settings are not a table")
    return State(
        home=Path(str(document["home"])),
        major=int(str(document["major"])),
        port=int(str(document["port"])),
        bin_dir=Path(str(document["bin_dir"])),
        postgres_bin=None if postgres_bin is None else Path(str(postgres_bin)),
        platform=bool(document["platform"]),
        default_privileges=bool(document["default_privileges"]),
        settings={str(name): str(value) for name, value in settings.items()},
        password=str(document["password"]),
        prepared=bool(document["prepared"]),
    )


@contextmanager
def locked(place: Place, account: Account | None) -> Iterator[None]:
    """Hold the directory's lock; with an account the folder is made first.

    Raises BusyError when another process keeps the lock.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        if account is not None:
            places.prepare(place, account)
        try:
            handle = os.open(place.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if account is None or time.monotonic() > deadline:
                raise
            continue  # another process has just removed the folder
        try:
            _wait_for(handle, place, deadline)
            if _same_file(handle, place.lock_file):
                yield
                return
        finally:
            os.close(handle)


def _wait_for(handle: int, place: Place, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another process is starting or stopping the local server of {place.directory}",
                    hint="wait for it to finish and run the command again",
                ) from None
            time.sleep(0.05)
        else:
            return


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
