"""What migrations change in the access as text: wider access first, then the rest, and what was not
compared.
"""

from collections.abc import Iterator
from textwrap import wrap

from supabase_jobs.findings import AccessDiff
from supabase_jobs.report import summary
from supabase_jobs.report.access import sentences
from supabase_jobs.report.access.sentences import Sentence

_WIDTH = 100
_SIGNS = {"wider": "+", "new": "+", "leak": "!", "narrower": "-", "removed": "-", "closed": "-"}


def diff(result: AccessDiff) -> str:
    """The changes with cause and fix, what was not compared, and the verdict."""
    lines = [*short(result, fixes=set())]
    verdict = "ok" if result.ok else "FAILED"
    names = f"{summary.line(result.before)} → {summary.line(result.after)}"
    accepted = f"; accepted: {summary.line(result.baseline)}" if result.baseline else ""
    end = (
        f"{verdict}: {sentences.counts(result)}; {names}{accepted},"
        f" {result.milliseconds / 1000:.1f} s"
    )
    return "".join(f"{line}\n" for line in [*lines, *([""] if lines else []), end])


def short(result: AccessDiff, *, fixes: set[str] | None = None) -> Iterator[str]:
    """The lines of the changes, and of what was not compared; with a set, the fixes that it lacks,
    too.
    """
    for number, (heading, found) in enumerate(sentences.parts(result)):
        if number:
            yield ""
        yield f"{heading}:"
        for sentence in found:
            yield from _sentence(sentence, fixes=fixes)
    missing = sentences.not_compared(result)
    if missing:
        yield from ("", "Not compared:") if result.changes else ("Not compared:",)
    for names, why in missing:
        yield from _wrapped(f"? {summary.line(names)}: {summary.line(why)}")


def _sentence(sentence: Sentence, *, fixes: set[str] | None) -> Iterator[str]:
    severity = f"{sentence.severity}: " if sentence.change == "leak" else ""
    name = f"{sentence.object}: " if sentence.change in ("leak", "closed") else ""
    yield from _wrapped(
        f"{_SIGNS[sentence.change]} {severity}{summary.line(f'{name}{sentence.text}')}"
    )
    if sentence.where:
        yield from _wrapped(f"  cause: {summary.line(sentence.where)}")
    if fixes is not None and sentence.fix and sentence.fix not in fixes:
        fixes.add(sentence.fix)
        yield "    fix:"
        yield from summary.sql(sentence.fix).splitlines()  # psql has to accept it: not indented


def _wrapped(line: str) -> list[str]:
    """A line in at most 100 columns."""
    indent = 4 if line.startswith(" ") else 2
    return wrap(
        line.strip(),
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
