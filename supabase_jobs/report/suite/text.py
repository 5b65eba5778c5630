"""The result of `mutate --run` as text for a terminal: survivors with their missing tests, scores, verdict."""

from collections.abc import Sequence
from textwrap import indent

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report import summary
from supabase_jobs.report.suite import scores
from supabase_jobs.report.suite.scores import Score


def mutation(result: SuiteMutation) -> str:
    """Each survivor, the faults that were rejected or not tested, the scores by object and kind, and the verdict."""
    parts = [_survivor(mutant) for mutant in result.survivors]
    parts += [
        f"not injected: {summary.line(m.id)}: {summary.line('; '.join(m.by))}\n"
        for m in result.mutants
        if m.state == "rejected"
    ]
    parts += [
        f"not tested: {summary.line(m.id)}: {summary.line(m.note)}\n" for m in result.mutants if m.state == "untested"
    ]
    total = scores.total(result)
    for groups in (scores.by_object(result), scores.by_kind(result)):
        if groups:
            parts.append(_table(groups))
    parts.append(
        f"{scores.verdict(result)}: score {total.percent} ({total.killed} of {total.total});"
        f" {scores.counts(result)}; {result.seconds:.0f} s\n"
    )
    return "\n".join(parts)


def _survivor(mutant: SuiteMutant) -> str:
    text = f"SURVIVED  {summary.line(mutant.sentence)}\n  {summary.line(mutant.id)}\n"
    text += indent(summary.visible(mutant.sql).rstrip("\n") + "\n", "  ")
    if mutant.note:
        text += f"  no test: {summary.line(mutant.note)}\n"
    if (test := mutant.tests.get("pytest")) is not None:
        text += "  missing test (pytest):\n" + indent(summary.visible(test), "    ")
    if (test := mutant.tests.get("pgtap")) is not None:
        text += "  missing test (pgTAP):\n" + indent(summary.visible(test), "    ")
    return text


def _table(groups: Sequence[Score]) -> str:
    width = max(len(summary.line(score.name)) for score in groups)
    return "".join(
        f"{summary.line(score.name):<{width}}  {score.killed:>4} of {score.total:>4} killed  {score.percent:>5}\n"
        for score in groups
    )
