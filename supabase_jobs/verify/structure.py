"""Hold the catalogs against a recorded snapshot of them: what the migrations made of an empty project.

Every file in `queries/` asks one question and answers in the same seven columns, so a new check is one
more file. Which objects are looked at stands in the snapshot; the engine knows none by name.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs import syntax
from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.project import Promise
from supabase_jobs.sqlfiles import fingerprint
from supabase_jobs.verify.collected import Collected

AREA = "structure"
WRITES = False
DEFAULT_FILE = Path(__file__).with_name("structure.json")

_HERE = Path(__file__).parent
_QUERIES = _HERE / "queries"
_OBJECTS = _HERE / "scope" / "objects.sql"
_BODIES = _HERE / "scope" / "bodies.sql"
_PARTS = ("schemas", "relations", "functions")
# these rows say that the object is there at all; without it, no other row about it is worth a finding
_EXISTENCE = ("table", "function")


@dataclass(frozen=True)
class Fact:
    """One thing that is so: `kind` `name` of `object` is `value`.

    `mend` is SQL that makes it so, `remove` SQL that takes it away, `unexpected` the severity of a
    fact that nobody recorded. All three come from the catalog query.
    """

    object: str
    kind: str
    name: str
    value: str
    mend: str
    remove: str
    unexpected: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What a fact is about, whatever its value."""
        return self.object, self.kind, self.name

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
        recorded = json.loads(path.read_text(encoding="utf-8"))
        facts = tuple(
            Fact(subject, kind, name, value, mend, "", Severity.ERROR)
            for subject, kind, name, value, mend in recorded["facts"]
        )
        return Snapshot({part: recorded[part] for part in _PARTS}, facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a recorded structure: {error!r}", file=str(path)) from error


def dump(snapshot: Snapshot) -> str:
    """A snapshot as JSON text, one fact a line, so that a change of the SQL shows as a short diff."""
    lines = [f'  "{part}": {json.dumps(snapshot.scope[part])},' for part in _PARTS]
    facts = ",\n".join(
        "    " + json.dumps([f.object, f.kind, f.name, f.value, f.mend], ensure_ascii=False) for f in snapshot.facts
    )
    return "{\n" + "\n".join(lines) + '\n  "facts": [\n' + facts + "\n  ]\n}\n"


def objects(connection: Connection) -> set[tuple[str, str]]:
    """(part, name) of every table, function and schema of the project, before or after a migration."""
    return {(part, name) for part, name in _read(connection, _OBJECTS)}


def record(connection: Connection, made: Iterable[tuple[str, str]]) -> Snapshot:
    """The facts about the objects in `made`, in a stable order. Needs an empty search_path."""
    scope: dict[str, list[str]] = {part: [] for part in _PARTS}
    for part, name in sorted(made):
        scope[part].append(name)
    return Snapshot(scope, tuple(sorted(_facts(connection, scope), key=lambda fact: fact.key)))


def check(connection: Connection, promise: Promise, result: Collected) -> None:
    """The area: facts of the catalogs and bodies of functions. Needs an empty search_path; only reads catalogs."""
    if (file := result.declared(AREA, promise, DEFAULT_FILE)) is None:
        return
    run(connection, load(file), result)
    bodies = {name: body for text in promise.texts for name, body in syntax.function_bodies(text).items()}
    run_bodies(connection, bodies, result)


def run(connection: Connection, snapshot: Snapshot, result: Collected) -> None:
    """Compare every recorded fact, and look for facts that nobody recorded."""
    found = {fact.key: fact for fact in _facts(connection, snapshot.scope)}
    expected = {fact.key: fact for fact in snapshot.facts}
    gone = {f.object for f in snapshot.facts if f.kind in _EXISTENCE and f.key not in found}
    for fact in snapshot.facts:
        result.cases.append(Case(fact.id, AREA, fact.object, f"{fact.subject}: {fact.value}"))
        if (finding := _compared(fact, found.get(fact.key), gone)) is not None:
            result.findings.append(finding)
    known = {fact.object for fact in snapshot.facts}
    result.findings += [
        _unexpected(fact)
        for key, fact in found.items()
        # of an object that is itself unexpected (an overload), that it is there says it all
        if key not in expected and (fact.object in known or fact.kind in _EXISTENCE)
    ]


def run_bodies(connection: Connection, expected: Mapping[str, str], result: Collected) -> None:
    """Hold the bodies of functions against those in the SQL sources (`schema.name` → body), to the letter."""
    for name, signature, body in _read(connection, _BODIES, [list(expected)]):
        id = f"{AREA}:{signature}:body"
        result.cases.append(Case(id, AREA, signature, "the body of the function is the migration's"))
        if body != expected[name]:
            result.findings.append(
                Finding(
                    id=id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=signature,
                    message=f"the body of the function is not the migration's (sha256 {fingerprint(body)[:12]},"
                    f" expected {fingerprint(expected[name])[:12]})",
                    fix="Create the function again as the migration does, with create or replace.",
                )
            )


def _facts(connection: Connection, scope: dict[str, list[str]]) -> list[Fact]:
    names = [name for part in _PARTS for name in scope[part]]
    return [Fact(*row) for path in sorted(_QUERIES.glob("*.sql")) for row in _read(connection, path, [names])]


def _read(connection: Connection, path: Path, params: list[list[str]] | None = None) -> Sequence[tuple[Any, ...]]:
    # raw: the names are $1, as in psql, so that format('%I') can stand in the query as it is
    with psycopg.RawCursor(connection) as cursor:
        return cursor.execute(path.read_bytes(), params).fetchall()


def _compared(expected: Fact, found: Fact | None, gone: set[str]) -> Finding | None:
    if found is None:
        if expected.object in gone and expected.kind not in _EXISTENCE:
            return None
        what = "is missing" if expected.name or expected.kind in _EXISTENCE else "cannot be read"
        fix = expected.mend or "Apply the migration that creates it again."
        return _finding(expected, Severity.ERROR, f"{what}; expected: {expected.value}", fix)
    if found.value == expected.value:
        return None
    return _finding(
        expected,
        Severity.ERROR,
        f"is {found.value}; expected: {expected.value}",
        " ".join(part for part in (found.remove, expected.mend) if part) or "Create it again as the migration does.",
    )


def _unexpected(fact: Fact) -> Finding:
    return _finding(fact, Severity(fact.unexpected), f"is in no migration: {fact.value}", fact.remove)


def _finding(fact: Fact, severity: Severity, what: str, fix: str) -> Finding:
    return Finding(
        id=fact.id,
        area=AREA,
        severity=severity,
        object=fact.object,
        message=f"{fact.subject} {what}",
        fix=fix,
    )
