"""The snapshot of the catalogs: what the migrations make of an empty project."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Severity
from supabase_jobs.verify.expectations import PACKAGED_DECLARATIONS
from supabase_jobs.verify.structure import AREA, catalog

FILE_NAME = "structure.json"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME

_HERE = Path(__file__).parent
_OBJECTS = _HERE / "objects.sql"
_PARTS = ("schemas", "relations", "functions")


@dataclass(frozen=True)
class Fact:
    """One thing that is so: `kind` `name` of `object` is `value`.

    `mend` is SQL that makes it so, `remove` SQL that takes it away, `unexpected` the severity of a
    fact that nobody recorded (None: not worth a word), `differs` the severity of one that is missing or has another
    value. All four come from the catalog query.
    """

    object: str
    kind: str
    name: str
    value: str
    mend: str
    remove: str
    unexpected: str | None
    differs: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What a fact is about, whatever its value."""
        return self.object, self.kind, self.name

    @property
    def parent(self) -> tuple[str, str, str] | None:
        """The key of what a fact is a detail of: of a column, for its default or a grant on it."""
        _, of, kind = self.kind.partition(" of ")
        return (self.object, kind, self.name.split(" to ")[0] if "grant" in self.kind else self.name) if of else None

    @property
    def id(self) -> str:
        """The key as the id of a case or a finding."""
        return ":".join((AREA, *(part for part in self.key if part)))

    @property
    def subject(self) -> str:
        """What a fact is about, in words: `policy "guests read their own jobs"`."""
        return f'{self.kind} "{self.name}"' if self.name else self.kind


@dataclass(frozen=True)
class Snapshot:
    """The objects that a set of migrations makes, and every fact about them."""

    scope: dict[str, list[str]]
    facts: tuple[Fact, ...]


def load(path: Path | None = None) -> Snapshot:
    """Read a recorded snapshot (default: the packaged one); ConfigError where it is not one."""
    path = path or DEFAULT_FILE
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a recorded structure: {error!r}", file=str(path)) from error


@lru_cache(maxsize=4)  # `mutate` reads it for every fault
def _parsed(text: str) -> Snapshot:
    recorded = json.loads(text)
    facts = tuple(
        Fact(subject, kind, name, value, mend, "", None, Severity(differs))
        for subject, kind, name, value, mend, differs in recorded["facts"]
    )
    return Snapshot({part: recorded[part] for part in _PARTS}, facts)


def dump(snapshot: Snapshot) -> str:
    """A snapshot as JSON text, one fact a line, so that a change of the SQL shows as a short diff."""
    lines = [f'  "{part}": {json.dumps(snapshot.scope[part])},' for part in _PARTS]
    facts = ",\n".join(
        "    " + json.dumps([f.object, f.kind, f.name, f.value, f.mend, f.differs], ensure_ascii=False)
        for f in snapshot.facts
    )
    return "{\n" + "\n".join(lines) + '\n  "facts": [\n' + facts + "\n  ]\n}\n"


def objects(connection: Connection) -> set[tuple[str, str]]:
    """(part, name) of every table, function and schema of the project, before or after a migration."""
    return {(part, name) for part, name in sql_file(_OBJECTS).rows(connection)}


def record(connection: Connection, made: Iterable[tuple[str, str]]) -> Snapshot:
    """The facts about the objects in `made`, in a stable order. Needs an empty search_path."""
    scope: dict[str, list[str]] = {part: [] for part in _PARTS}
    for part, name in sorted(made):
        scope[part].append(name)
    return Snapshot(scope, tuple(sorted(read_facts(connection, scope), key=lambda fact: fact.key)))


def read_facts(connection: Connection, scope: dict[str, list[str]], *, repeated: bool = False) -> list[Fact]:
    """The facts that the catalog queries report about the objects in `scope`; `repeated` runs prepared statements."""
    names = [name for part in _PARTS for name in scope[part]]
    return [Fact(*row) for row in catalog.ask(connection, names, repeated=repeated)]
