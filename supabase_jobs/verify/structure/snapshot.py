"""The recorded structure, structure.json: the objects that the migrations create, and every fact about them."""

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
from supabase_jobs.verify.structure.catalog import Fact, read_facts

FILE_NAME = "structure.json"
DEFAULT_FILE = PACKAGED_DECLARATIONS / FILE_NAME

_OBJECTS = Path(__file__).with_name("objects.sql")
_PARTS = ("schemas", "relations", "functions")


@dataclass(frozen=True)
class Snapshot:
    """The managed objects (`scope`: schemas, relations, functions → names) and every fact about them."""

    scope: dict[str, list[str]]
    facts: tuple[Fact, ...]

    @property
    def names(self) -> list[str]:
        """The names of all managed objects."""
        return [name for part in _PARTS for name in self.scope[part]]


def load(path: Path | None = None) -> Snapshot:
    """Read a recorded structure (default: the packaged one). Raises ConfigError if the file does not contain one."""
    path = path or DEFAULT_FILE
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a recorded structure: {error!r}", file=str(path)) from error


@lru_cache(maxsize=4)  # `mutate` loads it once for each fault
def _parse(text: str) -> Snapshot:
    recorded = json.loads(text)
    facts = tuple(
        Fact(subject, kind, name, value, create_sql, "", None, Severity(deviation_severity))
        for subject, kind, name, value, create_sql, deviation_severity in recorded["facts"]
    )
    return Snapshot({part: recorded[part] for part in _PARTS}, facts)


def dump(snapshot: Snapshot) -> str:
    """A snapshot as JSON text with one fact a line, so that a change of the SQL results in a short diff."""
    lines = [f'  "{part}": {json.dumps(snapshot.scope[part])},' for part in _PARTS]
    facts = ",\n".join(
        "    " + json.dumps([f.object, f.kind, f.name, f.value, f.create_sql, f.deviation_severity], ensure_ascii=False)
        for f in snapshot.facts
    )
    return "{\n" + "\n".join(lines) + '\n  "facts": [\n' + facts + "\n  ]\n}\n"


def objects(connection: Connection) -> set[tuple[str, str]]:
    """(part, name) of every relation, function and schema of the database."""
    with connection.transaction():
        connection.execute("set local search_path = ''")  # types of arguments have their schema
        return {(part, name) for part, name in sql_file(_OBJECTS).rows(connection)}


def record(connection: Connection, created: Iterable[tuple[str, str]]) -> Snapshot:
    """The facts about the `created` objects, sorted. Needs an empty search_path."""
    scope: dict[str, list[str]] = {part: [] for part in _PARTS}
    for part, name in sorted(created):
        scope[part].append(name)
    names = Snapshot(scope, ()).names
    return Snapshot(scope, tuple(sorted(read_facts(connection, names), key=lambda fact: fact.key)))
