"""Find, parse, number and fingerprint SQL files. Knows no database.

Two kinds: *sources* (`sql/001_….sql`, Jinja templates with a manifest) and *migrations* (what the
Supabase CLI applies: `supabase/migrations/20251108000001_….sql`).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import read_toml
from supabase_jobs.sources.variables import Variable, parse_declarations

MANIFEST = "manifest.toml"
UNINSTALL = "uninstall"

_SOURCE = re.compile(r"([0-9]{3})_([a-z0-9_]+)\.sql")
# what the Supabase CLI takes for a migration; it looks at nothing else, and not into folders
_MIGRATION = re.compile(r"([0-9]+)_(.*)\.sql")
_DIRECTIVE = re.compile(r"--! *([a-z_]+) *: *(.*)")
# the Supabase CLI's own way to say the same, on the first line
_CLI_DIRECTIVE = "-- pg-delta: transaction=false"
# also where an editor has given the file other line ends or a byte order mark: it is ours, and edited
_ORIGIN = re.compile(r"\ufeff?-- supabase-jobs: (\S+) sha256:([0-9a-f]{64})\r?\n")


@dataclass(frozen=True)
class Source:
    """A template: `stem` is `002_create_async_jobs_table`, `name` the stem without its number."""

    number: int
    name: str
    text: str

    @property
    def stem(self) -> str:
        """The file name without its suffix; this is what a rendered file is recognised by."""
        return f"{self.number:03d}_{self.name}"


@dataclass(frozen=True)
class SourceSet:
    """A folder of sources with the manifest that says how they are numbered and what varies."""

    directory: Path
    base_version: int
    variables: dict[str, Variable]
    sources: tuple[Source, ...]
    # what takes all of it away again, where the folder has it: the one source in its folder `uninstall`
    uninstall: Source | None = None

    def standard_version(self, source: Source) -> str:
        """The 14-digit version that a source has in a project without other migrations."""
        return f"{self.base_version + source.number:014d}"


@dataclass(frozen=True)
class Migration:
    """A migration file; `label` is how messages call it: its path, or its name for one in memory.

    `origin` is (source stem, fingerprint) from its first line where supabase-jobs rendered it.
    """

    version: str
    name: str
    text: str
    label: str

    @property
    def origin(self) -> tuple[str, str] | None:
        """Which source this was rendered from and the fingerprint of that rendering, or None."""
        found = _ORIGIN.match(self.text)
        return (found[1], found[2]) if found else None

    @property
    def body(self) -> str:
        """The text without the line that names its origin."""
        return _ORIGIN.sub("", self.text, count=1) if self.origin else self.text

    @property
    def directives(self) -> list[tuple[int, str, str]]:
        """(line, name, value) of the `--! name:value` lines in the header: the comments that the file starts with."""
        found = []
        for number, line in enumerate(self.text.removeprefix("\ufeff").splitlines(), 1):
            line = line.strip()
            if line and not line.startswith("--"):
                break
            if line == _CLI_DIRECTIVE and number == 1:
                found.append((number, "transaction", "false"))
            elif directive := _DIRECTIVE.fullmatch(line):
                found.append((number, directive[1], directive[2]))
        return found

    @property
    def transactional(self) -> bool:
        """False where the file's header says `--! transaction:false`."""
        return ("transaction", "false") not in [(name, value) for _, name, value in self.directives]

    @property
    def file_name(self) -> str:
        """`VERSION_NAME.sql`, as it lies in supabase/migrations."""
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True)
class Files:
    """The migrations of a project, and the `.sql` files beside them that are none by their name."""

    migrations: Sequence[Migration]
    strays: Sequence[Path] = ()


