"""The directory `.supabase-jobs` of a project: its files, the settings of its server, and its lock.

The data directory is inside it, except when root starts the server and `nobody` cannot enter the
project's directory. In that case it is in a folder below /var/tmp whose name is derived from the
project's path.
"""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from supabase_jobs.errors import BusyError, LocalServerError
from supabase_jobs.local.account import Account

NAME = ".supabase-jobs"
LOCK_TIMEOUT = 120.0  # seconds; a cold start takes one or two, a copy of the programs a few more


@dataclass(frozen=True)
class ServerDirectory:
    """The paths that belong to the server of a project; creating this value touches no file."""

    project: Path

    @property
    def root(self) -> Path:
        """The folder `.supabase-jobs`."""
        return self.project / NAME

    @property
    def settings_file(self) -> Path:
        """The settings of the server, with the superuser's password; readable by its owner only."""
        return self.root / "server.json"

    @property
    def log_file(self) -> Path:
        """The server's log since its last start."""
        return self.root / "server.log"

    @property
    def lock_file(self) -> Path:
        """Locked while the server is started, stopped or removed."""
        return self.root / "lock"

    def fallbacks(self) -> list[Path]:
        """Folders for the data if the server's account cannot enter the project's directory."""
        digest = hashlib.sha256(os.fsencode(self.project)).hexdigest()[:16]
        # both are checked in `_claim`
        bases = dict.fromkeys((Path("/var/tmp"), Path(tempfile.gettempdir())))  # noqa: S108
        return [base / f"supabase-jobs-{os.geteuid()}-{digest}" for base in bases]

    def homes(self) -> list[Path]:
        """All folders that may contain the data directory."""
        return [self.root, *self.fallbacks()]


@dataclass(frozen=True)
class ServerSettings:
    """The settings that a server was created with. Its process is found through the data directory.

    `prepared` is false until the database is complete.
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
    superuser: str
    prepared: bool = False

    @property
    def data_dir(self) -> Path:
        """The server's data directory."""
        return self.home / "data"


def of(project: Path) -> ServerDirectory:
    """The server directory of a project, by its absolute path without links."""
    return ServerDirectory(project.expanduser().resolve())


def exists(directory: ServerDirectory) -> bool:
    """Whether `.supabase-jobs` exists. Raises LocalServerError if it is not a folder or belongs to
    another user.
    """
    try:
        found = directory.root.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise LocalServerError(
            f"{directory.root} is not a folder", hint="move it away and start again"
        )
    if found.st_uid != os.geteuid():
        raise LocalServerError(
            f"the local server of this directory belongs to another user (uid {found.st_uid}):"
            f" {directory.root}",
            hint="run the command as that user, or in a directory that belongs to you",
        )
    return True


def is_own_folder(folder: Path) -> bool:
    """Whether the path is a folder, not a link to one, and belongs to us."""
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def create(directory: ServerDirectory, account: Account) -> None:
    """Create `.supabase-jobs` if missing; git ignores it. Raises OSError, LocalServerError."""
    if not directory.project.is_dir():
        raise LocalServerError(f"no such directory: {directory.project}")
    if not exists(directory):
        directory.root.mkdir(mode=0o700, exist_ok=True)
        exists(directory)
        # root keeps it; the server's account passes through it to the data
        directory.root.chmod(0o711 if account.switches else 0o700)
    ignore = directory.root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")


def home_for(directory: ServerDirectory, account: Account) -> Path:
    """The folder for the data of a new server, created if needed.

    Raises LocalServerError if the account can enter none of the possible folders.
    """
    if account.can_enter(directory.root):
        return directory.root
    for folder in directory.fallbacks():
        if folder.parent.is_dir() and account.can_enter(folder.parent):
            _claim(folder)
            return folder
    raise LocalServerError(
        f"root runs the server as the user `{account.name}`, who can enter neither"
        f" {directory.project} "
        "nor a folder for temporary files",
        hint="run the command as an ordinary user, or in a directory that every user can enter",
    )


