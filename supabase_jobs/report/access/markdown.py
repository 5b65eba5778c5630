"""What migrations change in the access as Markdown, for a comment on a pull request."""

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report import markup
from supabase_jobs.report.access import sentences
from supabase_jobs.report.access.sentences import Sentence
from supabase_jobs.report.audit import matrix
from supabase_jobs.report.audit.markdown import (
    LIMIT_CHARACTERS,
    MARKER,
    Parts,
    access_table,
    escaped,
)
from supabase_jobs.report.wording import counted


def diff(result: AccessDiff) -> str:
    """The verdict and the changes; collapsed: what was not compared, and the access after."""
    report = Parts(LIMIT_CHARACTERS)
    verdict = "passed" if result.ok else "**failed**"
    names = f"{markup.code(result.before)} → {markup.code(result.after)}"
    accepted = f"; {markup.code(result.baseline)} accepts changes" if result.baseline else ""
    counts = escaped(sentences.counts(result))
    report.add(
        f"{MARKER}\n## supabase-jobs access changes: {verdict}\n\n{names}: {counts}{accepted}.\n"
    )
    for heading, found in sentences.parts(result):
        report.add_all(f"### {heading}\n", [_sentence(sentence) for sentence in found])
    missing = sentences.not_compared(result)
    report.add_folded(
        f"Not compared: {len(missing)}",
        [f"- {markup.code(n)}: {escaped(why)}\n" for n, why in missing],
    )
    tables = counted(len(list(matrix.rows(result.audit))), "table")
    report.add_folded(f"Who can do what: {tables}", access_table(result.audit))
    return report.text()


def _sentence(sentence: Sentence) -> str:
    severity = "" if sentence.change in ("removed", "closed") else f"**{sentence.severity}** "
    name = f"{markup.code(sentence.object)}: " if sentence.change in ("leak", "closed") else ""
    cause = f"\n<br>cause: {escaped(sentence.where)}" if sentence.where else ""
    fix = (
        f"\n{markup.block(sentence.fix)}"
        if sentence.fix and sentence.change in ("wider", "new", "leak")
        else ""
    )
    return f"- {severity}{name}{escaped(sentence.text)}{cause}\n{_indented(fix)}"


def _indented(block: str) -> str:
    """A code block as a part of a list item."""
    return "".join(f"  {line}\n" if line else "\n" for line in block.splitlines())
