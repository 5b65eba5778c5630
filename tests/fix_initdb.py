"""initdb runs once in a process for each installation and superuser; the servers that follow start
from copies of its files, which take a tenth of the time.

tests/local starts servers as users do.
"""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supabase_jobs.local import postgres
from supabase_jobs.local.account import Account
from supabase_jobs.local.binaries import Binaries

_INITDB = postgres._initdb
# of the superuser: initdb writes its password and name into the files
_PASSWORD = SimpleNamespace(token_urlsafe=lambda _length: "of-the-copies")
_NAME = SimpleNamespace(token_hex=lambda length: "0" * 2 * length)


@pytest.fixture(scope="session", autouse=True)
def copies() -> Iterator[None]:
    """The servers that this process starts get copies."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(postgres, "_initdb", partial(_copied, Path(folder)))
        patch.setattr("supabase_jobs.local.server.secrets", _PASSWORD)
        patch.setattr("supabase_jobs.projects.copied.secrets", _NAME)
        yield


def without_copies(patch: pytest.MonkeyPatch) -> None:
    """Each server gets files and a password of its own."""
    patch.setattr(postgres, "_initdb", _INITDB)
    patch.setattr("supabase_jobs.local.server.secrets", secrets)
    patch.setattr("supabase_jobs.projects.copied.secrets", secrets)


def _copied(
    folder: Path, data_dir: Path, binaries: Binaries, account: Account, superuser: str, *more: Any
) -> tuple[int, str]:
    _password_file, locale = more
    # a copy of the programs is the same installation
    installation = str(binaries.package or binaries.bin_dir).strip("/")
    original = folder / installation / f"{binaries.major}-{superuser}-{locale}"
    if not original.exists():
        status, printed = _INITDB(data_dir, binaries, account, superuser, *more)
        if status == 0:
            _copy(data_dir, original)
        return status, printed
    _copy(original, data_dir)
    return 0, ""


def _copy(source: Path, target: Path) -> None:
    """Copy files with their owner and mode, which shutil does not keep."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = shutil.which("cp") or "cp"
    subprocess.run([program, "-a", f"{source}/.", str(target)], check=True)
