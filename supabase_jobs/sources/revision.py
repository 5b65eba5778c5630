"""Files of a git revision, read from the object database: nothing is checked out."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.files import (
    Migration,
    MigrationFiles,
    is_migration,
    is_sql,
    migrations_of,
    sql_text,
)

_HINT_FOLDER = (
    "Pass a revision of a repository that contains this folder, or a folder of migrations."
)
_TIMEOUT_S = 60
# of `git cat-file --follow-symlinks`: no file of the revision
_LINKS = ("dangling", "symlink", "loop", "notdir")


@dataclass(frozen=True)
class Revision:
    """A commit: the name by which the user called it, and its id. `folder` is any folder in the
    repository.
    """

    name: str
    commit: str
    folder: Path = field(repr=False)

    def migrations(self, folder: Path) -> MigrationFiles:
        """The migrations of a folder of the working tree, as the revision has it.

        Raises ConfigError if the revision has no such folder or no migration in it, and for the
        files that `load_migrations` refuses.
        """
        path = self._path(folder)
        start = f"{path}/" if path else ""  # of the folder at the top
        names = self._names(path)
        texts = self._read([f"{start}{name}" for name in names if is_sql(name)])

        def text(label: str) -> str | None:
            data = texts.get(label.partition(":")[2])
            return (
                None
                if data is None
                else sql_text(data, label.rpartition("/")[2].rpartition(":")[2], label)
            )

        found: list[Migration] = migrations_of(
            [(name, f"{self.name}:{start}{name}") for name in names], text
        )
        if not found:
            raise ConfigError(
                f"the folder {path or '.'} of {self.name} contains no migration", hint=_HINT_FOLDER
            )
        unrecognized = [Path(name) for name in names if is_sql(name) and not is_migration(name)]
        return MigrationFiles(found, unrecognized)

    def text(self, file: Path) -> str | None:
        """The text of a file of the working tree, as the revision has it; None if the revision does
        not have it.
        """
        path = f"{self._path(file.parent)}/{file.name}".removeprefix("/")
        data = self._read([path], required=False).get(path)
        return None if data is None else sql_text(data, file.name, f"{self.name}:{path}")

    def _path(self, folder: Path) -> str:
        """The path of a folder from the top of the repository; the folder itself need not exist any
        more.
        """
        existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        prefix = _git(existing, "rev-parse", "--show-prefix").removesuffix(b"\n")
        parts = [os.fsdecode(prefix).rstrip("/"), folder.relative_to(existing).as_posix()]
        return "/".join(part for part in parts if part not in ("", "."))

    def _names(self, path: str) -> list[str]:
        tree = f"{self.commit}:{path}"
        ran = _run(self.folder, ["ls-tree", "-z", "--full-tree", "--name-only", tree])
        if ran.returncode:
            raise ConfigError(f"{self.name} has no folder {path}", hint=_HINT_FOLDER)
        return sorted(os.fsdecode(name) for name in ran.stdout.split(b"\0") if name)

    def _read(self, paths: Sequence[str], *, required: bool = True) -> dict[str, bytes]:
        """Path → content of the files; folders are left out, and links are followed inside the
        revision.
        """
        asked = [path for path in paths if "\n" not in path]
        lines = b"".join(os.fsencode(f"{self.commit}:{path}\n") for path in asked)
        rest = _git(self.folder, "cat-file", "--batch", "--follow-symlinks", input_=lines)
        found: dict[str, bytes] = {}
        for path in asked:
            header, _, rest = rest.partition(b"\n")
            words = header.split(b" ")
            if words[-1] == b"missing" or len(words) < 2:
                if required:
                    raise ConfigError(f"{self.name}:{path} cannot be read: {os.fsdecode(header)}")
                continue
            size = int(words[-1])
            data, rest = rest[:size], rest[size + 1 :]
            if os.fsdecode(words[0]) in _LINKS:
                raise ConfigError(
                    f"{self.name}:{path} is a link to {os.fsdecode(data)}, which is no file of the"
                    " revision",
                    hint="Compare with a folder: git worktree add ../before REVISION",
                )
            if words[1] == b"blob":
                found[path] = data
        return found


def find(name: str, folder: Path) -> Revision | None:
    """The commit that a name stands for in the repository of a folder; None if there is none.

    Raises ConfigError if there is no git, or the folder is in no repository.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    _git(existing, "rev-parse", "--show-toplevel")
    if name.startswith("-"):
        return None
    ran = _run(existing, ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"])
    return Revision(name, ran.stdout.decode().strip(), existing) if ran.returncode == 0 else None


def load(name: str, folder: Path) -> Revision:
    """The commit that a name stands for; ConfigError if there is none."""
    found = find(name, folder)
    if found is None:
        raise ConfigError(
            f"{name!r} is neither a folder nor a revision of this git repository",
            hint="`git branch --all` lists the branches. A shallow clone lacks most of them: git"
            " fetch origin main,"
            " then pass origin/main.",
        )
    return found


def _git(folder: Path, *words: str, input_: bytes = b"") -> bytes:
    """The output of a git command; ConfigError with git's own words if it fails."""
    ran = _run(folder, words, input_)
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        if "not a git repository" in said:
            raise ConfigError(
                f"{folder} is in no git repository", hint="Pass a folder of migrations instead."
            )
        first, _, more = said.partition("\n")
        raise ConfigError(
            f"git {words[0]} failed in {folder}: {first}", hint=" ".join(more.split()) or None
        )
    return ran.stdout


def _run(
    folder: Path, words: Sequence[str], input_: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    program = shutil.which("git")
    if program is None:
        raise ConfigError(
            "git is not installed", hint="Install git, or pass a folder of migrations."
        )
    environ = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            [program, "-C", str(folder), *words],
            input=input_,
            capture_output=True,
            check=False,
            env=environ,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"git {words[0]} did not finish within {_TIMEOUT_S} s in {folder}"
        ) from None
