"""Read SQL files: sources (`sql/001_….sql`, templates with a manifest) and migrations. Knows no
database.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import FileStatement, split
from supabase_jobs.database.parser.transactions import TransactionControl, transaction_control
from supabase_jobs.errors import ConfigError
from supabase_jobs.settings import read_toml, validate_toml
from supabase_jobs.sources.variables import Variable, parse_declarations

MANIFEST = "manifest.toml"
UNINSTALL = "uninstall"

_SCHEMA = Path(__file__).with_name("manifest.schema.json")

_SOURCE = re.compile(r"([0-9]{3})_([a-z0-9_]+)\.sql")
_PRINTED = re.compile(r"\{\{ *(\w+) *\}\}")
# the names of migrations to the Supabase CLI, which ignores other files and does not look into
# folders
_MIGRATION = re.compile(r"([0-9]+)_(.*)\.sql")
# other tools' names for files that undo or check a migration; the Supabase CLI would apply them
_NOT_FORWARD = re.compile(r".*\.(down|undo|revert|rollback|verify|test)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"--! *([a-z_]+) *: *(.*)")
# the Supabase CLI's own directive for the same, on the first line only
_CLI_DIRECTIVE = "-- pg-delta: transaction=false"
# with a byte order mark and CRLF too: an editor may have added them, and the file then counts as
# edited
_ORIGIN = re.compile(r"\ufeff?-- supabase-jobs: (\S+) sha256:([0-9a-f]{64})\r?\n")


@dataclass(frozen=True)
class Source:
    """A SQL template, such as `002_create_async_jobs_table.sql`; `name` has neither number nor
    suffix.
    """

    number: int
    name: str
    text: str

    @property
    def stem(self) -> str:
        """The file name without its suffix. Rendered files name it in their first line."""
        return f"{self.number:03d}_{self.name}"

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that it prints."""
        return frozenset(_PRINTED.findall(self.text))


@dataclass(frozen=True)
class SourceSet:
    """A folder of sources with its manifest: the base of their versions and the variables.

    `uninstall` is the source in the folder `uninstall`, which drops everything that the others
    create. A project can leave out the `optional` ones; `excluded` names those that it does.
    """

    directory: Path
    base_version: int
    variables: dict[str, Variable]
    sources: tuple[Source, ...]
    uninstall: Source | None = None
    optional: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()

    @property
    def stems(self) -> frozenset[str]:
        """The names of the sources."""
        return frozenset(source.stem for source in self.sources)

    def without(self, excluded: Collection[str]) -> "SourceSet":
        """The set without these sources. Raises ConfigError for a name that is not optional."""
        for stem in excluded:
            if stem not in self.optional:
                raise self._not_optional(stem)
        kept = tuple(source for source in self.sources if source.stem not in excluded)
        return replace(self, sources=kept, excluded=frozenset(excluded))

    def _not_optional(self, stem: str) -> ConfigError:
        problem = "is needed by the other sources" if stem in self.stems else "is not a source"
        names = ", ".join(self.optional)
        return ConfigError(
            f"[sources] exclude: {stem!r} {problem}",
            hint=f"Optional: {names}." if names else "These sources have no optional one.",
        )

    def standard_version(self, source: Source) -> str:
        """The 14-digit version of a source in a project without other migrations."""
        return f"{self.base_version + source.number:014d}"


