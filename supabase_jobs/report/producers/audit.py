"""The document of an audit."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count

from supabase_jobs.findings import (
    BASELINE,
    AccessCaller,
    AccessObject,
    AccessSummary,
    Audit,
    AuditCell,
    AuditFinding,
    Finding,
    Id,
    Location,
    NotTested,
    Permission,
    Permissions,
    Severity,
)
from supabase_jobs.outcomes import OUTCOMES, ROWS, SQLSTATE_MEANING
from supabase_jobs.report.document import (
    Access,
    AccessCell,
    AccessRow,
    Attempts,
    Check,
    Code,
    Document,
    Entry,
    Findings,
    Legend,
    Limit,
    Line,
    Message,
    Omission,
    Omissions,
    Remark,
    Result,
    Rules,
    Scripts,
    Section,
    Strong,
    default_location,
)
from supabase_jobs.report.phrases import counted, severities

AREA = "audit"
# GitHub accepts no comment above 65,536 characters
COMMENT = Limit(60_000, "part", "a comment; --format html has all of them.")
# the first line, by which a workflow finds its comment again
MARKER = "<!-- supabase-jobs audit -->"
# action → heading
WORDS = {"select": "read", "insert": "insert", "update": "update", "delete": "delete"}
# word of a cell → meaning
MEANINGS = {
    "none": "nobody",
    "own": "one's own rows",
    "group": "rows of one's group",
    "users": "every row, when signed in",
    "all": "every row, without signing in",
}
MEANING_ITEMS = tuple((f"who-{word}", word, meaning) for word, meaning in MEANINGS.items())
RULES = Rules(
    "A caller can do more than it should, or other things than the baseline says",
    "`supabase-jobs audit --format html` shows the SQL and the request of each action.",
)
_LEGEND = Legend(
    words=MEANINGS,
    items=(
        *MEANING_ITEMS,
        ("mismatch", "✗ all", "a leak"),
        *((word, word, meaning) for word, meaning in OUTCOMES.items()),
        ("other", "23514", SQLSTATE_MEANING),
    ),
    mark="a leak",
)
_ACCEPT = (
    "An object that was not tested makes the audit fail. Follow the help above, or accept it with"
    " a reason under"
    " [excluded] in supabase/audit.toml."
)
_OUTSIDERS = (("anon", "all"), ("newcomer", "users"), ("stranger", "users"))
_WHOSE = {
    "own": "own rows",
    "group": "rows of the group",
    "other": "another's rows",
    "none": "rows without an owner",
}
# kind of a privilege that no policy limits and no request uses → the action
_UNLIMITED = {"truncate": "empty tables", "sequence": "set sequences"}
_KEYS = ("id", "severity", "object", "message", "fix", "cause", "proven")


def document(result: Audit) -> Document:
    """The matrix with what was tried, the leaks, the changes since the baseline, and what was not
    tested.
    """
    every = (*result.findings, *result.performance)
    found = tuple(results(every, result.not_tested, result.locations))
    return Document(
        command=AREA,
        title="audit",
        ok=result.ok,
        headline="No error" if result.ok else "Failed",
        tone="good" if result.ok else "bad",
        heading=("passed" if result.ok else Strong("failed"),),
        opening=(f"{_counts(result)}; {coverage(result)}.",),
        lead=_lead(result),
        closing=(*map(Line, _explained_callers(result)), Line(_closing(result))),
        contract=lambda: contract(result),
        sections=tuple(_sections(result)),
        limit=COMMENT,
        milliseconds=result.milliseconds,
        database=result.database,
        results=found,
        checks=lambda: tuple(checks(result.summaries, found, result.locations)),
        default_location=default_location(result.locations),
        rules=RULES,
        hints=(Line(_ACCEPT),) if set(result.unchecked) - {"database"} else (),
        width=100,
        marker=MARKER,
        counts=_by_severity(every),
        has_contents=True,
    )


def _by_severity(findings: Iterable[AuditFinding]) -> dict[Severity, int]:
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in Severity}


def _chosen(item: object, keys: Iterable[str]) -> dict[str, object]:
    return {key: getattr(item, key) for key in keys}


def _cell(cell: AuditCell) -> dict[str, object]:
    return {
        "object": cell.object,
        "caller": cell.caller,
        "whose": cell.whose,
        "action": cell.does,
        "outcome": cell.outcome,
    }


def contract(result: Audit) -> Mapping[str, object]:
    """`{"ok", "findings", "matrix", "coverage", "summary"}`, the contract of the CLI."""
    counts = {severity.value: number for severity, number in _by_severity(result.findings).items()}
    return {
        "ok": result.ok,
        "findings": [
            {**_chosen(finding, _KEYS), **_place(finding, result.locations)}
            for finding in result.findings
        ],
        "matrix": [_cell(cell) for cell in result.cells],
        "access": [
            {"object": str(s.object), **s.access, "leaks": sorted(s.leaks)}
            for s in result.summaries
        ],
        "coverage": {
            "tables": result.tables,
            "planted": result.planted,
            "cells": len(result.cells),
            **({} if result.api_cells is None else {"api_cells": result.api_cells}),
            "not_tested": [asdict(item) for item in result.not_tested],
        },
        "default_grants": result.default_grants,
        **_repairs(result),
        **_performance(result),
        "summary": {**counts, "ms": round(result.milliseconds, 1)},
    }


def _place(finding: AuditFinding, locations: Mapping[str, Location]) -> dict[str, object]:
    """The file and the line of the cause; None if no file of the project has it."""
    location = _location(finding, locations)
    if location is None:
        return {"file": None, "line": None}
    return {"file": location.file, "line": location.line}


def _performance(result: Audit) -> Mapping[str, object]:
    """The findings of `--performance`."""
    if not result.performance:
        return {}
    return {
        "performance": [
            {**_chosen(finding, _KEYS), **_place(finding, result.locations)}
            for finding in result.performance
        ]
    }


def _repairs(result: Audit) -> Mapping[str, object]:
    """The proven repairs of `--fix`."""
    if result.repairs is None:
        return {}
    found = result.repairs
    names = [name for repair in found.repairs for name in repair.findings]
    return {"repairs": {"findings": names, "closed": found.closes, "lost": len(found.takes)}}


# -------------------------------------------------------------------------------------------------
# sentences


def coverage(result: Audit) -> str:
    """How much was tested, in one phrase."""
    tables, cells = counted(result.tables, "table"), counted(len(result.cells), "cell")
    shown = f"rows for {result.planted} of {tables}, {cells}"
    if result.api_cells is None:
        return shown
    return f"{shown}, {counted(result.api_cells, 'request')} to the API"


def _totals(result: Audit) -> str:
    """The number of findings of each severity, in every format."""
    return severities(result.findings) or "no findings"


def _counts(result: Audit) -> str:
    text = _totals(result)
    if result.baseline:
        text += f", {counted(len(_deviations(result)), 'difference')} from {result.baseline}"
    return text


def _lead(result: Audit) -> str:
    text = f"{_totals(result)}, {coverage(result)}"
    text += f", {result.milliseconds / 1000:.1f} s."
    return f"{text} Compared with {result.baseline}." if result.baseline else text


def _closing(result: Audit) -> str:
    text = f"{'ok' if result.ok else 'FAILED'}: {_totals(result)}"
    if result.performance:
        text += f"; performance: {severities(result.performance)}"
    if result.unchecked:
        text += f", {counted(len(set(result.unchecked)), 'object')} not tested"
    return f"{text}; {coverage(result)}, {result.milliseconds / 1000:.1f} s"


def _explained_callers(result: Audit) -> Iterator[str]:
    """The callers that the fixes name, in one line."""
    callers = {label for finding in result.findings for label in finding.callers}
    said = [f"{label}: {meaning}" for label, meaning in result.meanings.items() if label in callers]
    if said:
        yield f"callers: {'; '.join(said)}"


# -------------------------------------------------------------------------------------------------
# findings


def _leaks(result: Audit) -> list[AuditFinding]:
    """The findings that need no baseline: errors and warnings."""
    return [f for f in result.findings if _counts_as_leak(f) and not _is_deviation(f)]


def _deviations(result: Audit) -> list[AuditFinding]:
    """The deviations from the baseline, without infos."""
    return [f for f in result.findings if _counts_as_leak(f) and _is_deviation(f)]


def _notes(result: Audit) -> list[AuditFinding]:
    """The infos: access that may be intended, accepted leaks, new objects."""
    return [f for f in result.findings if f.severity is Severity.INFO]


def _unlimited(result: Audit) -> dict[str, list[AuditFinding]]:
    """The infos about privileges that no policy limits, by schema."""
    found: dict[str, list[AuditFinding]] = {}
    for finding in _notes(result):
        if finding.kind in _UNLIMITED:
            found.setdefault(finding.object, []).append(finding)
    return found


def _questions(result: Audit) -> list[AuditFinding]:
    """The decisions that the project has to take."""
    return [f for f in result.findings if f.severity is Severity.QUESTION]


def _is_deviation(finding: AuditFinding) -> bool:
    """Whether a finding compares the access with a baseline."""
    return finding.kind == BASELINE


def _counts_as_leak(finding: AuditFinding) -> bool:
    return finding.severity.is_problem


def _entries(result: Audit, findings: Iterable[AuditFinding]) -> tuple[Entry, ...]:
    """Findings with the same object, severity, cause and fix together, in their order."""
    every = (*result.findings, *result.performance)
    positions = {id(finding): number for number, finding in enumerate(every)}
    return tuple(_entry(result, group, positions[id(group[0])]) for group in by_cause(findings))


def by_cause(findings: Iterable[AuditFinding]) -> list[list[AuditFinding]]:
    """Findings with the same cause together: those of an object with the same fix, or of several
    objects that one object opens.
    """
    groups: dict[tuple[str, ...], list[AuditFinding]] = {}
    for finding in findings:
        key: tuple[str, ...] = (
            finding.object,
            finding.severity,
            finding.cause,
            finding.fix or finding.id,
        )
        if finding.origin:
            key = ("", "", finding.origin, finding.cause)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _note_entries(result: Audit) -> tuple[Entry, ...]:
    """The infos: the privileges that no policy limits are one line for each schema."""
    unlimited = _unlimited(result)
    left_out = {id(finding) for findings in unlimited.values() for finding in findings}
    others = [finding for finding in _notes(result) if id(finding) not in left_out]
    lines = [_unlimited_entry(schema, findings) for schema, findings in unlimited.items()]
    return (*_entries(result, others), *lines)


def _unlimited_entry(schema: str, findings: Iterable[AuditFinding]) -> Entry:
    """One message for each kind, because the verdict counts each."""
    kinds = {finding.kind for finding in findings}
    first, *others = [action for kind, action in _UNLIMITED.items() if kind in kinds]
    message = (
        f"API roles may {first} without a policy; no request can, and --format json has the SQL"
        " that ends it"
    )
    return Entry(
        severity=Severity.INFO,
        object=schema,
        messages=(Message(message), *(Message(f"they may {action}, too") for action in others)),
        label=f"{Severity.INFO}: ",
        badge=Severity.INFO,
        position=sys.maxsize - 1,
    )


def _question(finding: AuditFinding) -> Entry:
    return Entry(
        severity=finding.severity,
        object=finding.object,
        messages=(Message(finding.message),),
        label=f"{finding.severity}: ",
        badge=finding.severity,
        is_named=False,
        id=finding.id,
        position=sys.maxsize,
    )


def _entry(result: Audit, group: Sequence[AuditFinding], position: int) -> Entry:
    first = group[0]
    location = _location(first, result.locations)
    line = f" · {location.file}:{location.line}" if location else ""
    place = f" ({location.file}:{location.line})" if location else ""
    return Entry(
        severity=first.severity,
        object=first.origin or first.object,
        messages=tuple(Message(text) for text in _said(group)),
        label=f"{first.severity}: ",
        badge=first.severity,
        is_list=bool(first.origin) and len(group) > 1,
        id=", ".join(finding.id for finding in group) if first.origin else first.id,
        cause=f"{first.cause}{place}" if first.cause else "",
        fixes=(first.fix,) if first.fix else (),
        footer=f"Cause: {first.cause}{line}",
        position=position,
    )


def _said(group: Sequence[AuditFinding]) -> list[str]:
    """The messages, with their objects if another one opens them."""
    if all(finding.origin in ("", finding.object) for finding in group):
        return [finding.message for finding in group]
    return [f"{finding.object}: {finding.message}" for finding in group]


def _location(finding: AuditFinding, locations: Mapping[str, Location]) -> Location | None:
    name = finding.origin or finding.object
    return locate(locations, name, finding.policies, finding.column)


def locate(
    locations: Mapping[str, Location], name: str, policies: Sequence[str], column: str = ""
) -> Location | None:
    """The line that creates the first of these policies, or else the object of this name. If a
    later line adds the column that the access is about, it is that one: it opens what older
    policies permit.
    """
    # migrations create a function by its name, and a table without the state of its rows
    label = name.partition("(")[0].rstrip()
    policy = locations.get(f"{label}:{policies[0]}") if policies else None
    found, added = policy or locations.get(label), locations.get(f"{label}.{column}")
    if added is None or (found is not None and _order(found) > _order(added)):
        return found
    return added


def _order(location: Location) -> tuple[str, int]:
    """The place of a line among the migrations, which run in the order of their names."""
    return location.file, location.line


def results(
    findings: Iterable[AuditFinding],
    not_tested: Iterable[NotTested],
    locations: Mapping[str, Location],
) -> Iterator[Result]:
    """The findings at the line of their cause, one for each that several objects have in common,
    and what was not tested.
    """
    for group in by_cause(findings):
        alone = [[finding] for finding in group]
        for same in [group] if group[0].origin else alone:
            yield Result(_found(same), _location(same[0], locations))
    for item in not_tested:
        yield Result(_untested(item), _place_of(locations, item.object))


def _place_of(locations: Mapping[str, Location], name: str) -> Location | None:
    """The line of an object that was not tested, or of a statement, which has its file and line as
    name.
    """
    file, _, line = name.rpartition(":")
    known = locations.get(file)
    if known is not None and line.isdecimal():
        return replace(known, line=int(line))
    return locations.get(name) or locate(locations, name, ())


def _found(group: Sequence[AuditFinding]) -> Finding:
    """Findings with one cause as one."""
    first = group[0]
    cause = f" (cause: {first.cause})" if first.cause else ""
    if not first.origin:
        message = f"{first.message}{cause}"
        return Finding(
            id=first.id,
            area=AREA,
            severity=first.severity,
            object=first.object,
            message=message,
            fix=first.fix,
        )
    message = f"{'; '.join(dict.fromkeys(_said(group)))}{cause}"
    return Finding(
        id=Id(first.kind, first.origin, *first.policies),
        area=AREA,
        severity=first.severity,
        object=first.origin,
        message=message,
        fix=first.fix,
    )


def _untested(item: NotTested) -> Finding:
    return Finding(
        id=Id("not-tested", item.object),
        area=AREA,
        severity=Severity.ERROR if item.fails else Severity.INFO,
        object=item.object,
        message=f"not tested: {item.why}",
        fix=item.help,
    )


def checks(
    summaries: Iterable[AccessSummary],
    found: Iterable[Result],
    locations: Mapping[str, Location],
) -> Iterator[Check]:
    """A check for each action on an object without a leak, and for each finding."""
    for summary in summaries:
        for action, who in summary.access.items():
            if action in summary.leaks:
                continue
            yield Check(
                id=Id("access", str(summary.object), action),
                area=AREA,
                object=str(summary.object),
                name=f"{WORDS[action]}: {who}",
                group=f"{AREA}.{summary.object}",
                location=locate(locations, summary.object.label, ()),
            )
    by_id: dict[str, list[Result]] = {}
    for result in found:
        by_id.setdefault(result.finding.id, []).append(result)
    for group in by_id.values():
        finding = group[0].finding
        yield Check(
            id=finding.id,
            area=AREA,
            object=finding.object,
            name=finding.message,
            group=f"{AREA}.{finding.object}",
            location=group[0].location,
            remark=Remark.of([result.finding for result in group]),
        )


# -------------------------------------------------------------------------------------------------
# sections


def _sections(result: Audit) -> Iterator[Section]:
    notes = _notes(result)
    parts = (
        Findings(title="Leaks", entries=_entries(result, _leaks(result)), anchor="leaks"),
        Findings(
            title="Changes",
            entries=_entries(result, _deviations(result)),
            anchor="changes",
            heading=f"Differences from {result.baseline}",
        ),
        Findings(
            title="Notes",
            entries=_note_entries(result),
            anchor="notes",
            folded=counted(len(notes), "note"),
        ),
        Findings(
            title="Questions",
            entries=tuple(map(_question, _questions(result))),
            anchor="questions",
            is_checklist=True,
        ),
        Findings(
            title="Performance",
            entries=_entries(result, result.performance),
            anchor="performance",
            folded=counted(len(result.performance), "suggestion") + " for performance",
        ),
    )
    yield from (part for part in parts if part.entries)
    matrix = access(result)
    if matrix.rows:
        yield matrix
    functions = tuple(_functions(result))
    if functions:
        yield Access(
            title="Functions",
            anchor="functions",
            heading="Function",
            actions=("call",),
            rows=functions,
            intro=(
                "Who may call each function of the API. In a cell, ",
                Code("rows"),
                " is a call that shows or changes rows that the tables refuse to the caller.",
            ),
            is_in_text=False,
        )
    if matrix.rows:
        yield _LEGEND
    if result.not_tested:
        items = tuple(Omission(i.object, i.why, i.help) for i in result.not_tested)
        yield Omissions(
            title="Not tested",
            label="not tested: ",
            items=items,
            anchor="not-tested",
            noun="object",
        )
    if result.callers:
        yield Scripts(title="Callers", anchor="callers", intro=_CALLERS, scripts=result.callers)


_CALLERS = (
    "To repeat a cell in psql: ",
    Code("begin;"),
    ", the statement of its caller, the SQL of the cell, ",
    Code("rollback;"),
    ". The ids are those of generated rows, which exist only during an audit: replace them with ids"
    " of your own rows. A request needs ",
    Code("SUPABASE_URL"),
    ", ",
    Code("SUPABASE_ANON_KEY"),
    " and the access token of a user in ",
    Code("TOKEN"),
    "; for service_role ",
    Code("SUPABASE_SERVICE_ROLE_KEY"),
    ". What it writes remains. Its filter reads columns, so that policies for SELECT apply, too.",
)


# -------------------------------------------------------------------------------------------------
# the matrix


@dataclass(frozen=True)
class Row:
    """An object, and who may do what with it: action → one of `MEANINGS`. `leaks` are actions with
    a finding.
    """

    object: str
    access: Mapping[str, str]
    leaks: frozenset[str]


def rows(result: Audit) -> Iterator[Row]:
    """The tables, with the states of rows in which the access differs; then views and topics of
    Realtime.
    """
    known = {item.object: item for item in result.summaries}
    for item in result.summaries:
        table = known.get(AccessObject(item.object.label), item)
        if table is item or item.access != table.access or not item.leaks <= table.leaks:
            yield Row(str(item.object), item.access, item.leaks)
    tried = {(cell.object, cell.action) for cell in result.cells}
    for one, callers in sorted(result.access.items(), key=lambda pair: str(pair[0])):
        if one not in known:
            name = str(one)
            access = {
                action: _widest(callers, word)
                for action, word in WORDS.items()
                if (name, action) in tried
            }
            yield Row(name, access, _leaking(result, name) & access.keys())


def _leaking(result: Audit, name: str) -> frozenset[str]:
    """The actions of the leaks of a view or topic."""
    return frozenset(
        finding.action
        for finding in result.findings
        if finding.object == name and _counts_as_leak(finding)
    )


def _widest(callers: Mapping[AccessCaller, Permissions], word: str) -> str:
    allowed = {str(caller) for caller, actions in callers.items() if Permission(word) in actions}
    for caller, who in _OUTSIDERS:
        if caller in allowed:
            return who
    if not allowed:
        return "none"
    return "own" if allowed == {"owner"} else "group"


def access(result: Audit, *, with_attempts: bool = True) -> Access:
    """The matrix, with what was tried for each cell."""
    by_action: dict[tuple[str, str], list[AuditCell]] = {}
    for cell in result.cells if with_attempts else ():
        by_action.setdefault((cell.object, cell.action), []).append(cell)
    numbers = count(1)
    tables = {item.object.label for item in result.summaries}
    made = []
    for row in rows(result):
        cells: list[AccessCell | None] = []
        for action, word in WORDS.items():
            who = row.access.get(action)
            if who is None:
                cells.append(None)
                continue
            cells.append(
                AccessCell(
                    title=f"{row.object}: {word}",
                    who=who,
                    is_leak=action in row.leaks,
                    anchor=f"cell-{next(numbers)}",
                    attempts=tuple(_attempts(by_action.get((row.object, action), ()))),
                )
            )
        made.append(AccessRow(row.object, tuple(cells)))
    return Access(
        title="Who can do what",
        anchor="matrix",
        heading="Table or view",
        actions=tuple(WORDS.values()),
        rows=tuple(made),
        intro=(
            "The widest group of callers that may do something. Press a cell to see the outcome of"
            " every caller, with its SQL and its HTTP request.",
        ),
        folded=f"Who can do what: {counted(len(tables), 'table')}",
        is_in_text=bool(result.summaries),
        has_filters=True,
        without=(
            " cells have no room for their SQL in this page. Audit a part with --table or --schema"
            " to see it.",
        ),
    )


def _functions(result: Audit) -> Iterator[AccessRow]:
    """The functions: who may call each, with the calls and their outcomes."""
    calls: dict[str, list[AuditCell]] = {name: [] for name in result.functions}
    for cell in result.cells:
        if cell.object in calls:
            calls[cell.object].append(cell)
    leaks = {finding.object for finding in result.findings if _counts_as_leak(finding)}
    for number, (name, roles) in enumerate(sorted(result.functions.items()), 1):
        call = AccessCell(
            title=f"{name}: call",
            who=_callers_of(roles),
            is_leak=name in leaks,
            anchor=f"function-{number}",
            attempts=tuple(_attempts(calls[name])),
        )
        yield AccessRow(name, (call,))


def _callers_of(roles: Collection[str]) -> str:
    """The roles that may call a function as a word of the matrix."""
    if "anon" in roles:
        return "all"
    return "users" if roles else "none"


def _attempts(cells: Iterable[AuditCell]) -> Iterator[Attempts]:
    """The cells of an action, by their rows, column and outcome; what reached its target first."""
    found: dict[tuple[str, str, str], list[AuditCell]] = {}
    for cell in cells:
        found.setdefault((cell.whose, cell.does, cell.outcome), []).append(cell)
    for group in sorted(found.values(), key=lambda group: group[0].outcome != ROWS):
        first = group[0]
        yield Attempts(
            outcome=first.outcome,
            rows=_rows_of(first),
            callers=tuple(dict.fromkeys(cell.caller for cell in group)),
            sql=partial(_text, first.sql),
            request=partial(_text, first.request),
        )


def _rows_of(cell: AuditCell) -> str:
    """Whose rows they are for the caller, and the column."""
    text = _WHOSE.get(cell.whose, cell.whose)
    if cell.action == "exists":
        text += ", whether a row exists"
    return f"{text}, {cell.detail}" if cell.detail else text


def _text(text: object) -> str:
    return str(text() if callable(text) else text)
