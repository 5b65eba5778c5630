"""The document of `drift`: what a database has more and less than its migrations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from supabase_jobs.findings import (
    AccessChange,
    AccessDiff,
    Drift,
    DriftFinding,
    Finding,
    Id,
    Severity,
)
from supabase_jobs.report.document import (
    Check,
    Detail,
    Document,
    Entry,
    Findings,
    Limit,
    Line,
    Message,
    Remark,
    Result,
    Rules,
    Strong,
)
from supabase_jobs.report.phrases import counted
from supabase_jobs.report.producers.access import sentences

AREA = "drift"
# how many sentences about the access a finding shows
_SENTENCES = 5
# GitHub shows no job summary above 1 MiB; the rest is for other steps
_SUMMARY = Limit(900_000, "finding", "a job summary.", in_bytes=True)
_RULES = Rules(
    "The database deviates from its migrations",
    "`supabase-jobs drift --json` has the SQL that makes it a migration.",
)


def document(result: Drift) -> Document:
    """The differences, what each changes in the access, and the SQL for both ways."""
    verdict = counted(len(result.findings), "difference") if result.findings else "no drift"
    files = counted(result.migrations, "migration")
    text = f"{verdict}: {result.database} against {files}"
    results = tuple(Result(_finding(finding)) for finding in result.findings)
    return Document(
        command=AREA,
        title="drift",
        ok=not result.findings,
        headline="Drift" if result.findings else "No drift",
        tone="bad" if result.findings else "good",
        heading=(Strong(verdict) if result.findings else verdict,),
        opening=(f"{result.database} against {files}.",),
        lead=f"{verdict}, {result.milliseconds / 1000:.1f} s. Compared with {files}.",
        closing=(Line(f"{text}, {result.milliseconds / 1000:.1f} s"),),
        contract=lambda: contract(result),
        sections=(
            Findings(
                title="", entries=tuple(_entries(result)), anchor="drift", heading="Differences"
            ),
        ),
        limit=_SUMMARY,
        milliseconds=result.milliseconds,
        database=result.database,
        results=results,
        checks=lambda: tuple(_checks(results)),
        rules=_RULES,
        noun="difference",
    )


def contract(result: Drift) -> Mapping[str, object]:
    """`{"ok", "findings", "access", "not_compared", "database", "migrations", "summary"}`."""
    wider = [f for f in result.findings if f.severity is Severity.ERROR]
    missing = None
    if result.access is not None:
        missing = [asdict(item) for item in result.access.not_compared]
    return {
        "ok": not result.findings,
        "findings": [_as_dict(finding) for finding in result.findings],
        "access": _access(result.unattributed),
        "not_compared": missing,
        "database": result.database,
        "migrations": result.migrations,
        "summary": {
            "findings": len(result.findings),
            "wider": len(wider),
            "ms": round(result.milliseconds, 1),
        },
    }


def _as_dict(finding: DriftFinding) -> dict[str, object]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "object": finding.object,
        "kind": finding.kind,
        "message": finding.message,
        "capture": finding.capture,
        "restore": finding.restore,
        "access": _access(finding.access),
        "untried": finding.untried or None,
    }


def _access(changes: Iterable[AccessChange]) -> list[dict[str, object]]:
    return list(map(_change, changes))


def _change(change: AccessChange) -> dict[str, object]:
    return {
        "severity": change.severity,
        "change": change.change,
        "object": change.object,
        "caller": str(change.caller or ""),
        "action": str(change.action or ""),
        "message": change.message,
    }


# -------------------------------------------------------------------------------------------------
# entries


def _entries(result: Drift) -> Iterator[Entry]:
    for finding in result.findings:
        yield _entry(finding, result.access)
    if result.unattributed:
        yield Entry(
            severity=Severity.INFO,
            object="database",
            messages=(Message("All of them together:"),),
            label="",
            badge=Severity.INFO,
            is_named=False,
            details=tuple(_changes(result.unattributed, result.access)),
        )


def _entry(finding: DriftFinding, access: AccessDiff | None) -> Entry:
    details = [*_changes(finding.access, access)]
    if finding.untried:
        details.append(Detail("not tried", finding.untried))
    details += [
        Detail("to make it a migration", finding.capture, "sql", is_pasted=True),
        Detail("to remove it from the database", finding.restore, "sql", is_pasted=True),
    ]
    return Entry(
        severity=finding.severity,
        object=finding.object,
        messages=(Message(finding.message),),
        label=f"{finding.severity:<7}  ",
        badge=finding.severity,
        details=tuple(details),
    )


def _changes(changes: Sequence[AccessChange], access: AccessDiff | None) -> Iterator[Detail]:
    found = [] if access is None else list(sentences(access, changes))
    for sentence in found[:_SENTENCES]:
        yield Detail(sentence.change, sentence.text)
    if len(found) > _SENTENCES:
        yield Detail("and", f"{len(found) - _SENTENCES} more; --json has all of them")


# -------------------------------------------------------------------------------------------------
# for programs


def _finding(finding: DriftFinding) -> Finding:
    """The difference with what it changes in the access, and the SQL that removes it as its fix."""
    changes = [c.message for c in finding.access if c.severity is not Severity.INFO]
    return Finding(
        id=finding.id,
        area=AREA,
        severity=finding.severity,
        object=finding.object,
        message="; ".join([finding.message, *changes]),
        fix=finding.restore,
    )


def _checks(results: Sequence[Result]) -> Iterator[Check]:
    """A check for each difference, or one that passed if there is none."""
    if not results:
        name = "the catalogs of the database are those that its migrations create"
        yield Check(id=Id(AREA), area=AREA, object="database", name=name, group=f"{AREA}.database")
    for result in results:
        finding = result.finding
        yield Check(
            id=finding.id,
            area=AREA,
            object=finding.object,
            name=finding.message,
            group=f"{AREA}.{finding.object}",
            remark=Remark.of([finding]),
        )