def read_private(path: Path) -> str | None:
    """The text of a file that only we can read and write; None if it is missing.

    Its content decides what is executed, stopped and deleted, so links and files that others could
    have written are rejected. Raises ValueError, OSError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ValueError("not only its owner can read and write it")
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Replace a file or link by a new file that only we can read and write."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def replace_private(path: Path, text: str) -> None:
    """Replace a file atomically with one that only we can read and write."""
    partial = path.with_suffix(".new")
    write_private(partial, text)
    partial.replace(path)


def load_settings(directory: ServerDirectory) -> ServerSettings | None:
    """The saved settings of the server; None if there are none. Raises LocalServerError for an
    unusable file.
    """
    if not exists(directory):
        return None
    try:
        text = read_private(directory.settings_file)
        if text is None:
            return None
        settings = _parse(json.loads(text))
        if settings.home not in directory.homes():
            _check_moved(directory, settings.home)
            raise ValueError(f"its data directory would be in {settings.home}")
    except (ValueError, KeyError, TypeError) as error:
        raise LocalServerError(
            f"{directory.settings_file} is not usable: {error}",
            hint="run `supabase-jobs local reset`; it makes a new, empty database",
        ) from None
    return settings


def _check_moved(directory: ServerDirectory, home: Path) -> None:
    """Raise LocalServerError if the data of the server are in another project's folder.

    The server may still run there under its former path, so a start here could be a second one on
    the same data.
    """
    if home.is_absolute() and home.name == NAME:
        raise LocalServerError(
            f"the local server in {directory.project} was made in {home.parent}, and works only"
            " there",
            hint=f"move the folder back to {home.parent}, or run `supabase-jobs local reset`;"
            " it makes a new, empty database",
        )


def save_settings(directory: ServerDirectory, settings: ServerSettings) -> None:
    """Save the settings of the server."""
    replace_private(directory.settings_file, json.dumps(asdict(settings), default=str, indent=1))


@contextmanager
def locked(directory: ServerDirectory, account: Account | None) -> Iterator[None]:
    """Lock the directory; if an account is given, create the directory first.

    Raises BusyError if another process keeps the lock for LOCK_TIMEOUT seconds.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        if account is not None:
            create(directory, account)
        try:
            handle = os.open(
                directory.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except FileNotFoundError:
            if account is None or time.monotonic() > deadline:
                raise
            continue  # another process has just removed the folder
        try:
            _lock(handle, directory, deadline)
            if _same_file(handle, directory.lock_file):
                yield
                return
        finally:
            os.close(handle)


def _claim(folder: Path) -> None:
    """Create a folder with a predictable name in a shared one; reject a folder that another user
    created there.
    """
    try:
        folder.mkdir(mode=0o711)
        folder.chmod(0o711)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise LocalServerError(
            f"{folder} exists and belongs to another user (uid {found.st_uid}) or is writable by"
            " others; "
            "data in it would not be safe",
            hint=f"find out who created it, then remove it: rm -r {folder}",
        )


def _parse(document: dict[str, object]) -> ServerSettings:
    postgres_bin = document["postgres_bin"]
    settings = document["settings"]
    if not isinstance(settings, dict):
        raise TypeError("its settings are not a table")
    return ServerSettings(
        home=Path(str(document["home"])),
        major=int(str(document["major"])),
        port=int(str(document["port"])),
        bin_dir=Path(str(document["bin_dir"])),
        postgres_bin=None if postgres_bin is None else Path(str(postgres_bin)),
        platform=bool(document["platform"]),
        default_privileges=bool(document["default_privileges"]),
        settings={str(name): str(value) for name, value in settings.items()},
        password=str(document["password"]),
        superuser=str(document["superuser"]),
        prepared=bool(document["prepared"]),
    )


def _lock(handle: int, directory: ServerDirectory, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BusyError(
                    "another process is starting or stopping the local server of"
                    f" {directory.project}",
                    hint="run the command again when that process has finished",
                ) from None
            time.sleep(0.05)
        else:
            return


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
