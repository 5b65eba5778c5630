"""The recorded structure, structure.json: the objects that the migrations create, and every fact
about them.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_PARTS = ("schemas", "relations", "types", "functions")

Key = tuple[str, str, str]
_NO_SOURCES: Mapping[Key, str] = {}


@dataclass(frozen=True)
class Snapshot:
    """The managed objects (`scope`: schemas, relations, types, functions → names) and every fact
    about them.

    `conditional` maps a variable of the sources to the facts that are added if it is set: neither 0
    nor false. `sources` maps the key of a fact to the optional source without which it is missing.
    """

    scope: dict[str, list[str]]
    facts: tuple[Fact, ...]
    conditional: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    sources: Mapping[Key, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all managed objects."""
        return [name for part in _PARTS for name in self.scope[part]]

    def missing(self, facts: Iterable[Fact]) -> list[dict[str, object]]:
        """The tables, columns and schemas without a fact, and what they would be known by under
        another name: the columns of a table with their types, the functions of a schema.
        """
        found = {fact.key for fact in facts}
        objects = {key[0] for key in found}
        columns: dict[str, list[str]] = {}
        functions: dict[str, list[str]] = {}
        for fact in self.facts:
            schema, _, function = fact.object.partition("(")[0].partition(".")
            if fact.kind == "column":
                columns.setdefault(fact.object, []).append(f"{fact.name} {fact.value}")
            elif fact.kind == "function":
                functions.setdefault(schema, []).append(function)
        missing: list[dict[str, object]] = [
            {"object": name, "parts": parts}
            for name, parts in (*columns.items(), *functions.items())
            if name not in objects and (name in columns or name in self.scope["schemas"])
        ]
        for fact in self.facts:
            if fact.kind == "column" and fact.object in objects and fact.key not in found:
                parts = columns[fact.object]
                missing.append({"object": fact.object, "column": fact.name, "parts": parts})
        return missing

    @property
    def all_facts(self) -> tuple[Fact, ...]:
        """The facts of a project in which all variables are set."""
        return self.with_variables(dict.fromkeys(self.conditional, True)).facts

    def with_variables(self, variables: Mapping[str, object]) -> "Snapshot":
        """The snapshot of a project with these values of the variables. An excluded source is a
        name with the value false.
        """
        added = {
            fact.key: fact
            for name, facts in self.conditional.items()
            if variables.get(name)
            for fact in facts
        }
        kept = self._without(
            {stem for stem in self.sources.values() if not variables.get(stem, True)}
        )
        return replace(kept, facts=(*kept.facts, *added.values())) if added else kept

    def _without(self, excluded: Collection[str]) -> "Snapshot":
        """The snapshot without the facts and objects of these sources."""
        if not excluded:
            return self
        facts = tuple(f for f in self.facts if self.sources.get(f.key) not in excluded)
        objects = {fact.object for fact in facts}
        scope = {part: list(filter(objects.__contains__, self.scope[part])) for part in _PARTS}
        return replace(self, scope=scope, facts=facts)


def load(path: Path | None = None) -> Snapshot:
    """Read a recorded structure (default: the packaged one). Raises ConfigError if the file does
    not contain one.
    """
    path = path or DEFAULT_FILE
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a recorded structure: {error!r}", file=str(path)
        ) from error


@lru_cache(maxsize=4)  # `mutate` loads it once for each fault
def _parse(text: str) -> Snapshot:
    # a structure that was recorded before types were checked has none
    recorded = {"types": [], **json.loads(text)}
    conditional = {name: _facts(rows) for name, rows in recorded.get("conditional", {}).items()}
    return Snapshot(
        scope={part: recorded[part] for part in _PARTS},
        facts=_facts(recorded["facts"]),
        conditional=conditional,
        sources={
            (subject, kind, name): source[0]
            for subject, kind, name, _, _, _, *source in recorded["facts"]
            if source
        },
    )


def _facts(rows: Iterable[Sequence[str]]) -> tuple[Fact, ...]:
    return tuple(
        Fact(
            object=subject,
            kind=kind,
            name=name,
            value=value,
            create_sql=create_sql,
            drop_sql="",
            unexpected_severity=None,
            deviation_severity=Severity(deviation_severity),
        )
        for subject, kind, name, value, create_sql, deviation_severity, *_ in rows
    )


def dump(snapshot: Snapshot) -> str:
    """A snapshot as JSON text with one fact a line, so that a change of the SQL results in a short
    diff.
    """
    lines = [f'  "{part}": {json.dumps(snapshot.scope[part])},' for part in _PARTS]
    lines.append(f'  "facts": [\n{_lines(snapshot.facts, 4, snapshot.sources)}\n  ]')
    if snapshot.conditional:
        lists = [
            f"    {json.dumps(name)}: [\n{_lines(facts, 6)}\n    ]"
            for name, facts in snapshot.conditional.items()
        ]
        lines[-1] += ","
        lines.append('  "conditional": {\n' + ",\n".join(lists) + "\n  }")
    return "{\n" + "\n".join(lines) + "\n}\n"


def _lines(facts: Iterable[Fact], indent: int, sources: Mapping[Key, str] = _NO_SOURCES) -> str:
    lines = []
    for f in facts:
        row = [f.object, f.kind, f.name, f.value, f.create_sql, f.deviation_severity]
        if f.key in sources:
            row.append(sources[f.key])
        lines.append(" " * indent + json.dumps(row, ensure_ascii=False))
    return ",\n".join(lines)


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
