"""The document of `mutate`: the faults that verify did not detect, and the scores by operator."""

from collections import Counter
from collections.abc import Iterator, Mapping

from supabase_jobs.findings import Fault, Mutant, MutationResult, Severity
from supabase_jobs.report.document import (
    Detail,
    Document,
    Entry,
    Findings,
    Limit,
    Line,
    Message,
    Omission,
    Omissions,
    Section,
    Tables,
)
from supabase_jobs.report.phrases import counted
from supabase_jobs.report.producers.scores import Score, score_table

_LIMIT = Limit(900_000, "part", "a job summary.", in_bytes=True)


def document(result: MutationResult) -> Document:
    """The survivors with their SQL, the waived mutants, and the scores by operator."""
    verdict = "ok" if result.ok else "FAILED"
    counts = (
        f"{counted(len(result.mutants), 'mutant')}, {result.killed} killed,"
        f" {len(result.waived)} waived, {len(result.survivors)} survived;"
        f" {len(result.not_injected)} not injected"
    )
    closing = [Line(f"{verdict}: {counts}")]
    if not result.mutants:
        closing.append(Line("no fault was injected: nothing was tested"))
    return Document(
        command="mutate",
        title="mutate",
        ok=result.ok,
        headline=counts,
        tone="good" if result.ok else "bad",
        heading=(verdict,),
        opening=(f"{counts}.",),
        lead=f"{counts}.",
        closing=tuple(closing),
        contract=lambda: contract(result),
        sections=tuple(_sections(result)),
        limit=_LIMIT,
        noun="survivor",
    )


def contract(result: MutationResult) -> Mapping[str, object]:
    """`{"mutants": [{"id", "killed", "by"}], "killed", "total"}` and more."""
    return {
        "mutants": [
            {
                "id": m.fault.id,
                "killed": m.killed,
                "waived": None if m.killed else m.waived,
                "by": list(m.by),
                "object": m.fault.object,
                "description": m.fault.description,
                "sql": m.fault.sql,
            }
            for m in result.mutants
        ],
        "killed": result.killed,
        "total": len(result.mutants),
        "waived": [{"id": m.fault.id, "reason": m.waived} for m in result.waived],
        "not_injected": [
            {"id": fault.id, "error": error, "sql": fault.sql}
            for fault, error in result.not_injected
        ],
    }


def _sections(result: MutationResult) -> Iterator[Section]:
    entries = (*map(_survivor, result.survivors), *map(_waived, result.waived))
    if entries:
        yield Findings(title="", entries=entries, anchor="survivors", heading="Survivors")
    if result.not_injected:
        items = tuple(Omission(fault.id, error) for fault, error in result.not_injected)
        yield Omissions(title="", label="not injected: ", items=items)
    if scores := _by_operator(result):
        yield Tables("Scores", "scores", (score_table("operator", "Operator", scores),))


def _by_operator(result: MutationResult) -> list[Score]:
    totals = Counter(_operator(m.fault) for m in result.mutants)
    killed = Counter(_operator(m.fault) for m in result.mutants if m.killed)
    return [Score(name, killed[name], total) for name, total in totals.items()]


def _operator(fault: Fault) -> str:
    """`bodies if-true`."""
    return fault.operator.replace(":", " ", 1)


def _survivor(mutant: Mutant) -> Entry:
    fault = mutant.fault
    details = (Detail(fault.object, fault.description), Detail("", fault.sql, "sql"))
    return _entry(mutant, Severity.ERROR, "SURVIVED  ", details)


def _waived(mutant: Mutant) -> Entry:
    return _entry(mutant, Severity.INFO, "waived  ", (Detail("", mutant.waived or "", "text"),))


def _entry(mutant: Mutant, severity: Severity, label: str, details: tuple[Detail, ...]) -> Entry:
    return Entry(
        severity=severity,
        object=mutant.fault.object,
        messages=(Message(mutant.fault.id),),
        label=label,
        badge=label.strip().lower(),
        is_named=False,
        details=details,
    )
