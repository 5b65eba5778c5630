"""The document of `mutate --run`: scores, and the faults that no test detected."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict

from supabase_jobs.findings import Id, Severity, SuiteMutant, SuiteMutation
from supabase_jobs.report.document import (
    Check,
    Detail,
    Document,
    Entry,
    Extent,
    Findings,
    Limit,
    Line,
    Message,
    Omission,
    Omissions,
    Remark,
    Section,
    Tables,
)
from supabase_jobs.report.phrases import counted
from supabase_jobs.report.producers.scores import Score, score_table

# GitHub shows no job summary above 1 MiB; the rest is for other steps
_SUMMARY = Limit(900_000, "part", "a job summary.", in_bytes=True)
# framework → its name and the language of its tests
_FRAMEWORKS = {"pytest": ("pytest", "python"), "pgtap": ("pgTAP", "sql")}


def document(result: SuiteMutation) -> Document:
    """The scores by object and kind, and each survivor with its SQL and its missing tests."""
    score = total(result)
    return Document(
        command="mutate",
        title="mutate",
        ok=result.ok,
        headline=f"Score {score.percent}",
        tone=_tone(result),
        heading=(verdict(result),),
        opening=(f"Score {score.percent} ({score.killed} of {score.total}); {counts(result)}.",),
        lead=f"{score.killed} of {score.total} faults were detected by: {result.command}."
        f" {counts(result)}; {result.seconds:.1f} s.",
        closing=tuple(_closing(result, score)),
        contract=lambda: contract(result),
        sections=tuple(_sections(result)),
        limit=_SUMMARY,
        milliseconds=result.seconds * 1000,
        database=result.database,
        checks=lambda: tuple(_checks(result)),
        findings_bytes=450_000,
        noun="survivor",
    )


def contract(result: SuiteMutation) -> Mapping[str, object]:
    """`{"mutants": [{"id", "killed", "by"}], "killed", "total"}` and more; `mutants` are those that
    count.
    """
    return {
        "mutants": [_mutant(m) for m in result.scored],
        "killed": len(result.of("killed")),
        "total": len(result.scored),
        "equivalent": [_mutant(m) for m in result.of("equivalent")],
        "untested": [_mutant(m) for m in result.of("untested")],
        "not_injected": [
            {"id": m.id, "error": "; ".join(m.by), "sql": m.sql} for m in result.of("rejected")
        ],
        "scores": {
            "objects": [asdict(score) for score in by_object(result)],
            "kinds": [asdict(score) for score in by_kind(result)],
        },
        "selected": result.selected,
        "derived": result.derived,
        "seed": result.seed,
        "not_run": result.selected - len(result.mutants),
        "suite": {
            "command": result.command,
            "seconds": round(result.suite_seconds, 2),
            "timeout": round(result.timeout, 2),
            "jobs": result.jobs,
            "untouched": sorted(result.untouched),
        },
        "seconds": round(result.seconds, 2),
    }


def _mutant(mutant: SuiteMutant) -> dict[str, object]:
    return {
        "id": mutant.id,
        "killed": mutant.state == "killed",
        "by": list(mutant.by),
        "object": mutant.object,
        "kind": mutant.kind,
        "sentence": mutant.sentence,
        "sql": mutant.sql,
        "seconds": round(mutant.seconds, 2),
        "tests": {name: test.text for name, test in mutant.tests.items()},
        "note": mutant.note,
    }


# -------------------------------------------------------------------------------------------------
# scores


def total(result: SuiteMutation) -> Score:
    """The score of all mutants."""
    return Score("all", len(result.of("killed")), len(result.scored))


def by_object(result: SuiteMutation) -> list[Score]:
    """A score for each table, view and function; the lowest first."""
    scores = _grouped(result, lambda m: m.object.removeprefix("public."))
    return sorted(scores, key=lambda s: (s.killed / s.total, s.name))


def by_kind(result: SuiteMutation) -> list[Score]:
    """A score for each kind."""
    return _grouped(result, lambda m: m.kind)


def _grouped(result: SuiteMutation, key: Callable[[SuiteMutant], str]) -> list[Score]:
    totals = Counter(map(key, result.scored))
    killed = Counter(key(mutant) for mutant in result.scored if mutant.state == "killed")
    return [Score(name, killed[name], total) for name, total in totals.items()]


# -------------------------------------------------------------------------------------------------
# sentences


def verdict(result: SuiteMutation) -> str:
    """`ok`, `FAILED` if a mutant survived or no fault was injected, or `INTERRUPTED`."""
    if result.ok:
        return "ok"
    return "FAILED" if result.survivors or result.is_complete else "INTERRUPTED"


def _tone(result: SuiteMutation) -> str:
    if result.ok:
        return "good"
    return "bad" if result.survivors else "unsure"


def counts(result: SuiteMutation) -> str:
    """The number of mutants in each state, and how many did not run."""
    parts = [
        counted(len(result.mutants), "mutant"),
        f"{len(result.of('killed'))} killed",
        f"{len(result.of('survived'))} survived",
        f"{len(result.of('equivalent'))} equivalent",
    ]
    if untested := len(result.of("untested")):
        parts.append(f"{untested} cannot be tested")
    if rejected := len(result.of("rejected")):
        parts.append(f"{rejected} rejected by the database")
    if missing := result.selected - len(result.mutants):
        parts.append(f"{missing} not run")
    text = ", ".join(parts)
    if result.seed is not None and result.selected < result.derived:
        text += f"; a sample of {result.derived} (--seed {result.seed})"
    return text


def _closing(result: SuiteMutation, score: Score) -> Iterator[Line]:
    """Where a short report has the details, and the verdict."""
    if result.survivors:
        yield Line(_where_the_details_are(result), extent=Extent.SHORT)
    if unclear := len(result.of("untested", "rejected")):
        faults = counted(unclear, "fault")
        yield Line(f"--all also prints why {faults} could not be tested.", extent=Extent.SHORT)
    yield Line(
        f"{verdict(result)}: score {score.percent} ({score.killed} of {score.total});"
        f" {counts(result)}; {result.seconds:.0f} s"
    )


def _where_the_details_are(result: SuiteMutation) -> str:
    """Which options print the SQL and the missing tests. Not every survivor has a test."""
    tested = sum(bool(mutant.tests) for mutant in result.survivors)
    if not tested:
        return "--all prints the SQL of each survivor, and why no missing test was found."
    if tested == len(result.survivors):
        what = "The SQL and the missing test of each survivor"
    else:
        what = f"The SQL of each survivor and the missing tests of {tested}"
    return f"{what}: --tests DIR writes the tests, --all prints both."


# -------------------------------------------------------------------------------------------------
# sections


def _sections(result: SuiteMutation) -> Iterator[Section]:
    tables = (
        score_table("object", "Table, view or function", by_object(result)),
        score_table("kind", "Kind of fault", by_kind(result)),
    )
    yield Tables("Scores", "scores", tuple(table for table in tables if table.rows))
    if result.survivors:
        entries = tuple(_entry(mutant, result.untouched) for mutant in result.survivors)
        yield Findings(title="", entries=entries, anchor="survivors", heading="Survivors")
    if rejected := result.of("rejected"):
        items = tuple(Omission(m.id, "; ".join(m.by)) for m in rejected)
        yield Omissions(title="", label="not injected: ", items=items)
    if untested := result.of("untested"):
        items = tuple(Omission(m.id, m.note) for m in untested)
        yield Omissions(title="Not tested", label="not tested: ", items=items, anchor="untested")


def _entry(mutant: SuiteMutant, untouched: Collection[str]) -> Entry:
    details = [Detail("", mutant.sql, "sql")]
    if mutant.note:
        details.append(Detail("no test", mutant.note))
    for framework, (name, language) in _FRAMEWORKS.items():
        if framework in mutant.tests:
            text = mutant.tests[framework].text
            details.append(Detail(f"missing test ({name})", text, language))
    return Entry(
        severity=Severity.ERROR,
        object=mutant.object,
        messages=(Message(mutant.sentence),),
        brief=f"No test names {mutant.object}" if mutant.object in untouched else "",
        label="SURVIVED  ",
        badge="survived",
        is_named=False,
        details=tuple(details),
        footer=f"{mutant.kind} · {mutant.id}",
        id=mutant.id,
    )


# -------------------------------------------------------------------------------------------------
# for programs


def _checks(result: SuiteMutation) -> Iterator[Check]:
    """A check for each mutant; a survivor has failed."""
    for mutant in result.mutants:
        yield Check(
            id=Id(mutant.id),
            area=mutant.kind,
            object=mutant.object,
            name=mutant.id,
            group=f"mutate.{mutant.object}",
            seconds=round(mutant.seconds, 3),
            remark=_remark(mutant),
        )


def _remark(mutant: SuiteMutant) -> Remark | None:
    if mutant.state == "survived":
        tests = [test.text for test in mutant.tests.values()]
        details = "\n".join([mutant.sql, mutant.note, *tests])
        return Remark(True, mutant.state, mutant.sentence, details)
    if mutant.state == "equivalent":
        return Remark(False, mutant.state, "the fault changes nothing for any caller")
    if mutant.state == "untested":
        return Remark(False, mutant.state, mutant.note)
    if mutant.state == "rejected":
        return Remark(False, mutant.state, "; ".join(mutant.by))
    return None
