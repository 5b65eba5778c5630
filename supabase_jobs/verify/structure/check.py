"""Hold the catalogs against a recorded snapshot of them: what the migrations made of an empty project.

Every file in `queries/` asks one question and answers in the same eight columns, so a new check is one
more file. Which objects are looked at stands in the snapshot; the engine knows none by name.

An error is what changes who may do what or which rows can be there, a warning what differs without that, an info
an object of the project's own. One deviation is one finding: of what is gone or strange itself, nothing more is said.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.parser import syntax
from supabase_jobs.sources.files import fingerprint
from supabase_jobs.verify.context import Context, EquivalenceCheck
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.lints.run import run_lints
from supabase_jobs.verify.structure import AREA, catalog
from supabase_jobs.verify.structure.snapshot import FILE_NAME, Fact, Snapshot, load, read_facts

# the kinds of what leads round row level security, unless it is meant
_DOORS = (" that runs as its owner", "copy without row level security")
_AS_THE_MIGRATION = "Create it again as the migration does, with create or replace."

_HERE = Path(__file__).parent
_BODIES = _HERE / "bodies.sql"
_SERVED = _HERE.parent / "served.sql"
# these rows say that the object is there at all; without it, no other row about it is worth a finding
_EXISTENCE = ("table", "function")
# what all policies of a table come to for a role and a command: `anon update check`
_POLICY, _EFFECT = "policy", "effect of policies"


def check(connection: Connection, expectations: Expectations, result: Context) -> None:
    """The area: facts of the catalogs, bodies of functions, advice. Needs an empty search_path; only reads catalogs."""
    if (file := result.declaration_file(AREA, expectations, FILE_NAME)) is None:
        return
    snapshot = load(file)
    compare(connection, snapshot, result, expectations.allowed_bypasses)
    if result.should_stop:
        return
    exposed = sorted({*expectations.exposed_schemas, *(schema for (schema,) in sql_file(_SERVED).rows(connection))})
    compare_functions(connection, expectations.texts, exposed, result)
    if result.should_stop:
        return
    about = {
        "scope": [name for names in snapshot.scope.values() for name in names],
        "recorded": [fact.id.removeprefix(f"{AREA}:") for fact in snapshot.facts],
        "exposed": exposed,
        "allowed_bypasses": sorted(expectations.allowed_bypasses),
    }
    run_lints(connection, AREA, f"{AREA}:advice", AREA, about, result)


def declared_cases(expectations: Expectations, result: Context) -> None:
    """The cases about what was recorded, without a database."""
    if (file := result.declaration_file(AREA, expectations, FILE_NAME)) is not None:
        result.cases += [catalog.case(fact, result) for fact in load(file).facts if fact.kind != _EFFECT]


def compare(connection: Connection, snapshot: Snapshot, result: Context, doors: frozenset[str] = frozenset()) -> None:
    """Compare every recorded fact, and look for facts that nobody recorded; `doors` are those that are meant."""
    found = {fact.key: fact for fact in read_facts(connection, snapshot.scope, repeated=result.repeated)}
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
            result.cases.append(catalog.case(fact, result))
        if (now is None or now.value != fact.value) and not moot(fact, gone, found):
            details = [f.mend for f in snapshot.facts if f.parent == fact.key]
            result.findings.append(_deviation(fact, now, details))
    for key, fact in sorted(found.items(), key=lambda item: item[0]):  # not as the catalogs happen to lie
        if key not in expected and fact.unexpected is not None and not moot(fact, strange, expected):
            if fact.kind.endswith(_DOORS) and fact.name in doors:
                continue
            what = f"is in no migration: {fact.value}"
            result.findings.append(_finding(fact, Severity(fact.unexpected), what, fact.remove))
            result.unexpected.append(catalog.case(fact, result))
    for finding in result.findings:
        policies = effects.get(finding.object, [])
        if finding.area == AREA and finding.id.startswith(f"{AREA}:{finding.object}:{_POLICY}:") and all(policies):
            result.equivalences[finding.id] = [dispute for dispute in policies if dispute is not None]


def _written(facts: Mapping[tuple[str, str, str], Fact], detail: Fact) -> str | None:
    whole = facts.get(detail.parent) if detail.parent else None
    return None if whole is None else whole.mend


def _effects(
    expected: Mapping[tuple[str, str, str], Fact], found: Mapping[tuple[str, str, str], Fact]
) -> dict[str, list[EquivalenceCheck | None]]:
    """Object → where its policies do not come to what was recorded: what would have to be tried, or None.

    It can be tried where another condition is asked of the same values as before; one that asks for more (a column,
    a constant, the time of day) may show its difference on rows that nobody has planted.
    """
    effects: dict[str, list[EquivalenceCheck | None]] = {}
    for key in {key for facts in (expected, found) for key in facts if key[1] == _EFFECT}:
        before, now = expected.get(key), found.get(key)
        if before is not None and now is not None:
            if before.value == now.value:
                continue
            same = syntax.ingredients(now.value) <= syntax.ingredients(before.value)
            if same and now.differs != Severity.ERROR:
                role, command, _ = key[2].rsplit(" ", 2)
                effects.setdefault(key[0], []).append(EquivalenceCheck(key[0], role.strip('"'), command))
                continue
        effects.setdefault(key[0], []).append(None)
    return effects


def compare_functions(connection: Connection, texts: Sequence[str], exposed: Sequence[str], result: Context) -> None:
    """Hold functions against the SQL sources: bodies to the letter, arguments by name and default.

    Other defaults are errors in the schemas that the API exposes (`exposed`), where a request can leave an argument
    out, and warnings elsewhere.
    """
    expected = {name: function for text in texts for name, function in syntax.functions(text).items()}
    for name, signature, schema, definition in sorted(sql_file(_BODIES).rows(connection, list(expected))):
        wanted = expected[name]
        # a body in another form (begin atomic, or newer syntax) is another body
        found = syntax.functions(definition).get(name) or syntax.Function(definition, wanted.arguments)
        id = f"{AREA}:{signature}:body"
        said = "the body of the function is the migration's"
        result.cases.append(catalog.definition(Case(id, AREA, signature, said), name, result))
        if found.body != wanted.body:
            what = (
                f"the body of the function is not the migration's (sha256 {fingerprint(found.body)[:12]},"
                f" expected {fingerprint(wanted.body)[:12]})"
            )
            result.findings.append(Finding(id, AREA, Severity.ERROR, signature, what, _AS_THE_MIGRATION))
        id = f"{AREA}:{signature}:arguments"
        said = f"the arguments of the function: {wanted}"
        result.cases.append(catalog.definition(Case(id, AREA, signature, said), name, result))
        if found.arguments != wanted.arguments:
            names = [[argument.name for argument in function.arguments] for function in (found, wanted)]
            severe = names[0] != names[1] or schema in exposed
            severity = Severity.ERROR if severe else Severity.WARNING
            what = f"the arguments of the function are ({found}); expected: ({wanted})"
            result.findings.append(Finding(id, AREA, severity, signature, what, _AS_THE_MIGRATION))


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