@dataclass(frozen=True)
class Migration:
    """A migration file. `label` names it in messages: its path, or its name if in memory."""

    version: str
    name: str
    text: str
    label: str

    @property
    def origin(self) -> tuple[str, str] | None:
        """(source stem, fingerprint) from the first line of a rendered file; None for other
        migrations.
        """
        match = _ORIGIN.match(self.text)
        return (match[1], match[2]) if match else None

    @property
    def body(self) -> str:
        """The text without the line that names its origin."""
        return _ORIGIN.sub("", self.text, count=1) if self.origin else self.text

    @cached_property
    def statements(self) -> tuple[FileStatement, ...]:
        """The statements, split as PostgreSQL does; the ledger contains them."""
        return tuple(split(self.text))

    @cached_property
    def transaction_control(self) -> TransactionControl:
        """The pairs of `begin` and `commit`, and the rejected statements; nothing for a
        nontransactional file.
        """
        return transaction_control(self.statements) if self.transactional else TransactionControl()

    @property
    def executable_statements(self) -> tuple[FileStatement, ...]:
        """The statements to run: without paired `begin` and `commit`, because each file runs in one
        transaction.
        """
        paired = self.transaction_control.paired
        return tuple(statement for statement in self.statements if statement not in paired)

    @property
    def transaction_warnings(self) -> tuple[str, ...]:
        """A message for each pair of `begin` and `commit` that is not run."""
        return tuple(
            f"{self.file_name}: begin (line {block.begin.line}) and commit (line"
            f" {block.commit.line}) are not run,"
            " because the whole file is one transaction"
            for block in self.transaction_control.blocks
        )

    @property
    def directives(self) -> list[tuple[int, str, str]]:
        """(line, name, value) of the `--! name:value` lines in the header, that is in the comments
        at the top.
        """
        directives = []
        for number, line in enumerate(self.text.removeprefix("\ufeff").splitlines(), 1):
            line = line.strip()
            if line and not line.startswith("--"):
                break
            if line == _CLI_DIRECTIVE and number == 1:
                directives.append((number, "transaction", "false"))
            elif match := _DIRECTIVE.fullmatch(line):
                directives.append((number, match[1], match[2]))
        return directives

    @cached_property
    def transactional(self) -> bool:
        """False if the header contains `--! transaction:false`; without such a line, if every
        statement creates or drops an index concurrently.
        """
        stated = [value for _, name, value in self.directives if name == "transaction"]
        if stated:
            return "false" not in stated
        if "concurrently" not in self.text.lower():
            return True
        return not syntax.are_concurrent_indexes([s.text for s in self.statements])

    @property
    def undoes_or_checks(self) -> bool:
        """Whether it has the name of a file that undoes or checks another: `1_notes.down.sql`."""
        return _NOT_FORWARD.fullmatch(self.name) is not None

    @property
    def file_name(self) -> str:
        """`VERSION_NAME.sql`, as in supabase/migrations; `NAME.sql` of a seed, which has no
        version.
        """
        return f"{self.version}_{self.name}.sql" if self.version else f"{self.name}.sql"


@dataclass(frozen=True)
class MigrationFiles:
    """The migrations of a project, and the other `.sql` files in their folder."""

    migrations: Sequence[Migration]
    unrecognized: Sequence[Path] = ()


