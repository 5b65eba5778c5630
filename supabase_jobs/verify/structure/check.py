"""Compare the system catalogs with the recorded structure, and function definitions with the
migrations.

An error changes who can do what, or which rows can exist. A warning is any other deviation. An info
is a harmless user object. One deviation is one finding: facts about a missing or unexpected object
are not reported besides the object.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from psycopg.types.json import Jsonb

from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.parser import syntax
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.projects.exposed_schemas import EXPOSED_SCHEMAS
from supabase_jobs.sources.files import fingerprint
from supabase_jobs.verify import additions
from supabase_jobs.verify.allowed import pins
from supabase_jobs.verify.context import Change, Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.lints.check import run_lints
from supabase_jobs.verify.structure import AREA, catalog
from supabase_jobs.verify.structure.catalog import Fact, Facts
from supabase_jobs.verify.structure.effects import EFFECT, changed_effects
from supabase_jobs.verify.structure.fixes import EXISTENCE, NOT_MOVED, Fixes, Moved
from supabase_jobs.verify.structure.snapshot import FILE_NAME, Snapshot, load
from supabase_jobs.verify.structure.text_difference import body_difference, text_difference

_BYPASSES = (" that bypasses row level security", "copy without row level security")
_POLICY = "policy"
# the kinds of facts, besides bypasses, that a project may have added on purpose
_EXCEPTABLE = (_POLICY, "trigger", "grant", "grant of column", "execute", "schema grant")

_HERE = Path(__file__).parent
_BODIES, _MOVED = _HERE / "bodies.sql", _HERE / "moved.sql"


def check(connection: Connection, expectations: Expectations, context: Context) -> None:
    """Run the area: recorded facts, function definitions, lints. Needs an empty search_path; only
    reads catalogs.
    """
    if (file := context.declaration_file(AREA, expectations, FILE_NAME)) is None:
        return
    snapshot = load(file).with_variables(expectations.variables)
    fixes = compare(connection, snapshot, context, expectations.texts)
    pins.apply(connection, expectations.allowed, snapshot.names, context)
    if context.should_stop:
        return
    wanted = migrated_functions(expectations)
    definitions, exposed_rows = read(connection, body_queries(wanted))
    exposed = sorted(expectations.all_exposed_schemas(exposed_rows))
    compare_functions(definitions, wanted, exposed, fixes, context)
    if context.should_stop:
        return
    parameters = {
        "managed": snapshot.names,
        "recorded": [fact.path for fact in snapshot.facts],
        "exposed": exposed,
    }
    run_lints(connection, AREA, (AREA, "lint"), AREA, parameters, context)
    pins.apply(connection, expectations.allowed, snapshot.names, context)


def declared_cases(expectations: Expectations, context: Context) -> None:
    """Add the case of each recorded fact, without a database."""
    if (file := context.declaration_file(AREA, expectations, FILE_NAME)) is not None:
        facts = load(file).with_variables(expectations.variables).facts
        context.cases += [catalog.fact_case(fact, context) for fact in facts if fact.kind != EFFECT]


def compare(
    connection: Connection,
    snapshot: Snapshot,
    context: Context,
    texts: tuple[str, ...] = (),
) -> Fixes:
    """Report recorded facts that are missing or have another value, and facts that are not
    recorded.

    `texts` are the migrations; the fixes contain their statements.
    """
    facts = catalog.read_facts(connection, snapshot.names, repeated=context.repeated)
    moved = NOT_MOVED if context.repeated else _moved(connection, snapshot, facts)
    return compare_facts(facts, snapshot, context, texts, moved)


def _moved(connection: Connection, snapshot: Snapshot, facts: Sequence[Fact]) -> Moved:
    """The statements that move missing tables, columns and schemas back with their rows."""
    missing = snapshot.missing(facts)
    if not missing:
        return NOT_MOVED
    [rows] = read(connection, [sql_file(_MOVED).statement(Jsonb(missing), snapshot.names)])
    return {(name, column): statement for name, column, statement in rows}


def compare_facts(
    facts: Sequence[Fact],
    snapshot: Snapshot,
    context: Context,
    texts: tuple[str, ...] = (),
    moved: Moved = NOT_MOVED,
) -> Fixes:
    """`compare` with the facts of a database. `moved` has the statements that move missing objects
    back.
    """
    actual = {fact.key: fact for fact in facts}
    recorded = {fact.key: fact for fact in snapshot.facts}
    missing = {f.object for f in snapshot.facts if f.kind in EXISTENCE and f.key not in actual}
    unexpected = {
        f.object for f in actual.values() if f.kind in EXISTENCE and f.key not in recorded
    }
    # the schema may be older than the migrations
    objects = [
        fact.key for fact in snapshot.facts if fact.kind in EXISTENCE and fact.kind != "schema"
    ]
    context.not_applied = bool(objects) and actual.keys().isdisjoint(objects)
    effects = changed_effects(recorded, actual)
    fixes = Fixes(snapshot.facts, actual, texts, moved)
    added = [fact for key, fact in actual.items() if fact.kind == "column" and key not in recorded]

    def redundant(fact: Fact, reported_objects: set[str], others: Facts) -> bool:
        """Whether another finding covers the fact, or it is a policy that changes no effect."""
        if fact.kind == EFFECT or (fact.kind == _POLICY and not effects.get(fact.object)):
            return True
        if fact.kind in EXISTENCE:
            return False
        if fact.object in reported_objects:
            return True
        if fact.parent is None:
            return False
        # a policy that was created again under its name has lost its comment
        rewritten = fact.kind == f"comment of {_POLICY}" and _parent_sql(
            others, fact
        ) != _parent_sql(recorded, fact)
        return fact.parent not in others or rewritten

    for fact in snapshot.facts:
        if fact.kind == EFFECT:
            continue
        now = actual.get(fact.key)
        if now is None and fact.object in missing and fact.kind not in EXISTENCE:
            continue  # not checked: it gets no case that could pass
        if not context.repeated:
            context.cases.append(catalog.fact_case(fact, context))
        if (now is None or now.value != fact.value) and not redundant(fact, missing, actual):
            _add_deviation(fact, now, fixes, context)
    for key, fact in sorted(actual.items(), key=lambda item: item[0]):
        if (
            key not in recorded
            and fact.unexpected_severity is not None
            and not redundant(fact, unexpected, recorded)
        ):
            if fact.kind.endswith(_BYPASSES):
                context.allowed.candidates[fact.id] = {"name": fact.name}
            elif fact.kind in _EXCEPTABLE:
                context.allowed.candidates[fact.id] = {}
            problem = f"is not in any rendered migration: {fact.value}"
            is_of_added = fact.kind in ("constraint", "index") and _names_added(fact, added)
            finding = _finding(
                fact,
                additions.severity_of(
                    fact.id, fact.unexpected_severity, context, is_of_added=is_of_added
                ),
                problem,
                fixes.remove(fact),
            )
            context.add_change(finding, _change(None, fact))
            context.unexpected.append(catalog.fact_case(fact, context))
    for finding in context.findings:
        checks = effects.get(finding.object, [])
        if (
            finding.area == AREA
            and finding.id.within(AREA, finding.object)[0] == _POLICY
            and all(checks)
        ):
            context.equivalence.needed[finding.id] = [
                check for check in checks if check is not None
            ]
    return fixes


def _names_added(fact: Fact, added: Sequence[Fact]) -> bool:
    """Whether a constraint or index names one of the columns that the project has added. The value
    is the definition that the server prints.
    """
    names = (column.name.strip('"') for column in added if column.object == fact.object)
    return any(re.search(rf"\b{re.escape(name)}\b", fact.value) for name in names)


def _parent_sql(facts: Facts, detail: Fact) -> str | None:
    parent = facts.get(detail.parent) if detail.parent else None
    return None if parent is None else parent.create_sql


def migrated_functions(expectations: Expectations) -> dict[str, syntax.Function]:
    """`schema.name` → the function of the migrations."""
    return {
        name: function
        for text in expectations.texts
        for name, function in syntax.functions(text).items()
    }


def body_queries(wanted: Mapping[str, syntax.Function]) -> list[Statement]:
    """The queries for the definitions of these functions, and for the exposed schemas."""
    return [sql_file(_BODIES).statement(list(wanted)), sql_file(EXPOSED_SCHEMAS).statement()]


def compare_functions(
    definitions: Sequence[tuple[str, ...]],
    expected: Mapping[str, syntax.Function],
    exposed: Sequence[str],
    fixes: Fixes,
    context: Context,
) -> None:
    """Compare functions (the rows of `_BODIES`) with the migrations: bodies literally, arguments by
    name and default.

    Another default is an error in an `exposed` schema, where a request can omit the argument, and a
    warning elsewhere.
    """
    for name, signature, schema, definition in sorted(definitions):
        wanted = expected[name]
        # a definition that the parser does not know (BEGIN ATOMIC, newer syntax) counts as a
        # different body
        actual = syntax.functions(definition).get(name) or syntax.Function(
            definition, wanted.arguments
        )
        case = Case(
            id=Id(AREA, signature, "body"),
            area=AREA,
            object=signature,
            name="the body of the function is that of the migration",
        )
        context.cases.append(catalog.with_script(case, _BODIES, name, context))
        if actual.body != wanted.body:
            message = (
                "the body of the function differs from the migration (sha256"
                f" {fingerprint(actual.body)[:12]},"
                f" expected {fingerprint(wanted.body)[:12]}):"
                f" {body_difference(actual.body, wanted.body)}"
            )
            fix = fixes.create_function(signature)
            finding = Finding(
                id=case.id,
                area=AREA,
                severity=Severity.ERROR,
                object=signature,
                message=message,
                fix=fix,
            )
            context.add_change(
                finding,
                Change(
                    object=signature, kind="body", name="", expected=wanted.body, actual=actual.body
                ),
            )
        case = Case(
            id=Id(AREA, signature, "arguments"),
            area=AREA,
            object=signature,
            name=f"the arguments of the function: {wanted}",
        )
        context.cases.append(catalog.with_script(case, _BODIES, name, context))
        if actual.arguments != wanted.arguments:
            renamed = _names(actual) != _names(wanted)
            is_error = renamed or schema in exposed
            severity = Severity.ERROR if is_error else Severity.WARNING
            message = f"the arguments of the function are ({actual}); expected: ({wanted})"
            fix = fixes.create_function(signature, drop=not _replaces(wanted, actual))
            finding = Finding(
                id=case.id, area=AREA, severity=severity, object=signature, message=message, fix=fix
            )
            context.add_change(
                finding,
                Change(
                    object=signature,
                    kind="arguments",
                    name="",
                    expected=str(wanted),
                    actual=str(actual),
                ),
            )


def _names(function: syntax.Function) -> list[str]:
    return [argument.name for argument in function.arguments]


def _replaces(wanted: syntax.Function, actual: syntax.Function) -> bool:
    """Whether CREATE OR REPLACE can change the arguments: it neither renames one nor removes a
    default.
    """
    pairs = zip(wanted.arguments, actual.arguments, strict=False)
    return all(w.name == a.name and (a.default is None or w.default is not None) for w, a in pairs)


def _add_deviation(expected: Fact, actual: Fact | None, fixes: Fixes, context: Context) -> None:
    """Add the finding for a recorded fact that is missing or has another value."""
    if actual is None:
        problem = "is missing" if expected.name or expected.kind in EXISTENCE else "cannot be read"
        wanted = expected.value
    else:
        problem = f"is {actual.value}"
        wanted = f"{expected.value}{text_difference(actual.value, expected.value)}"
    severity = Severity((actual or expected).deviation_severity)
    fix = fixes.restore(expected, actual)
    finding = _finding(expected, severity, f"{problem}; expected: {wanted}", fix)
    change = replace(_change(expected, actual), problem=f"{expected.subject} {problem}")
    context.add_change(finding, change)
    if revoked := _revoked(expected, actual):
        parts = {"object": expected.object, "role": expected.name, "revoked": revoked}
        context.allowed.candidates[finding.id] = parts


def _revoked(expected: Fact, actual: Fact | None) -> list[str]:
    """The privileges of a table that a role no longer has, if that is the only difference. A role
    with all privileges, the service, needs them.
    """
    if expected.kind != "grant" or expected.value == "ALL":
        return []
    granted = set() if actual is None else set(actual.value.split(", "))
    wanted = set(expected.value.split(", "))
    return sorted(wanted - granted) if granted <= wanted else []


def _change(expected: Fact | None, actual: Fact | None) -> Change:
    fact = expected or actual
    assert fact is not None  # noqa: S101  a change has one of them
    return Change(
        object=fact.object,
        kind=fact.kind,
        name=fact.name,
        expected="" if expected is None else expected.value,
        actual="" if actual is None else actual.value,
        expected_sql="" if expected is None else expected.create_sql,
        actual_sql="" if actual is None else actual.create_sql,
    )


def _finding(fact: Fact, severity: Severity, problem: str, fix: str) -> Finding:
    return Finding(
        id=fact.id,
        area=AREA,
        severity=severity,
        object=fact.object,
        message=f"{fact.subject} {problem}",
        fix=fix,
    )
