"""The result of `mutate --run` as text for a terminal: survivors, scores, verdict."""

from collections import Counter
from collections.abc import Sequence
from textwrap import indent

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report import summary
from supabase_jobs.report.suite import scores
from supabase_jobs.report.suite.scores import Score
from supabase_jobs.report.wording import counted


def mutation(result: SuiteMutation, *, whole: bool = True) -> str:
    """The survivors, the most dangerous first, the scores by object and kind, and the verdict.

    `whole`: each survivor with its SQL and its missing tests, and the faults that were rejected or
    not tested.
    """
    parts = _details(result) if whole else _sentences(result)
    total = scores.total(result)
    for groups in (scores.by_object(result), scores.by_kind(result)):
        if groups:
            parts.append(_table(groups))
    rest = "" if whole else _rest(result)
    parts.append(
        f"{rest}{scores.verdict(result)}: score {total.percent} ({total.killed} of {total.total});"
        f" {scores.counts(result)}; {result.seconds:.0f} s\n"
    )
    return "\n".join(parts)


def _sentences(result: SuiteMutation) -> list[str]:
    """A line for each survivor; those of one sentence, such as the two ORs of a policy, share a
    line.
    """
    places = Counter(summary.line(mutant.sentence) for mutant in result.survivors)
    lines = [f"SURVIVED  {says}{f' ({n} places)' if n > 1 else ''}\n" for says, n in places.items()]
    return ["".join(lines)] if lines else []


def _rest(result: SuiteMutation) -> str:
    """Where the details are; '' if there are none."""
    text = ""
    if result.survivors:
        text += (
            "The SQL and the missing test of each survivor: --tests DIR writes the"
            " tests, --all prints both.\n"
        )
    unclear = len(result.of("untested", "rejected"))
    if unclear:
        text += f"--all also prints why {counted(unclear, 'fault')} could not be tested.\n"
    return text


def _details(result: SuiteMutation) -> list[str]:
    parts = [_survivor(mutant) for mutant in result.survivors]
    parts += [
        f"not injected: {summary.line(m.id)}: {summary.line('; '.join(m.by))}\n"
        for m in result.of("rejected")
    ]
    parts += [
        f"not tested: {summary.line(m.id)}: {summary.line(m.note)}\n" for m in result.of("untested")
    ]
    return parts


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
        f"{summary.line(score.name):<{width}}  {score.killed:>4} of {score.total:>4} killed "
        f" {score.percent:>5}\n"
        for score in groups
    )