def fingerprint(text: str) -> str:
    """SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def origin_line(stem: str, body: str) -> str:
    """The first line of a rendered file: which source it came from, and the fingerprint of the rest."""
    return f"-- supabase-jobs: {stem} sha256:{fingerprint(body)}\n"


def packaged_sql() -> Path:
    """The folder of sources that the package ships: inside a wheel, or beside it in a checkout."""
    package = Path(str(resources.files("supabase_jobs")))
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


def load_sources(directory: Path | None = None) -> SourceSet:
    """The sources of a folder (default: the packaged ones), in order of their numbers.

    Raises ConfigError for a missing or malformed manifest, an `.sql` file whose name is not
    `NNN_lower_case.sql`, a number used twice, no source at all, two that uninstall, or a file that is not UTF-8.
    """
    directory = directory or packaged_sql()
    manifest_path = directory / MANIFEST
    if not manifest_path.is_file():
        raise ConfigError(
            f"{directory} has no {MANIFEST}",
            hint="A folder of sources declares its base_version and its variables there.",
        )
    manifest = read_toml(manifest_path)
    base = manifest.pop("base_version", None)
    if type(base) is not int or len(str(base)) != 14:
        raise ConfigError(f"{MANIFEST}: base_version must be an integer of 14 digits", file=str(manifest_path))
    variables = parse_declarations(manifest.pop("variables", {}))
    if manifest:
        raise ConfigError(f"{MANIFEST}: unknown key {next(iter(manifest))!r}", file=str(manifest_path))

    sources = _sources(directory)
    if not sources:
        raise ConfigError(f"{directory} holds no source named NNN_lower_case.sql")
    uninstall = _sources(directory / UNINSTALL)
    if len(uninstall) > 1:
        raise ConfigError(f"{directory / UNINSTALL} holds {len(uninstall)} sources, and may hold one")
    return SourceSet(directory, base, variables, sources, uninstall[0] if uninstall else None)


def _sources(directory: Path) -> tuple[Source, ...]:
    sources: dict[int, Source] = {}
    for path in sorted(directory.glob("*.sql")):
        found = _SOURCE.fullmatch(path.name)
        if not found:
            raise ConfigError(f"{path.name} is not named NNN_lower_case.sql", file=str(path))
        number = int(found[1])
        if number in sources:
            raise ConfigError(f"two sources have the number {found[1]}: {sources[number].stem}, {path.stem}")
        sources[number] = Source(number, found[2], read_sql(path))
    return tuple(sources.values())


def load_migrations(directory: Path) -> list[Migration]:
    """The migrations of a folder by version (as text, like the ledger); other files are not looked at.

    Raises ConfigError for a file that cannot be read as UTF-8, and for two files of one version,
    of which the Supabase CLI's ledger could hold only one.
    """
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigError(f"cannot read the folder {directory}: {error.strerror}") from error
    migrations: dict[str, Migration] = {}
    for path in paths:
        found = _MIGRATION.fullmatch(path.name)
        if not found or path.is_dir():
            continue
        migration = Migration(found[1], found[2], read_sql(path), str(path))
        if migration.version in migrations:
            raise ConfigError(
                f"two migrations have the version {migration.version}:"
                f" {migrations[migration.version].file_name} and {migration.file_name}",
                hint="Give one of them a version of its own; the ledger holds each version once.",
                file=str(path),
            )
        migrations[migration.version] = migration
    return [migrations[version] for version in sorted(migrations)]


def strays(directory: Path) -> list[Path]:
    """The `.sql` files of a folder of migrations that are none by their name."""
    return sorted(
        path for path in directory.iterdir() if path.suffix.lower() == ".sql" and not _MIGRATION.fullmatch(path.name)
    )


def read_sql(path: Path) -> str:
    """A SQL file as text; ConfigError names file and line where it is not UTF-8 or holds a NUL."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", file=str(path)) from error
    if (position := data.find(b"\0")) >= 0:
        raise ConfigError(
            f"{path.name} holds a NUL character, which PostgreSQL takes in no text",
            file=str(path),
            line=data.count(b"\n", 0, position) + 1,
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name} is not UTF-8: {error.reason} at byte {error.start}",
            hint="Save the file as UTF-8; PostgreSQL and the Supabase CLI would misread it.",
            file=str(path),
            line=data.count(b"\n", 0, error.start) + 1,
        ) from error
