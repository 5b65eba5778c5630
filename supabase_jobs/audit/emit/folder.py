"""Write a suite into a folder: replace its own files, remove those of objects that are gone, and no
others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supabase_jobs.audit.emit.render import FORMATS, is_written
from supabase_jobs.errors import ConfigError


@dataclass(frozen=True)
class Written:
    """The names of the files that were written and removed."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


def write(folder: Path, form: str, files: Mapping[str, str]) -> Written:
    """Write the files. Raises ConfigError (2), before anything is written, if another file has one
    of the names.
    """
    foreign = [
        name for name in files if (folder / name).exists() and not _is_own(folder / name, form)
    ]
    if foreign:
        raise foreign_file(folder / foreign[0], "audit --emit FORMAT DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stale = [
            path
            for path in _candidates(folder, form)
            if path.name not in files and _is_own(path, form)
        ]
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for path in stale:
            path.unlink()
    except OSError as error:
        raise ConfigError(
            f"cannot write into {folder}: {error.strerror}", hint="Choose another folder."
        ) from None
    return Written(tuple(files), tuple(path.name for path in stale))


def foreign_file(path: Path, command: str) -> ConfigError:
    """The error that a file has a name that `command` writes to."""
    return ConfigError(
        f"{path} exists, and supabase-jobs did not write it",
        hint=f"Move this file, or choose another folder: supabase-jobs {command}.",
        file=str(path),
    )


def _candidates(folder: Path, form: str) -> list[Path]:
    return sorted(folder.glob(FORMATS[form].file_name("*")))


def _is_own(path: Path, form: str) -> bool:
    """Whether a file is one that this module wrote."""
    try:
        return is_written(path.read_text(encoding="utf-8"), form)
    except (OSError, UnicodeDecodeError):
        return False
