"""The result of `mutate --run` as Markdown, for a job summary or a pull request."""

from collections.abc import Sequence

from supabase_jobs.findings import SuiteMutant, SuiteMutation
from supabase_jobs.report.markup import block, plain, table
from supabase_jobs.report.suite import scores
from supabase_jobs.report.suite.scores import Score


def mutation(result: SuiteMutation) -> str:
    """The verdict, the scores, and each survivor with its SQL and its missing tests."""
    total = scores.total(result)
    parts = [
        f"## supabase-jobs mutate: {scores.verdict(result)}\n",
        f"Score {total.percent} ({total.killed} of {total.total});"
        f" {plain(scores.counts(result))}.\n",
    ]
    for title, groups in (("object", scores.by_object(result)), ("kind", scores.by_kind(result))):
        parts += [_scores(title, groups)] if groups else []
    parts += [_survivor(mutant) for mutant in result.survivors]
    if untested := result.of("untested"):
        lines = "".join(f"- {plain(m.id)}: {plain(m.note)}\n" for m in untested)
        parts.append(
            f"<details><summary>Not tested: {len(untested)}</summary>\n\n{lines}</details>\n"
        )
    return "\n".join(parts)


def _scores(title: str, groups: Sequence[Score]) -> str:
    rows = [(plain(s.name), str(s.killed), str(s.total), s.percent) for s in groups]
    return table((title, "killed", "mutants", "score"), rows)


def _survivor(mutant: SuiteMutant) -> str:
    text = f"<details><summary>{plain(mutant.sentence)}</summary>\n\n{block(mutant.sql)}\n"
    if mutant.note:
        text += f"No test: {plain(mutant.note)}.\n\n"
    for name, language in (("pytest", "python"), ("pgtap", "sql")):
        if name in mutant.tests:
            text += f"{block(mutant.tests[name].rstrip(), language)}\n"
    return f"{text}</details>\n"