def fingerprint(text: str) -> str:
    """SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def origin_line(stem: str, body: str) -> str:
    """The first line of a rendered file: its source, and the fingerprint of the rest."""
    return f"-- supabase-jobs: {stem} sha256:{fingerprint(body)}\n"


def packaged_sql() -> Path:
    """The folder of packaged sources: inside a wheel, beside the package in a checkout."""
    package = Path(str(resources.files("supabase_jobs")))
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"


def load_sources(directory: Path | None = None) -> SourceSet:
    """The sources of a folder (default: the packaged ones), by number.

    Raises ConfigError for a missing or malformed manifest, an `.sql` file whose name is not
    `NNN_lower_case.sql`, a duplicate number, a folder without sources, more than one uninstall
    source, or a file that is not UTF-8.
    """
    is_packaged = directory is None
    directory = directory or packaged_sql()
    manifest_path = directory / MANIFEST
    if not manifest_path.is_file():
        raise ConfigError(
            f"{directory} has no {MANIFEST}",
            hint="It declares the base_version and the variables of the sources.",
        )
    manifest = read_toml(manifest_path)
    if not is_packaged:  # its validation takes a tenth of a second, and a test does it
        validate_toml(manifest_path, manifest, _SCHEMA)
    variables = parse_declarations(manifest.get("variables", {}))
    optional = tuple(manifest.get("optional", ()))
    sources = _sources(directory)
    if not sources:
        raise ConfigError(f"{directory} contains no source named NNN_lower_case.sql")
    if unknown := set(optional) - {source.stem for source in sources}:
        raise ConfigError(
            f"{MANIFEST}: optional names {min(unknown)!r}, which is not a source",
            file=str(manifest_path),
        )
    uninstall = _sources(directory / UNINSTALL)
    if len(uninstall) > 1:
        raise ConfigError(
            f"{directory / UNINSTALL} contains {len(uninstall)} sources, but may contain only one"
        )
    return SourceSet(
        directory=directory,
        base_version=manifest["base_version"],
        variables=variables,
        sources=sources,
        uninstall=uninstall[0] if uninstall else None,
        optional=optional,
    )


def _sources(directory: Path) -> tuple[Source, ...]:
    sources: dict[int, Source] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _SOURCE.fullmatch(path.name)
        if not match:
            raise ConfigError(f"{path.name} is not named NNN_lower_case.sql", file=str(path))
        number = int(match[1])
        if number in sources:
            raise ConfigError(
                f"two sources have the number {match[1]}: {sources[number].stem}, {path.stem}"
            )
        sources[number] = Source(number, match[2], read_sql(path))
    return tuple(sources.values())


def load_migrations(directory: Path) -> list[Migration]:
    """The migrations of a folder, by version as text like the ledger; other files are ignored.

    Raises ConfigError for a file or file name that is not UTF-8, for a `.sql` file that is not a
    regular file (it is not opened), and for two files with the same version.
    """
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise ConfigError(f"cannot read the folder {directory}: {error.strerror}") from error
    return migrations_of(
        [(path.name, str(path)) for path in paths],
        lambda label: None if (path := Path(label)).is_dir() else read_sql(path),
    )


def migrations_of(
    names: Iterable[tuple[str, str]], read: Callable[[str], str | None]
) -> list[Migration]:
    """The migrations among files, by version as text like the ledger; other names are ignored.

    `names` are pairs of a file name and a label, with which `read` returns the text, None for a
    folder. Raises ConfigError for a name that is not UTF-8, and for two files with the same
    version.
    """
    migrations: dict[str, Migration] = {}
    for migration in _named_as_migrations(names, read):
        if migration.version in migrations:
            raise ConfigError(
                f"two migrations have the version {migration.version}:"
                f" {migrations[migration.version].file_name} and {migration.file_name}",
                hint="Give one of them another version; the ledger contains each version"
                " only once.",
                file=migration.label,
            )
        migrations[migration.version] = migration
    return [migrations[version] for version in sorted(migrations)]


def migrations_by_name(directory: Path) -> list[Migration]:
    """The migrations of a folder, by version and name; several may have the same version.

    Raises what `load_migrations` raises for a single file.
    """
    paths = sorted(path for path in directory.iterdir() if not path.is_dir())
    found = _named_as_migrations(
        [(path.name, str(path)) for path in paths], lambda label: read_sql(Path(label))
    )
    return sorted(found, key=lambda migration: (migration.version, migration.name))


def _named_as_migrations(
    names: Iterable[tuple[str, str]], read: Callable[[str], str | None]
) -> Iterator[Migration]:
    for name, label in names:
        if is_sql(name):
            name = _utf8(name, label)
        match = _MIGRATION.fullmatch(name)
        text = read(label) if match else None
        if match is not None and text is not None:
            yield Migration(match[1], match[2], text, label)


def is_migration(name: str) -> bool:
    """Whether a file name is that of a migration."""
    return _MIGRATION.fullmatch(name) is not None


def is_sql(name: str) -> bool:
    """Whether a file name ends in `.sql`."""
    return name.lower().endswith(".sql")


def unrecognized_files(directory: Path) -> list[Path]:
    """The `.sql` files of a folder that do not have the name of a migration."""
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() == ".sql" and not is_migration(path.name)
    )


def _utf8(name: str, label: str) -> str:
    """A file name whose bytes are UTF-8, whatever the encoding of the locale; ConfigError if they
    are not.
    """
    encoded = os.fsencode(name)
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        shown = encoded.decode(errors="backslashreplace")
        raise ConfigError(
            f"the name of the file {shown} in {label.rpartition('/')[0]} is not UTF-8",
            hint="Rename the file; its version and name are written into the ledger.",
        ) from error


def write_sql(path: Path, text: str) -> None:
    """Write a file whole or not at all, because a half of it could be applied; several programs may
    write it at once. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_sql(path: Path) -> str:
    """The text of a SQL file; ConfigError if it is not a regular file, not UTF-8 (with its line) or
    contains a NUL.

    A FIFO or a socket is not opened, because that could wait forever.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(
                f"{path} is not a regular file",
                hint="Replace it with a file that contains the SQL, or remove it.",
                file=str(path),
            )
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", file=str(path)) from error
    return sql_text(data, path.name, str(path))


def sql_text(data: bytes, name: str, label: str) -> str:
    """The content of a SQL file; ConfigError (with a line) if it is not UTF-8 or has a NUL."""
    if (position := data.find(b"\0")) >= 0:
        raise ConfigError(
            f"{name} contains a NUL character, which PostgreSQL does not accept in text",
            file=label,
            line=data.count(b"\n", 0, position) + 1,
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name} is not UTF-8: {error.reason} at byte {error.start}",
            hint="Save the file as UTF-8.",
            file=label,
            line=data.count(b"\n", 0, error.start) + 1,
        ) from error
