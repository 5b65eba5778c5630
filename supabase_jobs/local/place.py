"""Where the files of one directory's server lie, and the checks that they are ours.

`<directory>/.supabase-jobs/` holds settings, log and lock. The data lies in it too, unless root starts the server
and `nobody` cannot get there: then in a folder below /var/tmp whose name follows from the directory's.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.account import Account

NAME = ".supabase-jobs"


@dataclass(frozen=True)
class Place:
    """The paths that belong to one directory; making this value touches nothing."""

    directory: Path

    @property
    def root(self) -> Path:
        """The folder `.supabase-jobs`."""
        return self.directory / NAME

    @property
    def state_file(self) -> Path:
        """The settings of the server, with the superuser's password; readable by its owner only."""
        return self.root / "server.json"

    @property
    def log_file(self) -> Path:
        """What the server wrote since its last start."""
        return self.root / "server.log"

    @property
    def lock_file(self) -> Path:
        """Held while a server is started, stopped or removed."""
        return self.root / "lock"

    def fallbacks(self) -> list[Path]:
        """The folders that may stand in where the server's account cannot reach the directory."""
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        bases = dict.fromkeys((Path("/var/tmp"), Path(tempfile.gettempdir())))  # noqa: S108 (checked in `_claim`)
        return [base / f"supabase-jobs-{os.geteuid()}-{digest}" for base in bases]

    def homes(self) -> list[Path]:
        """Every folder in which the data of this directory can lie."""
        return [self.root, *self.fallbacks()]


def of(directory: Path) -> Place:
    """The place of a directory, by its absolute path without links."""
    return Place(directory.expanduser().resolve())


def exists(place: Place) -> bool:
    """Whether the directory has a `.supabase-jobs` of ours; raises where it is somebody else's."""
    try:
        found = place.root.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise LocalServerError(f"{place.root} is not a folder", hint="move it away and start again")
    if found.st_uid != os.geteuid():
        raise LocalServerError(
            f"the local server of this directory belongs to another user (uid {found.st_uid}): {place.root}",
            hint="run the command as that user, or work in a directory of your own",
        )
    return True


def prepare(place: Place, account: Account) -> None:
    """Make `.supabase-jobs` where it is missing; git ignores it. Raises OSError, LocalServerError."""
    if not place.directory.is_dir():
        raise LocalServerError(f"no such directory: {place.directory}")
    if not exists(place):
        place.root.mkdir(mode=0o700, exist_ok=True)
        exists(place)
        # root keeps it, the server's account may pass through it to the data
        place.root.chmod(0o711 if account.switches else 0o700)
    ignore = place.root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")


def home_for(place: Place, account: Account) -> Path:
    """The folder for the data of a new server, created where needed.

    Raises LocalServerError when there is none that the account can reach.
    """
    if account.reaches(place.root):
        return place.root
    for folder in place.fallbacks():
        if folder.parent.is_dir() and account.reaches(folder.parent):
            _claim(folder)
            return folder
    raise LocalServerError(
        f"the account `{account.name}`, as which root runs the server, can reach neither {place.directory} "
        "nor a folder for temporary files",
        hint="run the command as an ordinary user, or in a directory that every user may enter",
    )


def _claim(folder: Path) -> None:
    """Make a folder with a predictable name in a shared one; refuse one that somebody else put there."""
    try:
        folder.mkdir(mode=0o711)
        folder.chmod(0o711)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise LocalServerError(
            f"{folder} is there already and is not ours (uid {found.st_uid}); the data would not be safe in it",
            hint=f"find out who made it, then remove it: rm -r {folder}",
        )
