"""Hold the catalogs against a recorded snapshot of them: what the migrations made of an empty project.

Every file in `queries/` asks one question and answers in the same eight columns, so a new check is one
more file. Which objects are looked at stands in the snapshot; the engine knows none by name.

An error is what changes who may do what or which rows can be there, a warning what differs without that, an info
an object of the project's own. One deviation is one finding: of what is gone or strange itself, nothing more is said.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs import syntax
from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.project import Promise
from supabase_jobs.sqlfiles import fingerprint
from supabase_jobs.verify import advice, questions
from supabase_jobs.verify.collected import Collected, Dispute

AREA = "structure"
WRITES = False
DEFAULT_FILE = Path(__file__).with_name("structure.json")

# the kinds of what leads round row level security, unless it is meant
_DOORS = (" that runs as its owner", "copy without row level security")
_AS_THE_MIGRATION = "Create it again as the migration does, with create or replace."

_HERE = Path(__file__).parent
_OBJECTS = _HERE / "scope" / "objects.sql"
_BODIES = _HERE / "scope" / "bodies.sql"
_SERVED = _HERE / "scope" / "served.sql"
_PARTS = ("schemas", "relations", "functions")
# these rows say that the object is there at all; without it, no other row about it is worth a finding
_EXISTENCE = ("table", "function")
# what all policies of a table come to for a role and a command: `anon update check`
_POLICY, _EFFECT = "policy", "effect of policies"


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
    return {(part, name) for part, name in _read(connection, _OBJECTS)}


def record(connection: Connection, made: Iterable[tuple[str, str]]) -> Snapshot:
    """The facts about the objects in `made`, in a stable order. Needs an empty search_path."""
    scope: dict[str, list[str]] = {part: [] for part in _PARTS}
    for part, name in sorted(made):
        scope[part].append(name)
    return Snapshot(scope, tuple(sorted(_facts(connection, scope), key=lambda fact: fact.key)))


def check(connection: Connection, promise: Promise, result: Collected) -> None:
    """The area: facts of the catalogs, bodies of functions, advice. Needs an empty search_path; only reads catalogs."""
    if (file := result.declared(AREA, promise, DEFAULT_FILE)) is None:
        return
    snapshot = load(file)
    run(connection, snapshot, result, promise.doors)
    if result.enough:
        return
    exposed = sorted({*promise.exposed, *(schema for (schema,) in _read(connection, _SERVED))})
    run_bodies(connection, promise.texts, exposed, result)
    if result.enough:
        return
    about = {
        "scope": [name for names in snapshot.scope.values() for name in names],
        "recorded": [fact.id.removeprefix(f"{AREA}:") for fact in snapshot.facts],
        "exposed": exposed,
        "doors": sorted(promise.doors),
    }
    advice.check(connection, AREA, about, result)


def plan(promise: Promise, result: Collected) -> None:
    """The cases about what was recorded, without a database."""
    if (file := result.declared(AREA, promise, DEFAULT_FILE)) is not None:
        result.cases += [questions.case(fact, result) for fact in load(file).facts if fact.kind != _EFFECT]


def run(connection: Connection, snapshot: Snapshot, result: Collected, doors: frozenset[str] = frozenset()) -> None:
    """Compare every recorded fact, and look for facts that nobody recorded; `doors` are those that are meant."""
    found = {fact.key: fact for fact in _facts(connection, snapshot.scope, repeated=result.repeated)}
    expected = {fact.key: fact for fact in snapshot.facts}
    gone = {f.object for f in snapshot.facts if f.kind in _EXISTENCE and f.key not in found}
    strange = {f.object for f in found.values() if f.kind in _EXISTENCE and f.key not in expected}
    effects = _effects(expected, found)

    def moot(fact: Fact, objects: set[str], there: Mapping[tuple[str, str, str], Fact]) -> bool:
        if fact.kind == _EFFECT or (fact.kind == _POLICY and not effects.get(fact.object)):
            return True  # policies are judged by what they come to, and named by themselves
        if fact.kind in _EXISTENCE:
            return False
        if fact.object in objects:
            return True
        if fact.parent is None:
            return False
        # whoever writes a policy in other words takes its comment away
        rewritten = fact.kind == f"comment of {_POLICY}" and _written(there, fact) != _written(expected, fact)
        return fact.parent not in there or rewritten

    for fact in snapshot.facts:
        if fact.kind == _EFFECT:
            continue
        now = found.get(fact.key)
        if now is None and fact.object in gone and fact.kind not in _EXISTENCE:
            continue  # not asked, and so not passed
        if not result.repeated:
            result.cases.append(questions.case(fact, result))
        if (now is None or now.value != fact.value) and not moot(fact, gone, found):
            details = [f.mend for f in snapshot.facts if f.parent == fact.key]
            result.findings.append(_deviation(fact, now, details))
    for key, fact in sorted(found.items(), key=lambda item: item[0]):  # not as the catalogs happen to lie
        if key not in expected and fact.unexpected is not None and not moot(fact, strange, expected):
            if fact.kind.endswith(_DOORS) and fact.name in doors:
                continue
            what = f"is in no migration: {fact.value}"
            result.findings.append(_finding(fact, Severity(fact.unexpected), what, fact.remove))
            result.unexpected.append(questions.case(fact, result))
    for finding in result.findings:
        policies = effects.get(finding.object, [])
        if finding.area == AREA and finding.id.startswith(f"{AREA}:{finding.object}:{_POLICY}:") and all(policies):
            result.disputed[finding.id] = [dispute for dispute in policies if dispute is not None]


def _written(facts: Mapping[tuple[str, str, str], Fact], detail: Fact) -> str | None:
    whole = facts.get(detail.parent) if detail.parent else None
    return None if whole is None else whole.mend


def _effects(
    expected: Mapping[tuple[str, str, str], Fact], found: Mapping[tuple[str, str, str], Fact]
) -> dict[str, list[Dispute | None]]:
    """Object → where its policies do not come to what was recorded: what would have to be tried, or None.

    It can be tried where another condition is asked of the same values as before; one that asks for more (a column,
    a constant, the time of day) may show its difference on rows that nobody has planted.
    """
    effects: dict[str, list[Dispute | None]] = {}
    for key in {key for facts in (expected, found) for key in facts if key[1] == _EFFECT}:
        before, now = expected.get(key), found.get(key)
        if before is not None and now is not None:
            if before.value == now.value:
                continue
            same = syntax.ingredients(now.value) <= syntax.ingredients(before.value)
            if same and now.differs != Severity.ERROR:
                role, command, _ = key[2].rsplit(" ", 2)
                effects.setdefault(key[0], []).append(Dispute(key[0], role.strip('"'), command))
                continue
        effects.setdefault(key[0], []).append(None)
    return effects


def run_bodies(connection: Connection, texts: Sequence[str], exposed: Sequence[str], result: Collected) -> None:
    """Hold functions against the SQL sources: bodies to the letter, arguments by name and default.

    Other defaults are errors in the schemas that the API exposes (`exposed`), where a request can leave an argument
    out, and warnings elsewhere.
    """
    expected = {name: function for text in texts for name, function in syntax.functions(text).items()}
    for name, signature, schema, definition in sorted(_read(connection, _BODIES, [list(expected)])):
        wanted = expected[name]
        # a body in another form (begin atomic, or newer syntax) is another body
        found = syntax.functions(definition).get(name) or syntax.Function(definition, wanted.arguments)
        id = f"{AREA}:{signature}:body"
        said = "the body of the function is the migration's"
        result.cases.append(questions.definition(Case(id, AREA, signature, said), name, result))
        if found.body != wanted.body:
            what = (
                f"the body of the function is not the migration's (sha256 {fingerprint(found.body)[:12]},"
                f" expected {fingerprint(wanted.body)[:12]})"
            )
            result.findings.append(Finding(id, AREA, Severity.ERROR, signature, what, _AS_THE_MIGRATION))
        id = f"{AREA}:{signature}:arguments"
        said = f"the arguments of the function: {wanted}"
        result.cases.append(questions.definition(Case(id, AREA, signature, said), name, result))
        if found.arguments != wanted.arguments:
            names = [[argument.name for argument in function.arguments] for function in (found, wanted)]
            severe = names[0] != names[1] or schema in exposed
            severity = Severity.ERROR if severe else Severity.WARNING
            what = f"the arguments of the function are ({found}); expected: ({wanted})"
            result.findings.append(Finding(id, AREA, severity, signature, what, _AS_THE_MIGRATION))


def _facts(connection: Connection, scope: dict[str, list[str]], *, repeated: bool = False) -> list[Fact]:
    names = [name for part in _PARTS for name in scope[part]]
    return [Fact(*row) for row in questions.ask(connection, names, repeated=repeated)]


def _read(connection: Connection, path: Path, params: list[list[str]] | None = None) -> Sequence[tuple[Any, ...]]:
    # raw: the names are $1, as in psql, so that format('%I') can stand in the query as it is
    return psycopg.RawCursor(connection).execute(path.read_bytes(), params).fetchall()


def _deviation(expected: Fact, found: Fact | None, details: Sequence[str]) -> Finding:
    """The finding; `details` mend what goes with a thing that has to be made anew (its comment, a column's default)."""
    removed = "" if found is None else found.remove
    parts = [removed, expected.mend, *(details if found is None or removed else ())]
    fix = " ".join(part for part in parts if part) or _AS_THE_MIGRATION
    if found is None:
        what = "is missing" if expected.name or expected.kind in _EXISTENCE else "cannot be read"
        return _finding(expected, Severity(expected.differs), f"{what}; expected: {expected.value}", fix)
    what = f"is {found.value}; expected: {expected.value}"
    return _finding(expected, Severity(expected.differs), what, fix)


def _finding(fact: Fact, severity: Severity, what: str, fix: str) -> Finding:
    return Finding(
        id=fact.id,
        area=AREA,
        severity=severity,
        object=fact.object,
        message=f"{fact.subject} {what}",
        fix=fix,
    )
