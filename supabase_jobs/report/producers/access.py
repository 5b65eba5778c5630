"""The document of what migrations change in the access."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from supabase_jobs.findings import (
    AccessChange,
    AccessDiff,
    AuditFinding,
    Location,
    NotCompared,
    NotTested,
    Severity,
)
from supabase_jobs.findings.permission import printed
from supabase_jobs.report.document import (
    Code,
    Document,
    Entry,
    Findings,
    Legend,
    Line,
    Message,
    Omission,
    Omissions,
    Prose,
    Section,
    Strong,
    default_location,
)
from supabase_jobs.report.phrases import counted, joined
from supabase_jobs.report.producers import audit

# kinds of changes → heading, in the order of the report
PARTS: Mapping[str, tuple[str, ...]] = {
    "Wider access": ("wider",),
    "New objects": ("new",),
    "New leaks": ("leak",),
    "Narrower access": ("narrower",),
    "Removed objects": ("removed",),
    "Closed leaks": ("closed",),
}
_CELLS = ("wider", "narrower")
_OF_LEAKS = ("leak", "closed")
# of what is gone, no file has a line
_GONE = ("removed", "closed")
_SIGNS = {"wider": "+", "new": "+", "leak": "!", "narrower": "-", "removed": "-", "closed": "-"}


def document(result: AccessDiff) -> Document:
    """The changes by kind, wider access first, what was not compared, and who can do what after
    them.
    """
    result = replace(result, changes=_by_cause(result.changes))
    changed = {change.object for change in result.changes}
    locations = result.audit.locations
    found = tuple(audit.results(_findings(result), _not_tested(result), locations))
    unchanged = [s for s in result.audit.summaries if str(s.object) not in changed]
    names = f"{result.before} → {result.after}"
    seconds = f"{result.milliseconds / 1000:.1f} s"
    return Document(
        command=audit.AREA,
        title="access changes",
        ok=result.ok,
        headline="No unaccepted access" if result.ok else "Wider access",
        tone="good" if result.ok else "bad",
        heading=("passed" if result.ok else Strong("failed"),),
        opening=_opening(result),
        lead=f"{names}: {counts(result)}; {seconds}."
        + (f" {result.baseline} accepts changes." if result.baseline else ""),
        closing=(Line(_closing(result, names, seconds)),),
        contract=lambda: contract(result),
        sections=tuple(_sections(result)),
        limit=audit.COMMENT,
        milliseconds=result.milliseconds,
        database=result.audit.database,
        results=found,
        checks=lambda: tuple(audit.checks(unchanged, found, locations)),
        default_location=default_location(locations),
        rules=audit.RULES,
        width=100,
        is_compact=True,
        marker=audit.MARKER,
        findings_bytes=250_000,
        noun="change",
    )


def _by_cause(changes: Sequence[AccessChange]) -> tuple[AccessChange, ...]:
    """The changes with their object as the origin, where several have one cause in it: other
    callers, or other states of its rows.
    """
    times = Counter((change.label, change.cause) for change in changes if change.change in _CELLS)
    return tuple(
        replace(change, origin=change.label)
        if not change.origin and change.cause and times[change.label, change.cause] > 1
        else change
        for change in changes
    )


def contract(result: AccessDiff) -> Mapping[str, object]:
    """`{"ok", "before", "after", "changes", "not_compared", "summary"}`; access-diff.schema.json
    describes it.
    """
    kinds = ("wider", "new", "leak", "narrower", "removed", "closed")
    return {
        "ok": result.ok,
        "before": result.before,
        "after": result.after,
        "baseline": result.baseline or None,
        "changes": [_change(result, change) for change in result.changes],
        "not_compared": [asdict(item) for item in result.not_compared],
        "summary": {
            **{kind: len(result.of(kind)) for kind in kinds},
            "not_compared": len(result.not_compared),
            "ms": round(result.milliseconds, 1),
        },
    }


def _change(result: AccessDiff, change: AccessChange) -> dict[str, object]:
    location = _location(result, change)
    return {
        "id": change.id,
        "severity": change.severity,
        "change": change.change,
        "object": change.object,
        "caller": str(change.caller or ""),
        "action": str(change.action or ""),
        "message": change.message,
        "cause": change.cause,
        "fix": change.fix,
        "access": {str(caller): printed(some) for caller, some in change.access.items()},
        "location": None if location is None else asdict(location),
    }


def _location(result: AccessDiff, change: AccessChange) -> Location | None:
    if change.change in _GONE:
        return None
    name = change.origin or change.object
    return audit.locate(result.audit.locations, name, change.policies, change.column)


# -------------------------------------------------------------------------------------------------
# sentences


def counts(result: AccessDiff) -> str:
    """`2 cells wider, 1 new object, 0 cells narrower`, and what else there is."""
    wider, narrower = len(result.of("wider")), len(result.of("narrower"))
    found = [
        f"{counted(wider, 'cell')} wider",
        counted(len(result.of("new")), "new object"),
        f"{counted(narrower, 'cell')} narrower",
    ]
    others = (("removed", "removed object"), ("leak", "new leak"), ("closed", "closed leak"))
    found += [counted(len(result.of(kind)), noun) for kind, noun in others if result.of(kind)]
    found += [f"{len(result.not_compared)} not compared"] if result.not_compared else []
    return ", ".join(found)


def _opening(result: AccessDiff) -> Prose:
    opening: Prose = (Code(result.before), " → ", Code(result.after), f": {counts(result)}")
    if result.baseline:
        opening = (*opening, "; ", Code(result.baseline), " accepts changes")
    return (*opening, ".")


def _closing(result: AccessDiff, names: str, seconds: str) -> str:
    accepted = f"; accepted: {result.baseline}" if result.baseline else ""
    verdict = "ok" if result.ok else "FAILED"
    return f"{verdict}: {counts(result)}; {names}{accepted}, {seconds}"


@dataclass(frozen=True)
class Sentence:
    """Changes of one object with one cause, in one sentence. `location` is the line of the policy
    or the object, `origin` the object of the cause if it is another one.

    `fix` is that of the most general caller; `first` is its change.
    """

    first: AccessChange
    change: str
    severity: Severity
    object: str
    text: str
    cause: str
    fix: str
    location: Location | None
    origin: str = ""

    @property
    def by_cause(self) -> tuple[str, str]:
        """The object of the cause, and the cause: what reports fold changes by."""
        return self.origin, self.cause

    @property
    def where(self) -> str:
        """The cause with its line; '' if nothing is known."""
        line = f"{self.location.file}:{self.location.line}" if self.location else ""
        return f"{self.cause} ({line})" if self.cause and line else self.cause or line


def sentences(result: AccessDiff, changes: Iterable[AccessChange]) -> Iterator[Sentence]:
    """The changes, those of the same callers and of the same actions together."""
    # the actions of each caller on an object, then the callers with the same actions
    by_caller: dict[tuple[str, ...], list[AccessChange]] = {}
    for change in changes:
        alone = "" if change.change in _CELLS else change.id
        caller = str(change.caller or "")
        key = (change.change, change.severity, change.object, caller, change.cause, alone)
        by_caller.setdefault(key, []).append(change)
    by_actions: dict[tuple[object, ...], list[list[AccessChange]]] = {}
    for (kind, severity, name, _caller, cause, alone), group in by_caller.items():
        actions = tuple(change.action for change in group)
        same = (kind, severity, name, cause, alone, actions, group[0].target)
        by_actions.setdefault(same, []).append(group)
    for groups in by_actions.values():
        first = groups[0][0]
        yield Sentence(
            first=first,
            change=first.change,
            severity=first.severity,
            object=first.object,
            text=_text(groups) if first.change in _CELLS else first.message,
            cause=first.cause,
            fix=first.fix,
            location=_location(result, first),
            origin=first.origin,
        )


def _text(groups: list[list[AccessChange]]) -> str:
    first = groups[0][0]
    can = "can now" if first.change == "wider" else "can no longer"
    callers = joined(group[0].who for group in groups)
    return f"{callers} {can} {joined(change.verb for change in groups[0])} {first.target}"


# -------------------------------------------------------------------------------------------------
# sections


def _sections(result: AccessDiff) -> Iterator[Section]:
    told: set[tuple[str, str]] = set()
    for heading, kinds in PARTS.items():
        if found := entries(result, *kinds, told=told):
            yield Findings(title=heading, entries=found)
    if missing := tuple(omissions(result)):
        yield Omissions(title="Not compared", label="? ", items=missing)
    matrix = audit.access(result.audit, with_attempts=False)
    if matrix.rows:
        yield replace(
            matrix,
            title="Who can do what after the changes",
            intro=(),
            folded=f"Who can do what: {counted(len(matrix.rows), 'table')}",
            is_in_text=False,
            has_filters=False,
        )
        yield Legend(audit.MEANINGS, audit.MEANING_ITEMS)


def entries(
    result: AccessDiff, *kinds: str, told: set[tuple[str, str]] | None = None
) -> tuple[Entry, ...]:
    """The changes of some kinds, a sentence each; those with one cause together, with the leaks
    that it opens. `told` has the causes of the entries before, each with its object.
    """
    known = set[tuple[str, str]]() if told is None else told
    found: list[Entry] = []
    for sentence in sentences(result, result.of(*kinds)):
        if not sentence.origin:
            found.append(_entry(sentence))
        elif sentence.by_cause not in known:
            known.add(sentence.by_cause)
            every = sentences(result, result.changes)
            found.append(_shared_entry([one for one in every if one.by_cause == sentence.by_cause]))
    return tuple(found)


def _shared_entry(same: Sequence[Sentence]) -> Entry:
    """Changes of several objects with one cause; that of the first is the widest."""
    texts = dict.fromkeys(
        f"{one.object}: {one.text}" if one.change in _OF_LEAKS else one.text for one in same
    )
    entry = _entry(same[0])
    return replace(
        entry,
        object=same[0].origin,
        messages=tuple(map(Message, texts)),
        is_named=False,
        is_list=len(texts) > 1,
    )


def _entry(sentence: Sentence) -> Entry:
    is_of_leak = sentence.change in _OF_LEAKS
    return Entry(
        severity=sentence.severity,
        object=sentence.object,
        messages=(Message(sentence.text),),
        label=f"{_SIGNS[sentence.change]} {_severity(sentence)}",
        badge=sentence.severity,
        is_named=is_of_leak,
        is_graded=sentence.change not in _GONE,
        cause=sentence.where,
        fixes=(sentence.fix,) if sentence.fix else (),
        footer=f"Cause: {sentence.where}" if sentence.where else "",
    )


def _severity(sentence: Sentence) -> str:
    """The severity, where the sign does not say it: wider access is an error unless something
    accepts it, and of new objects only some are.
    """
    is_error = sentence.severity is Severity.ERROR
    if sentence.change != "leak" and is_error == (sentence.change == "wider"):
        return ""
    return f"{sentence.severity}: "


def omissions(result: AccessDiff) -> Iterator[Omission]:
    """The objects that were tested on one side only, those with the same reason together."""
    found: dict[tuple[str, str], list[NotCompared]] = {}
    for item in result.not_compared:
        found.setdefault((item.untested, item.why), []).append(item)
    for (untested, why), items in found.items():
        names = dict.fromkeys(_cell(item) for item in items)
        yield Omission(", ".join(names), f"not tested {_side(result, untested)}: {why}")


def _side(result: AccessDiff, untested: str) -> str:
    if untested == "both":
        return "on either side"
    return f"for {result.before if untested == 'before' else result.after}"


def _cell(item: NotCompared) -> str:
    return f"{item.object} ({item.caller}: {item.access})" if item.caller else item.object


# -------------------------------------------------------------------------------------------------
# for programs


def _findings(result: AccessDiff) -> Iterator[AuditFinding]:
    """A finding for each sentence. One about cells names its object itself."""
    for sentence in sentences(result, result.changes):
        change = sentence.first
        is_named = change.change in _CELLS and bool(change.origin)
        yield AuditFinding(
            id=change.id,
            severity=change.severity,
            object=change.origin if is_named else change.object,
            message=sentence.text,
            fix=change.fix,
            cause=change.cause,
            policies=change.policies,
            origin=change.origin,
            column=change.column,
            kind=change.change,
        )


def _not_tested(result: AccessDiff) -> Iterator[NotTested]:
    for item in result.not_compared:
        name = f"{item.object} ({item.caller})" if item.caller else item.object
        yield NotTested(name, item.why, "Fix what prevents the test, then compare again.")
